//! The item as the archive captured it.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{Answer, AttachmentId, ItemId, Kind, Participant, Sha256, words::words};

/// Why some bytes are no item. Every variant is the item's own fault and stays so however often it is read. None of
/// them shows what the item says.
#[derive(Debug, thiserror::Error)]
pub enum ItemError {
    /// Not JSON, or nested deeper than 128 levels, or with a lone surrogate in a string.
    #[error("the item is not JSON, at line {line} column {column}")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// JSON, but a member that the contract requires is missing, or a member has another type than the contract says.
    #[error("the item does not have the contract's shape: {0}")]
    Shape(String),
    /// JSON that is made to hurt.
    #[error("the item has so many members that they would take more than {} MiB of memory", Answer::MOST_MEMORY >> 20)]
    Memory,
    /// More files than anybody can send at once, and than a message is written with.
    #[error("the item has {0} attachments, {max} are taken", max = Item::MOST_ATTACHMENTS)]
    Attachments(usize),
    /// The archive answered with another item than the one that was asked for.
    #[error("the archive answered with another item than was asked for")]
    OtherItem,
    /// A time outside the years 1971 to 9999: milliseconds taken for seconds, usually.
    #[error("{0} is not between the years 1971 and 9999")]
    Time(&'static str),
}

/// An item together with its evidence.
#[derive(Clone)]
pub struct Captured {
    /// What the pipeline reads.
    pub item: Item,
    /// All that the archive said, members that we do not know included, as canonical JSON: members sorted, no white
    /// space, so that the same item has the same bytes however the archive orders its members today.
    pub evidence: Vec<u8>,
    /// What is unusual about the captured item, one English sentence each. The message shows them as facts.
    pub anomalies: Vec<String>,
}

impl Captured {
    /// Reads the archive's answer. `asked` is the id that was asked for.
    ///
    /// # Errors
    /// [`ItemError`], all of them permanent.
    pub fn parse(json: &[u8], asked: &ItemId) -> Result<Self, ItemError> {
        let value: Value = serde_json::from_slice(json)
            .map_err(|error| ItemError::Json { line: error.line(), column: error.column() })?;
        Self::read(value, Vec::with_capacity(json.len()), asked)
    }

    /// The same for a value that is parsed already.
    ///
    /// # Errors
    /// [`ItemError`], all of them permanent.
    pub fn from_value(value: Value, asked: &ItemId) -> Result<Self, ItemError> {
        Self::read(value, Vec::new(), asked)
    }

    fn read(mut value: Value, mut evidence: Vec<u8>, asked: &ItemId) -> Result<Self, ItemError> {
        value.sort_all_objects();
        serde_json::to_writer(&mut evidence, &value).map_err(|error| ItemError::Shape(shape(&error)))?;
        // The value's texts become the item's: hostile JSON is not in memory twice.
        let item = Item::deserialize(value).map_err(|error| ItemError::Shape(shape(&error)))?;
        if item.id != *asked {
            return Err(ItemError::OtherItem);
        }
        if item.attachments.len() > Item::MOST_ATTACHMENTS {
            return Err(ItemError::Attachments(item.attachments.len()));
        }
        for (name, time) in [("messageTime", item.message_time), ("archivedTime", item.archived_time)] {
            if !YEARS.contains(&time.as_second()) {
                return Err(ItemError::Time(name));
            }
        }
        Ok(Self { item, evidence, anomalies: Vec::new() })
    }
}

/// 1971 to 9999, in seconds since 1970.
const YEARS: std::ops::Range<i64> = 31_536_000..253_402_300_800;

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

/// One thing that happened on WhatsApp: a message, a call, a deletion. The members are the archive's
/// (`archiver-api`'s `Item`); unknown ones are ignored here and kept in the evidence.
///
/// Nearly all of it is content or personal data, so there is no `Debug`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The archive's id.
    pub id: ItemId,
    /// WhatsApp's own id of the message; unique only within chat and sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// `whatsapp`, where the archive says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// When it happened on WhatsApp.
    pub message_time: Timestamp,
    /// When the archive received it.
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
}

