//! The event source: finished messages, redelivered messages, and messages that SQS dead-letters.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use aws_lambda_events::event::sqs::SqsEvent;
use aws_sdk_sqs::{
    Client,
    primitives::Blob,
    types::{MessageAttributeValue, SendMessageBatchRequestEntry},
};
use local::{
    cloud::{Cloud, Redelivery, Resources},
    event_source::{Batch, BatchResult, Counts, EventSource, EventSourceOptions, depth, drained, evaluate},
    function::{Function, FunctionOptions},
    ministack::Ministack,
};

use crate::support;

struct System {
    server: Ministack,
    cloud: Cloud,
    resources: Resources,
    sqs: Client,
}

async fn system(directory: &Path, visibility: u64) -> System {
    let server = support::ministack(directory).await;
    let cloud = Cloud::at(&server.endpoint()).await;
    let redelivery = Redelivery { visibility: Duration::from_secs(visibility), max_receives: 2 };
    let resources = cloud.create(redelivery, false).await.unwrap();
    let sqs = Client::new(cloud.config());
    System { server, cloud, resources, sqs }
}

impl System {
    async fn send(&self, bodies: &[&str]) {
        for bodies in bodies.chunks(10) {
            let entry = |(id, body): (usize, &&str)| {
                SendMessageBatchRequestEntry::builder().id(id.to_string()).message_body(*body).build().unwrap()
            };
            let entries = bodies.iter().enumerate().map(entry).collect();
            let send = self.sqs.send_message_batch().queue_url(&self.resources.convert.url);
            let sent = send.set_entries(Some(entries)).send().await.unwrap();
            assert_eq!(sent.successful.len(), bodies.len());
        }
    }

    /// Passes messages to a function until the queue is empty. Returns the counters of the event source and the bodies
    /// that SQS moved to the dead-letter queue.
    async fn run(&self, function: FunctionOptions, batch_size: usize) -> (Counts, Vec<String>) {
        let function = Arc::new(Function::start(function).await.unwrap());
        let source = EventSource::start(&self.cloud, self.options(batch_size), function);
        let queues = [self.resources.convert.clone()];
        let drained = drained(&self.cloud, &queues, |_| ());
        tokio::time::timeout(Duration::from_secs(120), drained).await.expect("the queue runs empty").unwrap();
        let counts = source.stop().await;
        let mut bodies = Vec::new();
        while depth(&self.cloud, &self.resources.dead_letters).await.unwrap().visible > 0 {
            let receive = self.sqs.receive_message().queue_url(&self.resources.dead_letters.url);
            let received = receive.max_number_of_messages(10).send().await.unwrap();
            bodies.extend(received.messages.into_iter().flatten().filter_map(|message| message.body));
        }
        bodies.sort();
        (counts, bodies)
    }

    fn options(&self, batch_size: usize) -> EventSourceOptions {
        let queue = self.resources.convert.clone();
        EventSourceOptions { queue, batch_size, window: Duration::ZERO, pollers: 3 }
    }

    async fn batch(&self, window: Duration) -> Batch {
        let batch = Batch::receive(&self.sqs, &self.resources.convert, 10, window, Duration::from_secs(20)).await;
        batch.unwrap().expect("there are messages")
    }
}

#[tokio::test]
async fn reported_message_is_redelivered_then_moved_to_dead_letters() {
    let directory = tempfile::tempdir().unwrap();
    let system = system(directory.path(), 1).await;
    system.send(&["a", "fail", "b", "once fail", "c"]).await;
    let (counts, dead) = system.run(support::function(directory.path()), 10).await;
    assert_eq!(dead, ["fail"]);
    assert_eq!(counts, Counts { received: 7, deleted: 4, left: 3, failed_batches: 0 });
    system.server.stop().await.unwrap();
}

#[tokio::test]
async fn batch_fails_when_the_function_fails() {
    let directory = tempfile::tempdir().unwrap();
    let system = system(directory.path(), 3).await;
    let function = FunctionOptions { timeout: Duration::from_secs(2), ..support::function(directory.path()) };
    let worst = ["once error", "once panic", "once exit", "once hang", "once report an unknown id"];
    system.send(&worst).await;
    let (counts, dead) = system.run(function, 1).await;
    assert_eq!(dead, [""; 0]);
    assert_eq!(counts, Counts { received: 10, deleted: 5, left: 5, failed_batches: 5 });

    system.send(&["exit"]).await;
    let (counts, dead) = system.run(support::function(directory.path()), 1).await;
    assert_eq!(dead, ["exit"]);
    assert_eq!(counts, Counts { received: 2, deleted: 0, left: 2, failed_batches: 2 });
    system.server.stop().await.unwrap();
}

