//! The item contract: the members that the system reads.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{AttachmentId, ItemId, Kind, Participant, Sha256, WebhookFact, words::words};

/// One event on WhatsApp: a message, a call, a deletion. The members are those of the source's contract
/// (`archiver-api`'s `Item`); unknown members are ignored here and kept in the evidence.
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
    /// `whatsapp`, if the source sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The kind of event.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Time of the event on WhatsApp.
    pub message_time: Timestamp,
    /// Time at which the source received it.
    pub archived_time: Timestamp,
    /// Direction, from the captured user's view.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The chat of the event.
    pub chat: Chat,
    /// The participant who caused the event.
    pub from: Participant,
    /// All other participants.
    pub to: Vec<Participant>,
    /// Body or caption, with WhatsApp's formatting marks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Files, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// The message that this one replies to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoted: Option<Quoted>,
    /// Participants who are mentioned in the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<Participant>,
    /// Forwarded from another chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<bool>,
    /// Forwarded many times, by WhatsApp's count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequently_forwarded: Option<bool>,
    /// The chat's timer for disappearing messages, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disappearing_seconds: Option<u64>,
    /// For a reaction, an edit, a deletion or a vote: the message that it refers to.
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
    /// WhatsApp Business content, in the captured shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub business: Option<Value>,
    /// For an unsupported item: the reason why the capture could not read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For an item of a chat export: the file that it was read from.
    #[serde(default, deserialize_with = "of_shape", skip_serializing_if = "Option::is_none")]
    pub upload: Option<Upload>,
    /// For an item that a vendor delivered as a mail: that mail.
    #[serde(default, deserialize_with = "of_shape", skip_serializing_if = "Option::is_none")]
    pub mail: Option<MailFact>,
    /// For an item that came as a webhook: that webhook.
    #[serde(default, deserialize_with = "of_shape", skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookFact>,
}

/// Reads a member; `None` if it has another shape. Such a member counts as unknown, because a source may have had a member
/// of this name before this release read it.
fn of_shape<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).ok())
}

/// The mail that an item was read from. The item's evidence attachment is the mail itself.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct MailFact {
    /// The file in the inbox.
    pub file: String,
    /// The name of the mail in that file, if it is a zip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The subject of the mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The header fields that the vendor added, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<MailField>,
    /// Notes on the interpretation of the mail that a reader has to know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A header field of a mail.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct MailField {
    /// Field name, without the colon.
    pub name: String,
    /// Field body, decoded.
    pub value: String,
}

/// The file of a chat export that an item was read from.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Upload {
    /// The e-mail address of the folder that the file was uploaded to.
    pub owner: String,
    /// The file's name in that folder.
    pub file: String,
    /// Notes on the interpretation of the file that a reader has to know: `date order assumed: day-month-year`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Item {
    /// Maximum number of attachments of an item. WhatsApp sends one per message; an album is several messages.
    pub const MAX_ATTACHMENTS: usize = 1_000;

    /// Returns whether the item is a line about a group that WhatsApp wrote, read from a chat export. Only its text names the
    /// people: the name before it is WhatsApp's or the group's.
    pub fn is_exported_group_line(&self) -> bool {
        self.upload.is_some() && self.event.as_ref().is_some_and(|event| event.subjects.is_empty())
    }

    /// Returns the attachment from which the item was read, if it is kept unchanged (a vendor's mail, a webhook's
    /// event): the last one. It is not one of the item's files.
    pub fn evidence(&self) -> Option<&Attachment> {
        let is_kept = self.mail.is_some() || self.webhook.is_some();
        self.attachments.last().filter(|last| is_kept && last.evidence == Some(true))
    }

    /// Returns the item's own files.
    pub fn files(&self) -> &[Attachment] {
        let files = self.attachments.len() - usize::from(self.evidence().is_some());
        self.attachments.get(..files).unwrap_or_default()
    }

    /// Returns all participants: the sender first, then the others in the source's order.
    pub fn participants(&self) -> impl Iterator<Item = &Participant> {
        std::iter::once(&self.from).chain(&self.to)
    }
}

words! {
    /// Direction of an item, from the captured user's view.
    Direction {
        Incoming = "incoming", "Another participant wrote it.";
        Outgoing = "outgoing", "The captured user wrote it.";
    }
}

words! {
    /// The type of a chat.
    ChatType {
        Individual = "individual", "Two people.";
        Group = "group", "A group.";
        Broadcast = "broadcast", "One sender, many recipients who do not see each other.";
        Channel = "channel", "A channel and its followers.";
        Status = "status", "A status update.";
    }
}

/// The chat of an item.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Chat {
    /// WhatsApp's id of the chat.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub chat_type: ChatType,
    /// The group's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A file of an item, as declared; its bytes are requested separately.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// Unique within the item.
    pub id: AttachmentId,
    /// The name given by the sender; not trustworthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The declared media type; not trustworthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The declared size in bytes; not trustworthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// If present, the bytes must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// For sound and video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    /// Sent to be viewed once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view_once: Option<bool>,
    /// The file from which the item was read, unchanged: the evidence, which is not one of the item's files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<bool>,
}

/// The message that an item replies to.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quoted {
    /// WhatsApp's id of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Its author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Participant>,
    /// Its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Its kind, for a message without text.
    #[serde(rename = "type", default, deserialize_with = "of_shape", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
}

/// The message that a reaction, an edit, a deletion or a vote refers to. It has the members of [`Quoted`]; `text` is
/// the text of the message, if the source still has it.
pub type Target = Quoted;

/// An emoji on a message.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Reaction {
    /// Empty or missing: the reaction was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emoji: Option<String>,
}

words! {
    /// The scope of a deletion.
    DeletionScope {
        Everyone = "everyone", "For everyone in the chat.";
        Me = "me", "On the captured user's own phone.";
    }
}

words! {
    /// The state of a message at its deletion: read or unread.
    DeletionState {
        Read = "read", "It had been read.";
        Unread = "unread", "It had not been read.";
        Unknown = "unknown", "The source does not know.";
    }
}

/// The deletion of a message.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Deletion {
    /// The scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<DeletionScope>,
    /// The person who deleted it, if it was not the sender: an admin of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Participant>,
    /// The state of the message at its deletion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<DeletionState>,
}

words! {
    /// The medium of a call.
    CallMedia {
        Voice = "voice", "Sound only.";
        Video = "video", "Sound and picture.";
    }
}

words! {
    /// The end of a call.
    CallStatus {
        Answered = "answered", "The call was answered.";
        Missed = "missed", "The captured user did not answer.";
        Rejected = "rejected", "The call was declined.";
        Failed = "failed", "It could not be connected.";
        Unanswered = "unanswered", "The other side did not answer.";
    }
}

/// A call.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// Voice or video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<CallMedia>,
    /// The end of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<CallStatus>,
    /// Time of its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// Time of its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Timestamp>,
    /// Duration of the conversation in seconds.
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
    /// The sender's name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its postal address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// A link that was sent with it; not trustworthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Accuracy in metres.
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

/// A poll, or a participant's votes in a poll.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Poll {
    /// The question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// The options, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Number of options that may be chosen; 0: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selectable: Option<u64>,
    /// For a vote: the chosen options. Empty: the vote was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub votes: Option<Vec<String>>,
}

/// A change of a group, or a notice of WhatsApp.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupEvent {
    /// `created`, `joined`, `left`, `added`, `removed`, `promoted`, `renamed`, `picture_changed`, `number_changed`,
    /// `timer_changed` or another word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The participants whom the change concerns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Participant>,
    /// The old value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_value: Option<String>,
    /// The new value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_value: Option<String>,
}
