//! The limit after which repeated negative responses of the mail system count as final.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A negative response is final only when it was repeated this often, and the retry period has passed.
const MIN_CHECKS: u32 = 3;

/// Number of first checks, at the intervals of the queue's backoff. A sporadic negative response does not last longer.
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

/// The shortest time between two checks that is a gap. Gaps do not count towards the retry period: the mail system was
/// down, or import was paused.
const MIN_GAP: Duration = Duration::from_secs(3600);

/// First check and number of checks of a series, the latest included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Series {
    /// Time of the first check, plus the gaps in the series.
    pub(crate) since: Timestamp,
    pub(crate) checks: u32,
    /// The latest check. `None` in outcomes of earlier releases.
    pub(crate) last: Option<Timestamp>,
}

impl RetryLimit {
    /// Creates the limit. `wait` is the time that an operator or Microsoft 365 may need to create or move a mailbox.
    pub fn new(wait: Duration) -> Self {
        Self { wait }
    }

    /// Returns the limit for a participant that is not expected to have a mailbox.
    pub(crate) fn unexpected(self) -> Self {
        Self { wait: self.wait.min(UNEXPECTED) }
    }

    /// Returns the series with one more check; without an earlier check it begins now. A gap moves the beginning of the
    /// series forward, so that the time of an outage does not count.
    pub(crate) fn next(self, before: Option<Series>, now: Timestamp) -> Series {
        let Some(Series { since, checks, last }) = before else {
            return Series { since: now, checks: 1, last: Some(now) };
        };
        let gap = last.map_or(SignedDuration::ZERO, |last| now.duration_since(last));
        let longest = SignedDuration::try_from(MIN_GAP.max(self.wait / SLOW_CHECKS * 2)).unwrap_or(SignedDuration::MAX);
        let since = if gap > longest { since.checked_add(gap).unwrap_or(now) } else { since };
        Series { since, checks: checks.saturating_add(1), last: Some(now) }
    }

    /// Like [`next`](Self::next), for a response that the mail system's adapter repeats from its cache for `cached`. A
    /// response that may be a repetition of the latest one is not counted.
    pub(crate) fn next_cached(self, before: Option<Series>, now: Timestamp, cached: Duration) -> Series {
        let is_repetition = |series: &Series| {
            let cached = SignedDuration::try_from(cached).unwrap_or(SignedDuration::MAX);
            series.last.is_some_and(|last| now.duration_since(last).abs() < cached)
        };
        before.filter(is_repetition).unwrap_or_else(|| self.next(before, now))
    }

    /// Returns whether the responses of a series are final.
    pub(crate) fn is_reached(self, series: Series, now: Timestamp) -> bool {
        let wait = SignedDuration::try_from(self.wait).unwrap_or(SignedDuration::MAX);
        series.checks >= MIN_CHECKS && now.duration_since(series.since) >= wait
    }

    /// Returns the wait before the next check, beyond the queue's own backoff.
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
        let series = |seconds, checks| Series { since: now - SignedDuration::from_secs(seconds), checks, last: None };
        assert!(!limit.is_reached(series(3599, 100), now));
        assert!(!limit.is_reached(series(36_000, 2), now));
        assert!(limit.is_reached(series(3600, 3), now));
        assert!(!limit.is_reached(series(-3600, 100), now), "the clock was set back");
    }

    #[test]
    fn gap_between_checks_is_not_part_of_the_series() {
        let limit = RetryLimit::new(Duration::from_secs(24 * 3600));
        let start: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        let hours = |hours| start + SignedDuration::from_hours(hours);
        let mut series = None;
        for hour in [0, 1, 2, 62] {
            series = Some(limit.next(series, hours(hour)));
        }
        let series = series.unwrap();
        assert_eq!((series.since, series.checks, series.last), (hours(60), 4, Some(hours(62))));
        assert!(!limit.is_reached(series, hours(62)));
        // An outcome of an earlier release does not have the time of its last check.
        let before = Series { last: None, ..series };
        assert_eq!(limit.next(Some(before), hours(90)).since, hours(60));
        // The planned checks of a longer limit are further apart.
        let week = RetryLimit::new(Duration::from_secs(7 * 24 * 3600));
        assert_eq!(week.next(Some(week.next(None, start)), hours(7)).since, start);
    }

    #[test]
    fn repetition_from_the_cache_is_not_a_check() {
        let limit = RetryLimit::new(Duration::ZERO);
        let start: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        let checked = |times: &[i64], cached| {
            let at = |seconds: &i64| start + SignedDuration::from_secs(*seconds);
            let cached = Duration::from_secs(cached);
            let series = times.iter().map(at).fold(None, |series, now| Some(limit.next_cached(series, now, cached)));
            series.unwrap().checks
        };
        assert_eq!(checked(&[0, 5, 15], 60), 1, "two responses of the cache");
        assert_eq!(checked(&[0, 5, 15, 35, 75, 155], 60), 3);
        assert_eq!(checked(&[0, 5, 15], 0), 3, "nothing is cached");
    }

    #[test]
    fn checks_are_fast_at_first_and_fit_into_the_limit() {
        let limit = RetryLimit::new(Duration::from_secs(24 * 3600));
        let wait = |checks| limit.next_check(Series { since: Timestamp::UNIX_EPOCH, checks, last: None });
        assert_eq!((wait(1), wait(6), wait(7)), (None, None, Some(Duration::from_secs(1800))));
        assert_eq!(limit.unexpected(), RetryLimit::new(Duration::from_secs(3600)));
    }
}
