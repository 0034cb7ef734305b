//! The task to write the events of a stored body: a message on the receive queue.

use cloud_api::Channel;
use jiff::Timestamp;
use model::Sha256;
use serde::{Deserialize, Serialize};

/// The task to write the events of a stored body. Contains only the body's key, so that the queue contains no personal
/// data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookTask {
    /// [`TASK_VERSION`](model::TASK_VERSION).
    pub v: u32,
    /// Time at which the body was received: part of its key.
    pub received: Timestamp,
    /// The digest of the body: the rest of its key.
    pub webhook: Sha256,
    /// The way that it came, which decides its envelope.
    #[serde(default, skip_serializing_if = "is_meta")]
    pub channel: Channel,
    /// The events to write; all of them if none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<WebhookPart>,
}

/// A part of a body's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookPart {
    /// Number of events before it.
    pub first: usize,
    /// Maximum number of its events.
    pub count: usize,
    /// Number of the body's events. Absent in tasks of an earlier build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<usize>,
}

impl WebhookTask {
    /// Returns the body of its message.
    pub fn to_json(&self) -> String {
        // All members serialize without errors.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn is_meta(channel: &Channel) -> bool {
    *channel == Channel::Meta
}
