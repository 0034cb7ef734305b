//! Processes the messages on the receive queue.

use std::time::Duration;

use async_trait::async_trait;
use aws::sqs::Queue;
use cloud_api::{
    AccountEvent, EventKind, MAX_EVENTS, Malformed, Origin, PayloadPath, Webhook, aws_entries, entries, events,
};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use model::{Failure, Reason, Sha256, Stage};
use runtime::metrics::{self, Metric};
use source::cloud_api::{Capture, MediaFetcher, MediaOutcome, MediaTask};
use sqs_batch::{Invocation, Next, Record, Work};
use tokio::sync::Semaphore;
use tracing::{debug, error, info, warn};

use crate::{METRICS, WebhookTask, failure::from_source, intake::send, tasks::Task};

/// Events of one webhook that are written concurrently.
const CONCURRENT_EVENTS: usize = 32;

/// Files that are fetched concurrently: two of the maximum size (100 MB) fit into the function's memory.
const CONCURRENT_FILES: usize = 2;

/// Fetches files.
pub struct Files {
    meta: Option<MediaFetcher>,
    aws: MediaFetcher,
    permits: Semaphore,
}

impl Files {
    /// `meta` is `None` if webhooks come only from AWS.
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

    async fn work(&self, record: &Record, _invocation: &Invocation) -> Result<Next, Failure> {
        match Task::read(&record.body) {
            Some(Task::Webhook(task)) => self.webhook(&task).await?,
            Some(Task::File(task)) => self.file(&task).await?,
            Some(Task::Notification) => self.notification(record.body.as_bytes()).await?,
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
    /// Fetches a file.
    async fn file(&self, task: &MediaTask) -> Result<(), Failure> {
        let now = Timestamp::now();
        let fetcher = if task.is_from_aws() { Some(&self.files.aws) } else { self.files.meta.as_ref() };
        let fetcher = fetcher.ok_or_else(|| Failure::Configuration {
            detail: "a file must be fetched from Meta, and the function has no secret with an access token".to_owned(),
            after: task.retry_after(now),
        })?;
        // The file is in memory while it is fetched.
        let _memory = self.files.permits.acquire().await;
        let fetched = fetcher.fetch(task, now).await;
        let outcome = fetched.map_err(|error| postponed(from_source(error), task.retry_after(now)))?;
        match outcome {
            MediaOutcome::Stored => info!(file = task.key(), "file stored"),
            MediaOutcome::DoneBefore => debug!(file = task.key(), "file was fetched earlier"),
            MediaOutcome::Lost(why) => {
                warn!(file = task.key(), ?why, "file given up, its message is filed without it")
            }
        }
        Ok(())
    }

    /// Writes the events of a stored body.
    async fn webhook(&self, task: &WebhookTask) -> Result<(), Failure> {
        let body = self.capture.body(task.received, &task.webhook).await.map_err(from_source)?;
        let body =
            body.ok_or_else(|| permanent(Reason::ItemNotFound, "the stored body of the webhook has been deleted"))?;
        let webhook = entries(&body, &self.payload).map_err(malformed)?;
        self.fan_out(&webhook, task.webhook, task.received).await
    }

    /// Stores a notification unchanged, and writes its events.
    async fn notification(&self, body: &[u8]) -> Result<(), Failure> {
        let received = Timestamp::now();
        let sha256 = self.capture.raw(body, received).await.map_err(from_source)?;
        let webhook = aws_entries(body).map_err(malformed)?;
        self.fan_out(&webhook, sha256, received).await?;
        metrics::add(Metric::Webhooks, 1);
        Ok(())
    }

    /// Writes every event, and queues its files. May be repeated: it writes the same objects.
    async fn fan_out(&self, webhook: &Webhook, body: Sha256, received: Timestamp) -> Result<(), Failure> {
        let webhook_key = body.short_hex();
        let written = stream::iter(events(webhook).enumerate())
            .map(|(place, event)| {
                let webhook_key = &webhook_key;
                async move {
                    if place >= MAX_EVENTS {
                        return Err(permanent(Reason::ItemMalformed, "the webhook has too many events"));
                    }
                    if let EventKind::Account(account) = event.kind {
                        report(account, webhook_key);
                    }
                    let origin = Origin { received, written: Timestamp::now(), body, channel: webhook.channel };
                    self.capture.event(&event, &origin).await.map_err(from_source)?;
                    Ok(event.media.iter().map(|media| MediaTask::new(media, &origin).to_json()).collect::<Vec<_>>())
                }
            })
            .buffer_unordered(CONCURRENT_EVENTS);
        let files: Vec<Vec<String>> = written.try_collect().await?;
        let (events, files) = (files.len(), files.concat());
        send(&self.queue, &files).await?;
        info!(webhook = webhook_key, events, files = files.len(), "webhook stored");
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
mod tests {
    use super::*;

    #[test]
    fn retry_of_a_file_waits_for_the_longer_of_both_waits() {
        let (short, long) = (Some(Duration::from_secs(1)), Some(Duration::from_secs(2)));
        for (after, wait, expected) in
            [(None, long, long), (short, long, long), (long, short, long), (short, None, short)]
        {
            let configuration = Failure::Configuration { detail: String::new(), after };
            let transient = Failure::Transient { detail: String::new(), after };
            for failure in [configuration, transient] {
                let (Failure::Transient { after, .. } | Failure::Configuration { after, .. }) =
                    postponed(failure, wait)
                else {
                    panic!("a retried failure became permanent")
                };
                assert_eq!(after, expected);
            }
        }
    }
}
