//! The log: one JSON object a line on standard output, which Lambda hands to CloudWatch.

use std::{panic, str::FromStr};

use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

use crate::{VariableError, Variables};

/// How much of our own code's doings is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// What needs an operator.
    Error,
    /// And what may come to need one.
    Warn,
    /// And one line for each thing done.
    Info,
    /// And the steps on the way.
    Debug,
}

/// The text is no log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such log level")]
pub struct UnknownLogLevel;

impl FromStr for LogLevel {
    type Err = UnknownLogLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLogLevel> {
        match text.to_ascii_lowercase().as_str() {
            "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            _ => Err(UnknownLogLevel),
        }
    }
}

impl LogLevel {
    /// `LOG_LEVEL`. Read by its own and first, so that what else is wrong can be logged.
    ///
    /// # Errors
    /// When it is none of the four.
    pub fn read(variables: &Variables) -> Result<Self, VariableError> {
        variables.or("LOG_LEVEL", "error, warn, info or debug", Self::Info)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Our own crates that log; `tests/structure` compares the list with the workspace. A directive applies to every target that
/// begins with it, so the modules of `aws` are named one by one: `aws` alone would also enable the AWS SDKs.
const OWN: &[&str] = &[
    "aws::config",
    "aws::s3",
    "aws::secrets",
    "aws::sqs",
    "convert",
    "fetch",
    "http_client",
    "import",
    "ledger",
    "mailbox",
    "receive",
    "runtime",
    "source",
    "sqs_batch",
];

/// Starts the log of a function; a second call does nothing. Of a panic only its place is logged.
///
/// Other crates' words are cut off below `error`, whatever the level: at `debug` an HTTP client and an SDK write
/// requests, and so addresses, texts and tokens, into the log. `lambda_runtime` is let through at `info` for its span,
/// which carries the request id.
pub fn start_log(level: LogLevel) {
    let own = OWN.iter().map(|name| format!("{name}={}", level.as_str()));
    let directives: Vec<_> = ["error".to_owned(), "lambda_runtime=info".to_owned()].into_iter().chain(own).collect();
    let started = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(true)
        .with_span_events(FmtSpan::NONE)
        .with_env_filter(EnvFilter::new(directives.join(",")))
        .try_init();
    if started.is_err() {
        tracing::debug!("the log was started already");
    }
    // The usual words of a panic go to the log too, and may quote what could not be worked on.
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
}