#[tokio::test]
async fn event_has_the_form_that_lambda_sends() {
    let directory = tempfile::tempdir().unwrap();
    let system = system(directory.path(), 60).await;
    let text = MessageAttributeValue::builder().data_type("String").string_value("unmapped").build().unwrap();
    let number = MessageAttributeValue::builder().data_type("Number").string_value("7").build().unwrap();
    let binary = MessageAttributeValue::builder().data_type("Binary").binary_value(Blob::new(b"\x00\xff")).build();
    let send = system.sqs.send_message().queue_url(&system.resources.convert.url).message_body("{\"v\":1} é");
    let send = send.message_attributes("reason", text).message_attributes("n", number);
    let sent = send.message_attributes("raw", binary.unwrap()).send().await.unwrap();

    let batch = system.batch(Duration::ZERO).await;
    let event: serde_json::Value = serde_json::from_slice(&batch.event()).unwrap();
    let record = &event["Records"][0];
    let expected = serde_json::json!({
        "messageId": sent.message_id(), "receiptHandle": record["receiptHandle"], "body": "{\"v\":1} é",
        "attributes": record["attributes"],
        "messageAttributes": {
            "reason": {"stringValue": "unmapped", "stringListValues": [], "binaryListValues": [], "dataType": "String"},
            "n": {"stringValue": "7", "stringListValues": [], "binaryListValues": [], "dataType": "Number"},
            "raw": {"binaryValue": "AP8=", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
        },
        "md5OfBody": sent.md5_of_message_body(), "md5OfMessageAttributes": sent.md5_of_message_attributes(),
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:convert", "awsRegion": "us-east-1",
    });
    assert_eq!(*record, expected);
    let attributes: BTreeMap<String, String> = serde_json::from_value(record["attributes"].clone()).unwrap();
    assert_eq!(attributes["ApproximateReceiveCount"], "1");
    for time in ["SentTimestamp", "ApproximateFirstReceiveTimestamp"] {
        assert!(attributes[time].parse::<u64>().unwrap() > 1_700_000_000_000, "{time}");
    }
    let read: SqsEvent = serde_json::from_value(event).unwrap();
    assert_eq!(read.records.len(), 1);
    system.server.stop().await.unwrap();
}

#[tokio::test]
async fn batch_can_be_passed_to_two_processes_at_the_same_time() {
    let directory = tempfile::tempdir().unwrap();
    let system = system(directory.path(), 60).await;
    system.send(&["a", "fail"]).await;
    let options = FunctionOptions { concurrency: 2, ..support::function(directory.path()) };
    let function = Function::start(options).await.unwrap();
    let batch = system.batch(Duration::from_secs(2)).await;
    assert_eq!(batch.len(), 2);
    let (one, other) = futures::join!(function.invoke(batch.event()), function.invoke(batch.event()));
    let (one, other) = (evaluate(&one.unwrap(), batch.ids()), evaluate(&other.unwrap(), batch.ids()));
    assert_eq!(one, other);
    assert!(matches!(&one, BatchResult::Done(reported) if reported.len() == 1), "{one:?}");
    assert_eq!(function.pids().len(), 2);
    assert_eq!(batch.settle(&system.sqs, &system.resources.convert, &one).await.unwrap(), 1);
    let left = depth(&system.cloud, &system.resources.convert).await.unwrap();
    assert_eq!((left.visible, left.in_flight), (0, 1));
    system.server.stop().await.unwrap();
}

#[tokio::test]
async fn stop_finishes_the_batches_in_progress() {
    let directory = tempfile::tempdir().unwrap();
    let system = system(directory.path(), 600).await;
    let bodies: Vec<_> = (0..200).map(|number| number.to_string()).collect();
    system.send(&bodies.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let function = Arc::new(Function::start(support::function(directory.path())).await.unwrap());
    let source = EventSource::start(&system.cloud, system.options(10), function);
    while source.counts().received == 0 {
        tokio::task::yield_now().await;
    }
    let counts = source.stop().await;
    assert_eq!(counts.deleted, counts.received);
    let left = depth(&system.cloud, &system.resources.convert).await.unwrap();
    assert_eq!((left.in_flight, left.visible), (0, 200 - counts.received));
    system.server.stop().await.unwrap();
}
