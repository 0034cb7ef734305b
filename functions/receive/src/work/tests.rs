use aws::s3::{Condition, Put, Store};
use aws_fake::{Aws, BUCKET, QUEUE};
use jiff::SignedDuration;
use model::{
    ItemId, Sha256,
    keys::{self, HistoryRecord},
};
use serde_json::{Value, json};
use source::cloud_api::{AwsMedia, MediaApi};

use super::*;
use crate::intake::{Intake, QueueIntake};

fn receive(aws: &Aws) -> (Receive, Store) {
    let store = Store::new(aws.config(), BUCKET.to_owned());
    let files = Files::new(None, MediaFetcher::new(store.clone(), MediaApi::Aws(AwsMedia::new(aws.config()))));
    let queue = Queue::new(aws.config(), QUEUE.to_owned());
    (Receive { files, capture: Capture::new(store.clone()), payload: PayloadPath::default(), queue }, store)
}

/// Messages with a file each. Their numbers are the ids of their files.
fn pictures(count: usize) -> Value {
    let message = |n: usize| {
        json!({"from": "447700900123", "id": format!("wamid.{n}"), "timestamp": "1795166043", "type": "image",
            "image": {"id": n.to_string(), "mime_type": "image/jpeg"}})
    };
    let value = json!({"metadata": {"display_phone_number": "351210000001", "phone_number_id": "700"},
        "messages": (0..count).map(message).collect::<Vec<_>>()});
    json!({"id": "900", "changes": [{"field": "messages", "value": value}]})
}

/// Returns the task of a stored body of Meta.
async fn stored(receive: &Receive, entry: Value) -> WebhookTask {
    let body = json!({"object": "whatsapp_business_account", "entry": [entry]}).to_string();
    let received = "2026-11-27T09:00:00Z".parse().unwrap();
    let webhook = receive.capture.raw(body.as_bytes(), received).await.unwrap();
    WebhookTask { v: TASK_VERSION, received, webhook, channel: Channel::Meta, part: None }
}

async fn work(receive: &Receive, body: String) -> Result<Next, Failure> {
    work_again(receive, body, 1).await
}

/// Delivers a body whose message was received this number of times. The invocation is at its deadline.
async fn work_again(receive: &Receive, body: String, receive_count: u32) -> Result<Next, Failure> {
    let now = Timestamp::now();
    let mut record = Record::of_body(body, None);
    record.receive_count = receive_count;
    receive.work(&record, &Invocation::new(String::new(), String::new(), now, now)).await
}

/// Returns the ids of the files for which a task is queued.
fn queued_files(aws: &Aws) -> Vec<String> {
    let tasks = aws.messages().into_iter().map(|body| serde_json::from_str::<Value>(&body).unwrap());
    let mut files: Vec<_> = tasks.filter_map(|task| Some(task["media"].as_str()?.to_owned())).collect();
    files.sort();
    files
}

fn numbers(count: usize) -> Vec<String> {
    let mut numbers: Vec<_> = (0..count).map(|n| n.to_string()).collect();
    numbers.sort();
    numbers
}

/// From Meta and from AWS: the parts of a notification of AWS are read in its own envelope.
#[tokio::test]
async fn large_body_is_split_and_every_file_is_queued() {
    const COUNT: usize = 2 * EVENTS_PER_TASK + 1;
    for channel in [Channel::Meta, Channel::Aws] {
        let aws = Aws::start().await;
        let (receive, _) = receive(&aws);
        let body = match channel {
            Channel::Meta => stored(&receive, pictures(COUNT)).await.to_json(),
            Channel::Aws => {
                let event = json!({"context": {}, "whatsAppWebhookEntry": pictures(COUNT).to_string()});
                json!({"Type": "Notification", "TopicArn": "t", "Message": event.to_string()}).to_string()
            }
        };
        work(&receive, body).await.unwrap();
        let parts = aws.messages();
        assert_eq!((parts.len(), queued_files(&aws).len()), (3, 0));
        assert!(aws.keys(keys::PROCESSED).is_empty(), "a body that is split is not processed yet");
        // They arrive in any order, and one of them twice.
        for part in parts.iter().rev().chain(parts.last()) {
            work(&receive, part.clone()).await.unwrap();
        }
        let mut files = queued_files(&aws);
        files.dedup();
        assert!(files == numbers(COUNT), "{channel:?}: {} files", files.len());
        assert_eq!(aws.keys(keys::RECEIVED).len(), COUNT);
        let proofs: Vec<_> = aws.keys(keys::PROCESSED).iter().filter_map(|key| keys::processed_part(key)).collect();
        let mut proved: Vec<_> = proofs.iter().map(|part| (part.first, part.end, part.total)).collect();
        proved.sort_unstable();
        let end = 2 * EVENTS_PER_TASK;
        let expected = [(0, EVENTS_PER_TASK, COUNT), (EVENTS_PER_TASK, end, COUNT), (end, COUNT, COUNT)];
        assert_eq!(proved, expected, "each part has a proof");
        let bodies = aws.keys(keys::WEBHOOKS);
        assert!(proofs.iter().all(|part| keys::webhook_of_body(&bodies[0]) == Some(part.webhook)));
    }
}

