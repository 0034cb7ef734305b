//! The `archiver` command: one module per command in `commands`, and what they share.
//!
//! A command's `run` reads its arguments, does the work, and writes what the operator sees. Data goes to standard output,
//! progress and questions to standard error.

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
