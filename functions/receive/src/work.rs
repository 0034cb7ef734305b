//! Processes the messages on the receive queue.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use aws::sqs::Queue;
use cloud_api::{
    AccountEvent, Channel, EventKind, HistoryEntries, Malformed, Origin, PayloadPath, Webhook, aws_entries,
    count_events, entries, events_from, history_entries,
};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use model::{Failure, Reason, Stage, TASK_VERSION, keys::ProcessedPart};
use runtime::metrics::{self, Metric};
use source::{
    SourceError,
    cloud_api::{Capture, MediaFetcher, MediaOutcome, MediaTask, WebhookPart, WebhookTask},
};
use sqs_batch::{Invocation, Next, Record, Work};
use tokio::sync::Semaphore;
use tracing::{debug, error, info, warn};

use crate::{METRICS, failure::from_source, intake::send, tasks::Task};

/// Events of one webhook that are written concurrently.
const CONCURRENT_EVENTS: usize = 32;

/// Events that one task writes, in a fraction of the function's time. The history of a phone has many times as many; it is
/// split into tasks, of which each is retried on its own.
const EVENTS_PER_TASK: usize = 250;

/// Files that are fetched concurrently: two of the maximum size (100 MB) fit into the function's memory.
const CONCURRENT_FILES: usize = 2;

/// Time before the invocation's deadline at which a file that is still being fetched, or has not begun, is postponed.
const FILE_RESERVE: Duration = Duration::from_secs(1);

/// Receives of a webhook's task up to which its files are queued although an event cannot be written. If they were queued at
/// each of the task's 300 receives, SQS would soon have too many messages in flight.
const FILE_QUEUEING_RECEIVES: u32 = 3;

/// Fetches files.
pub struct Files {
    meta: Option<MediaFetcher>,
    aws: MediaFetcher,
    permits: Semaphore,
}

impl Files {
    /// Creates the work. `meta` is `None` if webhooks come only from AWS.
    pub fn new(meta: Option<MediaFetcher>, aws: MediaFetcher) -> Self {
        Self { meta, aws, permits: Semaphore::new(CONCURRENT_FILES) }
    }
}

/// Processes the records of the queue.
pub struct Receive {
    /// Fetches files.
    pub files: Files,
    /// Writes to the bucket.
    pub capture: Capture,
    /// The place of Meta's payload in a body.
    pub payload: PayloadPath,
    /// The receive queue, for the file tasks of a webhook.
    pub queue: Queue,
}

#[async_trait]
impl Work for Receive {
    const STAGE: Stage = Stage::Receive;
    const METRICS: &'static [Metric] = METRICS;

    async fn prepare(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn work(&self, record: &Record, invocation: &Invocation) -> Result<Next, Failure> {
        match Task::read(&record.body) {
            Some(Task::Webhook(task)) => self.webhook(&task, record.receive_count).await?,
            Some(Task::File(task)) => self.file(&task, invocation.remaining()).await?,
            Some(Task::Notification) => self.notification(record.body.as_bytes(), record.receive_count).await?,
            None => {
                return Err(permanent(
                    Reason::TaskMalformed,
                    "the message is neither a task of this function nor a notification of SNS",
                ));
            }
        }
        Ok(Next::Done)
    }
}

impl Receive {
    /// Fetches a file in the time that is left of the invocation.
    async fn file(&self, task: &MediaTask, remaining: Duration) -> Result<(), Failure> {
        let now = Timestamp::now();
        let fetcher = if task.is_from_aws() { Some(&self.files.aws) } else { self.files.meta.as_ref() };
        let fetcher = fetcher.ok_or_else(|| Failure::Configuration {
            detail: "a file must be fetched from Meta, and the function lacks the secret with the access token: deploy the stack again".to_owned(),
            after: task.retry_after(now),
        })?;
        let fetch = async {
            // The file is in memory while it is fetched.
            let _memory = self.files.permits.acquire().await;
            fetcher.fetch(task, now).await
        };
        // A record that reaches the invocation's deadline is retried with the queue's own, shorter wait.
        let Ok(fetched) = tokio::time::timeout(remaining.saturating_sub(FILE_RESERVE), fetch).await else {
            let detail = "the file was not fetched before the function's deadline".to_owned();
            return Err(Failure::Transient { detail, after: task.retry_after(now) });
        };
        let outcome = fetched.map_err(|error| postponed(from_source(error), task.retry_after(now)))?;
        match outcome {
            MediaOutcome::Stored => info!(file = task.key(), "file stored"),
            MediaOutcome::DoneBefore => debug!(file = task.key(), "file was fetched earlier"),
            MediaOutcome::Lost(why) => {
                warn!(
                    file = task.key(),
                    ?why,
                    "file was not fetched in time or is lost, its message will be filed without it"
                )
            }
        }
        Ok(())
    }

