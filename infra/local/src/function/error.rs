//! Errors of starting and invoking a function.

use std::{path::PathBuf, time::Duration};

/// A process of the function did not get as far as requesting an event. A retry does not help until the function or the
/// machine is changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the function {name} is not built: {} does not exist", program.display())]
    NotBuilt { name: String, program: PathBuf },
    /// The process ended before it requested an event.
    #[error("the function {name} ended while it started ({how}); end of its output:\n{log_tail}")]
    Ended {
        name: String,
        /// Exit status.
        how: String,
        log_tail: String,
    },
    /// The process reported an initialization error to the Runtime API.
    #[error("the function {name} cannot start: {error}")]
    Rejected { name: String, error: FunctionError },
    /// The process runs and does not request an event.
    #[error(
        "the function {name} did not request an event within {} seconds; end of its output:\n{log_tail}",
        after.as_secs()
    )]
    TimedOut { name: String, after: Duration, log_tail: String },
    #[error("the function {name}: {doing}: {source}")]
    Io { name: String, doing: &'static str, source: std::io::Error },
}

/// The error that a function reported, cut to the length of a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error_type}: {message}")]
pub struct FunctionError {
    pub error_type: String,
    pub message: String,
}

/// Error of an invocation without a response. The function may have done all or part of its work.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// No process was available, and none could be started.
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the function failed: {0}")]
    Function(FunctionError),
    /// The process ended, by itself or by a signal.
    #[error("the function's process ended ({how}); end of its output:\n{log_tail}")]
    Crashed {
        /// Exit status.
        how: String,
        log_tail: String,
    },
    /// The invocation exceeded the timeout and was killed.
    #[error("the function was killed after {} seconds", .0.as_secs_f32())]
    TimedOut(Duration),
}
