//! Timeouts and limits.

use std::time::Duration;

/// Timeouts and limits of a pipeline: the template's settings, scaled down.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Timeout of an invocation.
    pub timeout: Duration,
    /// Visibility timeout of a received message. At least `timeout`.
    pub visibility: Duration,
    /// Maximum number of processes of convert, and of import.
    pub concurrency: usize,
    /// Number of receives after which SQS moves a message to the dead-letter queue.
    pub max_receives: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            visibility: Duration::from_secs(120),
            concurrency: 2,
            max_receives: 50,
        }
    }
}