    /// Writes the events of a body that is stored, or a part of them.
    async fn webhook(&self, task: &WebhookTask, receives: u32) -> Result<(), Failure> {
        let body = self.capture.body(task.received, &task.webhook).await.map_err(from_source)?;
        let body =
            body.ok_or_else(|| permanent(Reason::ItemNotFound, "the stored body of the webhook has been deleted"))?;
        let webhook = match task.channel {
            Channel::Meta => entries(&body, &self.payload),
            Channel::Aws => aws_entries(&body),
        };
        self.fan_out(&webhook.map_err(malformed)?, task, receives).await
    }

    /// Stores a notification unchanged, and writes its events.
    async fn notification(&self, body: &[u8], receives: u32) -> Result<(), Failure> {
        let received = Timestamp::now();
        let sha256 = self.capture.raw(body, received).await.map_err(from_source)?;
        let webhook = aws_entries(body).map_err(malformed)?;
        let task = WebhookTask { v: TASK_VERSION, received, webhook: sha256, channel: Channel::Aws, part: None };
        self.fan_out(&webhook, &task, receives).await?;
        metrics::add(Metric::Webhooks, 1);
        Ok(())
    }

    /// Writes every event, and queues its files. All of it may happen again: each object is the same. `receives` is the
    /// number of receives of the task's message.
    async fn fan_out(&self, webhook: &Webhook, task: &WebhookTask, receives: u32) -> Result<(), Failure> {
        let count = count_events(webhook);
        if task.part.is_none() && count > EVENTS_PER_TASK {
            return self.split(task, count).await;
        }
        let part = task.part.unwrap_or(WebhookPart { first: 0, count, total: None });
        self.write(webhook, task, part, receives).await?;
        // Once for each body: by the task of its first events, after them.
        if part.first == 0 {
            self.histories(webhook, task).await?;
        }
        let end = part.first.saturating_add(part.count).min(count);
        let proof = ProcessedPart { webhook: task.webhook, first: part.first, end, total: count };
        self.capture.processed(task.received, &proof).await.map_err(from_source)
    }

    /// Records which chunks of phones' histories a body contains.
    async fn histories(&self, webhook: &Webhook, task: &WebhookTask) -> Result<(), Failure> {
        let HistoryEntries { entries, unreadable } = history_entries(webhook);
        if unreadable > 0 {
            warn!(
                webhook = task.webhook.short_hex(),
                unreadable,
                "webhook has parts of a history without a number or a valid chunk: whether it is complete cannot be checked"
            );
        }
        let written = stream::iter(entries)
            .map(|entry| async move { self.capture.history(&entry, task.received, task.webhook).await });
        let written = written.buffer_unordered(CONCURRENT_EVENTS).try_collect::<()>().await;
        written.map_err(from_source)
    }

    /// Queues a task for each part of a body.
    async fn split(&self, task: &WebhookTask, count: usize) -> Result<(), Failure> {
        let part = |first| WebhookPart { first, count: EVENTS_PER_TASK, total: Some(count) };
        let part = |first| WebhookTask { part: Some(part(first)), ..task.clone() };
        let parts: Vec<_> = (0..count).step_by(EVENTS_PER_TASK).map(|first| part(first).to_json()).collect();
        send(&self.queue, &parts).await?;
        info!(webhook = task.webhook.short_hex(), events = count, parts = parts.len(), "webhook split");
        Ok(())
    }

