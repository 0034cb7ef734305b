use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::*;
use crate::{
    Interrupt,
    commands::dead_letters::{Filter, Plan, ReplayOptions, replay},
};
use local::cloud::Cloud;

/// Timeout of a scan that hangs. No assertion depends on it.
const HANGS: Duration = Duration::from_secs(30);

/// An SQS fake that records requests. From the second receive on it can respond to two requests together or to none.
#[derive(Default)]
struct Sqs {
    waiting: Mutex<Vec<usize>>,
    sent: Mutex<usize>,
    requests: Mutex<Vec<String>>,
    released: Mutex<BTreeSet<String>>,
    together: Option<Barrier>,
    /// Number of messages that arrive before each receive, and their time of sending.
    arrivals: Option<(usize, Timestamp)>,
    /// Messages in flight to other consumers.
    in_flight_elsewhere: usize,
    /// Number of receives after which every receive is rejected.
    successful_receives: Option<usize>,
}

impl Sqs {
    fn with(self, messages: usize) -> Arc<Self> {
        *self.waiting.lock().unwrap() = (0..messages).collect();
        *self.sent.lock().unwrap() = messages;
        Arc::new(self)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn received(&self) -> usize {
        let waiting = self.waiting.lock().unwrap();
        *self.sent.lock().unwrap() - waiting.len()
    }

    async fn queue(self: &Arc<Self>) -> DeadLetterQueue {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(respond).with_state(Arc::clone(self));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let (task_queue, dead_letters) = (url.clone(), format!("{url}/dead-letters"));
        let queues = QueueUrls { convert: task_queue.clone(), import: task_queue, receive: None, dead_letters };
        DeadLetterQueue { client: Client::new(Cloud::at(&url).await.config()), queues }
    }
}

async fn respond(State(sqs): State<Arc<Sqs>>, headers: HeaderMap, body: Bytes) -> Result<Json<Value>, StatusCode> {
    let request: Value = serde_json::from_slice(&body).unwrap();
    let target = headers["x-amz-target"].to_str().unwrap().trim_start_matches("AmazonSQS.").to_owned();
    let receives = {
        let mut all = sqs.requests.lock().unwrap();
        all.push(target.clone());
        all.iter().filter(|target| *target == "ReceiveMessage").count()
    };
    match target.as_str() {
        "GetQueueAttributes" => {
            let ready = sqs.waiting.lock().unwrap().len();
            let received = sqs.received();
            let in_flight = received - sqs.released.lock().unwrap().len() + sqs.in_flight_elsewhere;
            return Ok(Json(json!({"Attributes": {
                "ApproximateNumberOfMessages": ready.to_string(),
                "ApproximateNumberOfMessagesNotVisible": in_flight.to_string(),
                "ApproximateNumberOfMessagesDelayed": "0"}})));
        }
        "ReceiveMessage" if sqs.successful_receives.is_some_and(|successful| receives > successful) => {
            return Err(StatusCode::BAD_REQUEST);
        }
        "ReceiveMessage" => {}
        "SendMessage" | "DeleteMessage" => return Ok(Json(json!({}))),
        _ => {
            let entries = request["Entries"].as_array().unwrap();
            let receipts = entries.iter().map(|entry| entry["ReceiptHandle"].as_str().unwrap().to_owned());
            sqs.released.lock().unwrap().extend(receipts);
            return Ok(Json(json!({"Successful": [], "Failed": []})));
        }
    }
    if let (Some(together), 2..) = (&sqs.together, receives) {
        together.wait().await;
    }
    let mut waiting = sqs.waiting.lock().unwrap();
    let mut sent_at = Timestamp::UNIX_EPOCH;
    if let Some((count, at)) = sqs.arrivals {
        let mut sent = sqs.sent.lock().unwrap();
        assert!(*sent < 5_000, "the scan does not end");
        waiting.extend(*sent..*sent + count);
        *sent += count;
        sent_at = at;
    }
    let page = waiting.len().min(10);
    let sent_at = sent_at.as_millisecond().to_string();
    let messages: Vec<_> = waiting
        .drain(..page)
        .map(|number| {
            json!({"MessageId": format!("m-{number}"), "ReceiptHandle": format!("r-{number}"), "Body": "{}",
                   "Attributes": {"SentTimestamp": sent_at}})
        })
        .collect();
    Ok(Json(json!({"Messages": messages})))
}

/// Scans to the end and returns the ids in the order of arrival.
async fn ids(scan: &mut Scan<'_>) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let page = tokio::time::timeout(HANGS, scan.next()).await.expect("one receive at a time").unwrap();
        assert!(page.len() <= 10, "a page has at most ten messages");
        if page.is_empty() {
            return ids;
        }
        ids.extend(page.into_iter().map(|dead_letter| dead_letter.message_id));
    }
}

