//! The item as the source captured it.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{
    Answer, AttachmentId, ItemId, Kind, Participant, Sha256, WebhookFact,
    json_text::{self, Repaired},
    normalize,
    words::words,
};

/// Why some bytes are not an item. Every variant is permanent. None of them shows content.
#[derive(Debug, thiserror::Error)]
pub enum ItemError {
    /// Not JSON, whatever is repaired.
    #[error("the item is not JSON, at line {line} column {column}")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// Without it, there is nothing to archive: no id, no chat, or no time at all.
    #[error("the item has no {0}")]
    Missing(&'static str),
    /// JSON of another shape than [`Item`]; what is unusual in single members is no error.
    #[error("the item does not have the contract's shape: {0}")]
    Shape(String),
    /// JSON that would take too much memory.
    #[error("the item has so many members that they would take more than {} MiB of memory", Answer::MOST_MEMORY >> 20)]
    Memory,
    /// More attachments than a message is written with.
    #[error("the item has {0} attachments and exceeds the limit of {max}", max = Item::MOST_ATTACHMENTS)]
    Attachments(usize),
    /// The source answered with another item than the one that was asked for.
    #[error("the source responded with another item than requested")]
    OtherItem,
}

/// An item together with its evidence.
#[derive(Clone)]
pub struct Captured {
    /// What the pipeline reads.
    pub item: Item,
    /// All that the source said, members that we do not know included, as canonical JSON: members sorted, no white
    /// space, so that the same item has the same bytes however the source orders its members today. The raw bytes, where
    /// canonical JSON would not hold them all: half a character, bytes that are not UTF-8, a member that is named twice.
    pub evidence: Vec<u8>,
    /// What is unusual about the captured item, one English sentence each. The message shows them as facts.
    pub anomalies: Vec<String>,
}

impl Captured {
    /// Reads the source's response. `asked` is the id that was asked for. What is unusual is read as far as possible, and
    /// noted in [`anomalies`](Self::anomalies): a replay would not change it.
    ///
    /// # Errors
    /// [`ItemError`], all of them permanent.
    pub fn parse(json: &[u8], asked: &ItemId) -> Result<Self, ItemError> {
        Self::parse_repaired(json, json_text::repair(json).as_ref(), asked)
    }

    pub(crate) fn parse_repaired(raw: &[u8], repaired: Option<&Repaired>, asked: &ItemId) -> Result<Self, ItemError> {
        let text = repaired.map_or(raw, |repaired| repaired.text.as_bytes());
        let value: Value = serde_json::from_slice(text)
            .map_err(|error| ItemError::Json { line: error.line(), column: error.column() })?;
        let mut anomalies = repaired.map(|repaired| repaired.anomalies.clone()).unwrap_or_default();
        if json_text::has_duplicates(text) {
            anomalies.push("A member is named twice; the last one is shown, and both are in the evidence.".to_owned());
        }
        let raw = if anomalies.is_empty() { None } else { Some(raw) };
        Self::read(value, raw, anomalies, asked)
    }

    /// The same for a value that is parsed already.
    ///
    /// # Errors
    /// [`ItemError`], all of them permanent.
    pub fn from_value(value: Value, asked: &ItemId) -> Result<Self, ItemError> {
        Self::read(value, None, Vec::new(), asked)
    }

    /// Everybody who took part, as the evidence of an item says; the sender first.
    ///
    /// # Errors
    /// [`ItemError`]: it is not the evidence of an item.
    pub fn participants_in(evidence: &[u8]) -> Result<Vec<Participant>, ItemError> {
        Ok(Self::of_evidence(evidence)?.item.participants().cloned().collect())
    }

    /// Reads an item from its evidence, which names its id.
    ///
    /// # Errors
    /// [`ItemError`]: it is not the evidence of an item.
    pub fn of_evidence(evidence: &[u8]) -> Result<Self, ItemError> {
        #[derive(Deserialize)]
        struct Named {
            id: Value,
        }
        let repaired = json_text::repair(evidence);
        let text = repaired.as_ref().map_or(evidence, |repaired| repaired.text.as_bytes());
        let named: Named = serde_json::from_slice(text).map_err(|_| ItemError::Missing("id"))?;
        let id = named.id.as_str().map_or_else(|| named.id.to_string(), str::to_owned);
        let id = id.parse().map_err(|_| ItemError::Missing("id"))?;
        Self::parse_repaired(evidence, repaired.as_ref(), &id)
    }

