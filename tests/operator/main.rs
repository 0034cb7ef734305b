//! The `archiver` command as a program: what an operator types, and the exit code, the output and the words that come
//! back.
#![expect(clippy::unwrap_used, reason = "a helper of tests may panic as they may")]

mod backfill;
mod day;
mod deployments;
mod doctor;
mod help;
mod letters;
mod mail_systems;
mod stack;
mod transcript;
