//! Converts an item to RSMF events.

use message::write::{Description, describe, one_line};
use model::{Captured, Direction, Item, Kind, Participant, Sha256};

use crate::{
    conversation::captured_user,
    format::{Attachment, Event, EventType},
    people::People,
};

/// The id of the conversation. A file has one.
pub(crate) const CONVERSATION: &str = "c1";

/// An item of an export, read from its stored message.
pub struct StoredItem<'a> {
    pub captured: &'a Captured,
    /// The key of the stored message in the bucket.
    pub message: &'a str,
    /// The digest of the stored message.
    pub sha256: Sha256,
    /// Files of the item in the package, in order.
    pub files: Vec<File>,
    /// Number of the item's attachments that the stored message does not contain.
    pub missing_files: usize,
}

/// A file in the package.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Name in the package.
    pub id: String,
    /// Name to display.
    pub display: String,
    pub bytes: u64,
    pub sha256: Sha256,
}

/// The events of an item, before they are written.
pub(crate) struct Drafts {
    /// The first event has all facts. Further events exist only for further people who joined or left.
    pub(crate) events: Vec<Event>,
    /// `true` if the archive wrote the body, because the item has no text.
    pub(crate) is_statement: bool,
}

/// Maximum number of people who get a join or leave event each.
const MAX_SUBJECTS: usize = 256;

/// Returns the number of events of an item.
pub(crate) fn events_of(item: &Item) -> u32 {
    membership(item).map_or(1, |(_, subjects)| u32::try_from(subjects.len()).unwrap_or(u32::MAX))
}

/// Returns the people who joined or left; `None` for other items.
fn membership(item: &Item) -> Option<(EventType, &[Participant])> {
    let event = item.event.as_ref().filter(|_| matches!(item.kind, Kind::GroupEvent | Kind::System))?;
    if item.is_exported_group_line() {
        return None;
    }
    let (kind, by_sender) = match event.action.as_deref()? {
        "joined" => (EventType::Join, true),
        "left" => (EventType::Leave, true),
        "added" => (EventType::Join, false),
        "removed" => (EventType::Leave, false),
        _ => return None,
    };
    // Without a subject the sender joined or left. If a participant was added or removed and the capture does not name
    // that participant, the item becomes a message event.
    let subjects = match event.subjects.as_slice() {
        [] if by_sender => std::slice::from_ref(&item.from),
        [] => return None,
        subjects => subjects,
    };
    (subjects.len() <= MAX_SUBJECTS).then_some((kind, subjects))
}

/// Creates the events of an item. `parent` is the id of the event that it replies to or acts on, if that event is in
/// the same file.
pub(crate) fn compose(stored: &StoredItem<'_>, people: &mut People, parent: Option<String>) -> Drafts {
    let item = &stored.captured.item;
    let described = describe(stored.captured);
    let (kind, subjects) = membership(item).unwrap_or((event_type(&item.kind), std::slice::from_ref(&item.from)));
    let id = item.id.key().to_string();
    let text = item.text.clone().filter(|text| !text.is_empty());
    let is_statement = text.is_none();
    let body = text.unwrap_or_else(|| statement_body(&described));
    let mut events: Vec<Event> = Vec::with_capacity(subjects.len());
    for (number, subject) in (1..).zip(subjects) {
        events.push(Event {
            id: if number == 1 { id.clone() } else { format!("{id}-{number}") },
            kind,
            conversation: CONVERSATION,
            participant: people.id(subject),
            timestamp: item.message_time,
            parent: parent.clone(),
            body: body.clone(),
            direction: None,
            deleted: false,
            reactions: Vec::new(),
            attachments: Vec::new(),
            edits: Vec::new(),
            custom: Vec::new(),
        });
    }
    if let Some((first, more)) = events.split_first_mut() {
        add_facts(first, stored, described, is_statement);
        for event in more {
            event.note("Archive id", item.id.as_str());
            event.note("Part of the event", id.as_str());
        }
    }
    Drafts { events, is_statement }
}

fn event_type(kind: &Kind) -> EventType {
    match kind {
        Kind::Unsupported | Kind::Other(_) => EventType::Unknown,
        _ => EventType::Message,
    }
}

