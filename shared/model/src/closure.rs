//! The record of an operator's decision to close an incident: a vendor's incomplete delivery, or a value of a webhook that
//! was not recognized.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `closures/<hash of the file's key and version>.json`, written once by `archiver incidents close`. A later version of
/// the file with problems is another incident. A value has the key of its record, and no version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closure {
    /// Version of the format: 1.
    pub v: u32,
    /// The key of the file, or of the record of a value.
    pub file: String,
    /// The version of the file: S3's tag. Empty for a value.
    pub etag: String,
    /// The operator, as stated by themselves; S3's access log has the identity of the request.
    pub by: String,
    /// Time of the decision.
    pub at: Timestamp,
    /// The reason, in the operator's words.
    pub reason: String,
    /// The problems at that time, in sentences.
    pub problems: Vec<String>,
}

impl Closure {
    /// The version of the format.
    pub const VERSION: u32 = 1;

    /// Returns operator, time and reason in one sentence.
    pub fn sentence(&self) -> String {
        format!("closed by {} on {:.0}: {}", self.by, self.at, self.reason)
    }
}
