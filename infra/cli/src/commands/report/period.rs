//! The period of a report.

use anyhow::bail;
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};

/// Days in UTC, first and last inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    first: Date,
    last: Date,
}

/// Limit of a period: ten years.
const MAX_DAYS: i32 = 3660;

impl Period {
    /// Creates a period.
    ///
    /// # Errors
    /// The period ends before it begins, begins in the future or is longer than ten years.
    pub fn between(first: Date, last: Date, today: Date) -> anyhow::Result<Self> {
        if last < first {
            bail!("the period ends on {last}, before it begins on {first}");
        }
        if first > today {
            bail!("{first} is in the future: today is {today} in UTC");
        }
        let last = last.min(today);
        if first.until(last)?.get_days() >= MAX_DAYS {
            bail!("the period is longer than ten years: choose a shorter one");
        }
        Ok(Self { first, last })
    }

    /// Returns the first day.
    pub fn first(&self) -> Date {
        self.first
    }

    /// Returns the last day.
    pub fn last(&self) -> Date {
        self.last
    }

    /// Returns every day of the period.
    pub fn days(&self) -> impl Iterator<Item = Date> {
        self.first.series(1.day()).take_while(|day| *day <= self.last)
    }

    /// Returns the start of the first day and the end of the last.
    ///
    /// # Errors
    /// The end cannot be represented.
    pub fn bounds(&self) -> anyhow::Result<(Timestamp, Timestamp)> {
        let midnight = |day: Date| day.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
        Ok((midnight(self.first)?, midnight(self.last.tomorrow()?)?))
    }
}

/// Returns the day of a time, in UTC.
pub(super) fn day_of(time: Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn period_includes_both_ends_and_no_future_day() {
        let today = day("2026-11-22");
        let leap = Period::between(day("2024-02-28"), day("2024-03-01"), today).unwrap();
        assert_eq!(
            leap.days().map(|day| day.to_string()).collect::<Vec<_>>(),
            ["2024-02-28", "2024-02-29", "2024-03-01"]
        );
        let (from, to) = leap.bounds().unwrap();
        assert_eq!((from.to_string(), to.to_string()), ("2024-02-28T00:00:00Z".into(), "2024-03-02T00:00:00Z".into()));
        assert_eq!(day_of(from), day("2024-02-28"));
        let month = Period::between(day("2026-11-01"), day("2026-11-30"), today).unwrap();
        assert_eq!(month.last(), today, "future days have no counters");
        assert!(Period::between(day("2026-11-02"), day("2026-11-01"), today).is_err());
        assert!(Period::between(day("2026-11-23"), day("2026-11-23"), today).is_err());
        assert!(Period::between(day("1999-01-01"), today, today).is_err());
    }
}