/// Returns the body of an item without a text: the archive's description of the item.
fn statement_body(described: &Description) -> String {
    match described.statements.is_empty() {
        true => described.title.clone(),
        false => format!("{}\n{}", described.title, described.statements),
    }
}

fn add_facts(event: &mut Event, stored: &StoredItem<'_>, described: Description, is_statement: bool) {
    let item = &stored.captured.item;
    if is_statement {
        event.note("Body", "written by the archive; these are not the words of a participant");
    } else {
        event.note("Statement", described.statements);
    }
    for (name, value) in described.details {
        event.note(name, value);
    }
    for (name, id) in ids(item) {
        event.note(name, id);
    }
    event.note("In reply to", described.reply);
    if item.frequently_forwarded == Some(true) {
        event.note("Forwarded", "many times");
    } else if item.forwarded == Some(true) {
        event.note("Forwarded", "yes");
    }
    if let Some(location) = &item.location
        && let (Some(latitude), Some(longitude)) = (location.latitude, location.longitude)
    {
        event.note("GPS", format!("{latitude}, {longitude}"));
    }
    add_not_captured(event, stored);
    attach(event, &stored.files);
    add_evidence(event, stored);
}

/// Returns the ids of an item. Programs read the archive's id, so it is exact: no characters are replaced.
pub(crate) fn ids(item: &Item) -> impl Iterator<Item = (&'static str, String)> {
    let whatsapp_id = item.message_id.as_deref().map(|id| ("WhatsApp id", one_line(id, 256)));
    whatsapp_id.into_iter().chain([("Archive id", item.id.to_string())])
}

/// Adds a fact if the capture lacks content.
fn add_not_captured(event: &mut Event, stored: &StoredItem<'_>) {
    let item = &stored.captured.item;
    if item.kind.is_media() && item.files().is_empty() {
        event.note("Not captured", "the media: the archive has no file for this message");
    }
    if item.kind == Kind::Unsupported {
        event.note("Not captured", "the message: the capture could not read it");
    }
    if let Some(missing) = missing_files(stored) {
        event.note("Not captured", missing);
    }
}

/// Describes the files of an item that the archive does not have.
pub(crate) fn missing_files(stored: &StoredItem<'_>) -> Option<String> {
    let (missing, attachments) = (stored.missing_files, &stored.captured.item.attachments);
    let all = attachments.len();
    if missing == 0 {
        return None;
    }
    let mut value = format!("{missing} of {all} files: erased by the archive's retention, not available");
    if missing == all {
        for name in attachments.iter().filter_map(|attachment| attachment.name.as_deref()) {
            // The name is a participant's, so it is marked like a text.
            value.push_str("\n| ");
            value.push_str(&one_line(name, 150));
        }
    }
    Some(value)
}

/// Adds files to an event.
pub(crate) fn attach(event: &mut Event, files: &[File]) {
    for File { id, display, bytes, sha256 } in files {
        event.attachments.push(Attachment { id: id.clone(), display: display.clone(), size: *bytes });
        event.note(format!("SHA-256 of {id}"), sha256.to_string());
    }
}

/// Adds the keys and digests of an item's evidence.
fn add_evidence(event: &mut Event, stored: &StoredItem<'_>) {
    event.note("SHA-256 of the item as captured", Sha256::of(&stored.captured.evidence).to_string());
    event.note("Stored message", stored.message);
    event.note("SHA-256 of the stored message", stored.sha256.to_string());
}

/// Sets the direction, which RSMF defines relative to the custodian of the conversation.
pub(crate) fn set_direction(event: &mut Event, item: &Item, custodian: Option<usize>, people: &mut People) {
    let word = match &item.direction {
        Some(Direction::Incoming) => "incoming",
        Some(Direction::Outgoing) => "outgoing",
        Some(Direction::Other(_)) | None => return,
    };
    let captured = captured_user(item).map(|user| people.number(user));
    if captured.is_some() && captured == custodian {
        event.direction = Some(word);
    } else {
        let user = captured.map_or("an unknown user", |number| people.display(number));
        event.note("Direction", format!("{word}, seen from {user}"));
    }
}
