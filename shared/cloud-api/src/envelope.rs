//! An event as the bucket keeps it.

use jiff::Timestamp;
use model::{ItemId, Sha256};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The way that a webhook came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// Meta's POST.
    Meta,
    /// AWS End User Messaging Social.
    Aws,
}

/// The list of a webhook's value that an event was in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum List {
    Messages,
    Echoes,
    History,
    Calls,
    Groups,
}

/// An event with what its webhook says about it. The same event in two webhooks has the same bytes, so it is stored once.
#[derive(Serialize, Deserialize)]
pub(crate) struct Envelope {
    /// The version of this shape: 1.
    pub(crate) v: u32,
    pub(crate) id: ItemId,
    pub(crate) list: List,
    /// The field of the change.
    pub(crate) field: String,
    /// The id of the business account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<String>,
    /// Our number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<Box<RawValue>>,
    /// The contacts of the webhook that take part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) contacts: Vec<Box<RawValue>>,
    /// The id of the thread, in a history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) thread: Option<String>,
    /// The repairs of the body, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) repairs: Vec<String>,
    /// The event exactly as it came.
    pub(crate) event: Box<RawValue>,
}

/// The webhook of an event, and the time at which the event is written.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// Time at which the body was received.
    pub received: Timestamp,
    /// Time at which the event begins to be written: fetch may have listed the minute of `received` already.
    pub written: Timestamp,
    /// The digest of the raw body.
    pub body: Sha256,
    /// The way that it came.
    pub door: Door,
}

/// `events/<key>/<digest>.json`: an event, and when and in which body it came first.
#[derive(Serialize, Deserialize)]
pub struct StoredEvent {
    v: u32,
    /// Time at which the body was received.
    pub received: Timestamp,
    /// Time at which the event was written, under which fetch lists it.
    pub written: Timestamp,
    /// The digest of the raw body, which is kept.
    pub body: Sha256,
    /// The way that it came.
    pub door: Door,
    pub(crate) event: Envelope,
}

#[derive(Serialize)]
struct Written<'a> {
    v: u32,
    received: Timestamp,
    written: Timestamp,
    body: Sha256,
    door: Door,
    event: &'a RawValue,
}

impl StoredEvent {
    const VERSION: u32 = 1;

    /// The object for an event ([`Event::json`](crate::Event::json)). `None` where that is not one.
    pub fn write(json: &[u8], origin: &Origin) -> Option<Vec<u8>> {
        let event: &RawValue = serde_json::from_slice(json).ok()?;
        let Origin { received, written, body, door } = *origin;
        serde_json::to_vec(&Written { v: Self::VERSION, received, written, body, door, event }).ok()
    }

    /// Reads the object. `None` where it is not one.
    pub fn read(object: &[u8]) -> Option<Self> {
        serde_json::from_slice(object).ok()
    }

    /// The event exactly as it came: the evidence.
    pub fn evidence(&self) -> &[u8] {
        self.event.event.get().as_bytes()
    }
}
