//! The Graph adapter against a strict fake of Graph, one file for each concern.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not #[test]s themselves")]

mod concessions;
mod create;
mod directory;
mod errors;
mod folder;
mod identity;
mod import_mime;
mod large;
mod lost;
mod privacy;
mod requests;
mod support;
mod throttling;
mod token;
mod write_probe;
