//! The facts about a file: `media/<hash>.json`, written once.

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

/// The end of a file's fetching.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(crate) enum Facts {
    /// Its bytes are in the bucket.
    There {
        v: u32,
        /// The object.
        key: String,
        bytes: u64,
        sha256: Sha256,
    },
    /// It will not be fetched any more.
    Lost { v: u32, why: MissingFile, at: Timestamp },
}

/// The facts of a file; `None` while it is being fetched.
pub(crate) async fn facts(store: &Store, media: &str) -> Result<Option<Facts>, SourceError> {
    let key = keys::media_facts(media);
    let Some(object) = store.get(&key, OBJECT_LIMIT).await.map_err(unavailable)? else { return Ok(None) };
    read(&key, &object.bytes).map(Some)
}

/// Writes them, unless there are some: the first stay.
pub(super) async fn keep(store: &Store, media: &str, facts: &Facts) -> Result<(), SourceError> {
    let key = keys::media_facts(media);
    let put = Put { key: &key, bytes: write(facts)?.into(), content_type: "application/json", sha256: None };
    store.put(put, Condition::Absent).await.map(drop).map_err(unavailable)
}
