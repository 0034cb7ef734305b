//! Limits the time that one call of the mailbox port waits for a mail system that throttles or fails.

use std::time::Duration;

/// The remaining time that a call may spend waiting. Longer waits belong on the queue, where they do not keep a function
/// running.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    remaining: Duration,
    next: Duration,
}

/// Upper bound of a single wait if the mail system requests none.
const MAX_UNREQUESTED_WAIT: Duration = Duration::from_secs(8);

impl RetryBudget {
    /// Creates a budget. `total` is for the whole call; `first` is the first wait if the mail system requests none.
    /// Waits double.
    pub fn new(total: Duration, first: Duration) -> Self {
        Self { remaining: total, next: first }
    }

    /// Waits before a retry, for `retry_after` if it is given. Returns `false` if the budget does not cover the wait.
    pub async fn pause(&mut self, retry_after: Option<Duration>) -> bool {
        match self.next_wait(retry_after, rand::random()) {
            Some(wait) => {
                tokio::time::sleep(wait).await;
                true
            }
            None => false,
        }
    }

    /// Takes the next wait from the budget; `None` if the budget does not cover it. `chance` is a random number from 0
    /// to 1, so that functions that were throttled together do not retry together.
    fn next_wait(&mut self, retry_after: Option<Duration>, chance: f64) -> Option<Duration> {
        let wait = match retry_after {
            Some(requested) => requested + self.next.mul_f64(chance / 4.0),
            None => self.next.mul_f64(0.5 + chance / 2.0),
        };
        self.next = (self.next * 2).min(MAX_UNREQUESTED_WAIT);
        self.remaining = self.remaining.checked_sub(wait)?;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_until_the_budget_is_spent() {
        let mut budget = RetryBudget::new(7 * SECOND, SECOND);
        let waits: Vec<_> = std::iter::from_fn(|| budget.next_wait(None, 1.0)).collect();
        assert_eq!(waits, [SECOND, 2 * SECOND, 4 * SECOND]);
    }

    #[test]
    fn wait_is_never_shorter_than_retry_after() {
        let mut budget = RetryBudget::new(20 * SECOND, SECOND);
        assert_eq!(budget.next_wait(Some(3 * SECOND), 0.0), Some(3 * SECOND));
        assert!(budget.next_wait(Some(3 * SECOND), 0.7) > Some(3 * SECOND));
        assert_eq!(budget.next_wait(Some(60 * SECOND), 0.0), None);
    }

    #[test]
    fn jitter_varies_the_waits() {
        let wait = |chance| RetryBudget::new(20 * SECOND, 2 * SECOND).next_wait(None, chance);
        assert_eq!((wait(0.0), wait(1.0)), (Some(SECOND), Some(2 * SECOND)));
    }
}
