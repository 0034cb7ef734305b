//! The one-machine run: the three real binaries, driven by the events that AWS would send, against an S3, SQS and
//! Secrets Manager server on loopback.

pub mod archive;
pub mod backfill;
pub mod cloud;
mod command;
pub mod event_source;
mod export;
mod failures;
pub mod function;
mod guard;
mod job;
pub mod machine;
pub mod ministack;
pub(crate) mod report;
pub mod totals;

pub use command::{LocalArguments, run};
