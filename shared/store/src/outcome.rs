//! Reads the outcome of an item, from where this release writes it or from where release 0.1 did.

use item::{Outcome, OutcomeError};

use crate::{Condition, ETag, Store, StoreError, keys::ItemKeys};

/// An outcome as it was read.
#[derive(Debug, Clone)]
pub struct StoredOutcome {
    /// The outcome itself.
    pub outcome: Outcome,
    /// The key that it was read from.
    pub key: String,
    /// The version under [`ItemKeys::outcome`]; `None` where the outcome is only under the dated key.
    version: Option<ETag>,
}

impl StoredOutcome {
    /// The condition for writing the changed outcome to [`ItemKeys::outcome`]: nobody has changed it since it was read.
    pub fn condition(&self) -> Condition<'_> {
        self.version.as_ref().map_or(Condition::Absent, Condition::Unchanged)
    }
}

/// Why an outcome could not be read.
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
        /// What is wrong with it.
        error: OutcomeError,
    },
}

impl Store {
    /// The largest outcome that is read. It lists a mailbox a line.
    pub const OUTCOME_MAX_BYTES: u64 = 64 << 20;

    /// Reads the outcome of an item; `None` where it has none.
    ///
    /// # Errors
    /// [`ReadOutcomeError`].
    pub async fn outcome(&self, keys: &ItemKeys) -> Result<Option<StoredOutcome>, ReadOutcomeError> {
        match self.outcome_at(&keys.outcome).await? {
            Some(found) => Ok(Some(found)),
            None => self.dated_outcome(keys).await,
        }
    }

    /// Reads the outcome that release 0.1 has left. One under [`ItemKeys::outcome`] takes precedence over it.
    ///
    /// # Errors
    /// [`ReadOutcomeError`].
    pub async fn dated_outcome(&self, keys: &ItemKeys) -> Result<Option<StoredOutcome>, ReadOutcomeError> {
        let found = self.outcome_at(&keys.dated_outcome).await?;
        Ok(found.map(|found| StoredOutcome { version: None, ..found }))
    }

    async fn outcome_at(&self, key: &str) -> Result<Option<StoredOutcome>, ReadOutcomeError> {
        let Some(object) = self.get(key, Self::OUTCOME_MAX_BYTES).await? else { return Ok(None) };
        let outcome = Outcome::parse(&object.bytes)
            .map_err(|error| ReadOutcomeError::Unreadable { key: key.to_owned(), error })?;
        Ok(Some(StoredOutcome { outcome, key: key.to_owned(), version: Some(object.etag) }))
    }
}
