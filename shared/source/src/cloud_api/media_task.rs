//! A file to fetch, as a message on the media queue.

use std::time::Duration;

use cloud_api::{MediaReference, Origin};
use jiff::{SignedDuration, Timestamp};
use model::{Sha256, keys};
use serde::{Deserialize, Serialize};

use super::objects::VERSION;

/// Age at which a file is given up, and its item is filed without it. WhatsApp keeps a file for 7 days, but SQS gives a
/// message up after 300 receives: with the longest wait between them these take 6.25 days, and later the item would be a
/// dead letter instead.
pub(super) const FILE_WAIT: SignedDuration = SignedDuration::from_hours(6 * 24);

/// Younger files are retried with the queue's own waits.
const SOON: SignedDuration = SignedDuration::from_hours(1);

/// The longest wait that the queue obeys.
const LONG_WAIT: Duration = Duration::from_secs(30 * 60);

/// The minimum wait before the next attempt for a file of this age. With the queue's own waits 300 receives would end after
/// two or three days.
pub(super) fn retry_after(age: SignedDuration) -> Option<Duration> {
    (age >= SOON).then_some(LONG_WAIT)
}

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

    /// Returns whether the webhook came from AWS, and AWS fetches the file.
    pub fn is_from_aws(&self) -> bool {
        self.aws_phone_number_id.is_some()
    }

    /// The minimum wait before the next attempt, if one is needed to retry the file for as long as WhatsApp may have it.
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        retry_after(now.duration_since(self.received))
    }

    /// The file's name in the bucket, and in logs.
    pub fn key(&self) -> String {
        keys::media(self.phone_number_id.as_deref().unwrap_or_default(), &self.media)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_retried_until_it_is_given_up() {
        const MAX_RECEIVES: i32 = 300;
        let task = r#"{"v":1,"media":"1000","received":"2026-11-27T09:00:00Z"}"#;
        let task = MediaTask::parse(task).expect("a task");
        assert_eq!(task.retry_after(task.received + SOON / 2), None);
        let wait = task.retry_after(task.received + SOON).expect("a wait");
        // The queue's own waits take at most 13 receives in the first hour.
        let retried = SignedDuration::try_from(wait).expect("a duration") * (MAX_RECEIVES - 13);
        assert!(SOON + retried > FILE_WAIT);
    }
}
