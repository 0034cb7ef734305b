//! Reads the entries of manifests and their outcomes.

use aws::s3::{Store, StoreError};
use model::{
    ConvertTask, Listed, RunId, TASK_VERSION,
    keys::{self, ItemKeys},
};
use serde_json::json;

use crate::stored_outcome::{ReadOutcomeError, StoredOutcome, read_outcome};

/// Error of reading a manifest or an outcome: a transient failure of the bucket, or an object that another writer changed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerReadError {
    /// A request to the bucket failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A manifest line or an outcome cannot be parsed.
    #[error("{key} cannot be parsed: restore an earlier version of the object")]
    Unreadable { key: String },
}

impl From<ReadOutcomeError> for LedgerReadError {
    fn from(error: ReadOutcomeError) -> Self {
        match error {
            ReadOutcomeError::Store(error) => Self::Store(error),
            ReadOutcomeError::Unreadable { key, .. } => Self::Unreadable { key },
        }
    }
}

/// Outcome of a manifest entry.
#[derive(Debug, Clone)]
pub enum EntryOutcome {
    /// The outcome of the item.
    Found(Box<StoredOutcome>),
    /// The item has no outcome.
    Absent,
    /// The entry is not a valid task, so it has neither a key nor an outcome.
    InvalidTask,
}

/// Maximum number of concurrent reads. S3 responds in about 20 ms, and to thousands of requests per second: a hundred
/// thousand outcomes take half a minute.
pub const CONCURRENT_READS: usize = 64;

const MANIFEST_PAGE_MAX_BYTES: u64 = 64 << 20;

/// Reads a page of a run's manifest, counted from 1; `None` after the last.
///
/// # Errors
/// [`LedgerReadError`].
pub async fn read_page(store: &Store, run: &RunId, page: u32) -> Result<Option<Vec<Listed>>, LedgerReadError> {
    let key = keys::manifest(run, page);
    let Some(object) = store.get(&key, MANIFEST_PAGE_MAX_BYTES).await? else { return Ok(None) };
    let lines = object.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let listed: Result<_, _> = lines.map(serde_json::from_slice).collect();
    listed.map(Some).map_err(|_| LedgerReadError::Unreadable { key })
}

/// Returns the body of the convert task for a manifest entry, valid or not.
pub fn task_body(run: &RunId, listed: &Listed) -> String {
    json!({"v": TASK_VERSION, "run": run, "item": listed.item, "archived_time": listed.archived_time}).to_string()
}

/// Returns the keys of the objects of a manifest entry; `None` if the entry is not a valid task.
pub fn item_keys(run: &RunId, listed: &Listed) -> Option<ItemKeys> {
    ConvertTask::parse(&task_body(run, listed)).ok().map(|task| ItemKeys::of_convert(&task))
}

/// Reads the outcome of an entry of a run's manifest.
///
/// # Errors
/// [`LedgerReadError`].
pub async fn entry_outcome(store: &Store, run: &RunId, listed: &Listed) -> Result<EntryOutcome, LedgerReadError> {
    let Some(keys) = item_keys(run, listed) else { return Ok(EntryOutcome::InvalidTask) };
    Ok(read_outcome(store, &keys).await?.map_or(EntryOutcome::Absent, |stored| EntryOutcome::Found(Box::new(stored))))
}
