//! A batch of SQS messages in a Lambda function: one record's failure, even a panic, never touches its neighbours.
//!
//! [`Batch::run`] takes the event that Lambda gives and answers which records are to come back. Between the two it
//! hands each record to the function's [`Work`], sends what the work passes on, sends the dead letter of what can never
//! be done, and lets what cannot be done now come back after a wait that grows.

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

/// What becomes of a record whose work was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing more: the message can go.
    Done,
    /// This body goes to the next queue, and only then the message can go.
    Forward(String),
}

/// What every function that works on batches counts, beside its dead letters.
pub const METRICS: &[Metric] = &[Metric::Stuck, Metric::SetupErrors];

/// A message that was given out so often has failed for about half an hour: waits double from
/// [`Backoff`]'s base of 5 seconds. SQS's own age of the oldest message leaves it out after the third time.
const STUCK_AFTER: u32 = 10;

/// What a function does with one record.
#[async_trait]
pub trait Work: Send + Sync + 'static {
    /// The stage that its dead letters name.
    const STAGE: Stage;

    /// What it counts itself, beside [`METRICS`].
    const METRICS: &'static [Metric];

    /// Looks after what all records of a batch need. When it fails, none of them is begun.
    ///
    /// # Errors
    /// [`Failure::Transient`] or [`Failure::Setup`].
    async fn prepare(&self) -> Result<(), Failure>;

    /// Works on one record. It may be dropped at any await once `deadline` has passed, and the record may be given out
    /// again, to another process too.
    ///
    /// # Errors
    /// [`Failure`].
    async fn work(&self, record: &Record, invocation: &Invocation) -> Result<Next, Failure>;
}

/// The invocation that works on a batch.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Lambda's name of the function.
    pub function: String,
    /// Lambda's request id.
    pub request_id: String,
    /// When Lambda ends the process.
    pub ends: Timestamp,
    /// When the last record must be done, a little before the end.
    pub deadline: Instant,
}

impl Invocation {
    /// How long before the end of the process a batch stops. Enough to give the rest back and to answer.
    const RESERVE: Duration = Duration::from_secs(5);

    /// The invocation that ends at this time.
    pub fn new(function: String, request_id: String, ends: Timestamp, now: Timestamp) -> Self {
        let left = Duration::try_from(ends.duration_since(now)).unwrap_or_default();
        Self { function, request_id, ends, deadline: Instant::now() + left.saturating_sub(Self::RESERVE) }
    }

    /// The same from what Lambda's context says: the deadline in milliseconds since 1970.
    pub fn from_lambda(function: String, request_id: String, deadline: u64, now: Timestamp) -> Self {
        let ends = i64::try_from(deadline).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        Self::new(function, request_id, ends.unwrap_or(now), now)
    }

