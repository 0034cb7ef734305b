//! The webhook that an item was read from.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Sha256;

/// The webhook that an item was read from. The item's evidence attachment is the webhook's event itself.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookFact {
    /// The subscription: `messages`, `history`.
    pub field: String,
    /// The id of the business account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// WhatsApp's id of the captured number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_number_id: Option<String>,
    /// Time at which the body with the evidence was received.
    pub received: Timestamp,
    /// The digest of that body, which is kept whole.
    pub body_sha256: Sha256,
    /// The id of the message that is the same from both sides of the chat, if it is known. WhatsApp's id is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_key: Option<String>,
    /// The same of the message that the item replies to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted_key: Option<String>,
    /// The same of the message that the item acts on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_key: Option<String>,
    /// Notes that a reader of the message has to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}
