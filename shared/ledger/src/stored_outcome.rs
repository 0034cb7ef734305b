//! Reads the outcome of an item, under this release's key or release 0.1's.

use model::{Failure, Outcome, OutcomeError};

use aws::s3::{Condition, ETag, Store, StoreError};
use model::keys::ItemKeys;

use crate::error::store_failure;

/// An outcome as it was read.
#[derive(Debug, Clone)]
pub struct StoredOutcome {
    /// The outcome.
    pub outcome: Outcome,
    /// The key that it was read from.
    pub key: String,
    /// The version under [`ItemKeys::outcome`]; `None` if the outcome is only under the dated key.
    pub(crate) version: Option<ETag>,
}

impl StoredOutcome {
    /// Returns the condition for writing the changed outcome to [`ItemKeys::outcome`]: no writer has changed it since
    /// it was read.
    pub fn condition(&self) -> Condition<'_> {
        self.version.as_ref().map_or(Condition::Absent, Condition::Unchanged)
    }
}

/// Error of reading an outcome.
#[derive(Debug, thiserror::Error)]
pub enum ReadOutcomeError {
    /// The bucket cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object is not an outcome of this release's version.
    #[error("{key}: {error}")]
    Unreadable {
        /// The object's key.
        key: String,
        /// The error of the object.
        error: OutcomeError,
    },
}

impl From<ReadOutcomeError> for Failure {
    fn from(error: ReadOutcomeError) -> Self {
        match error {
            ReadOutcomeError::Store(error) => store_failure(error),
            ReadOutcomeError::Unreadable { .. } => Self::Configuration { detail: error.to_string(), after: None },
        }
    }
}

/// Size limit of an outcome that is read. The outcome of a group has an entry for each mailbox.
pub const OUTCOME_MAX_BYTES: u64 = 64 << 20;

/// Reads the outcome of an item; `None` if it has none.
///
/// # Errors
/// [`ReadOutcomeError`].
pub async fn read_outcome(store: &Store, keys: &ItemKeys) -> Result<Option<StoredOutcome>, ReadOutcomeError> {
    match outcome_at(store, &keys.outcome).await? {
        Some(found) => Ok(Some(found)),
        None => read_dated_outcome(store, keys).await,
    }
}

/// Reads the outcome that release 0.1 wrote. An outcome under [`ItemKeys::outcome`] takes precedence.
///
/// # Errors
/// [`ReadOutcomeError`].
pub async fn read_dated_outcome(store: &Store, keys: &ItemKeys) -> Result<Option<StoredOutcome>, ReadOutcomeError> {
    let found = outcome_at(store, &keys.dated_outcome).await?;
    Ok(found.map(|found| StoredOutcome { version: None, ..found }))
}

async fn outcome_at(store: &Store, key: &str) -> Result<Option<StoredOutcome>, ReadOutcomeError> {
    let Some(object) = store.get(key, OUTCOME_MAX_BYTES).await? else { return Ok(None) };
    let outcome =
        Outcome::parse(&object.bytes).map_err(|error| ReadOutcomeError::Unreadable { key: key.to_owned(), error })?;
    Ok(Some(StoredOutcome { outcome, key: key.to_owned(), version: Some(object.etag) }))
}
