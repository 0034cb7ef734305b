//! Fetches the files of messages into the bucket, as soon as a webhook names them: their ids live for 7 days.

mod end_user_messaging;
mod facts;
mod graph;
mod token;

use aws::s3::{Condition, Put, Store};
use bytes::Bytes;
use cloud_api::MissingFile;
use jiff::Timestamp;
use model::{Sha256, keys};

pub(super) use self::facts::{Facts, facts};
pub use self::{
    end_user_messaging::AwsMedia,
    graph::{GraphUrl, GraphUrlError, MetaMedia},
    token::{AccessToken, SecretToken},
};
use super::{
    media_task::{FILE_WAIT, MediaTask},
    objects::VERSION,
};
use crate::{SourceError, inbox::unavailable};

/// WhatsApp takes files of up to 100 MB.
pub(super) const MAX_MEDIA_BYTES: u64 = 128 << 20;

/// Where files are fetched from.
#[allow(clippy::large_enum_variant, reason = "a process has one; the sizes depend on features")]
pub enum MediaDoor {
    /// Meta's Graph API.
    Meta(MetaMedia),
    /// AWS End User Messaging Social, which writes into the bucket itself.
    Aws(AwsMedia),
}

/// The result of fetching a file. The task is done in each case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaOutcome {
    /// It is in the bucket now.
    Stored,
    /// An earlier task has ended it.
    DoneBefore,
    /// It is lost, and the item will be filed without it.
    Lost(MissingFile),
}

/// The reason why a file was not fetched.
pub(super) enum Failure {
    /// The source does not have it. It may be too early or too late.
    NotFound,
    /// Its bytes do not have the declared digest.
    Mismatch,
    /// It is larger than any that WhatsApp takes.
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
}

/// Fetches files into the bucket. A file is in memory while it is fetched from Meta.
pub struct MediaFetcher {
    store: Store,
    door: MediaDoor,
}

impl MediaFetcher {
    /// Fetches into this bucket.
    pub fn new(store: Store, door: MediaDoor) -> Self {
        Self { store, door }
    }

    /// Fetches a file, unless it was fetched before. A file that is not there is retried for 6 days.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] and [`SourceError::Configuration`]: both are to be retried.
    pub async fn fetch(&self, task: &MediaTask, now: Timestamp) -> Result<MediaOutcome, SourceError> {
        let media = task.key();
        if facts(&self.store, &media).await?.is_some() {
            return Ok(MediaOutcome::DoneBefore);
        }
        let fetched = match &self.door {
            MediaDoor::Meta(meta) => match meta.file(task).await {
                Ok(bytes) => self.keep(&media, bytes).await.map_err(Failure::from),
                Err(failure) => Err(failure),
            },
            MediaDoor::Aws(aws) => aws.file(&self.store, &media, task).await,
        };
        let is_over = now.duration_since(task.received) >= FILE_WAIT;
        let unavailable = |detail: &str| SourceError::Unavailable { detail: detail.to_owned(), retry_after: None };
        let why = match fetched {
            Ok(Stored { key, bytes, sha256 }) => {
                facts::keep(&self.store, &media, &Facts::There { v: VERSION, key, bytes, sha256 }).await?;
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

    async fn keep(&self, media: &str, bytes: Bytes) -> Result<Stored, SourceError> {
        let (key, sha256, length) = (keys::media_bytes(media), Sha256::of(&bytes), bytes.len() as u64);
        let put = Put { key: &key, bytes, content_type: "application/octet-stream", sha256: Some(sha256) };
        // One that is there was cut off before its facts were written, and has the same digest.
        self.store.put(put, Condition::Absent).await.map_err(unavailable)?;
        Ok(Stored { key, bytes: length, sha256 })
    }
}
