//! What the checks of all mail systems share: names and remedies.

use mailbox::MailboxError;

/// The name of the check of one mailbox.
pub(super) const MAILBOX: &str = "mailbox";

/// Why that check was skipped.
pub(super) const UNNAMED: &str = "none was named: --mailbox ADDRESS looks whether one can be filed in";

/// What to do where Entra gives no token.
pub(super) fn token_remedy(error: &MailboxError) -> &'static str {
    match error {
        MailboxError::Unavailable { .. } => {
            "asked from this machine, which may be kept from it where Lambda is not: try again"
        }
        _ => {
            "fix the secret (put-secret-value, as above), or GraphTenantId, GraphClientId, GraphCloud and `make deploy`"
        }
    }
}
