//! Exports generated and golden items, and reads the RSMF files with other programs.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod files;
mod hostile;
mod kinds;
mod planned;
mod support;
