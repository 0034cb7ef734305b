//! What errors of the bucket and the mail system mean for a task.

use batch::Failure;
use item::Reason;
use store::StoreError;

use crate::mailbox::MailboxError;

pub(crate) fn permanent(reason: Reason, detail: impl Into<String>) -> Failure {
    Failure::Permanent { reason, detail: detail.into() }
}

pub(crate) fn from_store(error: StoreError) -> Failure {
    let detail = error.to_string();
    match error {
        StoreError::Unavailable { .. } => Failure::Transient { detail, after: None },
        StoreError::Refused { .. } | StoreError::TooLarge { .. } => Failure::Setup { detail, after: None },
    }
}

/// What a single answer of the mail system means. The callers bound the retries of `Unrecognized`, `NoMailbox` and
/// `LookupRejected`, which say nothing for certain.
pub(crate) fn from_mailbox(error: &MailboxError) -> Failure {
    let detail = error.to_string();
    match error {
        MailboxError::Unavailable { retry_after, .. } | MailboxError::Unrecognized { retry_after, .. } => {
            Failure::Transient { detail, after: *retry_after }
        }
        MailboxError::NoMailbox { .. } | MailboxError::LookupRejected { .. } => {
            Failure::Transient { detail, after: None }
        }
        MailboxError::Setup { .. } => Failure::Setup { detail, after: None },
        MailboxError::Rejected { .. } => permanent(Reason::MailboxRejected, detail),
        MailboxError::Full => permanent(Reason::MailboxFull, detail),
    }
}
