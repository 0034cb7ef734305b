//! The objects that receive writes in addition to the events.

use jiff::Timestamp;
use model::{ItemId, Sha256};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::SourceError;

/// Maximum size of such an object, in bytes.
pub(super) const OBJECT_LIMIT: u64 = 64 << 10;

/// `received/<day>/<minute>/<key>.json`: an item to list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Received {
    pub(super) v: u32,
    pub(super) item: ItemId,
    pub(super) received: Timestamp,
}

/// `awaited/<key>.json`: all copies received so far lack the content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Awaited {
    pub(super) v: u32,
    /// End of the wait. Content that arrives later, or less than `Completeness::LATE_MARGIN` before, becomes a separate
    /// item.
    pub(super) until: Timestamp,
}

/// `statuses/<day>/<key>-<status>.json`: a message with this id was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SentStatus {
    pub(super) v: u32,
    pub(super) item: ItemId,
    pub(super) status: String,
    pub(super) received: Timestamp,
    /// Digest of the body that contains the status.
    pub(super) body: Sha256,
}

/// `histories/<hash>/<phase>-<chunk>-<progress>.json` or `histories/<hash>/declined-<code>.json`: a chunk of the history of a
/// phone was received, or WhatsApp sends none. Its name says which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct History {
    pub(super) v: u32,
    /// Meta's id of the number. Not a phone number.
    pub(super) phone_number_id: String,
    pub(super) received: Timestamp,
    /// Digest of the body that contains the chunk.
    pub(super) body: Sha256,
}

/// `processed/<day>/<digest>-<first>-<end>-<total>.json`: the events of a part of a body are written. Its name says all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Processed {
    pub(super) v: u32,
}

/// Version of all these formats.
pub(super) const VERSION: u32 = 1;

pub(super) fn write<T: Serialize>(object: &T) -> Result<Vec<u8>, SourceError> {
    serde_json::to_vec(object)
        .map_err(|_| SourceError::Configuration { detail: "a record of a webhook could not be serialized".to_owned() })
}

/// Parses an object. An object that receive did not write is a configuration error.
pub(super) fn read<T: DeserializeOwned>(key: &str, object: &[u8]) -> Result<T, SourceError> {
    serde_json::from_slice(object).map_err(|_| SourceError::Configuration {
        detail: format!("{key} was not written by receive: restore an earlier version of the object"),
    })
}
