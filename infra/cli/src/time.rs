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

/// Ends the command with a usage error if a period is empty.
pub fn check_period(from: Option<Timestamp>, to: Option<Timestamp>) {
    if let Err(why) = period(from, to) {
        clap::Error::raw(clap::error::ErrorKind::ValueValidation, why).exit();
    }
}

fn period(from: Option<Timestamp>, to: Option<Timestamp>) -> Result<(), String> {
    match (from, to) {
        (Some(from), Some(to)) if to <= from => Err(format!("--to {to} is not after --from {from}\n")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn period_ends_after_it_begins() {
        let [first, last] = ["2026-11-01", "2026-11-02"].map(|text| time(text).ok());
        assert!(
            [(first, last), (first, None), (None, last), (None, None)]
                .iter()
                .all(|(from, to)| period(*from, *to).is_ok())
        );
        assert!(period(first, first).is_err() && period(last, first).is_err());
    }

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
