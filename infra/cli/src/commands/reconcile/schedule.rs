//! Estimates when the next scheduled run must have ended, from the starts of earlier runs. reconcile reports archived
//! times after the last run as overdue once that time has passed.
//!
//! The run records are used instead of the schedule's expression: they are in the bucket, also for a one-machine run
//! and for a timer other than the template's, and reading them needs no further permission.

use jiff::{SignedDuration, Timestamp};

/// The interval while there are fewer than two runs: the template's default schedule.
const DEFAULT: SignedDuration = SignedDuration::from_hours(24);

/// Starts within this time are one event of the timer: Lambda repeats a failed run after 1 and after 2 minutes.
const ONE_EVENT: SignedDuration = SignedDuration::from_mins(15);

/// Allowance for the duration of a run, the margin of its window, and the change to or from daylight saving time.
const SLACK: SignedDuration = SignedDuration::from_mins(90);

const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Number of earlier weeks that are compared.
const WEEKS: i32 = 4;

/// Maximum distance from the same time of an earlier week at which a run belongs to the same entry of the schedule.
const SAME_TIME: SignedDuration = SignedDuration::from_mins(90);

/// Number of latest intervals that are compared if no earlier week has a run at that time.
const LATEST: usize = 16;

/// Number of latest intervals that agree when the schedule was changed to a longer interval.
const CHANGED: usize = 3;

/// Returns the time after the last run of the timer by which the next run must have ended. `starts` are the starts of
/// the timer's runs, failed ones included, in any order.
///
/// A schedule may pause on weekends, so the interval depends on the time of the week. The function takes the run that
/// started at the same time of the week in each of the four weeks before, and the interval from it to its next run; the
/// result is the upper median of these intervals, which a single missed or manual run does not change. If no earlier
/// week has such a run, the upper quartile of the latest intervals is used. If the latest three agree on a longer interval, the
/// schedule was changed, and earlier weeks have the old one. A shorter interval does not say this: it is that of working days.
pub(super) fn due_after(mut starts: Vec<Timestamp>) -> SignedDuration {
    starts.sort_unstable();
    starts.dedup_by(|later, earlier| later.duration_since(*earlier) < ONE_EVENT);
    let intervals: Vec<_> = starts.windows(2).map(|pair| (pair[0], pair[1].duration_since(pair[0]))).collect();
    let Some(&last) = starts.last() else { return DEFAULT + SLACK };
    let followed = |week: i32| {
        let then = last - WEEK * week;
        let distance = |start: Timestamp| start.duration_since(then).abs();
        let nearest = intervals.iter().min_by_key(|(start, _)| distance(*start))?;
        (distance(nearest.0) <= SAME_TIME).then_some(nearest.1)
    };
    let mut weekly: Vec<_> = (1..=WEEKS).filter_map(followed).collect();
    weekly.sort_unstable();
    let agreed = |some: &[(Timestamp, SignedDuration)]| {
        let (shortest, longest) = (some.iter().map(|run| run.1).min()?, some.iter().map(|run| run.1).max()?);
        (longest - shortest <= SAME_TIME).then_some(shortest)
    };
    let changed = intervals.len().checked_sub(CHANGED).and_then(|first| agreed(&intervals[first..]));
    let mut latest: Vec<_> = intervals.iter().rev().take(LATEST).map(|(_, interval)| *interval).collect();
    latest.sort_unstable();
    let interval = weekly.get(weekly.len() / 2).or_else(|| latest.get(latest.len() * 3 / 4));
    interval.copied().max(changed).unwrap_or(DEFAULT) + SLACK
}

#[cfg(test)]
mod tests {
    use model::Window;

    use super::*;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);
    const DAY: SignedDuration = SignedDuration::from_hours(24);

    /// Returns a Monday.
    fn monday() -> Timestamp {
        "2026-11-02T07:00:00Z".parse().unwrap()
    }

    fn every(interval: SignedDuration, count: i32) -> Vec<Timestamp> {
        (0..count).map(|number| monday() + interval * number).collect()
    }

    #[test]
    fn interval_is_that_of_the_runs() {
        for (interval, count) in
            [(HOUR, 5), (HOUR, 500), (HOUR * 6, 9), (DAY, 2), (DAY, 40), (DAY * 3, 2), (DAY * 3, 20)]
        {
            assert_eq!(due_after(every(interval, count)), interval + SLACK, "{interval} × {count}");
        }
        assert_eq!((due_after(vec![]), due_after(vec![monday()])), (DAY + SLACK, DAY + SLACK), "the default schedule");
    }

    #[test]
    fn change_to_a_longer_interval_counts_after_three_runs() {
        let mut starts = every(HOUR, 200);
        let last = starts[199];
        starts.extend((1..=4).map(|day| last + DAY * day));
        assert_eq!(due_after(starts.clone()), DAY + SLACK);
        // The old interval is still expected after a single long one: it may be an outage.
        starts.truncate(201);
        assert_eq!(due_after(starts), HOUR + SLACK);
    }

    #[test]
    fn weekend_without_runs_is_due_on_monday() {
        let working_days = |until: i32| -> Vec<Timestamp> {
            (0..until).filter(|day| day % 7 < 5).map(|day| monday() + DAY * day).collect()
        };
        assert_eq!(due_after(working_days(12)), DAY * 3 + SLACK, "on Friday of the second week");
        assert_eq!(due_after(working_days(10)), DAY + SLACK, "on Wednesday");
        // Summer time begins on the first weekend, so the interval of last week was an hour shorter.
        let local = |start: Timestamp| if start < monday() + DAY * 6 { start + HOUR } else { start };
        let shifted = working_days(12).into_iter().map(local).collect();
        assert!(due_after(shifted) > DAY * 3 + Window::MARGIN);
    }

    #[test]
    fn one_missed_run_does_not_lengthen_the_interval() {
        let mut hourly = every(HOUR, 48);
        hourly.drain(30..40);
        assert_eq!(due_after(hourly), HOUR + SLACK, "an outage of ten hours yesterday");
        let mut daily = every(DAY, 30);
        daily.remove(23);
        assert_eq!(due_after(daily), DAY + SLACK, "the run after that of last week was missed");
    }

    #[test]
    fn repeated_or_manual_runs_do_not_shorten_the_interval() {
        let repeated = every(DAY, 10)
            .into_iter()
            .flat_map(|start| (0..3).map(move |minute| start + SignedDuration::from_mins(minute)));
        assert_eq!(due_after(repeated.collect()), DAY + SLACK, "Lambda repeats a run that failed");
        let mut manual = every(DAY, 30);
        manual.extend([monday() + DAY * 22 + HOUR * 8, monday() + DAY * 27 + HOUR * 3]);
        assert_eq!(due_after(manual), DAY + SLACK);
    }
}
