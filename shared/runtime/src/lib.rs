//! The start of a process: environment variables, read once and checked; the log, without content and identities; and
//! the metrics.

mod log;
pub mod metrics;
mod variables;

pub use log::{LogLevel, UnknownLogLevel, start_log};
pub use variables::{VariableError, Variables, joined};
