//! What a process starts with: its environment variables, read once and checked; its log, which contains no content and
//! no identity; its metrics.

mod log;
pub mod metrics;
mod variables;

pub use log::{LogLevel, UnknownLogLevel, start_log};
pub use variables::{VariableError, Variables};
