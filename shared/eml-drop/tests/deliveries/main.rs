//! Mails and zips as vendors deliver them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod mails;
mod zips;
