//! What errors of the mail system mean for a task.

use model::{Failure, Reason};

use mailbox::MailboxError;
use message::read::ReadError;

pub(crate) fn permanent(reason: Reason, detail: impl Into<String>) -> Failure {
    Failure::Permanent { reason, detail: detail.into() }
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

/// What an error of reading the stored message means.
pub(crate) fn from_read(error: ReadError) -> Failure {
    from_mailbox(&error.into())
}
