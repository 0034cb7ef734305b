//! The parts that the checks of all mail systems share.

use mailbox::MailboxError;

use super::finding::Finding;

/// Name of the check of one mailbox.
pub(super) const MAILBOX: &str = "mailbox";

/// Reason for skipping that check.
pub(super) const NO_MAILBOX_NAMED: &str = "not checked: name a mailbox with --mailbox ADDRESS";

/// Reason for skipping the checks after the one of the token.
pub(super) const NO_TOKEN: &str = "not checked: it needs a token";

/// Returns the finding if Entra issues no token.
pub(super) fn token_failed(check: &'static str, error: &MailboxError) -> Finding {
    let remedy = match error {
        MailboxError::Unavailable { .. } => {
            "the request was sent from this machine, which the network may block where it allows Lambda: try again"
        }
        _ => {
            "fix the secret (put-secret-value, as above), or GraphTenantId, GraphClientId, GraphCloud and `make deploy`"
        }
    };
    Finding::not_ok(check, error.to_string(), remedy)
}

/// The checks of one mail system. A check that fails ends them, and the rest is reported as skipped.
pub(super) struct Checks {
    names: Vec<&'static str>,
    findings: Vec<Finding>,
}

impl Checks {
    /// Creates the checks. `names` are the checks in order.
    pub(super) fn new(names: &[&'static str]) -> Self {
        Self { names: names.to_vec(), findings: Vec::new() }
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Adds a failed check and returns all findings.
    pub(super) fn end(mut self, failed: Finding, why: &'static str) -> Vec<Finding> {
        self.findings.push(failed);
        let rest = self.names.split_off(self.findings.len().min(self.names.len()));
        self.findings.extend(rest.into_iter().map(|check| Finding::skipped(check, why)));
        self.findings
    }

    /// Adds the last check and returns all findings.
    pub(super) fn finish(mut self, last: Finding) -> Vec<Finding> {
        self.findings.push(last);
        self.findings
    }
}
