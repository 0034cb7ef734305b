//! What the function is told by its environment.

use environment::{VariableError, Variables};
use source::SourceSettings;

/// The environment variables that the function reads.
pub const VARIABLES: &[&str] = &[
    "ARCHIVER_SECRET_ID",
    "ARCHIVER_URL",
    "BUCKET",
    "CONVERT_QUEUE_URL",
    "EXPORT_DATE_ORDER",
    "EXPORT_PARTICIPANTS",
    "EXPORT_TIME_ZONE",
    "LOG_LEVEL",
    "SOURCE",
];

/// The values of [`VARIABLES`].
pub struct Settings {
    /// The bucket's name.
    pub bucket: String,
    /// Where ids go.
    pub convert_queue_url: String,
    /// Where items come from.
    pub source: SourceSettings,
}

impl Settings {
    /// Reads all but the log level.
    ///
    /// # Errors
    /// When one is missing or malformed.
    pub fn read(variables: &Variables) -> Result<Self, VariableError> {
        Ok(Self {
            bucket: variables.required("BUCKET", "the bucket's name")?,
            convert_queue_url: variables.required("CONVERT_QUEUE_URL", "the URL of the convert queue")?,
            source: SourceSettings::read(variables)?,
        })
    }
}
