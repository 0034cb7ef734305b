//! The result of fetching a file: the object `media/<hash>.json`, written once.

use aws::s3::{Condition, Put, Store};
use cloud_api::MissingFile;
use jiff::Timestamp;
use model::{Sha256, keys};
use serde::{Deserialize, Serialize};

use crate::{
    SourceError,
    cloud_api::objects::{OBJECT_LIMIT, read, write},
    inbox::unavailable,
};

/// The final result of fetching a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(crate) enum Facts {
    /// The file is in the bucket.
    There {
        v: u32,
        /// The key of its object.
        key: String,
        bytes: u64,
        sha256: Sha256,
        /// The digest of another content that came under the same id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        other: Option<Sha256>,
    },
    /// The file is not in the bucket, and no attempt follows.
    Lost { v: u32, why: MissingFile, at: Timestamp },
}

/// Reads the result; `None` while the file is being fetched.
pub(crate) async fn facts(store: &Store, media: &str) -> Result<Option<Facts>, SourceError> {
    let key = keys::media_facts(media);
    let Some(object) = store.get(&key, OBJECT_LIMIT).await.map_err(unavailable)? else { return Ok(None) };
    read(&key, &object.bytes).map(Some)
}

/// Writes the result unless one exists: the first one is kept.
pub(super) async fn keep(store: &Store, media: &str, facts: &Facts) -> Result<(), SourceError> {
    let key = keys::media_facts(media);
    let put = Put { key: &key, bytes: write(facts)?.into(), content_type: "application/json", sha256: None };
    store.put(put, Condition::Absent).await.map(drop).map_err(unavailable)
}
