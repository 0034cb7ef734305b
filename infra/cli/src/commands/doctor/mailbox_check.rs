//! Names and remedies that the checks of all mail systems share.

use mailbox::MailboxError;

/// Name of the check of one mailbox.
pub(super) const MAILBOX: &str = "mailbox";

/// Reason for skipping that check.
pub(super) const NO_MAILBOX_NAMED: &str = "not checked: name a mailbox with --mailbox ADDRESS";

/// Returns the remedy where Entra issues no token.
pub(super) fn token_remedy(error: &MailboxError) -> &'static str {
    match error {
        MailboxError::Unavailable { .. } => {
            "the request was sent from this machine, which the network may block where it allows Lambda: try again"
        }
        _ => {
            "fix the secret (put-secret-value, as above), or GraphTenantId, GraphClientId, GraphCloud and `make deploy`"
        }
    }
}
