//! Malformed tasks and malformed entries of the source's list.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::Context;
use async_trait::async_trait;
use aws::sqs::Queue;
use aws_lambda_events::event::sqs::SqsEvent;
use harness::{ItemSource, MailSystem, Pipeline, queue_messages};
use jiff::{SignedDuration, Timestamp};
use local::{
    cloud::Step,
    event_source::Batch as ReceivedBatch,
    sample_source::{Sample, user_map},
};
use model::{Failure, Reason, Stage};
use runtime::metrics::Metric;
use serde_json::{Value, json};
use sqs_batch::{Backoff, Batch, Invocation, Next, Record, Work};

use crate::sample_day::{addresses, expected_copies};

#[tokio::test]
async fn malformed_task_affects_no_other_message() -> anyhow::Result<()> {
    let sample = Sample::day(Timestamp::now())?;
    let expected = sample.expected();
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(addresses()?), &[]).await?;
    pipeline.put_user_map(user_map()).await?;
    let bodies = [
        "not JSON".to_owned(),
        "{}".to_owned(),
        r#"{"v":2,"run":"r","item":"WA-1","archived_time":"2026-11-21T00:00:00Z"}"#.to_owned(),
        r#"{"v":1,"run":"r","item":{"id":7},"archived_time":"2026-11-21T00:00:00Z"}"#.to_owned(),
        r#"{"v":1,"run":"r","item":"WA-1","archived_time":"the day after"}"#.to_owned(),
        "[".repeat(100_000),
    ];
    for body in &bodies {
        pipeline.send(&pipeline.machine.resources.convert, body).await?;
    }
    pipeline.run(&Pipeline::timer()).await?;
    assert_eq!(pipeline.copies()?, expected_copies(&expected));
    let mut dead_letters: Vec<_> = pipeline.dead_letters().await?;
    dead_letters.retain(|dead_letter| dead_letter.attributes["reason"] == "task-malformed");
    let mut found: Vec<_> = dead_letters.into_iter().map(|dead_letter| dead_letter.body).collect();
    let mut sent = bodies.to_vec();
    found.sort();
    sent.sort();
    assert_eq!(found, sent, "a dead letter does not have the bytes of its body");
    Ok(())
}

/// Work whose result is named by the body of the record.
struct CommandedWork;

#[async_trait]
impl Work for CommandedWork {
    const STAGE: Stage = Stage::Convert;
    const METRICS: &'static [Metric] = &[];

    async fn prepare(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn work(&self, record: &Record, _: &Invocation) -> Result<Next, Failure> {
        match record.body.as_str() {
            "panic" => panic!("commanded by the test"),
            "hang" => std::future::pending().await,
            "forward" => Ok(Next::Forward("forwarded".to_owned())),
            "refuse" => {
                Err(Failure::Permanent { reason: Reason::Oversize, detail: "commanded by the test".to_owned() })
            }
            "wait" => Err(Failure::Transient { detail: "commanded by the test".to_owned(), after: None }),
            _ => Ok(Next::Done),
        }
    }
}

fn event(bodies: &[&str]) -> anyhow::Result<SqsEvent> {
    let record = |body: &&str| {
        json!({"messageId": format!("id-of-{body}"), "receiptHandle": "none", "body": body,
        "attributes": {"ApproximateReceiveCount": "1"}, "messageAttributes": {}, "eventSource": "aws:sqs"})
    };
    Ok(serde_json::from_value(json!({"Records": bodies.iter().map(record).collect::<Vec<_>>()}))?)
}

#[tokio::test]
async fn failed_record_affects_no_other_record() -> anyhow::Result<()> {
    let pipeline = Pipeline::start(ItemSource::ChatExports("UTC"), MailSystem::Maildir(Vec::new()), &[]).await?;
    let (config, resources) = (pipeline.machine.cloud.config(), &pipeline.machine.resources);
    let mut batch = Batch {
        work: Arc::new(CommandedWork),
        source: Queue::new(config, resources.convert.url.clone()),
        next: Some(Queue::new(config, resources.import.url.clone())),
        dead_letters: Queue::new(config, resources.dead_letters.url.clone()),
        backoff: Backoff { base: Duration::from_secs(1), cap: Backoff::CAP },
        concurrency: 10,
    };
    let now = Timestamp::now();
    let invocation =
        Invocation::new("function".to_owned(), "request".to_owned(), now + SignedDuration::from_secs(7), now);
    let response = batch.run(event(&["panic", "hang", "forward", "refuse", "wait", "fine"])?, &invocation).await?;
    let failed: Vec<_> = response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
    assert_eq!(failed, ["id-of-panic", "id-of-hang", "id-of-wait"]);
    let dead_letters = pipeline.dead_letters().await?;
    assert_eq!(dead_letters.iter().map(|dead_letter| dead_letter.body.as_str()).collect::<Vec<_>>(), ["refuse"]);
    let import = local::event_source::depth(&pipeline.machine.cloud, &resources.import).await?;
    assert_eq!(import.total(), 1, "a forwarded task is not on the next queue");

    // After the deadline, records that were not started are returned.
    let response = batch.run(event(&["fine"])?, &invocation).await?;
    assert_eq!(response.batch_item_failures.len(), 1);

    // If the next queue and the dead-letter queue are unreachable, no record is lost.
    let missing = Queue::new(config, format!("{}-gone", resources.import.url));
    (batch.next, batch.dead_letters) = (Some(missing.clone()), missing);
    let invocation =
        Invocation::new("function".to_owned(), "request".to_owned(), now + SignedDuration::from_secs(60), now);
    let response = batch.run(event(&["forward", "refuse", "fine"])?, &invocation).await?;
    let failed: Vec<_> = response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
    assert_eq!(failed, ["id-of-forward", "id-of-refuse"]);
    Ok(())
}

/// SQS delivers fairly between groups. A backfill has another group than the scheduled runs, and each chat has its own.
#[tokio::test]
async fn tasks_are_in_the_groups_of_their_run_and_chat() -> anyhow::Result<()> {
    let sample = Sample::day(Timestamp::now())?;
    let pipeline = Pipeline::start(ItemSource::Api(sample), MailSystem::Maildir(addresses()?), &[]).await?;
    let (cloud, resources) = (&pipeline.machine.cloud, &pipeline.machine.resources);
    let mut runs = BTreeSet::new();
    for event in [Pipeline::timer(), Pipeline::backfill()] {
        pipeline.machine.fetch(&event).await?;
        for task in queue_messages(cloud, &resources.convert.url).await? {
            let run = serde_json::from_str::<Value>(&task.body)?["run"].clone();
            assert_eq!(json!(task.group), run);
            runs.insert(task.group);
        }
    }
    assert_eq!(runs.len(), 2, "{runs:?}");

    let client = aws_sdk_sqs::Client::new(cloud.config());
    let receive = ReceivedBatch::receive(&client, &resources.convert, 10, Duration::ZERO, Duration::ZERO);
    let batch = receive.await?.context("no task for convert")?;
    pipeline.machine.function(Step::Convert).invoke(batch.event()).await?;
    let tasks = queue_messages(cloud, &resources.import.url).await?;
    assert!(tasks.len() > 5, "{tasks:?}");
    for task in &tasks {
        let named = serde_json::from_str::<Value>(&task.body)?["group"].clone();
        assert_eq!(json!(task.group), named, "the replay has another group than the task");
        assert!(task.group.as_ref().is_some_and(|group| group.starts_with("chat-")), "{task:?}");
    }
    let chats: BTreeSet<_> = tasks.iter().map(|task| &task.group).collect();
    assert!(chats.len() > 1, "{chats:?}");
    Ok(())
}
