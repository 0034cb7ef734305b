//! Missing items on the convert queue again.

use aws::{
    s3::{Condition, Put, Store, StoreError, Written},
    sqs::{Queue, QueueError},
};
use futures::{StreamExt, TryStreamExt, future, stream};
use jiff::Timestamp;
use model::{ConvertTask, Outcome, keys::ItemKeys};

use super::comparison::Missing;
use crate::{Interrupt, connection::Connection};
use ledger::entries::{self, AT_ONCE, AccountError};

/// Why it stopped. What was queued before is queued; running it again goes on.
#[derive(Debug, thiserror::Error)]
pub enum RequeueError {
    /// The bucket.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The convert queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// An outcome.
    #[error(transparent)]
    Account(#[from] AccountError),
}

/// How many are prepared before they are sent.
const SENT_AT_ONCE: usize = 100;

/// Puts them on the convert queue, and answers how many. `progress` is told how many were looked at. Left out is what
/// somebody else has begun to work on meanwhile, and what was not reached when the operator ended it.
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
    let (mut looked_at, mut queued) = (0, 0);
    for some in missing.chunks(SENT_AT_ONCE) {
        if interrupt.is_set() {
            break;
        }
        let prepared = stream::iter(some).map(|missing| async move {
            let body = entries::task_body(&missing.run, &missing.listed);
            Ok::<_, RequeueError>(prepare(&connection.store, &body).await?.then_some(body))
        });
        let bodies: Vec<_> = prepared.buffered(AT_ONCE).try_filter_map(future::ok).try_collect().await?;
        for sent in convert.send(&bodies).await {
            sent?;
            queued += 1;
        }
        looked_at += some.len() as u64;
        progress(looked_at);
    }
    Ok(queued)
}

/// Leaves an outcome that says that the item is not done and that no letter waits for it: false where somebody works on it.
///
/// Where there is no outcome, import takes an item for one that nobody has ever tried and does not look for it in the
/// mailboxes. That an outcome is gone does not say that no copy is there, so an empty one is written first.
async fn prepare(store: &Store, body: &str) -> Result<bool, RequeueError> {
    // What is no task has no outcome; it becomes a letter again.
    let Ok(task) = ConvertTask::parse(body) else { return Ok(true) };
    let keys = ItemKeys::of_convert(&task);
    let found = ledger::read_outcome(store, &keys).await.map_err(AccountError::from)?;
    let (outcome, condition) = match &found {
        None => (Outcome::new(task.item), Condition::Absent),
        Some(stored) => {
            let mut outcome = stored.outcome.clone();
            if outcome.is_complete() {
                return Ok(false);
            }
            // A task is dropped while the outcome has a dead letter, and this item's dead letter is gone.
            outcome.reopen("requeue", Timestamp::now());
            (outcome, stored.condition())
        }
    };
    let put =
        Put { key: &keys.outcome, bytes: outcome.to_json().into(), content_type: "application/json", sha256: None };
    Ok(matches!(store.put(put, condition).await?, Written::Yes(_)))
}
