//! Processes a batch of SQS messages in a Lambda function. The failure of one record, even a panic, does not affect the
//! others.
//!
//! [`Batch::run`] takes Lambda's event and returns the records to redeliver. Each record is given to the function's
//! [`Work`]. Then its successor is sent to the next queue; or, after a permanent failure, its dead letter is sent; or,
//! after a transient failure, its redelivery is delayed by a wait that grows with each delivery.

mod backoff;
mod handler;
mod record;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws::sqs::{Queue, QueueError};
use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use model::{DeadLetter, Failure, Stage};
use runtime::metrics::Metric;
use tokio::time::Instant;
use tracing::{error, info, warn};

pub use backoff::Backoff;
pub use record::Record;

/// The successor of a record whose work is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// No successor: the message is deleted.
    Done,
    /// This body is sent to the next queue; the message is deleted only after that.
    Forward(String),
}

/// Metrics of every function that works on batches, beside its dead letters.
pub const METRICS: &[Metric] = &[Metric::Stuck, Metric::SetupErrors];

/// A message with this number of receives has failed for about half an hour, because the delays double from
/// [`Backoff`]'s base of 5 seconds. SQS's own metric, the age of the oldest message, excludes a message after three
/// receives.
const STUCK_RECEIVES: u32 = 10;

/// The processing of one record by a function.
#[async_trait]
pub trait Work: Send + Sync + 'static {
    /// The stage in its dead letters.
    const STAGE: Stage;

    /// The function's own metrics, in addition to [`METRICS`].
    const METRICS: &'static [Metric];

    /// Prepares what all records of a batch need. If it fails, no record is started.
    ///
    /// # Errors
    /// [`Failure::Transient`] or [`Failure::Configuration`].
    async fn prepare(&self) -> Result<(), Failure>;

    /// Processes one record. The future may be dropped at any `await` once the deadline has passed, and the record may
    /// be redelivered, to another process too.
    ///
    /// # Errors
    /// [`Failure`].
    async fn work(&self, record: &Record, invocation: &Invocation) -> Result<Next, Failure>;
}

/// The invocation that processes a batch.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Lambda's name of the function.
    pub function: String,
    /// Lambda's request id.
    pub request_id: String,
    /// Time at which Lambda ends the process.
    pub ends: Timestamp,
    /// Time at which the last record must be finished, a little before the end.
    pub deadline: Instant,
}

impl Invocation {
    /// Time between the batch's deadline and the end of the process: enough to return the remaining records.
    const RESERVE: Duration = Duration::from_secs(5);

    /// Creates an invocation that ends at this time.
    pub fn new(function: String, request_id: String, ends: Timestamp, now: Timestamp) -> Self {
        let left = Duration::try_from(ends.duration_since(now)).unwrap_or_default();
        Self { function, request_id, ends, deadline: Instant::now() + left.saturating_sub(Self::RESERVE) }
    }

    /// Creates an invocation from the values of Lambda's context; `deadline` is in milliseconds since 1970.
    pub fn from_lambda(function: String, request_id: String, deadline: u64, now: Timestamp) -> Self {
        let ends = i64::try_from(deadline).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        Self::new(function, request_id, ends.unwrap_or(now), now)
    }

    /// Returns the time until the deadline.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// Runs a function's [`Work`] on batches.
pub struct Batch<W> {
    /// Works on each record.
    pub work: Arc<W>,
    /// The queue of the records, on which their waits are set.
    pub source: Queue,
    /// The queue for [`Next::Forward`]; `None` if the work never forwards.
    pub next: Option<Queue>,
    /// The dead-letter queue.
    pub dead_letters: Queue,
    /// The wait of a failed record.
    pub backoff: Backoff,
    /// Maximum number of records that are processed concurrently.
    pub concurrency: usize,
}

impl<W: Work> Batch<W> {
    /// Processes a batch and returns the records to redeliver.
    ///
    /// # Errors
    /// A record has no message id: the response could not name it, so the whole batch is redelivered.
    pub async fn run(&self, event: SqsEvent, invocation: &Invocation) -> Result<SqsBatchResponse, MissingMessageId> {
        let records: Vec<_> =
            event.records.into_iter().map(Record::read).collect::<Option<_>>().ok_or(MissingMessageId)?;
        let results = match self.work.prepare().await {
            Ok(()) => self.process_all(&records, invocation).await,
            Err(failure) => {
                report::<W>(None, &failure);
                records.iter().for_each(|record| count_if_stuck(record, &failure));
                let wait = |record| self.wait(record, &failure);
                stream::iter(&records).for_each_concurrent(None, wait).await;
                records.iter().map(|_| Err(())).collect()
            }
        };
        let failed = records.iter().zip(&results).filter(|(_, result)| result.is_err());
        let batch_item_failures = failed
            .map(|(record, _)| {
                let mut failure = BatchItemFailure::default();
                failure.item_identifier.clone_from(&record.message_id);
                failure
            })
            .collect::<Vec<_>>();
        info!(stage = %W::STAGE, records = records.len(), failed = batch_item_failures.len(), "batch done");
        let counted = W::METRICS.iter().chain(METRICS).copied();
        if let Err(error) = runtime::metrics::write(&invocation.function, counted) {
            warn!(stage = %W::STAGE, %error, "writing the metrics failed");
        }
        let mut response = SqsBatchResponse::default();
        response.batch_item_failures = batch_item_failures;
        Ok(response)
    }

