//! Short waits within one request. Long waits are left to the queue, where they cost nothing.

use std::time::Duration;

use super::response::Failure;

const TRIES: u32 = 3;
/// Maximum single wait. A longer wait that the source requests is left to the queue.
const MAX_WAIT: Duration = Duration::from_secs(4);
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Returns the wait before the next attempt; `None` if there should be none. `tried` counts from 1.
pub(super) fn wait(tried: u32, failure: &Failure) -> Option<Duration> {
    if !failure.passing || tried >= TRIES {
        return None;
    }
    let wait = failure.error.retry_after().unwrap_or(FIRST_WAIT * 4_u32.pow(tried - 1));
    // A requested wait is observed in full; the jitter is added, so that many functions do not retry at the same
    // moment.
    (wait <= MAX_WAIT).then(|| wait.mul_f64(rand::random_range(1.0..1.5)))
}
