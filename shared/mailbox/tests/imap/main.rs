//! The IMAP adapter against real servers (Dovecot, Cyrus, Courier), and against a scripted server that misbehaves.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not #[test]s themselves")]

mod every_server;
mod filing;
mod hostile;
mod login;
mod outages;
mod support;
mod tokens;
