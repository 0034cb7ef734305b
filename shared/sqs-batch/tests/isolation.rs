//! The records of a batch do not affect each other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use aws::sqs::Queue;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use jiff::{SignedDuration, Timestamp};
use model::{Failure, Stage};
use runtime::metrics::Metric;
use sqs_batch::{Backoff, Batch, Invocation, Next, Record, Work};
use tokio::sync::Semaphore;

const CONCURRENCY: usize = 4;
const RECORDS: u32 = 10;

/// Work in which the first record waits until all the others are processed, and then fails.
struct FirstHangs {
    others: Semaphore,
    at_work: AtomicUsize,
    max_at_work: AtomicUsize,
}

#[async_trait]
impl Work for FirstHangs {
    const STAGE: Stage = Stage::Convert;
    const METRICS: &'static [Metric] = &[];

    async fn prepare(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn work(&self, record: &Record, _: &Invocation) -> Result<Next, Failure> {
        self.max_at_work.fetch_max(self.at_work.fetch_add(1, SeqCst) + 1, SeqCst);
        let result = if record.message_id == "0" {
            let _all = self.others.acquire_many(RECORDS - 1).await;
            Err(Failure::Transient { detail: "it hung".to_owned(), after: None })
        } else {
            tokio::task::yield_now().await;
            self.others.add_permits(1);
            Ok(Next::Done)
        };
        self.at_work.fetch_sub(1, SeqCst);
        result
    }
}

fn batch(work: &Arc<FirstHangs>) -> Batch<FirstHangs> {
    // Sending fails: a wait that cannot be set does not fail a record.
    let unreachable = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build();
    let queue = |name: &str| Queue::new(&unreachable, format!("http://127.0.0.1:1/{name}"));
    Batch {
        work: Arc::clone(work),
        source: queue("source"),
        next: None,
        dead_letters: queue("dead-letters"),
        backoff: Backoff { base: Duration::from_secs(5), cap: Backoff::CAP },
        concurrency: CONCURRENCY,
    }
}

fn message(number: u32) -> SqsMessage {
    let mut message = SqsMessage::default();
    message.message_id = Some(number.to_string());
    message.receipt_handle = Some("r".to_owned());
    message
}

#[tokio::test]
async fn hanging_record_alone_is_redelivered() {
    let work = Arc::new(FirstHangs {
        others: Semaphore::new(0),
        at_work: AtomicUsize::new(0),
        max_at_work: AtomicUsize::new(0),
    });
    let mut event = SqsEvent::default();
    event.records = (0..RECORDS).map(message).collect();
    let now = Timestamp::now();
    // The test takes this long only if it fails.
    let ends = now + SignedDuration::from_secs(30);
    let invocation = Invocation::new("convert".to_owned(), "request".to_owned(), ends, now);
    let response = batch(&work).run(event, &invocation).await.unwrap();
    let failed: Vec<_> = response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
    assert_eq!(failed, ["0"]);
    assert_eq!(work.others.available_permits(), RECORDS as usize - 1, "another record was not processed");
    assert!(work.max_at_work.load(SeqCst) <= CONCURRENCY, "more records than configured were processed concurrently");
}