/// A chunk of a phone's history with this number of messages.
fn history_chunk(count: usize) -> Value {
    let mut entry = pictures(count);
    let value = &mut entry["changes"][0]["value"];
    let messages = value["messages"].take();
    value["history"] = json!([{"metadata": {"phase": 1, "chunk_order": 2, "progress": 55},
        "threads": [{"id": "447700900123", "messages": messages}]}]);
    entry["changes"][0]["field"] = json!("history");
    entry
}

/// The record follows the first events, and is no event: proofs and tasks have the numbers of earlier releases.
#[tokio::test]
async fn chunk_of_a_history_is_recorded_once() {
    let record = keys::history("700", &HistoryRecord::Chunk { phase: 1, chunk: 2, progress: 55 });
    for count in [1, EVENTS_PER_TASK + 1] {
        let aws = Aws::start().await;
        let (receive, _) = receive(&aws);
        let task = stored(&receive, history_chunk(count)).await.to_json();
        if count == 1 {
            aws.fail(Some("events/"));
            let failed = work(&receive, task.clone()).await;
            assert!(matches!(failed, Err(Failure::Transient { .. })) && aws.keys(keys::HISTORIES).is_empty());
            aws.fail(None);
        }
        for _ in 0..2 {
            work(&receive, task.clone()).await.unwrap();
        }
        let parts: Vec<_> = aws.messages().into_iter().filter(|task| task.contains("part")).collect();
        assert_eq!((parts.is_empty(), aws.keys(keys::HISTORIES).is_empty()), (count == 1, count > 1));
        for part in parts {
            work(&receive, part).await.unwrap();
        }
        assert_eq!(aws.keys(keys::HISTORIES).join(" "), record);
        let proofs = aws.keys(keys::PROCESSED).into_iter().filter_map(|key| keys::processed_part(&key));
        assert!(proofs.map(|part| part.total).all(|total| total == count));
    }
}

#[tokio::test]
async fn webhook_is_not_processed_while_its_chunk_is_not_recorded() {
    let aws = Aws::start().await;
    let (receive, _) = receive(&aws);
    let task = stored(&receive, history_chunk(1)).await.to_json();
    aws.fail(Some(keys::HISTORIES));
    assert!(matches!(work(&receive, task).await, Err(Failure::Transient { .. })));
    assert!(aws.keys(keys::PROCESSED).is_empty());
}

#[tokio::test]
async fn event_that_cannot_be_written_costs_only_itself() {
    let aws = Aws::start().await;
    let (receive, store) = receive(&aws);
    let key = "wamid.1".parse::<ItemId>().unwrap().key();
    let damaged = Put { key: &keys::event_awaited(&key), bytes: "?".into(), content_type: "", sha256: None };
    store.put(damaged, Condition::Absent).await.unwrap();
    let task = stored(&receive, pictures(40)).await.to_json();
    assert!(matches!(work(&receive, task).await, Err(Failure::Configuration { .. })));
    assert_eq!(aws.keys(keys::RECEIVED).len(), 39);
    assert_eq!(queued_files(&aws), numbers(40));
    assert!(aws.keys(keys::PROCESSED).is_empty(), "an event is not written");
}

#[tokio::test]
async fn files_are_queued_while_no_event_can_be_written() {
    let aws = Aws::start().await;
    let (receive, _) = receive(&aws);
    let task = stored(&receive, pictures(100)).await.to_json();
    aws.fail(Some("events/"));
    assert!(matches!(work(&receive, task.clone()).await, Err(Failure::Transient { .. })));
    assert_eq!((queued_files(&aws), aws.keys(keys::RECEIVED).len()), (numbers(100), 0));
    aws.fail(None);
    assert!(aws.keys(keys::PROCESSED).is_empty());
    work(&receive, task).await.unwrap();
    assert_eq!((aws.keys(keys::RECEIVED).len(), aws.keys(keys::PROCESSED).len()), (100, 1));
}

