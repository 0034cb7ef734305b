//! The user map and the resolution of participants, by the crate's public functions.

#![expect(clippy::unwrap_used, reason = "a test's helper may panic as the test may")]

mod resolve;
mod user_map;
