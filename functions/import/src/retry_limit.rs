//! The limit after which repeated negative responses of the mail system count as final.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A negative response is final only when it was repeated this often and the time has passed too.
const MIN_CHECKS: u32 = 3;

/// The checks that follow each other as fast as the queue's backoff allows: a sporadic negative response is over by then.
const FAST_CHECKS: u32 = 6;

/// Number of checks over the whole period, after the fast ones.
const SLOW_CHECKS: u32 = 48;

/// The limit for participants that are not expected to have a mailbox.
const UNEXPECTED: Duration = Duration::from_secs(3600);

/// Retry period for undecided responses, by the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryLimit {
    wait: Duration,
}

/// First check and number of checks of a series, the latest included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Series {
    pub(crate) since: Timestamp,
    pub(crate) checks: u32,
}

impl Series {
    /// The series with one check more; without an earlier check it begins now.
    pub(crate) fn next(before: Option<Self>, now: Timestamp) -> Self {
        let before = before.unwrap_or(Self { since: now, checks: 0 });
        Self { checks: before.checks.saturating_add(1), ..before }
    }
}

impl RetryLimit {
    /// `wait` is the time that making or moving a mailbox may take.
    pub fn new(wait: Duration) -> Self {
        Self { wait }
    }

    /// The limit for a participant that is not expected to have a mailbox.
    pub(crate) fn unexpected(self) -> Self {
        Self { wait: self.wait.min(UNEXPECTED) }
    }

    /// Returns whether the responses of a series are final.
    pub(crate) fn is_reached(self, series: Series, now: Timestamp) -> bool {
        let wait = SignedDuration::try_from(self.wait).unwrap_or(SignedDuration::MAX);
        series.checks >= MIN_CHECKS && now.duration_since(series.since) >= wait
    }

    /// The wait before the next check, beyond the queue's own backoff.
    pub(crate) fn next_check(self, series: Series) -> Option<Duration> {
        (series.checks > FAST_CHECKS).then(|| self.wait / SLOW_CHECKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_needs_both_time_and_repetition() {
        let limit = RetryLimit::new(Duration::from_secs(3600));
        let now: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        let series = |seconds, checks| Series { since: now - SignedDuration::from_secs(seconds), checks };
        assert!(!limit.is_reached(series(3599, 100), now));
        assert!(!limit.is_reached(series(36_000, 2), now));
        assert!(limit.is_reached(series(3600, 3), now));
        assert!(!limit.is_reached(series(-3600, 100), now), "the clock was set back");
    }

    #[test]
    fn checks_are_fast_at_first_and_fit_into_the_limit() {
        let limit = RetryLimit::new(Duration::from_secs(24 * 3600));
        let wait = |checks| limit.next_check(Series { since: Timestamp::UNIX_EPOCH, checks });
        assert_eq!((wait(1), wait(6), wait(7)), (None, None, Some(Duration::from_secs(1800))));
        assert_eq!(limit.unexpected(), RetryLimit::new(Duration::from_secs(3600)));
    }
}