    /// Returns `Ok` for each record that is finished: its successor, its dead letter or its outcome is confirmed.
    async fn process_all(&self, records: &[Record], invocation: &Invocation) -> Vec<Result<(), ()>> {
        // The results are collected in order of completion: a record that hangs must not delay the others.
        let mut worked: Vec<_> = stream::iter(records.iter().enumerate())
            .map(|(place, record)| async move { (place, self.process_isolated(record, invocation).await) })
            .buffer_unordered(self.concurrency.max(1))
            .collect()
            .await;
        worked.sort_unstable_by_key(|(place, _)| *place);
        let mut bodies = Vec::new();
        let mut forwards = Vec::with_capacity(worked.len());
        for (_, result) in worked {
            forwards.push(result.map(|next| match next {
                Next::Forward(body) => {
                    bodies.push(body);
                    true
                }
                Next::Done => false,
            }));
        }
        let mut sent = match &self.next {
            Some(next) => next.send(&bodies).await,
            None => Vec::new(),
        }
        .into_iter();
        let results = records.iter().zip(forwards).map(|(record, forwards)| {
            let failure = match forwards {
                Ok(false) => None,
                Ok(true) => match sent.next() {
                    Some(Ok(())) => None,
                    Some(Err(error)) => Some(queue_failure(&error)),
                    None => Some(Failure::Configuration {
                        detail: "no queue to forward to is configured".to_owned(),
                        after: None,
                    }),
                },
                Err(failure) => Some(failure),
            };
            (record, failure)
        });
        let results: Vec<_> = results.collect();
        stream::iter(results)
            .map(|(record, failure)| self.finish(record, failure))
            .buffered(records.len().max(1))
            .collect()
            .await
    }

    /// Processes one record. A panic or the deadline makes only this record fail.
    async fn process_isolated(&self, record: &Record, invocation: &Invocation) -> Result<Next, Failure> {
        if invocation.remaining().is_zero() {
            return Err(transient("deadline reached before the record was started"));
        }
        let (work, record, invocation) = (Arc::clone(&self.work), record.clone(), invocation.clone());
        let deadline = invocation.deadline;
        let mut task = tokio::spawn(async move { work.work(&record, &invocation).await });
        match tokio::time::timeout_at(deadline, &mut task).await {
            Ok(Ok(result)) => result,
            // The panic message may quote the item. The panic hook has logged its location.
            Ok(Err(_)) => Err(transient("the work panicked")),
            Err(_) => {
                task.abort();
                Err(transient("deadline reached"))
            }
        }
    }

    /// Sends the dead letter of a permanent failure, or sets the time of the retry. `Ok`: the record is finished.
    async fn finish(&self, record: &Record, failure: Option<Failure>) -> Result<(), ()> {
        let Some(failure) = failure else { return Ok(()) };
        report::<W>(Some(record), &failure);
        let Failure::Permanent { reason, detail } = failure else {
            self.wait(record, &failure).await;
            return Err(());
        };
        let (item, run) = record.item_and_run();
        let dead_letter = DeadLetter {
            body: record.body.clone(),
            stage: W::STAGE,
            reason,
            detail,
            item,
            run,
            failed_at: Timestamp::now(),
            source_message: Some(record.message_id.clone()),
        };
        match self.dead_letters.send_dead_letter(&dead_letter).await {
            Ok(()) => {
                runtime::metrics::dead_letter(reason);
                Ok(())
            }
            Err(error) => {
                let failure = queue_failure(&error);
                report::<W>(Some(record), &failure);
                self.wait(record, &failure).await;
                Err(())
            }
        }
    }

    /// Sets the time of the redelivery. If that fails, the queue's visibility timeout applies.
    async fn wait(&self, record: &Record, failure: &Failure) {
        let requested = match failure {
            Failure::Transient { after, .. } | Failure::Configuration { after, .. } => *after,
            Failure::Permanent { .. } => None,
        };
        let after = self.backoff.wait(record, requested);
        if let Err(error) = self.source.postpone(&record.receipt_handle, after).await {
            warn!(stage = %W::STAGE, item = record.key(), %error, "delaying a record failed, the visibility timeout applies");
        }
    }
}

/// A record of the event has no message id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingMessageId;

impl std::fmt::Display for MissingMessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the event is not from SQS: a record has no messageId or no receiptHandle")
    }
}

impl std::error::Error for MissingMessageId {}

fn transient(detail: &str) -> Failure {
    Failure::Transient { detail: detail.to_owned(), after: None }
}

fn queue_failure(error: &QueueError) -> Failure {
    match error {
        QueueError::Unavailable { .. } => Failure::Transient { detail: error.to_string(), after: None },
        QueueError::Configuration { .. } => Failure::Configuration { detail: error.to_string(), after: None },
    }
}

fn count_if_stuck(record: &Record, failure: &Failure) {
    if !matches!(failure, Failure::Permanent { .. }) && record.receive_count >= STUCK_RECEIVES {
        runtime::metrics::add(Metric::Stuck, 1);
    }
}

/// Logs and counts a failure; this is the only place. A dead letter is counted when it is sent.
fn report<W: Work>(record: Option<&Record>, failure: &Failure) {
    let (item, receives) = record.map(|record| (record.key(), record.receive_count)).unzip();
    let stage = W::STAGE;
    if let Some(record) = record {
        count_if_stuck(record, failure);
    }
    if matches!(failure, Failure::Configuration { .. }) {
        runtime::metrics::add(Metric::SetupErrors, 1);
    }
    match failure {
        Failure::Permanent { reason, detail } => warn!(%stage, item, %reason, detail, "dead letter"),
        Failure::Transient { detail, .. } => warn!(%stage, item, receives, detail, "transient failure, will retry"),
        Failure::Configuration { detail, .. } => {
            error!(%stage, item, receives, detail, "configuration error, will retry until the receive limit")
        }
    }
}
