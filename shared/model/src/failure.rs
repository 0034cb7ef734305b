//! Why a step of an item was not done.

use std::time::Duration;

use crate::Reason;

/// Why a step was not done, and what follows. `detail` is for the log and for the dead letter: no content, no identity, no
/// secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The item failed permanently: it becomes a dead letter. The step has recorded that in the item's outcome already.
    Permanent {
        /// Why.
        reason: Reason,
        /// More about it.
        detail: String,
    },
    /// A failure of the system: the item is retried.
    Transient {
        /// What could not be done.
        detail: String,
        /// The retry happens no earlier, where that is known.
        after: Option<Duration>,
    },
    /// A configuration error: the item is retried until an operator has fixed it; it is logged as an error.
    Setup {
        /// What to fix.
        detail: String,
        /// The retry happens no earlier, where that is known.
        after: Option<Duration>,
    },
}