/// A task is received up to 300 times. Each of its file tasks stays in flight until its file is stored.
#[tokio::test]
async fn retried_webhook_does_not_queue_its_files_each_time() {
    let aws = Aws::start().await;
    let (receive, _) = receive(&aws);
    let task = stored(&receive, pictures(2)).await.to_json();
    aws.fail(Some("events/"));
    for receives in 1..=20 {
        assert!(work_again(&receive, task.clone(), receives).await.is_err());
    }
    assert_eq!(queued_files(&aws), ["0", "0", "0", "1", "1", "1"]);
    aws.fail(None);
    work_again(&receive, task.clone(), 21).await.unwrap();
    assert_eq!(queued_files(&aws).len(), 8, "the first attempts may have ended before they queued the files");
    // On the channel of AWS, too.
    let notification = json!({"Type": "Notification", "TopicArn": "arn", "Message":
        json!({"whatsAppWebhookEntry": pictures(2).to_string()}).to_string()});
    aws.fail(Some("events/"));
    for receives in 4..=6 {
        assert!(work_again(&receive, notification.to_string(), receives).await.is_err());
    }
    assert_eq!(queued_files(&aws).len(), 8);
}

/// convert files the placeholder when the wait ends, so content that is written just before that must not have its id.
#[tokio::test]
async fn content_near_the_end_of_the_wait_is_a_late_item() {
    let at: Timestamp = "2026-11-27T09:00:00Z".parse().unwrap();
    let event = |message: Value| {
        let message = json!({"from": "447700900123", "id": "wamid.1", "timestamp": "1795166043"})
            .as_object()
            .into_iter()
            .chain(message.as_object())
            .flatten()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<serde_json::Map<_, _>>();
        let value = json!({"metadata": {"display_phone_number": "351210000001", "phone_number_id": "700"},
            "messages": [message]});
        let entry = json!({"id": "900", "changes": [{"field": "messages", "value": value}]});
        let body = json!({"object": "whatsapp_business_account", "entry": [entry]}).to_string();
        cloud_api::events(&entries(body.as_bytes(), &PayloadPath::default()).unwrap()).next().unwrap()
    };
    let id: ItemId = "wamid.1".parse().unwrap();
    for (minutes_before, expected) in [(6, id.clone()), (4, cloud_api::late_id(&id)), (-1, cloud_api::late_id(&id))] {
        let aws = Aws::start().await;
        let (receive, _) = receive(&aws);
        let origin = |written| Origin { received: at, written, body: Sha256::of(b""), channel: Channel::Meta };
        receive.capture.event(&event(json!({"type": "media_placeholder"})), &origin(at)).await.unwrap();
        let written = at + SignedDuration::from_hours(24) - SignedDuration::from_mins(minutes_before);
        let content = event(json!({"type": "text", "text": {"body": "x"}}));
        receive.capture.event(&content, &origin(written)).await.unwrap();
        assert_eq!(aws.keys(&keys::event_copies(&expected.key())).len(), if expected == id { 2 } else { 1 });
        assert!(aws.object(&keys::received(written, &expected.key())).is_some(), "{minutes_before} minutes before");
    }
}

/// Other files hold both permits until the invocation ends.
#[tokio::test]
async fn file_at_the_deadline_waits_as_long_as_a_failed_one() {
    let aws = Aws::start().await;
    let (receive, _) = receive(&aws);
    let _hung = receive.files.permits.acquire_many(CONCURRENT_FILES as u32).await.unwrap();
    for (age, expected) in
        [(SignedDuration::from_hours(1), Some(Duration::from_secs(1800))), (SignedDuration::ZERO, None)]
    {
        let received = Timestamp::now() - age;
        let task = json!({"v": 1, "media": "1", "aws_phone_number_id": "phone-number-id-1", "received": received});
        let worked = tokio::time::timeout(Duration::from_secs(60), work(&receive, task.to_string())).await;
        let failure = worked.expect("the task waits for a permit after the deadline");
        assert!(matches!(failure, Err(Failure::Transient { after, .. }) if after == expected), "{failure:?}");
    }
}

#[test]
fn retry_of_a_file_waits_for_the_longer_of_both_waits() {
    let (short, long) = (Some(Duration::from_secs(1)), Some(Duration::from_secs(2)));
    for (after, wait, expected) in [(None, long, long), (short, long, long), (long, short, long), (short, None, short)]
    {
        let configuration = Failure::Configuration { detail: String::new(), after };
        let transient = Failure::Transient { detail: String::new(), after };
        for failure in [configuration, transient] {
            let (Failure::Transient { after, .. } | Failure::Configuration { after, .. }) = postponed(failure, wait)
            else {
                panic!("a retried failure became permanent")
            };
            assert_eq!(after, expected);
        }
    }
}

/// Something else than the bucket answers. If the webhook were confirmed, it would be lost.
#[tokio::test]
async fn webhook_is_not_kept_if_its_write_is_answered_with_404() {
    let aws = Aws::start().await;
    let (receive, _) = receive(&aws);
    let intake = QueueIntake { capture: receive.capture, queue: receive.queue };
    aws.misdirect_writes(keys::WEBHOOKS);
    assert!(matches!(intake.keep(b"{}").await, Err(Failure::Configuration { .. })));
    assert!(aws.messages().is_empty());
}