    fn read(
        mut value: Value,
        raw: Option<&[u8]>,
        mut anomalies: Vec<String>,
        asked: &ItemId,
    ) -> Result<Self, ItemError> {
        value.sort_all_objects();
        let evidence = match raw {
            Some(raw) => raw.to_vec(),
            None => serde_json::to_vec(&value).map_err(|error| ItemError::Shape(shape(&error)))?,
        };
        normalize::normalize(&mut value, asked, &mut anomalies)?;
        // The value's texts become the item's: hostile JSON is not in memory twice.
        let item = Item::deserialize(value).map_err(|error| ItemError::Shape(shape(&error)))?;
        if item.attachments.len() > Item::MOST_ATTACHMENTS {
            return Err(ItemError::Attachments(item.attachments.len()));
        }
        Ok(Self { item, evidence, anomalies })
    }
}

/// serde's message without the values that it quotes: those are content.
fn shape(error: &serde_json::Error) -> String {
    const FOUND: [&str; 3] = ["invalid type", "invalid value", "invalid length"];
    let message = error.to_string();
    // "missing field `chat`" names our own member. "invalid type: string "secret", expected a string" quotes theirs, but
    // what is expected is ours; the last one, for a text that is quoted may hold the words. All else (a time that cannot
    // be read, for one) is in the words of who found it, who may quote anything.
    if message.starts_with("missing field") {
        return message;
    }
    let found = FOUND.into_iter().find(|found| message.starts_with(found));
    match found.zip(message.rsplit_once(", expected ")) {
        Some((found, (_, expected))) => format!("{found}, expected {expected}"),
        None => "a member has a value that is not allowed".to_owned(),
    }
}

/// One thing that happened on WhatsApp: a message, a call, a deletion. The members are the source's
/// (`archiver-api`'s `Item`); unknown ones are ignored here and kept in the evidence.
///
/// Nearly all of it is content or personal data, so there is no `Debug`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The source's id.
    pub id: ItemId,
    /// WhatsApp's own id of the message; unique only within chat and sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// `whatsapp`, where the source says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// When it happened on WhatsApp.
    pub message_time: Timestamp,
    /// When the source received it.
    pub archived_time: Timestamp,
    /// Seen from the captured user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Where it happened.
    pub chat: Chat,
    /// Who did it.
    pub from: Participant,
    /// Every other participant; a group can hold more than 1,024.
    pub to: Vec<Participant>,
    /// Body or caption, in WhatsApp's own marks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Files, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// The message that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted: Option<Quoted>,
    /// Whom the text mentions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<Participant>,
    /// Forwarded from another chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<bool>,
    /// Forwarded many times, as WhatsApp counts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequently_forwarded: Option<bool>,
    /// The chat's timer for disappearing messages, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disappearing_seconds: Option<u64>,
    /// For a reaction, an edit, a deletion or a vote: the message that it acts on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// For a reaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reaction: Option<Reaction>,
    /// For a deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
    /// For a call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
    /// For a location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// For contact cards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<ContactCard>,
    /// For a poll or a vote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<Poll>,
    /// For a group event or a system line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<GroupEvent>,
    /// WhatsApp Business content, shape as captured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub business: Option<Value>,
    /// For an unsupported item: why the capture could not read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For an item of a chat export: the upload that it was read from.
    #[serde(default, deserialize_with = "upload", skip_serializing_if = "Option::is_none")]
    pub upload: Option<Upload>,
    /// For an item that a vendor delivered as a mail: that mail.
    #[serde(default, deserialize_with = "mail", skip_serializing_if = "Option::is_none")]
    pub mail: Option<MailFact>,
    /// For an item that came as a webhook: that webhook.
    #[serde(default, deserialize_with = "webhook", skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookFact>,
}