    /// How long the work still may take.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// A function's way of working on batches.
pub struct Batch<W> {
    /// What it does with each.
    pub work: Arc<W>,
    /// Where the messages come from; waits are set on it.
    pub source: Queue,
    /// Where [`Next::Forward`] goes; `None` where the work never forwards.
    pub next: Option<Queue>,
    /// Where dead letters go.
    pub dead_letters: Queue,
    /// How long a failed record waits.
    pub backoff: Backoff,
    /// How many records are worked on at once.
    pub at_once: usize,
}

impl<W: Work> Batch<W> {
    /// Works on a batch and answers which of its records are to come back.
    ///
    /// # Errors
    /// When a record has no message id: it could not be named in the answer, so the whole batch comes back.
    pub async fn run(&self, event: SqsEvent, invocation: &Invocation) -> Result<SqsBatchResponse, MissingMessageId> {
        let records: Vec<_> =
            event.records.into_iter().map(Record::read).collect::<Option<_>>().ok_or(MissingMessageId)?;
        let results = match self.work.prepare().await {
            Ok(()) => self.work_on(&records, invocation).await,
            Err(failure) => {
                report::<W>(None, &failure);
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
            warn!(stage = %W::STAGE, %error, "the metrics could not be written");
        }
        let mut response = SqsBatchResponse::default();
        response.batch_item_failures = batch_item_failures;
        Ok(response)
    }

    /// `Ok` for each record that has left our hands: its successor, its letter or its outcome is confirmed.
    async fn work_on(&self, records: &[Record], invocation: &Invocation) -> Vec<Result<(), ()>> {
        // As they end, not in their order: what ended behind a record that hangs would keep the rest from being begun.
        let mut worked: Vec<_> = stream::iter(records.iter().enumerate())
            .map(|(place, record)| async move { (place, self.guarded(record, invocation).await) })
            .buffer_unordered(self.at_once.max(1))
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
        let ends = records.iter().zip(forwards).map(|(record, forwards)| {
            let failure = match forwards {
                Ok(false) => None,
                Ok(true) => match sent.next() {
                    Some(Ok(())) => None,
                    Some(Err(error)) => Some(queue_failure(&error)),
                    None => Some(Failure::Setup { detail: "there is no queue to forward to".to_owned(), after: None }),
                },
                Err(failure) => Some(failure),
            };
            (record, failure)
        });
        let ends: Vec<_> = ends.collect();
        stream::iter(ends)
            .map(|(record, failure)| self.end(record, failure))
            .buffered(records.len().max(1))
            .collect()
            .await
    }

    /// Works on one record; a panic and the deadline are failures of this record alone.
    async fn guarded(&self, record: &Record, invocation: &Invocation) -> Result<Next, Failure> {
        if invocation.left().is_zero() {
            return Err(not_now("the function's time is over before the record was begun"));
        }
        let (work, record, invocation) = (Arc::clone(&self.work), record.clone(), invocation.clone());
        let deadline = invocation.deadline;
        let mut task = tokio::spawn(async move { work.work(&record, &invocation).await });
        match tokio::time::timeout_at(deadline, &mut task).await {
            Ok(Ok(result)) => result,
            // The panic's own message may quote the item. Its place is in the log by the panic hook.
            Ok(Err(_)) => Err(not_now("the work panicked")),
            Err(_) => {
                task.abort();
                Err(not_now("the function's time is over"))
            }
        }
    }

    async fn end(&self, record: &Record, failure: Option<Failure>) -> Result<(), ()> {
        let Some(failure) = failure else { return Ok(()) };
        report::<W>(Some(record), &failure);
        let Failure::Permanent { reason, detail } = failure else {
            self.wait(record, &failure).await;
            return Err(());
        };
        let (item, run) = record.item_and_run();
        let letter = DeadLetter {
            body: record.body.clone(),
            stage: W::STAGE,
            reason,
            detail,
            item,
            run,
            failed_at: Timestamp::now(),
            source_message: Some(record.message_id.clone()),
        };
        match self.dead_letters.send_letter(&letter).await {
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

    /// Sets when the record comes back. Where that fails it comes back when the queue's own visibility timeout ends.
    async fn wait(&self, record: &Record, failure: &Failure) {
        let asked = match failure {
            Failure::Transient { after, .. } | Failure::Setup { after, .. } => *after,
            Failure::Permanent { .. } => None,
        };
        let after = self.backoff.wait(record, asked);
        if let Err(error) = self.source.postpone(&record.receipt_handle, after).await {
            warn!(stage = %W::STAGE, item = record.key(), %error, "the record's wait could not be set");
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

fn not_now(detail: &str) -> Failure {
    Failure::Transient { detail: detail.to_owned(), after: None }
}

fn queue_failure(error: &QueueError) -> Failure {
    match error {
        QueueError::Unavailable { .. } => Failure::Transient { detail: error.to_string(), after: None },
        QueueError::Refused { .. } => Failure::Setup { detail: error.to_string(), after: None },
    }
}

/// The one place where a failure is logged and counted. A letter is counted when it is sent.
fn report<W: Work>(record: Option<&Record>, failure: &Failure) {
    let (item, receives) = record.map(|record| (record.key(), record.receive_count)).unzip();
    let stage = W::STAGE;
    if !matches!(failure, Failure::Permanent { .. }) && receives.is_some_and(|receives| receives >= STUCK_AFTER) {
        runtime::metrics::add(Metric::Stuck, 1);
    }
    if matches!(failure, Failure::Setup { .. }) {
        runtime::metrics::add(Metric::SetupErrors, 1);
    }
    match failure {
        Failure::Permanent { reason, detail } => warn!(%stage, item, %reason, detail, "dead letter"),
        Failure::Transient { detail, .. } => warn!(%stage, item, receives, detail, "comes back"),
        Failure::Setup { detail, .. } => {
            error!(%stage, item, receives, detail, "an operator is needed; nothing is lost, it waits")
        }
    }
}
