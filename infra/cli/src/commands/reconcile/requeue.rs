//! Puts missing items on the convert queue again.

use aws::{
    s3::{Condition, Put, Store, StoreError, Written},
    sqs::{Queue, QueueError},
};
use cloud_api::{Channel, aws_entries};
use futures::{StreamExt, TryStreamExt, future, stream};
use jiff::Timestamp;
use model::{ConvertTask, Outcome, TASK_VERSION, keys::ItemKeys};

use source::{
    SourceError,
    cloud_api::{Capture, WebhookTask},
};

use super::{comparison::Missing, webhooks::UnprocessedWebhook};
use crate::{Interrupt, connection::Connection};
use ledger::entries::{self, CONCURRENT_READS, LedgerReadError};

/// Error of a requeue. Items that were queued before stay queued; running the command again continues.
#[derive(Debug, thiserror::Error)]
pub enum RequeueError {
    /// A request to the bucket failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A request to the convert queue failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// An outcome cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerReadError),
    /// The body of a webhook cannot be read.
    #[error(transparent)]
    Webhook(#[from] SourceError),
    /// The deployment has no receive queue, or the environment does not name it.
    #[error(
        "no webhook was queued: the deployment names no receive queue: set RECEIVE_QUEUE_URL, or deploy Source=cloud-api again \
         (runbook, deploy.md, Changing Source)"
    )]
    NoReceiveQueue,
}

/// Number of items that are prepared before their tasks are sent.
const SEND_BATCH_ITEMS: usize = 100;

/// Puts the items on the convert queue, and returns the number of queued items. `progress` receives the number of
/// processed items. Items that a function has leased meanwhile, and items after an interrupt, are left out.
///
/// # Errors
/// [`RequeueError`].
pub async fn requeue(
    connection: &Connection,
    missing: &[Missing],
    interrupt: &Interrupt,
    progress: impl Fn(u64),
) -> Result<u64, RequeueError> {
    let convert = Queue::new(&connection.config, connection.queues.convert.clone());
    let (mut processed, mut queued) = (0, 0);
    for some in missing.chunks(SEND_BATCH_ITEMS) {
        if interrupt.is_set() {
            break;
        }
        let prepared = stream::iter(some).map(|missing| async move {
            let body = entries::task_body(&missing.run, &missing.listed);
            Ok::<_, RequeueError>(prepare(&connection.store, &body).await?.then_some(body))
        });
        let bodies: Vec<_> = prepared.buffered(CONCURRENT_READS).try_filter_map(future::ok).try_collect().await?;
        for sent in convert.send(&bodies).await {
            sent?;
            queued += 1;
        }
        processed += some.len() as u64;
        progress(processed);
    }
    Ok(queued)
}

/// Puts webhooks on the receive queue again, and returns the number of queued ones. An event that is written already is not
/// written twice.
///
/// # Errors
/// [`RequeueError`].
pub async fn requeue_webhooks(
    connection: &Connection,
    webhooks: &[UnprocessedWebhook],
    interrupt: &Interrupt,
) -> Result<u64, RequeueError> {
    let Some(url) = connection.queues.receive.clone() else { return Err(RequeueError::NoReceiveQueue) };
    let (queue, capture) = (Queue::new(&connection.config, url), Capture::new(connection.store.clone()));
    let mut queued = 0;
    for some in webhooks.chunks(SEND_BATCH_ITEMS) {
        let mut tasks = Vec::new();
        for UnprocessedWebhook { sha256, received, .. } in some {
            let body = capture.body(*received, sha256).await?;
            let is_of_aws = body.is_some_and(|body| aws_entries(&body).is_ok());
            let channel = if is_of_aws { Channel::Aws } else { Channel::Meta };
            let task = WebhookTask { v: TASK_VERSION, received: *received, webhook: *sha256, channel, part: None };
            tasks.push(task.to_json());
        }
        if interrupt.is_set() {
            break;
        }
        for sent in queue.send(&tasks).await {
            sent?;
            queued += 1;
        }
    }
    Ok(queued)
}

/// Writes an outcome that is incomplete and has no dead letter. Returns false if a function is processing the item.
///
/// Import treats a young item without an outcome as new and does not search the mailboxes for copies. A missing outcome
/// does not prove that no copy exists, so an empty outcome is written first.
async fn prepare(store: &Store, body: &str) -> Result<bool, RequeueError> {
    // An invalid task has no outcome; it becomes a dead letter again.
    let Ok(task) = ConvertTask::parse(body) else { return Ok(true) };
    let keys = ItemKeys::of_convert(&task);
    let found = ledger::read_outcome(store, &keys).await.map_err(LedgerReadError::from)?;
    let (outcome, condition) = match &found {
        None => (Outcome::new(task.item), Condition::Absent),
        Some(stored) => {
            let mut outcome = stored.outcome.clone();
            if outcome.is_complete() || outcome.held_until(Timestamp::now()).is_some() {
                return Ok(false);
            }
            // A task is dropped while the outcome records a dead letter, and the dead letter of this item does not exist.
            outcome.reopen("requeue", Timestamp::now());
            (outcome, stored.condition())
        }
    };
    let put =
        Put { key: &keys.outcome, bytes: outcome.to_json().into(), content_type: "application/json", sha256: None };
    Ok(matches!(store.put(put, condition).await?, Written::Yes(_)))
}
