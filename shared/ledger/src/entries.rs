//! The books: what the manifests say was queued, and what the outcomes say became of it.

use aws::s3::{Store, StoreError};
use model::{
    ConvertTask, Listed, RunId, TASK_VERSION,
    keys::{self, ItemKeys},
};
use serde_json::json;

use crate::stored_outcome::{ReadOutcomeError, StoredOutcome, read_outcome};

/// Why the books could not be read. The system's fault, or that of somebody who writes to the bucket and should not.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The bucket.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A manifest's line or an outcome.
    #[error("{key} cannot be read; restore an earlier version of the object")]
    Unreadable {
        /// The object's key.
        key: String,
    },
}

impl From<ReadOutcomeError> for AccountError {
    fn from(error: ReadOutcomeError) -> Self {
        match error {
            ReadOutcomeError::Store(error) => Self::Store(error),
            ReadOutcomeError::Unreadable { key, .. } => Self::Unreadable { key },
        }
    }
}

/// What became of an id of a manifest.
#[derive(Debug, Clone)]
pub enum Account {
    /// This.
    Outcome(Box<StoredOutcome>),
    /// Nothing yet.
    Nothing,
    /// What was listed cannot even be a task, so it has no key and no outcome.
    NoTask,
}

/// How many objects are asked for at once. S3 answers one in some 20 ms and thousands a second: a hundred thousand
/// outcomes are read in half a minute.
pub const AT_ONCE: usize = 64;

const MANIFEST_PAGE_MAX_BYTES: u64 = 64 << 20;

/// A page of a run's manifest, counted from 1; `None` after the last.
///
/// # Errors
/// [`AccountError`].
pub async fn page(store: &Store, run: &RunId, page: u32) -> Result<Option<Vec<Listed>>, AccountError> {
    let key = keys::manifest(run, page);
    let Some(object) = store.get(&key, MANIFEST_PAGE_MAX_BYTES).await? else { return Ok(None) };
    let lines = object.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let listed: Result<_, _> = lines.map(serde_json::from_slice).collect();
    listed.map(Some).map_err(|_| AccountError::Unreadable { key })
}

/// The body by which `fetch` puts an entry of its manifest on the convert queue, be it a valid task or not.
pub fn task_body(run: &RunId, listed: &Listed) -> String {
    json!({"v": TASK_VERSION, "run": run, "item": listed.item, "archived_time": listed.archived_time}).to_string()
}

/// The keys of the objects of a manifest's entry; `None` where the entry cannot be a task.
pub fn item_keys(run: &RunId, listed: &Listed) -> Option<ItemKeys> {
    ConvertTask::parse(&task_body(run, listed)).ok().map(|task| ItemKeys::of_convert(&task))
}

/// What became of an entry of a run's manifest.
///
/// # Errors
/// [`AccountError`].
pub async fn account(store: &Store, run: &RunId, listed: &Listed) -> Result<Account, AccountError> {
    let Some(keys) = item_keys(run, listed) else { return Ok(Account::NoTask) };
    Ok(read_outcome(store, &keys).await?.map_or(Account::Nothing, |stored| Account::Outcome(Box::new(stored))))
}
