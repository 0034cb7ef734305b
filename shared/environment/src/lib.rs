//! What a process is given when it starts: its environment variables, read once and checked; its log, which holds no
//! content and no identity; and the AWS configuration with the one TLS library of the system.

mod aws;
mod log;
mod variables;

pub use aws::aws_config;
pub use log::{LogLevel, UnknownLogLevel, start_log};
pub use variables::{VariableError, Variables};
