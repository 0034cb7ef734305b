//! Errors of the objects that fetch writes, and the failure of an item for each error of the bucket.

use aws::s3::StoreError;
use model::Failure;

/// Error of reading or writing the cursor or an object of a run.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A request to the bucket failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `state/cursor.json` has another format.
    #[error(
        "state/cursor.json is not a cursor of version 1: restore an earlier version of the object, or delete it and the next run resumes from the records of earlier runs"
    )]
    Cursor,
    /// Another writer created an object of this run.
    #[error("{key} exists with other content: does another deployment write to this bucket?")]
    ManifestExists {
        /// The object.
        key: String,
    },
    /// Another writer keeps changing `state/cursor.json`.
    #[error("another writer keeps changing state/cursor.json: does another deployment write to this bucket?")]
    CursorContested,
    /// Serialization failed.
    #[error("serialization failed: {0}")]
    Json(#[source] serde_json::Error),
}

/// Returns the failure of an item whose request to the bucket failed.
pub fn store_failure(error: StoreError) -> Failure {
    let detail = error.to_string();
    match error {
        StoreError::Unavailable { .. } => Failure::Transient { detail, after: None },
        StoreError::Configuration { .. } | StoreError::TooLarge { .. } => {
            Failure::Configuration { detail, after: None }
        }
    }
}