/// A member of this name with another shape is another member, which a source may have had before uploads existed.
fn upload<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Upload>, D::Error> {
    Ok(Upload::deserialize(Value::deserialize(deserializer)?).ok())
}

/// As for [`upload`].
fn mail<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<MailFact>, D::Error> {
    Ok(MailFact::deserialize(Value::deserialize(deserializer)?).ok())
}

/// As for [`upload`].
fn webhook<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<WebhookFact>, D::Error> {
    Ok(WebhookFact::deserialize(Value::deserialize(deserializer)?).ok())
}

/// The mail that an item was read from. The item's evidence attachment is the mail itself.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct MailFact {
    /// The file in the inbox.
    pub file: String,
    /// The name of the mail in that file, where it is a zip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The subject of the mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The header fields that the vendor added, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<MailField>,
}

/// A header field of a mail.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct MailField {
    /// Its name.
    pub name: String,
    /// Its value, decoded.
    pub value: String,
}

/// The file of a chat export that an item was read from.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Upload {
    /// The e-mail address of the folder that the file was uploaded to.
    pub owner: String,
    /// The file's name in that folder.
    pub file: String,
    /// How the file was read, where a reader of the message has to know: `date order assumed: day-month-year`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Item {
    /// How many attachments an item may have. WhatsApp sends one a message, and an album is as many messages.
    pub const MOST_ATTACHMENTS: usize = 1_000;

    /// What the item was read from, if that is kept byte for byte (a vendor's mail, a webhook's event): the last attachment.
    /// It does not count as one of the item's files.
    pub fn evidence(&self) -> Option<&Attachment> {
        let is_kept = self.mail.is_some() || self.webhook.is_some();
        self.attachments.last().filter(|last| is_kept && last.evidence == Some(true))
    }

    /// The item's own files.
    pub fn files(&self) -> &[Attachment] {
        let files = self.attachments.len() - usize::from(self.evidence().is_some());
        self.attachments.get(..files).unwrap_or_default()
    }

    /// Everybody: the sender first, then the others in the source's order.
    pub fn participants(&self) -> impl Iterator<Item = &Participant> {
        std::iter::once(&self.from).chain(&self.to)
    }
}

words! {
    /// Seen from the captured user.
    Direction {
        Incoming = "incoming", "Another participant wrote it.";
        Outgoing = "outgoing", "The captured user wrote it.";
    }
}

words! {
    /// The form of a chat.
    ChatType {
        Individual = "individual", "Two people.";
        Group = "group", "A group.";
        Broadcast = "broadcast", "One writes to many, who do not see each other.";
        Channel = "channel", "A channel and its followers.";
        Status = "status", "A status update.";
    }
}

/// Where something happened.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Chat {
    /// WhatsApp's id of the chat.
    pub id: String,
    /// Its form.
    #[serde(rename = "type")]
    pub chat_type: ChatType,
    /// The group's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A file that belongs to an item, as declared; the bytes are fetched by their own.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// Unique within the item.
    pub id: AttachmentId,
    /// As the sender named it; not to be trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The declared media type; not to be trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The declared size in bytes; not to be trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Where present, the bytes must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// Of sound and video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    /// Sent to be seen once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view_once: Option<bool>,
    /// It is what the item was read from, byte for byte: the evidence, which is not counted as one of the item's files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<bool>,
}

/// The message that an item answers.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quoted {
    /// WhatsApp's id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Participant>,
    /// What it said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What it was, for a message without a text.
    #[serde(rename = "type", default, deserialize_with = "kind", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
}

/// Only a word is a kind. Another value is another member, which a source may have had before kinds were read.
fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Kind>, D::Error> {
    Ok(Kind::deserialize(Value::deserialize(deserializer)?).ok())
}

/// The message that a reaction, an edit, a deletion or a vote acts on. The same members as [`Quoted`]; `text` is what
/// it said, where the source still has it.
pub type Target = Quoted;

/// An emoji on a message.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Reaction {
    /// Empty or missing: the reaction was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emoji: Option<String>,
}