/// A member of this name with another shape is another member, which a source may have had before uploads existed.
fn upload<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Upload>, D::Error> {
    Ok(Upload::deserialize(Value::deserialize(deserializer)?).ok())
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

    /// Everybody: the sender first, then the others in the archive's order.
    pub fn participants(&self) -> impl Iterator<Item = &Participant> {
        std::iter::once(&self.from).chain(&self.to)
    }
}

words! {
    /// Seen from the captured user.
    Direction {
        Incoming = "incoming", "Somebody else wrote it.";
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
/// it said, where the archive still has it.
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
        Unknown = "unknown", "The archive does not know.";
    }
}

/// How a message was deleted.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Deletion {
    /// For whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<DeletionScope>,
    /// Who deleted it, where it was somebody else than the sender: a group's admin.
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

/// A contact that somebody shared.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ContactCard {
    /// The contact's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The vCard, as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcard: Option<String>,
}

/// A poll, or somebody's votes in one.
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

    #[test]
    fn what_is_no_item_says_why_and_shows_nothing() {
        let mut shown = Vec::new();
        let mut refuse = |change: &dyn Fn(&mut Value)| {
            let mut value = text_item();
            change(&mut value);
            shown.push(Captured::from_value(value, &id()).err().map(|error| error.to_string()).unwrap_or_default());
        };
        refuse(&|item| item["from"] = json!("Søren secret"));
        refuse(&|item| drop(item.as_object_mut().and_then(|members| members.remove("chat"))));
        refuse(&|item| item["messageTime"] = json!("+055747-01-01T00:00:00Z"));
        refuse(&|item| item["messageTime"] = json!("1970-06-01T00:00:00Z"));
        refuse(&|item| item["id"] = json!("WA-2"));
        refuse(&|item| item["text"] = json!(7));
        refuse(&|item| item["from"] = json!("Søren, expected secret"));
        refuse(&|item| item["messageTime"] = json!("2026-11-21T09:59:58Z, expected Søren +45 20 12 34 56"));
        refuse(&|item| item["from"]["phone"] = json!({"invalid type: x, expected Søren": 1}));
        refuse(&|item| item["attachments"] = json!([{"id": "1", "sha256": "invalid value, expected Søren"}]));
        refuse(&|item| item["attachments"] = (0..1_001).map(|id| json!({"id": id.to_string()})).collect());
        assert_eq!(shown, EXPECTED);
        let deep = "[".repeat(10_000);
        assert!(matches!(Captured::parse(deep.as_bytes(), &id()), Err(ItemError::Json { .. })));
        assert!(matches!(Captured::parse(br#"{"text":"\ud800"}"#, &id()), Err(ItemError::Json { .. })));
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
        let item = Captured::parse(call.as_bytes(), &id()).unwrap_or_else(|error| panic!("{error}")).item;
        assert_eq!(item.call.and_then(|call| call.duration_seconds), Some(f64::INFINITY));
        assert_eq!(item.location.and_then(|place| place.latitude.zip(place.longitude)), Some((55.676_096_8, 12.0)));
    }

    const EXPECTED: [&str; 11] = [
        "the item does not have the contract's shape: invalid type, expected struct Participant",
        "the item does not have the contract's shape: missing field `chat`",
        "the item does not have the contract's shape: a member has a value that is not allowed",
        "messageTime is not between the years 1971 and 9999",
        "the archive answered with another item than was asked for",
        "the item does not have the contract's shape: invalid type, expected a string",
        "the item does not have the contract's shape: invalid type, expected struct Participant",
        "the item does not have the contract's shape: a member has a value that is not allowed",
        "the item does not have the contract's shape: invalid type, expected a string",
        "the item does not have the contract's shape: a member has a value that is not allowed",
        "the item has 1001 attachments, 1000 are taken",
    ];
}
