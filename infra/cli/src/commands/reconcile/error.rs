//! The error of the comparison.

use aws::s3::StoreError;
use ledger::entries::LedgerReadError;

use crate::commands::dead_letters::DeadLetterQueueError;

/// Error of the comparison.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// A manifest or an outcome cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerReadError),
    /// A request to the bucket failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A request to a queue failed.
    #[error(transparent)]
    Queue(#[from] DeadLetterQueueError),
}
