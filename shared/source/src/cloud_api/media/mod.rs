//! Fetches the files of messages into the bucket as soon as a webhook names them: their ids expire after 7 days.

mod end_user_messaging;
mod facts;
mod graph;
mod token;

use aws::s3::{Condition, Put, Store, Written};
use bytes::Bytes;
use cloud_api::MissingFile;
use jiff::Timestamp;
use model::{Sha256, keys};
use runtime::metrics::{self, Metric};
use tracing::warn;

pub(super) use self::facts::{Facts, facts};
pub(super) use self::graph::{Got, GraphClient, body};
pub use self::{
    end_user_messaging::AwsMedia,
    graph::{DEFAULT_GRAPH_URL, GraphUrl, GraphUrlError, MetaMedia},
    token::{AccessToken, SecretToken},
};
use super::{
    media_task::{FILE_WAIT, MediaTask},
    objects::VERSION,
};
use crate::{SourceError, inbox::unavailable};

/// Above WhatsApp's limit, which is 100 MB.
pub(super) const MAX_MEDIA_BYTES: u64 = 128 << 20;

/// The API that files are fetched from.
#[allow(clippy::large_enum_variant, reason = "a process has one; the sizes depend on features")]
pub enum MediaApi {
    /// Meta's Graph API. The file is in memory while it is fetched.
    Meta(MetaMedia),
    /// AWS End User Messaging Social, which writes into the bucket itself.
    Aws(AwsMedia),
}

/// The result of a media task. The task is complete in each case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaOutcome {
    /// The file was stored.
    Stored,
    /// An earlier task stored the file or gave it up.
    DoneBefore,
    /// The file was given up; the item is filed without it.
    Lost(MissingFile),
}

/// The reason why a file was not fetched.
pub(super) enum Failure {
    /// The API does not have the file: not yet, or not any more.
    NotFound,
    /// The bytes do not have the declared digest.
    Mismatch,
    /// The file is larger than WhatsApp's limit.
    TooLarge,
    Source(SourceError),
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

/// A file in the bucket.
struct Stored {
    key: String,
    bytes: u64,
    sha256: Sha256,
    /// The digest of another content that came under the same id, and is in the bucket, too.
    other: Option<Sha256>,
}

/// Counts an answer that there were too many requests.
fn throttled() {
    metrics::add(Metric::FileThrottles, 1);
}

/// Fetches files into the bucket.
pub struct MediaFetcher {
    store: Store,
    api: MediaApi,
}

impl MediaFetcher {
    /// Creates a fetcher for this bucket.
    pub fn new(store: Store, api: MediaApi) -> Self {
        Self { store, api }
    }

    /// Fetches a file unless an earlier task has finished. A missing file is retried for 6 days, then given up.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] or [`SourceError::Configuration`]: retry the task.
    pub async fn fetch(&self, task: &MediaTask, now: Timestamp) -> Result<MediaOutcome, SourceError> {
        let media = task.key();
        match facts(&self.store, &media).await? {
            None => {}
            Some(Facts::There { sha256, .. }) if task.sha256.is_some_and(|declared| declared != sha256) => {
                return Ok(MediaOutcome::Lost(MissingFile::Mismatch));
            }
            Some(_) => return Ok(MediaOutcome::DoneBefore),
        }
        let fetched = match &self.api {
            MediaApi::Meta(meta) => match meta.file(task).await {
                Ok(bytes) => self.keep(&media, bytes, task.sha256).await.map_err(Failure::from),
                Err(failure) => Err(failure),
            },
            MediaApi::Aws(aws) => aws.file(&self.store, &media, task).await,
        };
        let is_over = now.duration_since(task.received) >= FILE_WAIT;
        let unavailable = |detail: &str| SourceError::Unavailable { detail: detail.to_owned(), retry_after: None };
        let why = match fetched {
            Ok(Stored { key, bytes, sha256, other }) => {
                if other.is_some() {
                    warn!(file = media, "file received twice with different contents, both kept");
                }
                facts::keep(&self.store, &media, &Facts::There { v: VERSION, key, bytes, sha256, other }).await?;
                return Ok(MediaOutcome::Stored);
            }
            Err(Failure::TooLarge) => MissingFile::TooLarge,
            Err(Failure::NotFound) if is_over => MissingFile::Erased,
            Err(Failure::Mismatch) if is_over => MissingFile::Mismatch,
            Err(Failure::NotFound) => {
                return Err(unavailable("WhatsApp does not have the file, or the access token may not read it"));
            }
            Err(Failure::Mismatch) => {
                return Err(unavailable("the file does not have the SHA-256 that the webhook says"));
            }
            Err(Failure::Source(error)) => return Err(error),
        };
        facts::keep(&self.store, &media, &Facts::Lost { v: VERSION, why, at: now }).await?;
        Ok(MediaOutcome::Lost(why))
    }

    /// Writes the bytes. Some may be there from an attempt that ended before it wrote its facts. If they differ, these are
    /// written beside them, and the content that has the declared digest is the file; without one, the first.
    async fn keep(&self, media: &str, bytes: Bytes, declared: Option<Sha256>) -> Result<Stored, SourceError> {
        let (key, sha256, length) = (keys::media_bytes(media), Sha256::of(&bytes), bytes.len() as u64);
        if self.create(&key, bytes.clone(), sha256).await? == Written::Conflict {
            let first = self.store.read_digest(&key).await.map_err(unavailable)?;
            let (first, first_bytes) = first.ok_or_else(|| SourceError::Configuration {
                detail: format!("{key} is not what the receiver writes: restore an earlier version of the object"),
            })?;
            if first != sha256 {
                let beside = keys::media_other_bytes(media, &sha256);
                self.create(&beside, bytes, sha256).await?;
                return Ok(match declared {
                    Some(_) => Stored { key: beside, bytes: length, sha256, other: Some(first) },
                    None => Stored { key, bytes: first_bytes, sha256: first, other: Some(sha256) },
                });
            }
        }
        Ok(Stored { key, bytes: length, sha256, other: None })
    }

    async fn create(&self, key: &str, bytes: Bytes, sha256: Sha256) -> Result<Written, SourceError> {
        let put = Put { key, bytes, content_type: "application/octet-stream", sha256: Some(sha256) };
        self.store.put(put, Condition::Absent).await.map_err(unavailable)
    }
}

#[cfg(test)]
mod tests;