words! {
    /// For whom a message was deleted.
    DeletionScope {
        Everyone = "everyone", "For everybody in the chat.";
        Me = "me", "On the captured user's own phone.";
    }
}

words! {
    /// Whether the message had been read when it was deleted.
    DeletionState {
        Read = "read", "It had been read.";
        Unread = "unread", "It had not been read.";
        Unknown = "unknown", "The source does not know.";
    }
}

/// How a message was deleted.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Deletion {
    /// For whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<DeletionScope>,
    /// The person who deleted it, if not the sender: a group's admin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Participant>,
    /// Read before or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<DeletionState>,
}

words! {
    /// The medium of a call.
    CallMedia {
        Voice = "voice", "Sound alone.";
        Video = "video", "Sound and picture.";
    }
}

words! {
    /// How a call ended.
    CallStatus {
        Answered = "answered", "They spoke.";
        Missed = "missed", "The captured user did not take it.";
        Rejected = "rejected", "It was turned down.";
        Failed = "failed", "It could not be connected.";
        Unanswered = "unanswered", "The other side did not take it.";
    }
}

/// A call.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// Voice or video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<CallMedia>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<CallStatus>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Timestamp>,
    /// How long they spoke, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
}

/// A place.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Location {
    /// Degrees north.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees east.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// What the sender called it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its postal address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// A link that came with it; not to be trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How exact it is, in metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy_meters: Option<f64>,
}

/// A shared contact.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ContactCard {
    /// The contact's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The vCard, as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcard: Option<String>,
}

/// A poll, or a participant's votes in one.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Poll {
    /// What is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// The options, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// How many may be chosen; 0: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selectable: Option<u64>,
    /// For a vote: the chosen options. Empty: the vote was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub votes: Option<Vec<String>>,
}

