//! Maps errors of the mail system to failures of a task.

use model::{Failure, Reason};

use mailbox::MailboxError;
use message::read::ReadError;

pub(crate) fn permanent(reason: Reason, detail: impl Into<String>) -> Failure {
    Failure::Permanent { reason, detail: detail.into() }
}

/// Returns the failure for a single response of the mail system. `Unrecognized`, `NoMailbox` and `LookupRejected` are
/// transient here, because a single response of these kinds may be wrong; the callers make them permanent when the
/// retry limit is reached.
pub(crate) fn from_mailbox(error: &MailboxError) -> Failure {
    let detail = error.to_string();
    match error {
        MailboxError::Unavailable { retry_after, .. } | MailboxError::Unrecognized { retry_after, .. } => {
            Failure::Transient { detail, after: *retry_after }
        }
        MailboxError::NoMailbox { .. } | MailboxError::LookupRejected { .. } => {
            Failure::Transient { detail, after: None }
        }
        MailboxError::OutcomeUnknown { settle_time, .. } => Failure::Transient { detail, after: Some(*settle_time) },
        MailboxError::Configuration { .. } => Failure::Configuration { detail, after: None },
        MailboxError::Rejected { .. } => permanent(Reason::MailboxRejected, detail),
        MailboxError::Full => permanent(Reason::MailboxFull, detail),
    }
}

/// Returns the failure for an error of reading the stored message.
pub(crate) fn from_read(error: ReadError) -> Failure {
    from_mailbox(&error.into())
}
