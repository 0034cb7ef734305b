//! How an operator writes a time.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// A time with its offset from UTC, or a date, which is the midnight in UTC that it begins with.
///
/// # Errors
/// A sentence that says how it is written.
pub fn time(text: &str) -> Result<Timestamp, String> {
    let midnight = |date: Date| date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
    // A date's parser takes a time without an offset too, and leaves its hours out.
    let time =
        if text.len() == "2026-11-01".len() { text.parse().and_then(midnight) } else { text.parse::<Timestamp>() };
    time.map_err(|_| "a time is written 2026-11-01 (midnight in UTC) or 2026-11-01T07:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_midnight_in_utc_and_a_time_has_an_offset() {
        let at = |text: &str| time(text).map(|time| time.to_string()).ok();
        assert_eq!(at("2026-11-01").as_deref(), Some("2026-11-01T00:00:00Z"));
        assert_eq!(at("2026-11-01T01:00:00+01:00").as_deref(), Some("2026-11-01T00:00:00Z"));
        for text in ["2026-11-01T07:00:00", "2026-11-31", "1.11.2026", "yesterday", ""] {
            assert_eq!(at(text), None, "{text}");
        }
    }
}
