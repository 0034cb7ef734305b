//! The structure that ARCHITECTURE.md promises: dependencies between crates point down, the pure crates stay pure, and
//! the files of a crate form no circle.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, its helpers included")]

mod crates;
mod files;
