//! Errors and settings of deployed functions.

/// Error of a request to Lambda or of the function itself. The function's own error text is shown: the functions log no
/// content, names or secrets.
#[derive(Debug, thiserror::Error)]
pub enum FunctionError {
    #[error("function {0} not found in this account and region: check the name, AWS_REGION and AWS_PROFILE")]
    Missing(String),
    /// The function runs at its concurrency limit.
    #[error(
        "{0} is already running, started by the schedule or by another command, and runs once at a time. Try again when it has \
         ended, after at most 15 minutes"
    )]
    Busy(String),
    #[error("Lambda rejected {operation} of {name}: {problem}")]
    Rejected { operation: &'static str, name: String, problem: String },
    /// Lambda did not begin to process the request.
    #[error(
        "Lambda did not begin {operation} of {name}: {problem}. Check the credentials (AWS_PROFILE) and the region; if they are \
         right, Lambda limits the rate of requests: try again"
    )]
    NotSent { operation: &'static str, name: String, problem: String },
    /// There is no response, or a server error: the function may be running.
    #[error("no result from Lambda for {operation} of {name}: {problem}")]
    OutcomeUnknown { operation: &'static str, name: String, problem: String },
    /// This build has no Lambda client.
    #[error("{}", crate::NO_STACKS)]
    NotBuilt,
    /// The function ended with an error.
    #[error("{name} failed: {message}. Details are in its log: aws logs tail /aws/lambda/{name} --since 1h")]
    Failed {
        name: String,
        /// The function's error text, or Lambda's.
        message: String,
    },
}

/// Event source mapping of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSourceMapping {
    /// ARN of the queue.
    pub source: String,
    /// Lambda's state, such as `Enabled`.
    pub state: String,
    /// `true` if the function reports the failed messages of a batch individually.
    pub reports_failures: bool,
    /// Limit of concurrent batches; `None` if Lambda decides.
    pub max_concurrency: Option<i32>,
}

/// Schedule of fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub is_enabled: bool,
    /// The expression, such as `rate(1 day)`.
    pub expression: String,
}
