//! How long one call of the port waits for a mail system that asks it to.

use std::time::Duration;

/// What is left of a call's waiting. A longer wait is the queue's: it costs nothing there, and here it costs a function.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    left: Duration,
    next: Duration,
}

/// The longest wait that we choose ourselves.
const LONGEST_STEP: Duration = Duration::from_secs(8);

impl Patience {
    /// `budget` in all; `first` is about how long the first wait is that nobody asked for. They double.
    pub(super) fn new(budget: Duration, first: Duration) -> Self {
        Self { left: budget, next: first }
    }

    /// Waits before another try: as long as was asked, else ever longer. `false`: that would be too long, give up.
    pub(super) async fn pause(&mut self, asked: Option<Duration>) -> bool {
        match self.step(asked, rand::random()) {
            Some(wait) => {
                tokio::time::sleep(wait).await;
                true
            }
            None => false,
        }
    }

    /// `chance` is from 0 to 1: many functions that were throttled together must not come back together.
    fn step(&mut self, asked: Option<Duration>, chance: f64) -> Option<Duration> {
        let wait = match asked {
            Some(asked) => asked + self.next.mul_f64(chance / 4.0),
            None => self.next.mul_f64(0.5 + chance / 2.0),
        };
        self.next = (self.next * 2).min(LONGEST_STEP);
        self.left = self.left.checked_sub(wait)?;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_until_the_budget_is_spent() {
        let mut patience = Patience::new(7 * SECOND, SECOND);
        let waits: Vec<_> = std::iter::from_fn(|| patience.step(None, 1.0)).collect();
        assert_eq!(waits, [SECOND, 2 * SECOND, 4 * SECOND]);
    }

    #[test]
    fn what_was_asked_is_never_undercut() {
        let mut patience = Patience::new(20 * SECOND, SECOND);
        assert_eq!(patience.step(Some(3 * SECOND), 0.0), Some(3 * SECOND));
        assert!(patience.step(Some(3 * SECOND), 0.7) > Some(3 * SECOND));
        assert_eq!(patience.step(Some(60 * SECOND), 0.0), None);
    }

    #[test]
    fn chance_spreads_the_waits() {
        let wait = |chance| Patience::new(20 * SECOND, 2 * SECOND).step(None, chance);
        assert_eq!((wait(0.0), wait(1.0)), (Some(SECOND), Some(2 * SECOND)));
    }
}
