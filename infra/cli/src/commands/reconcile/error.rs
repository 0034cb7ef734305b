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
    /// The record of a vendor's file cannot be parsed.
    #[error(
        "{0} is not the record of a vendor's file, so it is unknown which mails the file had: restore an earlier version of the object \
         (aws s3api list-object-versions)"
    )]
    Delivery(String),
    /// A request to a queue failed.
    #[error(transparent)]
    Queue(#[from] DeadLetterQueueError),
}
