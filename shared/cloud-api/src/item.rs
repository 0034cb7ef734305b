//! Creates one item from the copies of an event.

use model::{ItemId, Participant, Sha256};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Variants, content,
    envelope::Envelope,
    json::Members,
    media,
    people::{self, insert},
    variants::is_late,
    wamid::message_key,
};

/// The attachment id of the evidence: the event as received.
pub const EVIDENCE_ID: &str = "evidence";

/// The file name of the evidence in the filed message.
pub const EVIDENCE_NAME: &str = "whatsapp-webhook.json";

/// The attachment id of a message's first file.
const FILE_ID: &str = "file";

/// Returns the attachment id of a message's file: `file`, `file-2`, `file-3`, …
fn file_id(place: usize) -> String {
    if place == 0 { FILE_ID.to_owned() } else { format!("{FILE_ID}-{}", place + 1) }
}

/// Returns the place of the file with this attachment id among the message's files.
pub fn file_place(attachment: &str) -> Option<usize> {
    let number = match attachment.strip_prefix(FILE_ID)? {
        "" => 1,
        rest => rest.strip_prefix('-')?.parse::<usize>().ok()?,
    };
    number.checked_sub(1).filter(|place| file_id(*place) == attachment)
}

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

/// Returns the copies from which participants are read, the best first.
fn envelopes<'a>(variants: &'a Variants, earlier: Option<&'a Variants>) -> Vec<&'a Envelope> {
    let copies = variants.all().iter().chain(earlier.iter().flat_map(|earlier| earlier.all()));
    copies.map(|stored| &stored.event).collect()
}

/// Returns the participants whose own number reports the event. The arguments are those of [`item`].
pub fn captured_participants(variants: &Variants, earlier: Option<&Variants>) -> Vec<Participant> {
    let captured = people::people(&envelopes(variants, earlier)).captured;
    captured.into_iter().filter_map(|participant| serde_json::from_value(participant).ok()).collect()
}

/// Creates an item from the best copy, in the JSON of the item contract. Members of a wrong type are passed on unchanged:
/// the item reader converts them or omits them, and reports it. `files` are the states of the message's files, in order.
/// `earlier` are the copies of a message that was archived before without its content, which this item has.
pub fn item(id: &ItemId, variants: &Variants, files: &[CapturedFile], earlier: Option<&Variants>) -> Value {
    let best = variants.best();
    let envelope = &best.event;
    let event = Members::of(&envelope.event).unwrap_or_default();
    let people = people::people(&envelopes(variants, earlier));
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
    let mut attachments = attach(declared(variants), files, &mut notes);
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
    add_message_keys(&mut webhook, &item, people::own_number(&metadata).as_deref());
    item["webhook"] = webhook;
    item
}

/// Returns the files of the best copy; of another copy if it names more.
fn declared(variants: &Variants) -> media::Declared {
    let copies = variants.all().iter().filter_map(|stored| Members::of(&stored.event.event));
    let mut best = media::Declared::default();
    for declared in copies.map(|event| media::declared(&event)) {
        if declared.files.len() + declared.unfetchable > best.files.len() + best.unfetchable {
            best = declared;
        }
    }
    best
}

/// Returns the attachments of the stored files, and adds a note for every other file that the message names.
fn attach(declared: media::Declared, files: &[CapturedFile], notes: &mut Vec<String>) -> Vec<Value> {
    let mut attachments = Vec::new();
    let count = declared.files.len();
    for (place, file) in declared.files.into_iter().enumerate() {
        let mut note = |text: String| {
            notes.push(if count == 1 { text } else { format!("File {} of {count}: {text}", place + 1) });
        };
        match files.get(place).copied().unwrap_or(CapturedFile::Missing(MissingFile::NotFetched)) {
            CapturedFile::Stored { bytes, sha256, other } => {
                let mut attachment = json!({"id": file_id(place), "size": bytes, "sha256": sha256});
                insert(&mut attachment, "name", file.name);
                insert(&mut attachment, "contentType", file.content_type);
                attachments.push(attachment);
                if let Some(other) = other {
                    note(format!(
                        "WhatsApp gave another content of the file, too, which is kept with the webhooks. Its SHA-256 is {other}."
                    ));
                }
            }
            CapturedFile::Missing(why) => note(why.note().to_owned()),
        }
    }
    if declared.unfetchable > 0 {
        notes.push(format!(
            "The message names {} that cannot be fetched: the webhook has no id for it, or the message has too many files.",
            if declared.unfetchable == 1 { "a file".to_owned() } else { format!("{} files", declared.unfetchable) }
        ));
    }
    attachments
}

/// Adds the ids that are the same from both sides of the chat, so that a reply or an edit finds its message whichever
/// side reported either of them.
fn add_message_keys(webhook: &mut Value, item: &Value, own_number: Option<&str>) {
    for (name, message) in
        [("messageKey", Some(item)), ("quotedKey", item.get("quoted")), ("targetKey", item.get("target"))]
    {
        let id = message.and_then(|message| message.get("messageId")).and_then(Value::as_str);
        insert(webhook, name, id.and_then(|id| message_key(id, own_number)));
    }
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
