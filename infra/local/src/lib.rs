//! The one-machine run: the three real binaries, driven by the events that AWS would send, against an S3, SQS and
//! Secrets Manager server on loopback.

pub mod archive;
pub mod backfill;
pub mod cloud;
pub mod drop;
pub mod event_source;
pub mod failures;
pub mod function;
pub mod guard;
pub mod job;
pub mod machine;
pub mod ministack;
pub mod totals;
