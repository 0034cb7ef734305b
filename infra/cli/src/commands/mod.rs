//! The commands, one module each.
//!
//! Each command flattens [`Deployment`](crate::connection::Deployment) into its arguments and has a `run` that returns the
//! process's exit code. Data goes to standard output, progress and questions to standard error.

pub mod backfill;
pub mod dead_letters;
pub mod doctor;
pub mod export;
pub mod incidents;
pub mod local;
pub mod mapping;
pub mod migrate;
pub mod reconcile;
pub mod report;
pub mod status;
