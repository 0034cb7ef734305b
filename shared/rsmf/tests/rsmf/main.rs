//! RSMF files of generated and of golden items, and what other programs read in them.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod files;
mod hostile;
mod kinds;
mod planned;
mod support;
