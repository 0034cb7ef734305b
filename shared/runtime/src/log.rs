//! The log: one JSON object per line on standard output, which Lambda sends to CloudWatch.

use std::{panic, str::FromStr};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    filter::Targets, fmt::format::FmtSpan, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::{VariableError, Variables};

/// Level of the log lines of our own crates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Errors that an operator has to fix.
    Error,
    /// Also warnings.
    Warn,
    /// Also one line for each completed piece of work.
    Info,
    /// Also intermediate steps.
    Debug,
}

/// Not a log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unrecognized log level")]
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
    /// Reads `LOG_LEVEL`. It is read before the other variables, so that their errors can be logged.
    ///
    /// # Errors
    /// If it is not one of the four levels.
    pub fn read(variables: &Variables) -> Result<Self, VariableError> {
        variables.with_default("LOG_LEVEL", "error, warn, info or debug", Self::Info)
    }

    fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
        }
    }
}

/// Our own crates that log; `tests/structure` compares the list with the workspace. A filter applies to every target that
/// begins with its name, so the modules of `aws` are named one by one: `aws` alone would also enable the AWS SDKs.
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

/// Starts the log of a function; a second call does nothing. Of a panic, only the location is logged.
///
/// Other crates are limited to `error`, whatever the level: at `debug` an HTTP client and an SDK write requests into
/// the log, and so addresses, texts and tokens. `lambda_runtime` is allowed at `info` because of its span, which
/// contains the request id.
pub fn start_log(level: LogLevel) {
    // Not `EnvFilter`, which parses text with regular expressions at each start.
    let targets = Targets::new()
        .with_default(LevelFilter::ERROR)
        .with_target("lambda_runtime", LevelFilter::INFO)
        .with_targets(OWN.iter().map(|name| (*name, level.filter())));
    let started = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(true)
        .with_span_events(FmtSpan::NONE)
        .with_max_level(LevelFilter::TRACE)
        .finish()
        .with(targets)
        .try_init();
    if started.is_err() {
        tracing::debug!("the log was started already");
    }
    // The default panic message is written to the log, too, and may quote content of an item.
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
}
