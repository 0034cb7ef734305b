//! What an operator does with a deployment: one module a command.
//!
//! Each command flattens [`Deployment`](connection::Deployment) into its arguments and has a `run` that answers the
//! process's exit code. Data goes to standard output, progress and questions to standard error.

pub mod backfill;
pub mod dead_letters;
pub mod doctor;
pub mod local;
pub mod mapping;
pub mod reconcile;
pub mod report;
pub mod status;
