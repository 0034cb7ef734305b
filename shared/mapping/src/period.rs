//! The period for which a row of the user map is valid.

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

use crate::{Column, Problem};

/// A period that includes its start and excludes its end; a missing bound is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Period {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Period {
    /// Reads the two cells. A date is a whole UTC day, also in `valid_to`: the last day is part of the period. A timestamp in
    /// `valid_to` is the first moment after the period. An end after the last representable moment, such as 9999-12-31, which
    /// exports of personnel systems contain, is an open end.
    pub(crate) fn parse(valid_from: &str, valid_to: &str) -> Result<Self, Problem> {
        let from = parse_bound(valid_from, Column::ValidFrom, SignedDuration::ZERO)?;
        let to = parse_bound(valid_to, Column::ValidTo, SignedDuration::from_hours(24))?;
        let to = to.filter(|&to| to != Timestamp::MAX);
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

/// Returns whether a cell looks like a date in any usual notation: three numbers, or two and a word between them, of which one
/// is a year.
pub(crate) fn looks_like_a_date(cell: &str) -> bool {
    let Some(date) = cell.split(|char: char| char.is_whitespace() || char == 'T').next() else { return false };
    let parts: Vec<&str> = date.trim_end_matches('.').split(['-', '/', '.']).collect();
    let [first, middle, last] = parts[..] else { return false };
    let number = |part: &str, range: std::ops::RangeInclusive<u32>| {
        (1..=4).contains(&part.len()) && part.parse().is_ok_and(|number| range.contains(&number))
    };
    let is_year = |part: &str| part.len() == 4 && (number(part, 1900..=2199) || part == "9999");
    let is_day = |part: &str| part.len() <= 2 && number(part, 1..=31);
    let is_month = (3..=12).contains(&middle.chars().count()) && middle.chars().all(char::is_alphabetic);
    (is_day(middle) || is_month) && (is_year(first) && is_day(last) || is_day(first) && is_year(last))
}

/// Reads a bound. A later moment than the last representable one is that one.
fn parse_bound(cell: &str, column: Column, day_ends_after: SignedDuration) -> Result<Option<Timestamp>, Problem> {
    if cell.is_empty() {
        return Ok(None);
    }
    if let Ok(timestamp) = cell.parse::<Timestamp>() {
        return Ok(Some(timestamp));
    }
    // The year 9999 exists in civil time, and its last day is not representable as a timestamp.
    if cell.strip_prefix("9999-12-").is_some_and(|rest| format!("9998-12-{rest}").parse::<Timestamp>().is_ok()) {
        return Ok(Some(Timestamp::MAX));
    }
    // jiff also accepts a date followed by other text; the cell must contain only the date.
    let date = (cell.len() == "2026-01-31".len()).then(|| cell.parse::<Date>().ok()).flatten();
    let date = date.ok_or(Problem::Date(column))?;
    let start = date.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |day| day.timestamp());
    Ok(Some(start.checked_add(day_ends_after).unwrap_or(Timestamp::MAX)))
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
    fn end_of_all_time_is_an_open_end() {
        for cell in ["9999-12-31", "9999-12-30", "9999-12-31T23:59:59Z", "9999-12-31T00:00:00+01:00"] {
            let period = Period::parse("", cell);
            assert_eq!(period, Ok(Period::default()), "{cell}");
            let from = Period::parse("2026-01-01", cell).unwrap();
            assert!(from.contains(Timestamp::MAX) && !from.contains(at("2025-12-31T00:00:00Z")), "{cell}");
        }
        // The other end, and a row that is never valid.
        for cell in ["0001-01-01", "1900-01-01", "0001-01-01T00:00:00Z"] {
            assert!(Period::parse(cell, "9999-12-31").unwrap().contains(Timestamp::UNIX_EPOCH), "{cell}");
        }
        assert!(!Period::parse("9999-12-31", "9999-12-31").unwrap().contains(at("2026-01-01T00:00:00Z")));
        assert_eq!(Period::parse("", "9999-12-32"), Err(Problem::Date(Column::ValidTo)));
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
    fn dates_look_like_dates_and_phone_numbers_do_not() {
        for cell in [
            "2026-01-31",
            "31.01.2026",
            "1/31/2026",
            "31-Jan-2026",
            "2026/1/31 08:00",
            "2026-01-31T08:00:00Z",
            "9999-12-31",
        ] {
            assert!(looks_like_a_date(cell), "{cell}");
        }
        for cell in ["", "20-12-3456", "+45 20 12 34 56", "1.2.3", "10.0.2026.1", "4520123456", "Ada", "202-555-0143"] {
            assert!(!looks_like_a_date(cell), "{cell}");
        }
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
