//! A file to fetch, as a message on the media queue.

use cloud_api::MediaReference;
use jiff::Timestamp;
use model::{Sha256, keys};
use serde::{Deserialize, Serialize};

use super::{capture::Origin, objects::VERSION};

/// A file to fetch. It names no number, person or message: only WhatsApp's ids of the file and of the captured number.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaTask {
    v: u32,
    /// WhatsApp's id of the file.
    pub(super) media: String,
    /// WhatsApp's id of our number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) phone_number_id: Option<String>,
    /// AWS's id of our number, where the webhook came from AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) aws_phone_number_id: Option<String>,
    /// The digest that the webhook declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<Sha256>,
    /// When the webhook was received: the id lives for 7 days from then.
    pub(super) received: Timestamp,
}

/// The message is not a task to fetch a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is not a media task")]
pub struct MediaTaskError;

impl MediaTask {
    /// The task to fetch a file of an event.
    pub fn new(media: &MediaReference, origin: &Origin) -> Self {
        Self {
            v: VERSION,
            media: media.id.clone(),
            phone_number_id: media.phone_number_id.clone(),
            aws_phone_number_id: media.aws_phone_number_id.clone(),
            sha256: media.sha256,
            received: origin.received,
        }
    }

    /// Reads the body of a message.
    ///
    /// # Errors
    /// [`MediaTaskError`]: permanent.
    pub fn parse(body: &str) -> Result<Self, MediaTaskError> {
        let task: Self = serde_json::from_str(body).map_err(|_| MediaTaskError)?;
        if task.v == VERSION { Ok(task) } else { Err(MediaTaskError) }
    }

    /// The body of a message.
    pub fn to_json(&self) -> String {
        // Nothing in it can fail to be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether the webhook came from AWS, and AWS fetches the file.
    pub fn is_from_aws(&self) -> bool {
        self.aws_phone_number_id.is_some()
    }

    /// The file's name in the bucket, and in logs.
    pub fn key(&self) -> String {
        keys::media(self.phone_number_id.as_deref().unwrap_or_default(), &self.media)
    }
}
