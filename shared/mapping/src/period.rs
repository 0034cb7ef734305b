//! The period for which a row of the user map is valid.

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

use crate::{Column, Problem};

/// A period that includes its start and excludes its end; a missing bound is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Period {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Period {
    /// Reads the two cells. A date is a whole UTC day, also in `valid_to`: the last day is part of the period. A timestamp in
    /// `valid_to` is the first moment after the period.
    pub(crate) fn parse(valid_from: &str, valid_to: &str) -> Result<Self, Problem> {
        let from = parse_bound(valid_from, Column::ValidFrom, SignedDuration::ZERO)?;
        let to = parse_bound(valid_to, Column::ValidTo, SignedDuration::from_hours(24))?;
        match (from, to) {
            (Some(from), Some(to)) if from >= to => Err(Problem::EmptyPeriod),
            _ => Ok(Self { from, to }),
        }
    }

    pub(crate) fn is_unlimited(self) -> bool {
        self == Self::default()
    }

    pub(crate) fn contains(self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at < to)
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        let begins_before_end = |one: Self, other: Self| match (one.from, other.to) {
            (Some(from), Some(to)) => from < to,
            _ => true,
        };
        begins_before_end(self, other) && begins_before_end(other, self)
    }
}

fn parse_bound(cell: &str, column: Column, day_ends_after: SignedDuration) -> Result<Option<Timestamp>, Problem> {
    if cell.is_empty() {
        return Ok(None);
    }
    if let Ok(timestamp) = cell.parse::<Timestamp>() {
        return Ok(Some(timestamp));
    }
    // jiff also accepts a date followed by other text; the cell must contain only the date.
    let date = (cell.len() == "2026-01-31".len()).then(|| cell.parse::<Date>().ok()).flatten();
    let start = date.and_then(|date| date.to_zoned(TimeZone::UTC).ok()).map(|day| day.timestamp());
    start.and_then(|start| start.checked_add(day_ends_after).ok()).map(Some).ok_or(Problem::Date(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn period_includes_both_days_and_excludes_the_end_timestamp() {
        let days = Period::parse("2026-01-01", "2026-01-31").unwrap();
        assert!(!days.contains(at("2025-12-31T23:59:59.999Z")) && days.contains(at("2026-01-01T00:00:00Z")));
        assert!(days.contains(at("2026-01-31T23:59:59.999Z")) && !days.contains(at("2026-02-01T00:00:00Z")));
        let exact = Period::parse("2026-01-01T08:00:00+01:00", "2026-01-31T08:00:00Z").unwrap();
        assert!(exact.contains(at("2026-01-01T07:00:00Z")) && !exact.contains(at("2026-01-31T08:00:00Z")));
        let open = Period::parse("", "2026-01-31").unwrap();
        assert!(open.contains(Timestamp::MIN) && !open.is_unlimited());
        assert!(Period::parse("", "").unwrap().is_unlimited());
    }

    #[test]
    fn invalid_date_or_reversed_period_is_rejected() {
        for cell in ["31.01.2026", "01/31/2026", "2026-02-30", "2026", "soon", "2026-01-31 08:00"] {
            assert_eq!(Period::parse(cell, ""), Err(Problem::Date(Column::ValidFrom)), "{cell}");
            assert_eq!(Period::parse("", cell), Err(Problem::Date(Column::ValidTo)), "{cell}");
        }
        assert_eq!(Period::parse("2026-02-01", "2026-01-31"), Err(Problem::EmptyPeriod));
        assert!(Period::parse("2026-01-31", "2026-01-31").is_ok(), "one day");
    }

    #[test]
    fn adjacent_periods_do_not_overlap() {
        let period = |from, to| Period::parse(from, to).unwrap();
        let first = period("", "2026-01-31");
        assert!(!first.overlaps(period("2026-02-01", "")) && !period("2026-02-01", "").overlaps(first));
        assert!(first.overlaps(period("2026-01-31", "")) && first.overlaps(period("", "")));
        assert!(period("2026-01-01", "2026-12-31").overlaps(period("2026-03-01", "2026-03-02")));
    }
}