#[tokio::test]
async fn scan_returns_each_message_of_a_long_queue_once() {
    let sqs = Sqs { together: Some(Barrier::new(2)), ..Sqs::default() }.with(100);
    let queue = sqs.queue().await;
    let mut scan = queue.scan(Duration::from_secs(300));
    let seen: BTreeSet<_> = ids(&mut scan).await.into_iter().collect();
    assert_eq!(seen.len(), 100);
    assert!(
        !sqs.requests().iter().any(|target| target == "ChangeMessageVisibilityBatch"),
        "no visibility timeout was about to end"
    );
    scan.release().await.unwrap();
    assert_eq!(sqs.released.lock().unwrap().len(), 100);
}

#[tokio::test]
async fn scan_extends_the_visibility_timeout() {
    let sqs = Sqs::default().with(25);
    let queue = sqs.queue().await;
    // Ends before the next request.
    let mut scan = queue.scan(Duration::from_micros(1));
    assert_eq!(ids(&mut scan).await.len(), 25);
    assert_eq!(sqs.requests()[..3], ["GetQueueAttributes", "ReceiveMessage", "ChangeMessageVisibilityBatch"]);
    // Also while received messages are processed, and before the next receive.
    let holds = sqs.requests().iter().filter(|target| *target == "ChangeMessageVisibilityBatch").count();
    assert!(holds >= 4, "{:?}", sqs.requests());
}

#[tokio::test]
async fn scan_ends_while_messages_keep_arriving() {
    let (past, future) = (Timestamp::UNIX_EPOCH, Timestamp::now() + Duration::from_secs(3600));
    // A message that SQS moves keeps its time of sending, which may be before the start of the scan.
    for sent in [past, future] {
        for (ready, arriving) in [(0, 1), (35, 3), (100, 9), (100, 10)] {
            let sqs = Sqs { arrivals: Some((arriving, sent)), ..Sqs::default() }.with(ready);
            let queue = sqs.queue().await;
            let mut scan = queue.scan(HOLD);
            let seen = ids(&mut scan).await;
            let ids: BTreeSet<_> = seen.iter().collect();
            assert_eq!(ids.len(), seen.len(), "each once");
            assert!((0..ready).all(|number| ids.contains(&format!("m-{number}"))), "all that was there: {seen:?}");
            scan.release().await.unwrap();
            assert_eq!(sqs.released.lock().unwrap().len(), sqs.received(), "nothing stays invisible");
        }
    }
}

#[tokio::test]
async fn scan_is_incomplete_while_another_consumer_has_messages() {
    for (in_flight_elsewhere, arrivals, complete) in
        [(0, None, true), (5, None, false), (5, Some((5, Timestamp::now() + Duration::from_secs(3600))), false)]
    {
        let sqs = Sqs { in_flight_elsewhere, arrivals, ..Sqs::default() }.with(20);
        let queue = sqs.queue().await;
        let mut scan = queue.scan(HOLD);
        ids(&mut scan).await;
        assert_eq!(scan.is_complete().await.unwrap(), complete, "{in_flight_elsewhere} elsewhere, {arrivals:?} arrive");
        scan.release().await.unwrap();
        if arrivals.is_none() {
            let plan = Plan::to_replay(&queue, &Filter::default(), HOLD).await.unwrap();
            assert_eq!((plan.is_complete(), plan.unread), (complete, !complete), "{in_flight_elsewhere} elsewhere");
        }
    }
}

#[tokio::test]
async fn replay_counts_moved_messages_when_the_queue_fails() {
    let sqs = Sqs { successful_receives: Some(1), ..Sqs::default() }.with(20);
    let queue = sqs.queue().await;
    let message_ids = (0..20).map(|number| format!("m-{number}")).collect();
    let plan = Plan { message_ids, seen: 20, ..Plan::default() };
    let options = ReplayOptions { hold: Duration::from_secs(300), rate: None, max_item_bytes: None };
    let replayed = replay(&queue, plan, options, &Interrupt::default(), |_| ()).await;
    assert!(replayed.aborted.is_some() && !replayed.is_complete());
    assert_eq!((replayed.moved, replayed.unsent, replayed.not_found), (10, 10, 0));
}
