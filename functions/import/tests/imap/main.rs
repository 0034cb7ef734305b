//! The adapter for IMAP against a real Dovecot, and against servers that misbehave.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not #[test]s themselves")]

mod filing;
mod hostile;
mod login;
mod outages;
mod support;
mod tokens;
