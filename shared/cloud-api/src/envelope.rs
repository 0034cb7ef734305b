//! An event as the bucket keeps it.

use jiff::Timestamp;
use model::{ItemId, Sha256};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The channel through which a webhook was received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// An HTTP POST from Meta, or from a provider that passes Meta's payload on.
    #[default]
    Meta,
    /// A notification from AWS End User Messaging Social.
    Aws,
}

/// The list in a webhook's `value` that contained the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum List {
    Messages,
    Echoes,
    History,
    Calls,
    Groups,
}

/// An event, with the parts of its webhook that describe it. The same event in two webhooks serializes to the same
/// bytes, so it is stored once.
#[derive(Serialize, Deserialize)]
pub(crate) struct Envelope {
    /// Version of the format: 1.
    pub(crate) v: u32,
    pub(crate) id: ItemId,
    pub(crate) list: List,
    /// The `field` of the webhook's change.
    pub(crate) field: String,
    /// The id of the business account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<String>,
    /// The webhook's `metadata`: the business number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<Box<RawValue>>,
    /// The webhook's contacts that take part in the event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) contacts: Vec<Box<RawValue>>,
    /// The id of the thread, if the event comes from a history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) thread: Option<String>,
    /// The repairs that were needed to parse the body, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) repairs: Vec<String>,
    /// The event exactly as received.
    pub(crate) event: Box<RawValue>,
}

/// The webhook of an event, and the time at which the event is written.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// Time at which the body was received.
    pub received: Timestamp,
    /// Time at which writing the event begins. fetch lists an event by this time, because it may have listed the minute
    /// of `received` already.
    pub written: Timestamp,
    /// Digest of the raw body.
    pub body: Sha256,
    /// The channel through which the body was received.
    pub channel: Channel,
}

/// The object `events/<key>/<digest>.json`: an event, with the time and the body of its first receipt.
#[derive(Serialize, Deserialize)]
pub struct StoredEvent {
    v: u32,
    /// Time at which the body was received.
    pub received: Timestamp,
    /// Time at which the event was written; fetch lists it by this time.
    pub written: Timestamp,
    /// Digest of the raw body, which is stored under `webhooks/`.
    pub body: Sha256,
    /// The channel through which the body was received.
    #[serde(rename = "door")]
    pub channel: Channel,
    pub(crate) event: Envelope,
}

#[derive(Serialize)]
struct Written<'a> {
    v: u32,
    received: Timestamp,
    written: Timestamp,
    body: Sha256,
    #[serde(rename = "door")]
    channel: Channel,
    event: &'a RawValue,
}

impl StoredEvent {
    const VERSION: u32 = 1;

    /// Serializes the object of an event ([`Event::json`](crate::Event::json)). `None` if `json` is not valid JSON.
    pub fn write(json: &[u8], origin: &Origin) -> Option<Vec<u8>> {
        let event: &RawValue = serde_json::from_slice(json).ok()?;
        let Origin { received, written, body, channel } = *origin;
        serde_json::to_vec(&Written { v: Self::VERSION, received, written, body, channel, event }).ok()
    }

    /// Parses the object. `None` if it is invalid.
    pub fn read(object: &[u8]) -> Option<Self> {
        serde_json::from_slice(object).ok()
    }

    /// Returns the event exactly as received: the evidence.
    pub fn evidence(&self) -> &[u8] {
        self.event.event.get().as_bytes()
    }
}
