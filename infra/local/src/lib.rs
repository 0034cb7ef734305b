//! The one-machine run: the functions' real binaries receive the events that AWS would send, and use an emulator of S3,
//! SQS and Secrets Manager on loopback.

pub mod backfill;
pub mod cloud;
pub mod drop;
pub mod event_source;
pub mod function;
pub mod job;
pub mod logged_errors;
pub mod machine;
pub mod ministack;
pub mod process_group;
pub mod sample_source;
pub mod totals;
pub mod webhooks;
