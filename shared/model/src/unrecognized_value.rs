//! The record of a value of a webhook that was not recognized.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Sha256;

/// `unrecognized/<day>/<key>.json`, written once by receive: a value that may contain messages and was not recognized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnrecognizedValue {
    /// Version of the format: 1.
    pub v: u32,
    /// Time of receipt of the webhook.
    pub received: Timestamp,
    /// Digest of the body that contains the value.
    pub body: Sha256,
}
