//! Checks the structure that ARCHITECTURE.md describes: dependencies between crates point down, the pure crates stay
//! pure, and the files of a crate form no circle. It also checks the summaries of doc comments.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, its helpers included")]

mod comments;
mod crates;
mod files;