/// A change in a group, or a line of WhatsApp's own.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupEvent {
    /// `created`, `joined`, `left`, `added`, `removed`, `promoted`, `renamed`, `picture_changed`, `number_changed`,
    /// `timer_changed` or another word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Whom it was done to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Participant>,
    /// What it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_value: Option<String>,
    /// What it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_value: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id() -> ItemId {
        "WA-1".parse().unwrap()
    }

    fn text_item() -> Value {
        json!({"id": "WA-1", "type": "text", "messageTime": "2026-11-21T09:59:58Z", "archivedTime": "2026-11-21T10:00:04.120Z",
               "chat": {"id": "c1", "type": "individual"}, "from": {"phone": "4520123456"}, "to": [{"phone": "4520123457"}],
               "text": "hello", "zNew": {"b": 1, "a": 2}})
    }

    #[test]
    fn the_evidence_is_the_same_whatever_the_order_of_members() {
        let one = Captured::parse(br#"{"type":"text","id":"WA-1","messageTime":"2026-11-21T09:59:58Z","archivedTime":"2026-11-21T10:00:04.120Z","chat":{"type":"individual","id":"c1"},"to":[{"phone":"4520123457"}],"from":{"phone":"4520123456"},"text":"hello","zNew":{"a":2,"b":1}}"#, &id());
        let other = Captured::from_value(text_item(), &id());
        let (Ok(one), Ok(other)) = (one, other) else { panic!("both are items") };
        assert_eq!(one.evidence, other.evidence);
        assert!(String::from_utf8_lossy(&one.evidence).contains(r#""zNew":{"a":2,"b":1}"#), "unknown members are kept");
    }

    fn changed(change: impl FnOnce(&mut Value)) -> Result<Captured, ItemError> {
        let mut value = text_item();
        change(&mut value);
        Captured::from_value(value, &id())
    }

    fn error(change: impl FnOnce(&mut Value)) -> String {
        changed(change).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn item_without_id_chat_or_any_time_is_refused() {
        let remove =
            |name: &'static str| move |item: &mut Value| drop(item.as_object_mut().map(|item| item.remove(name)));
        assert_eq!(error(remove("id")), "the item has no id");
        assert_eq!(error(|item| item["id"] = Value::Null), "the item has no id");
        assert_eq!(error(remove("chat")), "the item has no chat");
        assert_eq!(error(|item| item["chat"] = json!([])), "the item has no chat");
        assert_eq!(error(|item| item["chat"] = json!({"name": "Søren"})), "the item has no chat");
        let no_time = |item: &mut Value| {
            item["messageTime"] = json!("yesterday, Søren");
            item["archivedTime"] = Value::Null;
        };
        assert_eq!(error(no_time), "the item has no time");
        assert_eq!(error(|item| item["id"] = json!("WA-2")), "the source responded with another item than requested");
        let many: Vec<_> = (0..1_001).map(|id| json!({"id": id.to_string()})).collect();
        assert_eq!(
            error(|item| item["attachments"] = json!(many)),
            "the item has 1001 attachments and exceeds the limit of 1000"
        );
        for json in ["", "[]", "{\"id\":", "7", "null", "<html>"] {
            assert!(Captured::parse(json.as_bytes(), &id()).is_err(), "{json}");
        }
    }

    #[test]
    fn unusual_member_is_archived_and_noted() {
        type Change = fn(&mut Value);
        let cases: &[(Change, &str)] = &[
            (|item| item["from"] = json!("Søren"), "from"),
            (|item| item["from"] = json!([7]), "from"),
            (|item| item["from"]["phone"] = json!(4520123456_u64), "from.phone"),
            (|item| item["from"]["phone"] = json!({"x": 1}), "from.phone"),
            (|item| item["from"]["email"] = json!("=?utf-8?b?w7g=?=@x.example"), "encoded word"),
            (|item| item["to"] = Value::Null, "to"),
            (|item| item["to"] = json!({"phone": "4520123457"}), "to"),
            (|item| item["to"] = json!([null, {"name": "Bob"}]), "to[0]"),
            (|item| item["type"] = json!(7), "type"),
            (|item| drop(item.as_object_mut().and_then(|item| item.remove("type"))), "type"),
            (|item| item["text"] = json!(7), "text"),
            (|item| item["text"] = json!(["a"]), "text"),
            (|item| item["chat"] = json!("c1"), "chat"),
            (|item| item["chat"]["type"] = json!({}), "chat.type"),
            (|item| item["messageTime"] = json!("1970-01-01T00:00:00Z"), "before 1971"),
            (|item| item["messageTime"] = json!("+055747-01-01T00:00:00Z"), "messageTime"),
            (|item| item["messageTime"] = json!("9999-01-01T00:00:00Z"), "later"),
            (|item| item["messageTime"] = json!(1_795_255_198_000_u64), "messageTime"),
            (|item| item["messageTime"] = json!("2026-11-21 09:59:58"), "messageTime"),
            (|item| item["archivedTime"] = json!(-1e300), "archivedTime"),
            (|item| item["disappearingSeconds"] = json!("86400"), "disappearingSeconds"),
            (|item| item["disappearingSeconds"] = json!(-1), "disappearingSeconds"),
            (|item| item["forwarded"] = json!("yes"), "forwarded"),
            (|item| item["call"] = json!({"durationSeconds": -5, "startTime": "?"}), "call.durationSeconds"),
            (|item| item["call"] = json!([]), "call"),
            (|item| item["attachments"] = json!([{"id": 7, "size": "1024"}]), "attachments[0].size"),
            (|item| item["attachments"] = json!([{"id": "1", "size": -1, "sha256": "Søren"}]), "attachments[0].sha256"),
            (|item| item["attachments"] = json!([{"name": "a.pdf"}]), "attachments[0]"),
            (|item| item["mentions"] = json!("Søren"), "mentions"),
            (|item| item["poll"] = json!({"options": "one", "selectable": 1.0}), "poll.options"),
            (|item| item["reaction"] = json!("👍"), "reaction"),
        ];
        for (number, (change, named)) in cases.iter().enumerate() {
            let captured = changed(change).unwrap_or_else(|error| panic!("{number}, {named}: {error}"));
            let sentences = captured.anomalies.join("\n");
            assert!(sentences.contains(named), "{number}, {named}: {sentences}");
            assert!(!sentences.contains("Søren"), "content is in the evidence only: {sentences}");
            let mut value = text_item();
            change(&mut value);
            value.sort_all_objects();
            assert_eq!(captured.evidence, value.to_string().as_bytes(), "{number}, {named}");
            let people = Captured::participants_in(&captured.evidence).unwrap_or_else(|error| panic!("{error}"));
            assert!(people.iter().eq(captured.item.participants()), "{number}, {named}");
        }
        assert!(changed(|_| {}).is_ok_and(|captured| captured.anomalies.is_empty()));
        assert!(changed(|item| item["attachments"] = Value::Null).is_ok_and(|captured| captured.anomalies.is_empty()));
        let bad: Vec<_> = (0..1_000).map(|_| json!({"size": -1})).collect();
        let captured = changed(|item| item["attachments"] = json!(bad)).unwrap_or_else(|error| panic!("{error}"));
        assert!(captured.anomalies.len() <= 21, "{}", captured.anomalies.len());
    }

    #[test]
    fn converted_members_have_the_value_that_was_meant() {
        let item = changed(|item| {
            item["messageTime"] = json!(1_795_255_198_000_u64);
            item["archivedTime"] = json!("1795255198");
            item["attachments"] = json!([{"id": 7, "size": "1024", "viewOnce": 1, "durationSeconds": "2.5"}]);
            item["from"] = json!("Ada");
        });
        let item = item.unwrap_or_else(|error| panic!("{error}")).item;
        assert_eq!(item.message_time.to_string(), "2026-11-21T09:59:58Z");
        assert_eq!(item.archived_time, item.message_time);
        let [attachment] = &item.attachments[..] else { panic!("one attachment") };
        assert_eq!((attachment.id.as_str(), attachment.size), ("7", Some(1024)));
        assert_eq!((attachment.view_once, attachment.duration_seconds), (Some(true), Some(2.5)));
        assert_eq!(item.from.name.as_deref(), Some("Ada"));
    }

    #[test]
    fn damaged_text_is_archived_with_its_raw_bytes_as_evidence() {
        let with = |text: &[u8]| {
            let json = text_item().to_string();
            let (before, after) = json.split_once("hello").unwrap_or_default();
            [before.as_bytes(), text, after.as_bytes()].concat()
        };
        for text in [&br"x\ud83d"[..], b"x\xf0\x9f", b"x\x07", br#"x","text":"y"#] {
            let json = with(text);
            let captured = Captured::parse(&json, &id()).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((captured.anomalies.len(), &captured.evidence), (1, &json));
            assert!(captured.item.text.is_some_and(|text| text.starts_with('x') || text == "y"));
            assert!(Captured::participants_in(&json).is_ok_and(|people| people.len() == 2));
        }
        let deep = format!(r#"x","zDeep":{}1{},"zz":""#, "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(
            Captured::parse(&with(deep.as_bytes()), &id()).map(|captured| captured.anomalies.len()).ok(),
            Some(1)
        );
    }

    #[test]
    fn the_evidence_has_the_numbers_that_the_archive_has() {
        let long = "[3.14159265358979323846264338327950288,18446744073709551616,-0.10,1e+400,9007199254740993]";
        let mut json = text_item().to_string();
        json.truncate(json.len() - 1);
        json += &format!(r#","zzNumbers":{long}}}"#);
        let captured = Captured::parse(json.as_bytes(), &id()).unwrap_or_else(|error| panic!("{error}"));
        let evidence = String::from_utf8_lossy(&captured.evidence);
        assert!(evidence.ends_with(&format!(r#""zzNumbers":{long}}}"#)), "{evidence}");
        let call = json.replace(
            "\"zNew\"",
            r#""call":{"durationSeconds":1e400},"location":{"latitude":55.6760968,"longitude":12},"zNew""#,
        );
        let Captured { item, anomalies, .. } =
            Captured::parse(call.as_bytes(), &id()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((item.call.and_then(|call| call.duration_seconds), anomalies.len()), (None, 1));
        assert_eq!(item.location.and_then(|place| place.latitude.zip(place.longitude)), Some((55.676_096_8, 12.0)));
    }
}
