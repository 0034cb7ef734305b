//! The configuration of the function: its environment variables.

use std::{str::FromStr, time::Duration};

use jiff::tz::TimeZone;
use model::DeadLetter;
use runtime::{VariableError, Variables, joined};
use source::SourceSettings;

/// The environment variables that the function reads.
pub const VARIABLES: &[&str] = &joined::<{ OWN.len() + source::VARIABLES.len() }>(OWN, source::VARIABLES);

/// The variables besides those of the source.
const OWN: &[&str] = &[
    "ARCHIVE_DOMAIN",
    "BUCKET",
    "CONVERT_QUEUE_URL",
    "DEAD_LETTER_QUEUE_URL",
    "IMPORT_QUEUE_URL",
    "LOG_LEVEL",
    "MAX_ITEM_BYTES",
    "MISSING_RETRY_SECONDS",
    "OVERSIZE",
    "OVERSIZE_MAX_BYTES",
    "RETRY_BASE_SECONDS",
    "TIME_ZONE",
];

/// The values of [`VARIABLES`].
pub struct Settings {
    /// The bucket's name.
    pub bucket: String,
    /// The queue that tasks are received from.
    pub convert_queue_url: String,
    /// The queue that import tasks are sent to.
    pub import_queue_url: String,
    /// The queue of dead letters.
    pub dead_letter_queue_url: String,
    /// The domain part of every Message-ID.
    pub archive_domain: String,
    /// Messages show its time beside UTC.
    pub time_zone: Option<TimeZone>,
    /// The largest item of the usual kind, in bytes of text and attachments before they are encoded.
    pub max_item_bytes: u64,
    /// The handling of larger items.
    pub oversize: Oversize,
    /// The largest item with [`Oversize::Import`].
    pub oversize_max_bytes: u64,
    /// Retry period for a listed item that the source does not have yet.
    pub missing_retry: Duration,
    /// The wait after the first failure of an item.
    pub retry_base: Duration,
    /// The source of the items.
    pub source: SourceSettings,
}

/// The handling of an item that is larger than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oversize {
    /// `dead-letter`: it becomes a dead letter.
    DeadLetter,
    /// `import`: it is filed as well, in pieces.
    Import,
}

impl FromStr for Oversize {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "dead-letter" => Ok(Self::DeadLetter),
            "import" => Ok(Self::Import),
            _ => Err("unrecognized value"),
        }
    }
}

struct Zone(TimeZone);

impl FromStr for Zone {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        TimeZone::get(name).map(Self).map_err(|_| "unrecognized time zone")
    }
}

impl Settings {
    /// 10 MB as mail systems count them.
    pub const DEFAULT_MAX_ITEM_BYTES: u64 = 10 * 1024 * 1024;

    /// Long enough for a source's index or file store that lags behind its list; short enough that an operator is
    /// informed on the same day.
    pub const DEFAULT_MISSING_RETRY_SECONDS: u64 = 2 * 60 * 60;

    /// Reads all variables but the log level.
    ///
    /// # Errors
    /// [`VariableError`]: a variable is missing or invalid.
    pub fn read(variables: &Variables) -> Result<Self, VariableError> {
        Ok(Self {
            bucket: variables.required("BUCKET", "the bucket's name")?,
            convert_queue_url: variables.required("CONVERT_QUEUE_URL", "the URL of the convert queue")?,
            import_queue_url: variables.required("IMPORT_QUEUE_URL", "the URL of the import queue")?,
            dead_letter_queue_url: variables.required("DEAD_LETTER_QUEUE_URL", "the URL of the dead-letter queue")?,
            archive_domain: variables
                .required("ARCHIVE_DOMAIN", "a domain name of yours, such as archive.example.com")?,
            time_zone: variables
                .optional("TIME_ZONE", "an IANA time zone, such as Europe/Copenhagen")?
                .map(|Zone(zone)| zone),
            max_item_bytes: variables.with_default(
                "MAX_ITEM_BYTES",
                "a number of bytes",
                Self::DEFAULT_MAX_ITEM_BYTES,
            )?,
            oversize: variables.with_default("OVERSIZE", "dead-letter or import", Oversize::DeadLetter)?,
            oversize_max_bytes: variables.with_default(
                "OVERSIZE_MAX_BYTES",
                "a number of bytes",
                DeadLetter::RAISED_MAX_ITEM_BYTES,
            )?,
            missing_retry: Duration::from_secs(variables.with_default(
                "MISSING_RETRY_SECONDS",
                "a number of seconds",
                Self::DEFAULT_MISSING_RETRY_SECONDS,
            )?),
            retry_base: Duration::from_secs(variables.with_default("RETRY_BASE_SECONDS", "a number of seconds", 5)?),
            source: SourceSettings::read(variables)?,
        })
    }

    /// Returns the largest item of all, in bytes: no less than [`max_item_bytes`](Self::max_item_bytes).
    pub fn large_item_max_bytes(&self) -> u64 {
        match self.oversize {
            Oversize::DeadLetter => self.max_item_bytes,
            Oversize::Import => self.oversize_max_bytes.max(self.max_item_bytes),
        }
    }
}