    /// Writes a part of the events. Their files are queued even if an event cannot be written, because WhatsApp keeps a file
    /// for 7 days, which the event's retries may take; but only at the first receives, and again when all are written.
    async fn write(
        &self,
        webhook: &Webhook,
        task: &WebhookTask,
        part: WebhookPart,
        receives: u32,
    ) -> Result<(), Failure> {
        let webhook_key = task.webhook.short_hex();
        // Events after the first that the bucket does not take would only wait for the same.
        let is_down = AtomicBool::new(false);
        let (unreadable, unrecognized) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let written = stream::iter(events_from(webhook, part.first).take(part.count)).map(|event| {
            let (webhook_key, is_down) = (&webhook_key, &is_down);
            let (unreadable, unrecognized) = (&unreadable, &unrecognized);
            async move {
                match event.kind {
                    EventKind::Account(account) => report(account, webhook_key),
                    EventKind::Unreadable => drop(unreadable.fetch_add(1, Ordering::Relaxed)),
                    EventKind::Unknown => drop(unrecognized.fetch_add(1, Ordering::Relaxed)),
                    EventKind::Item(_) | EventKind::Status(_) | EventKind::Contact => {}
                }
                let (received, written, body) = (task.received, Timestamp::now(), task.webhook);
                let origin = Origin { received, written, body, channel: webhook.channel };
                let files: Vec<_> = event.media.iter().map(|media| MediaTask::new(media, &origin).to_json()).collect();
                if is_down.load(Ordering::Relaxed) {
                    return (files, Ok(()));
                }
                let kept = self.capture.event(&event, &origin).await;
                if matches!(kept, Err(SourceError::Unavailable { .. })) {
                    is_down.store(true, Ordering::Relaxed);
                }
                (files, kept)
            }
        });
        let written: Vec<_> = written.buffer_unordered(CONCURRENT_EVENTS).collect().await;
        let (unreadable, unrecognized) = (unreadable.into_inner(), unrecognized.into_inner());
        if unreadable > 0 {
            metrics::add(Metric::UnrecognizedEvents, unreadable as u64);
            error!(
                webhook = webhook_key,
                unreadable, "webhook has values that may contain messages and cannot be read: they are not filed"
            );
        }
        if unrecognized > 0 {
            warn!(
                webhook = webhook_key,
                unrecognized, "webhook has events of an unknown kind, which only its body contains"
            );
        }
        let (files, kept): (Vec<_>, Vec<_>) = written.into_iter().unzip();
        let files = files.concat();
        if receives <= FILE_QUEUEING_RECEIVES || kept.iter().all(Result::is_ok) {
            send(&self.queue, &files).await?;
        }
        kept.into_iter().collect::<Result<(), _>>().map_err(from_source)?;
        info!(webhook = webhook_key, events = part.count, files = files.len(), "webhook stored");
        Ok(())
    }
}

/// Logs and counts an event of the account.
fn report(account: AccountEvent, webhook: &str) {
    let account_event = account.as_str();
    if account.stops_capture() {
        metrics::add(Metric::CaptureStopped, 1);
        error!(account_event, webhook, "WhatsApp has stopped the capture of a number");
    } else {
        warn!(account_event, webhook, "WhatsApp reports an event of the account");
    }
}

/// Extends the wait of a failure's retry to at least `wait`.
fn postponed(failure: Failure, wait: Option<Duration>) -> Failure {
    match failure {
        Failure::Transient { detail, after } => Failure::Transient { detail, after: after.max(wait) },
        Failure::Configuration { detail, after } => Failure::Configuration { detail, after: after.max(wait) },
        permanent @ Failure::Permanent { .. } => permanent,
    }
}

fn permanent(reason: Reason, detail: &str) -> Failure {
    Failure::Permanent { reason, detail: detail.to_owned() }
}

fn malformed(error: Malformed) -> Failure {
    permanent(Reason::ItemMalformed, &format!("the webhook cannot be read: {error}"))
}

#[cfg(test)]
mod tests;
