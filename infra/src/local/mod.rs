//! The one-machine run: the three real binaries, driven by the events that AWS would send, against an S3, SQS and
//! Secrets Manager server on loopback.

pub mod cloud;
pub mod event_source;
pub mod function;
mod guard;
pub mod ministack;
