//! The objects that the receiver writes beside the events.

use jiff::Timestamp;
use model::{ItemId, Sha256};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::SourceError;

/// The longest such object.
pub(super) const OBJECT_LIMIT: u64 = 64 << 10;

/// `received/<day>/<minute>/<key>.json`: an item to list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Received {
    pub(super) v: u32,
    pub(super) item: ItemId,
    pub(super) received: Timestamp,
}

/// `awaited/<key>.json`: only a copy without the content came yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Awaited {
    pub(super) v: u32,
    /// A copy that comes later is an item of its own.
    pub(super) until: Timestamp,
}

/// `statuses/<day>/<key>-<status>.json`: a message of this id was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SentStatus {
    pub(super) v: u32,
    pub(super) item: ItemId,
    pub(super) status: String,
    pub(super) received: Timestamp,
    /// The body that has it.
    pub(super) body: Sha256,
}

/// The version of all these shapes.
pub(super) const VERSION: u32 = 1;

pub(super) fn write<T: Serialize>(object: &T) -> Result<Vec<u8>, SourceError> {
    serde_json::to_vec(object)
        .map_err(|_| SourceError::Configuration { detail: "a record of a webhook could not be serialized".to_owned() })
}

/// Reads the object of a key. One that is not what the receiver writes is a configuration error.
pub(super) fn read<T: DeserializeOwned>(key: &str, object: &[u8]) -> Result<T, SourceError> {
    serde_json::from_slice(object).map_err(|_| SourceError::Configuration {
        detail: format!("{key} is not what the receiver writes: restore an earlier version of the object"),
    })
}
