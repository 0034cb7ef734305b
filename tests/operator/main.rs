//! Runs the `archiver` command as an operator does, and compares exit code and output with snapshots.
#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod backfill;
mod day;
mod deployments;
mod doctor;
mod export;
mod foreign_dead_letters;
mod help;
mod mail_systems;
mod make_run;
mod one_machine;
mod permissions;
mod stack;
mod transcript;
mod unmapped;
