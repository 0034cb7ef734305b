//! Failures of processing an item.

use std::time::Duration;

use crate::Reason;

/// A failure and its consequence. `detail` is for the log and the dead letter: no content, no identity, no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The item failed permanently: it becomes a dead letter. The step has recorded that in the item's outcome already.
    Permanent {
        /// Reason in the dead letter.
        reason: Reason,
        /// Text for the log and the dead letter.
        detail: String,
    },
    /// A failure of the system: the item is retried.
    Transient {
        /// Text for the log.
        detail: String,
        /// Minimum wait before the retry, if known.
        after: Option<Duration>,
    },
    /// A configuration error: the item is retried until an operator has fixed it; it is logged as an error.
    Configuration {
        /// The problem that the operator has to fix.
        detail: String,
        /// Minimum wait before the retry, if known.
        after: Option<Duration>,
    },
}
