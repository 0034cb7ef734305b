//! The members of `rsmf_manifest.json`, version 2.0.0. They are content, so no type implements `Debug`.

use jiff::Timestamp;
use serde::Serialize;

pub(crate) const VERSION: &str = "2.0.0";

#[derive(Clone, Serialize)]
pub(crate) struct Participant {
    pub(crate) id: String,
    pub(crate) display: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) account_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) custom: Vec<Custom>,
}

#[derive(Serialize)]
pub(crate) struct Conversation {
    pub(crate) id: &'static str,
    pub(crate) platform: &'static str,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) display: String,
    pub(crate) participants: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) custodian: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) custom: Vec<Custom>,
}

#[derive(Clone, Serialize)]
pub(crate) struct Custom {
    pub(crate) name: String,
    pub(crate) value: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EventType {
    Message,
    Join,
    Leave,
    Unknown,
}

#[derive(Serialize)]
pub(crate) struct Event {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: EventType,
    pub(crate) conversation: &'static str,
    pub(crate) participant: String,
    pub(crate) timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) direction: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) deleted: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) reactions: Vec<Reaction>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) attachments: Vec<Attachment>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) edits: Vec<Edit>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) custom: Vec<Custom>,
}

#[derive(Serialize)]
pub(crate) struct Reaction {
    pub(crate) value: String,
    pub(crate) count: usize,
    pub(crate) participants: Vec<String>,
}

#[derive(Serialize)]
pub(crate) struct Attachment {
    pub(crate) id: String,
    pub(crate) display: String,
    pub(crate) size: u64,
}

#[derive(Serialize)]
pub(crate) struct Edit {
    pub(crate) participant: String,
    pub(crate) timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) previous: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) new: Option<String>,
}

impl Event {
    /// Adds a fact. Empty values are left out, because the schema rejects them.
    pub(crate) fn note(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.custom.push(Custom { name: name.into(), value });
        }
    }
}
