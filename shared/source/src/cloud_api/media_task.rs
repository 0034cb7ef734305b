//! The task to fetch a file: a message on the receive queue.

use std::time::Duration;

use cloud_api::{MediaReference, Origin};
use jiff::{SignedDuration, Timestamp};
use model::{Sha256, keys};
use serde::{Deserialize, Serialize};

use super::objects::VERSION;

/// Age at which a file is given up, and its item is filed without it. WhatsApp keeps a file for 7 days, but SQS moves a
/// message to the dead-letter queue after 300 receives, which take 6.25 days with the longest wait between them. The
/// file must be given up before that, or the task would become a dead letter.
pub(super) const FILE_WAIT: SignedDuration = SignedDuration::from_hours(6 * 24);

/// Age up to which a file is retried with the queue's own waits.
const SOON: SignedDuration = SignedDuration::from_hours(1);

/// The longest wait that `sqs-batch` grants.
const LONG_WAIT: Duration = Duration::from_secs(30 * 60);

/// Returns the minimum wait before the next attempt for a file of this age. With the queue's own, shorter waits the 300
/// receives would be used up after two or three days.
pub(super) fn retry_after(age: SignedDuration) -> Option<Duration> {
    (age >= SOON).then_some(LONG_WAIT)
}

/// Returns the time from which an item waits for its files: the receipt of its first copy. A placeholder may have used a part
/// of the wait, and each further copy may name another file: the receives of convert's task would not last for all of
/// their waits. A copy that comes after such a wait has a task of its own, and begins another one.
pub(super) fn wait_begins(mut received: Vec<Timestamp>) -> Option<Timestamp> {
    received.sort();
    received.into_iter().reduce(|begin, next| if next.duration_since(begin) < FILE_WAIT { begin } else { next })
}

/// The task to fetch a file. It contains only WhatsApp's ids of the file and of the business number: no phone number,
/// person or message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaTask {
    v: u32,
    /// WhatsApp's id of the file.
    pub(super) media: String,
    /// WhatsApp's id of the business number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) phone_number_id: Option<String>,
    /// AWS's id of the business number, if the webhook came from AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) aws_phone_number_id: Option<String>,
    /// The digest that the webhook declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<Sha256>,
    /// Time at which the webhook was received: the id of the file expires 7 days later.
    pub(super) received: Timestamp,
}

/// The message is not a task to fetch a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is not a media task")]
pub struct MediaTaskError;

impl MediaTask {
    /// Creates the task for a file of an event.
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

    /// Parses the body of a message.
    ///
    /// # Errors
    /// [`MediaTaskError`]: permanent.
    pub fn parse(body: &str) -> Result<Self, MediaTaskError> {
        let task: Self = serde_json::from_str(body).map_err(|_| MediaTaskError)?;
        if task.v == VERSION { Ok(task) } else { Err(MediaTaskError) }
    }

    /// Returns the body of a message.
    pub fn to_json(&self) -> String {
        // All members serialize without errors.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Returns whether the webhook came from AWS, so that AWS fetches the file.
    pub fn is_from_aws(&self) -> bool {
        self.aws_phone_number_id.is_some()
    }

    /// Returns the minimum wait before the next attempt; `None` if the queue's own wait is long enough.
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        retry_after(now.duration_since(self.received))
    }

    /// Returns the hash that identifies the file in the bucket and in logs.
    pub fn key(&self) -> String {
        keys::media(self.phone_number_id.as_deref().unwrap_or_default(), &self.media)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_waits_for_its_files_from_its_first_copy() {
        let at =
            |days: i64| "2026-11-01T09:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(24 * days);
        for (received, begin) in [
            (vec![0], 0),
            (vec![5, 0], 0),
            (vec![0, 1, 5, 5], 0),
            // The first file was given up by then.
            (vec![0, 6], 6),
            (vec![200, 0, 5, 203], 200),
        ] {
            assert_eq!(wait_begins(received.iter().copied().map(at).collect()), Some(at(begin)), "{received:?}");
        }
        assert_eq!(wait_begins(Vec::new()), None);
    }

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
