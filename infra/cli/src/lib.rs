//! The `archiver` command: one module per command in `commands`, and the modules that the commands share.
//!
//! The `run` function of a command takes its arguments, does the work and writes the output. Data goes to standard
//! output, progress and questions go to standard error.

pub mod commands;
pub mod confirm;
pub mod connection;
pub mod functions;
mod interrupt;
mod mailboxes;
pub mod settings;
pub mod text;
pub mod time;
pub mod user_map;

pub use interrupt::Interrupt;

/// Error of a build without the feature `stack`, such as the one of `make run`.
pub(crate) const NO_STACKS: &str = "this archiver was built by `make run`, for one-machine runs only: build it for stacks with \
                                    `cargo build --release --bin archiver`";
