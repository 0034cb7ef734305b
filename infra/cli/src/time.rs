//! Parses the times in the command's arguments (`--from`, `--to`).

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// Parses a time with an offset from UTC, or a date, which means midnight in UTC.
///
/// # Errors
/// A message with the accepted forms.
pub fn time(text: &str) -> Result<Timestamp, String> {
    let midnight = |date: Date| date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
    // The parser of a date also accepts a time without an offset and ignores its hours.
    let time =
        if text.len() == "2026-11-01".len() { text.parse().and_then(midnight) } else { text.parse::<Timestamp>() };
    time.map_err(|_| "expected a time such as 2026-11-01 (midnight in UTC) or 2026-11-01T07:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_is_midnight_in_utc_and_a_time_needs_an_offset() {
        let at = |text: &str| time(text).map(|time| time.to_string()).ok();
        assert_eq!(at("2026-11-01").as_deref(), Some("2026-11-01T00:00:00Z"));
        assert_eq!(at("2026-11-01T01:00:00+01:00").as_deref(), Some("2026-11-01T00:00:00Z"));
        for text in ["2026-11-01T07:00:00", "2026-11-31", "1.11.2026", "yesterday", ""] {
            assert_eq!(at(text), None, "{text}");
        }
    }
}
