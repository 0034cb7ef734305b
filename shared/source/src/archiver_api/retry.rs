//! Short waits, inside one question. Long ones are the queue's business, which costs nothing while it waits.

use std::time::Duration;

use super::answer::Failure;

const TRIES: u32 = 3;
/// The longest single wait. A source that asks for more is left to the queue.
const LONGEST_WAIT: Duration = Duration::from_secs(4);
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// How long to wait before the next try, where one makes sense. `tried` counts from 1.
pub(super) fn wait(tried: u32, failure: &Failure) -> Option<Duration> {
    if !failure.passing || tried >= TRIES {
        return None;
    }
    let wait = failure.error.retry_after().unwrap_or(FIRST_WAIT * 4_u32.pow(tried - 1));
    // What was asked for is waited for in full; the jitter on top keeps many functions from coming back at once.
    (wait <= LONGEST_WAIT).then(|| wait.mul_f64(rand::random_range(1.0..1.5)))
}
