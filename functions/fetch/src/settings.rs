//! The configuration of the function: its environment variables.

use std::str::FromStr;

use jiff::SignedDuration;
use runtime::{VariableError, Variables, joined};
use source::SourceSettings;

/// The environment variables that the function reads.
pub const VARIABLES: &[&str] = &joined::<{ OWN.len() + source::VARIABLES.len() }>(OWN, source::VARIABLES);

/// The variables besides those of the source.
const OWN: &[&str] = &["BUCKET", "CONVERT_QUEUE_URL", "LOG_LEVEL", "OVERLAP_HOURS", "SOURCE_DAYS"];

/// The values of [`VARIABLES`].
pub struct Settings {
    /// The bucket's name.
    pub bucket: String,
    /// The queue that receives the ids.
    pub convert_queue_url: String,
    /// `OVERLAP_HOURS`: time from the beginning of a run's window to the end of the last run.
    pub overlap: SignedDuration,
    /// `SOURCE_DAYS`: time after which the bucket deletes what the source lists. `None` if it deletes nothing.
    pub kept_for: Option<SignedDuration>,
    /// The source of the items.
    pub source: SourceSettings,
}

impl Settings {
    /// Reads all variables except the log level.
    ///
    /// # Errors
    /// [`VariableError`]: a variable is missing or invalid.
    pub fn read(variables: &Variables) -> Result<Self, VariableError> {
        Ok(Self {
            bucket: variables.required("BUCKET", "the bucket's name")?,
            convert_queue_url: variables.required("CONVERT_QUEUE_URL", "the URL of the convert queue")?,
            overlap: variables.with_default("OVERLAP_HOURS", OverlapHours::EXPECTED, OverlapHours::DEFAULT)?.0,
            kept_for: variables.with_default("SOURCE_DAYS", SourceDays::EXPECTED, SourceDays(None))?.0,
            source: SourceSettings::read(variables)?,
        })
    }
}

/// At most a week: the entries of the overlap are compared in memory.
struct OverlapHours(SignedDuration);

impl OverlapHours {
    const EXPECTED: &str = "a number of hours from 1 to 168";
    const DEFAULT: Self = Self(SignedDuration::from_hours(24));
}

impl FromStr for OverlapHours {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(hours @ 1..=168) => Ok(Self(SignedDuration::from_hours(hours))),
            _ => Err("out of range"),
        }
    }
}

struct SourceDays(Option<SignedDuration>);

impl SourceDays {
    const EXPECTED: &str = "a number of days, 0 for no limit";
}

impl FromStr for SourceDays {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let days: u16 = text.parse().map_err(|_| "not a number of days")?;
        Ok(Self((days > 0).then(|| SignedDuration::from_hours(24 * i64::from(days)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_days_are_unlimited_when_zero_or_unset() {
        let read = |days: &str| {
            let value = |name: &str| match name {
                "SOURCE" => Some("cloud-api".to_owned()),
                "SOURCE_DAYS" => Some(days.to_owned()),
                "BUCKET" | "CONVERT_QUEUE_URL" => Some(name.to_owned()),
                _ => None,
            };
            Settings::read(&Variables::from_values(VARIABLES, value)).map(|settings| settings.kept_for)
        };
        assert_eq!((read(""), read("0")), (Ok(None), Ok(None)));
        assert_eq!(read("30"), Ok(Some(SignedDuration::from_hours(720))));
        assert!(read("-1").is_err());
    }

    #[test]
    fn overlap_is_one_day_by_default_and_at_most_a_week() {
        let read = |hours: &str| {
            let value = |name: &str| match name {
                "SOURCE" => Some("chat-export".to_owned()),
                "EXPORT_TIME_ZONE" => Some("UTC".to_owned()),
                "OVERLAP_HOURS" => Some(hours.to_owned()),
                "BUCKET" | "CONVERT_QUEUE_URL" => Some(name.to_owned()),
                _ => None,
            };
            Settings::read(&Variables::from_values(VARIABLES, value)).map(|settings| settings.overlap)
        };
        assert_eq!(read(""), Ok(SignedDuration::from_hours(24)));
        assert_eq!(read("168"), Ok(SignedDuration::from_hours(168)));
        for wrong in ["0", "169", "-1", "1.5", "one"] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains("OVERLAP_HOURS") && error.contains("1 to 168"), "{error}");
        }
    }
}
