//! Creates one item from the copies of an event.

use model::{ItemId, Sha256};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Variants, content,
    json::Members,
    media,
    people::{self, insert},
    variants::is_late,
};

/// The attachment id of the evidence: the event as received.
pub const EVIDENCE_ID: &str = "evidence";

/// The file name of the evidence in the filed message.
pub const EVIDENCE_NAME: &str = "whatsapp-webhook.json";

/// The attachment id of the message's file.
pub const FILE_ID: &str = "file";

/// The state of a message's file in the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapturedFile {
    /// The file is in the bucket. `other` is the digest of another content that WhatsApp gave under the same id.
    Stored { bytes: u64, sha256: Sha256, other: Option<Sha256> },
    /// The file was not captured and will not be retried.
    Missing(MissingFile),
}

/// The reason why a file is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingFile {
    /// All attempts failed until WhatsApp's id expired.
    NotFetched,
    /// WhatsApp responded that it does not have the file.
    Erased,
    /// No attempt returned bytes with the declared digest.
    Mismatch,
    /// The file is larger than WhatsApp's limit.
    TooLarge,
}

impl MissingFile {
    /// Returns the sentence for the reader of the message.
    fn note(self) -> &'static str {
        match self {
            Self::NotFetched => "The file of the message was not fetched while WhatsApp had it.",
            Self::Erased => "The file of the message is missing: WhatsApp did not have it.",
            Self::Mismatch => {
                "The file of the message is missing: WhatsApp's file did not have the SHA-256 of the message."
            }
            Self::TooLarge => "The file of the message is missing: it is larger than any file that WhatsApp takes.",
        }
    }
}

/// Creates an item from the best copy, in the JSON of the item contract. Members of a wrong type are passed on unchanged:
/// the item reader converts them or omits them, and reports it. `file` is required if the message has a file.
pub fn item(id: &ItemId, variants: &Variants, file: Option<CapturedFile>) -> Value {
    let best = variants.best();
    let envelope = &best.event;
    let event = Members::of(&envelope.event).unwrap_or_default();
    let people = people::people(envelope, &event);
    let metadata = envelope.metadata.as_deref().and_then(Members::of).unwrap_or_default();
    let mut item = json!({
        "id": id,
        "network": "whatsapp",
        "archivedTime": variants.received(),
        "direction": if people.is_outgoing { "outgoing" } else { "incoming" },
        "chat": people.chat,
        "from": people.from,
        "to": people.to,
        "attachments": [],
    });
    insert(&mut item, "messageId", event.text("id").filter(|_| !is_digest(id)));
    insert(&mut item, "messageTime", event.time("timestamp"));
    let mut notes = envelope.repairs.clone();
    if is_late(id) {
        notes.push("The message was archived before without its content, which came later.".to_owned());
    }
    content::describe(envelope, &event, &mut item, &mut notes);
    context(&event, &mut item);
    let mut attachments = Vec::new();
    if let Some(declared) = media::declared(&event) {
        match file {
            Some(CapturedFile::Stored { bytes, sha256, other }) => {
                let mut attachment = json!({"id": FILE_ID, "size": bytes, "sha256": sha256});
                insert(&mut attachment, "name", declared.members.value("filename"));
                insert(&mut attachment, "contentType", declared.members.value("mime_type"));
                attachments.push(attachment);
                notes.extend(other.map(|other| {
                    format!("WhatsApp gave another content of the file, too, which is kept with the webhooks. Its SHA-256 is {other}.")
                }));
            }
            Some(CapturedFile::Missing(why)) => notes.push(why.note().to_owned()),
            None => notes.push(MissingFile::NotFetched.note().to_owned()),
        }
    }
    let evidence = best.evidence();
    attachments.push(json!({
        "id": EVIDENCE_ID, "name": EVIDENCE_NAME, "contentType": "application/json", "size": evidence.len(),
        "sha256": Sha256::of(evidence), "evidence": true,
    }));
    item["attachments"] = Value::Array(attachments);
    let mut webhook =
        json!({"field": envelope.field, "received": best.received, "bodySha256": best.body, "notes": notes});
    insert(&mut webhook, "account", envelope.account.clone());
    insert(&mut webhook, "phoneNumberId", metadata.text("phone_number_id"));
    item["webhook"] = webhook;
    item
}

fn is_digest(id: &ItemId) -> bool {
    id.as_str().starts_with("sha256:")
}

/// Adds the quoted message, and the mark of a forwarded message.
fn context(event: &Members<'_>, item: &mut Value) {
    let edited = event.object("edit").and_then(|edit| edit.object("message")?.object("context"));
    let Some(context) = event.object("context").or(edited) else { return };
    insert(item, "forwarded", context.value("forwarded"));
    insert(item, "frequentlyForwarded", context.value("frequently_forwarded"));
    let from = people::participant(context.text("from"), context.text("from_user_id"));
    if let Some(message_id) = context.value("id") {
        let mut quoted = json!({"messageId": message_id});
        insert(&mut quoted, "from", Some(from).filter(|from| from != &json!({})));
        insert(item, "quoted", Some(quoted));
    }
}
