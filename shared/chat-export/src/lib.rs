//! Reads what a phone's WhatsApp writes when its user chooses "Export chat": a text, or a zip with a text and media.
//! Every message of it becomes an item in the archive's own words.
//!
//! An export is made for people. It says neither its language nor its time zone, and not whether the day or the month
//! comes first; it has no ids, and it knows only what the phone shows. What follows from that is decided here, once:
//!
//! * No line is lost. What does not begin as a message does belongs to the message before it; what stands before the
//!   first message becomes an item of its own. Text keeps every code point; only an iPhone's CR LF becomes LF.
//! * A message's id comes from its time as written, its sender, its text, and its number among equals, so a later and
//!   longer export of the same chat under the same file name gives the same ids again. Trailing white space does not
//!   count: the last message of an export ends as the file does.
//! * The order of day and month is inferred over the whole file ([`DayOrder`]).
//! * Times are the wall clock of one zone. An hour that a clock skips is read as if the clock had not been put
//!   forward yet, and an hour that comes twice is read as its first (what RFC 5545 and jiff call "compatible").
//! * A name with a colon and a space in it cannot be told from a name and the beginning of a text, and a text that
//!   looks like the export's own next message, in its style and with a possible date, cannot be told from one.
//!
//! This crate knows no AWS, no HTTP and no clock.

mod content;
mod dates;
mod directory;
mod error;
mod header;
mod marks;
mod media;
mod messages;
mod name;
mod package;
mod people;
mod words;

use std::{collections::HashMap, fmt};

use item::{
    Attachment, AttachmentId, Captured, Chat, ChatType, Direction, Item, ItemError, ItemId, MailboxAddress,
    Participant, Sha256,
};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use serde_json::json;

pub use dates::{DateOrder, DayOrder, OrderEvidence};
pub use error::{AttachmentError, ExportError};
pub use name::{file_id, locate};

use content::Content;
use messages::Message;
use name::{Hash, Ids};
use package::Package;
use people::People;

/// A file as it was uploaded, and what is known of it from elsewhere.
pub struct ExportFile<'a> {
    /// Whose phone wrote it.
    pub owner: &'a MailboxAddress,
    /// Its name, without any folder. It ends in `.txt` or `.zip`, and the chat's name is taken from it.
    pub file_name: &'a str,
    /// All of it.
    pub bytes: Vec<u8>,
    /// The file beside it that names the participants: CSV with `name`, `phone` and `email`.
    pub participants_csv: Option<&'a [u8]>,
    /// Where the phone was.
    pub zone: &'a TimeZone,
    /// When it was uploaded.
    pub archived_time: Timestamp,
}

/// A chat export that has been read. Attachments are decompressed when they are asked for.
pub struct Export {
    ids: Vec<ItemId>,
    /// By hash, the message's place.
    places: HashMap<Hash, usize>,
    id_form: Ids,
    chat: messages::Chat,
    about: Chat,
    people: People,
    package: Option<Package>,
    file_name: String,
    zone: TimeZone,
    archived_time: Timestamp,
}

impl Export {
    /// The longest text that is read, in bytes after decompression.
    pub const MAX_TEXT_BYTES: u64 = 64 << 20;
    /// The most messages that are read from one file.
    pub const MAX_MESSAGES: usize = 1_000_000;
    /// The most senders that are read from one file. Each is a participant of every message; a group has 1,024.
    pub const MAX_SENDERS: usize = 20_000;
    /// The most entries of a zip. A phone exports 10,000 messages with media.
    pub const MAX_ZIP_ENTRIES: usize = 50_000;

    /// Reads a file.
    ///
    /// # Errors
    /// [`ExportError`], all of them permanent: the file has to be uploaded anew.
    pub fn read(file: ExportFile<'_>) -> Result<Self, ExportError> {
        let id_form = Ids::new(file.owner, file.file_name)?;
        let known = file.participants_csv.map(people::read_known).transpose()?.unwrap_or_default();
        let (package, text) = if name::has_extension(file.file_name, "zip") {
            let (package, text) = Package::open(file.bytes, file.file_name)?;
            (Some(package), text)
        } else if name::has_extension(file.file_name, "txt") {
            if file.bytes.len() as u64 > Self::MAX_TEXT_BYTES {
                return Err(ExportError::TextTooLarge { limit: Self::MAX_TEXT_BYTES });
            }
            (None, file.bytes)
        } else {
            return Err(ExportError::Type);
        };
        // A day of grace: the phone may have been east of the configured zone.
        let uploaded = file.archived_time.to_zoned(file.zone.clone()).date();
        let chat = messages::Chat::cut(messages::decode(text)?, uploaded.saturating_add(1.day()))?;

        let mut wrote = vec![false; chat.senders.len()];
        let mut group_event = false;
        for message in &chat.messages {
            let body = &chat.text[message.body.clone()];
            match message.sender {
                Some(sender) if !content::is_notice(body) => wrote[sender] = true,
                Some(_) => group_event |= content::is_group_event(body),
                None => group_event |= message.stamp.is_some() && content::is_group_event(body),
            }
        }
        let chat_name = name::chat_name(file.file_name);
        let senders =
            people::Senders { names: &chat.senders, wrote: &wrote, chat_name: chat_name.as_deref(), group_event };
        let people = People::gather(&senders, &known, file.owner);
        let about = about(file.owner, file.file_name, chat_name, &people, group_event);
        let (ids, places) = identify(&chat, &id_form)?;
        Ok(Self {
            ids,
            places,
            id_form,
            chat,
            about,
            people,
            package,
            file_name: file.file_name.to_owned(),
            zone: file.zone.clone(),
            archived_time: file.archived_time,
        })
    }

    /// The ids of all items, in the file's order.
    pub fn ids(&self) -> impl Iterator<Item = &ItemId> {
        self.ids.iter()
    }

    /// The order that the dates' numbers were taken to have, and why. It belongs in a log where it is ambiguous.
    pub fn day_order(&self) -> DayOrder {
        self.chat.day_order
    }

    /// How many lines look like the beginning of a message, but in another style than the file's first, or with an
    /// impossible date. Each belongs to the message before it. Messages that somebody pasted look so; many of them
    /// mean that two exports were put into one file, and belong in a log.
    pub fn foreign_headers(&self) -> usize {
        self.chat.foreign_headers
    }

    /// The item with this id. `None` where the export has none.
    ///
    /// Its evidence holds, beside the archive's own words, a member `export`: `file`, `line` (from 1), `edited`
    /// where the message was edited, and `marker`, the words that named the attachment and are not in the text.
    pub fn item(&self, id: &ItemId) -> Option<Result<Captured, ItemError>> {
        let place = self.place(id)?;
        Some(self.capture(id, place))
    }

    /// The bytes of an item's attachment, at most `limit` of them. Decompression stops there, whatever size the zip
    /// declares.
    ///
    /// # Errors
    /// [`AttachmentError`], all of them permanent.
    pub fn attachment(&self, id: &ItemId, attachment: &AttachmentId, limit: u64) -> Result<Vec<u8>, AttachmentError> {
        let message = self.place(id).and_then(|place| self.chat.messages.get(place)).ok_or(AttachmentError::Missing)?;
        let file = match message.sender {
            Some(_) if attachment.as_str() == ATTACHMENT => self.content(message).file,
            _ => None,
        };
        let package = self.package.as_ref().ok_or(AttachmentError::Missing)?;
        package.read(&file.ok_or(AttachmentError::Missing)?.name, limit)
    }

    fn place(&self, id: &ItemId) -> Option<usize> {
        self.places.get(&self.id_form.hash(id)?).copied()
    }

    fn content(&self, message: &Message) -> Content {
        let body = &self.chat.text[message.body.clone()];
        match (message.stamp, message.sender) {
            (None, _) => Content::fragment(body),
            (Some(_), Some(_)) => Content::sent(body),
            (Some(_), None) => Content::line(body),
        }
    }

    fn capture(&self, id: &ItemId, place: usize) -> Result<Captured, ItemError> {
        let message = self.chat.messages.get(place).ok_or(ItemError::OtherItem)?;
        let content = self.content(message);
        // Lines before the first message have no time of their own; the first message's is the nearest.
        let stamp = message.stamp.or_else(|| self.chat.messages.iter().find_map(|message| message.stamp));
        let (from, direction) = match message.sender {
            Some(sender) => match self.people.sender(sender) {
                Some((person, true)) => (person.clone(), Some(Direction::Outgoing)),
                Some((person, false)) if self.people.owner_is_sender() => (person.clone(), Some(Direction::Incoming)),
                Some((person, false)) => (person.clone(), None),
                None => (people::written_as(&self.chat.senders[sender]), None),
            },
            None if message.stamp.is_none() => (named("Unknown sender"), None),
            None => (named("WhatsApp"), None),
        };
        let attachments = content.file.iter().map(|file| self.declared(file)).collect::<Result<_, _>>()?;
        let item = Item {
            id: id.clone(),
            message_id: self.id_form.hash(id).map(Hash::digits),
            network: Some("whatsapp".to_owned()),
            kind: content.kind(),
            message_time: self.time(stamp).ok_or(ItemError::Time("messageTime"))?,
            archived_time: self.archived_time,
            direction,
            chat: self.about.clone(),
            from,
            to: self.people.others(message.sender),
            text: content.text,
            attachments,
            quoted: None,
            mentions: Vec::new(),
            forwarded: None,
            frequently_forwarded: None,
            disappearing_seconds: None,
            target: None,
            reaction: None,
            deletion: content.deletion,
            call: content.call,
            location: content.location,
            contacts: Vec::new(),
            poll: content.poll,
            event: content.event,
            business: None,
            reason: content.reason.map(str::to_owned),
            upload: None,
        };
        let mut value = serde_json::to_value(&item).map_err(|_| ItemError::Shape("the item is no JSON".to_owned()))?;
        let mut export = json!({"file": self.file_name, "line": message.line});
        if content.edited {
            export["edited"] = true.into();
        }
        if let Some(file) = content.file {
            export["marker"] = file.marker.into();
        }
        value["export"] = export;
        Captured::from_value(value, id)
    }

    fn declared(&self, file: &content::File) -> Result<Attachment, ItemError> {
        let id = AttachmentId::try_from(ATTACHMENT.to_owned()).map_err(|error| ItemError::Shape(error.to_string()))?;
        Ok(Attachment {
            id,
            name: Some(file.name.clone()),
            content_type: Some(file.content_type.to_owned()),
            size: self.package.as_ref().and_then(|package| package.declared_size(&file.name)),
            sha256: None,
            duration_seconds: None,
            view_once: None,
        })
    }

    fn time(&self, stamp: Option<header::Stamp>) -> Option<Timestamp> {
        let wall_clock = self.chat.day_order.order.date_time(stamp?)?;
        self.zone.to_ambiguous_timestamp(wall_clock).compatible().ok()
    }
}

/// Shows no content and nobody.
impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export").field("items", &self.ids.len()).field("day_order", &self.chat.day_order).finish()
    }
}

/// The id of a message's attachment: it has at most one.
const ATTACHMENT: &str = "1";

fn named(name: &str) -> Participant {
    Participant { name: Some(name.to_owned()), ..Participant::default() }
}

/// The chat. Its id is the same for every export of it that the owner makes, as long as it keeps its name.
fn about(owner: &MailboxAddress, file_name: &str, name: Option<String>, people: &People, group_event: bool) -> Chat {
    let told_by = name.clone().unwrap_or_else(|| name::stem(file_name).to_owned());
    let chat_type = if group_event || people.known_count() > 2 { ChatType::Group } else { ChatType::Individual };
    let name = match chat_type {
        ChatType::Individual => name.or_else(|| people.counterparty_name().map(str::to_owned)),
        _ => name,
    };
    Chat { id: format!("export-{}", Sha256::of(format!("{owner}\n{told_by}").as_bytes()).short_hex()), chat_type, name }
}

/// The ids of all messages, and the place of each.
fn identify(chat: &messages::Chat, form: &Ids) -> Result<(Vec<ItemId>, HashMap<Hash, usize>), ExportError> {
    let mut ids = Vec::with_capacity(chat.messages.len());
    let mut places = HashMap::with_capacity(chat.messages.len());
    let mut seen: HashMap<Sha256, u64> = HashMap::new();
    for (place, message) in chat.messages.iter().enumerate() {
        let same = fingerprint(chat, message);
        let number = seen.entry(same).or_insert(0);
        // 80 bits are few enough for somebody to make two messages that share them, so that one hides the other: the
        // later one then counts on until its hash is free.
        let hash = loop {
            let mut bytes = same.as_bytes().to_vec();
            bytes.extend(number.to_be_bytes());
            *number += 1;
            let mut short = [0; name::HASH_DIGITS / 2];
            short.copy_from_slice(&Sha256::of(&bytes).as_bytes()[..name::HASH_DIGITS / 2]);
            if !places.contains_key(&Hash(short)) {
                break Hash(short);
            }
        };
        places.insert(hash, place);
        ids.push(form.id(hash).map_err(|_| ExportError::NameTooLong { over: 1 })?);
    }
    Ok((ids, places))
}

/// What makes two messages equal: time as written, sender and text. Not the time as understood: a longer export may
/// show that the month comes first, and the old messages must keep their ids.
fn fingerprint(chat: &messages::Chat, message: &Message) -> Sha256 {
    let time = message.stamp.map_or_else(String::new, |stamp| {
        let header::Stamp { date: [a, b, c], hour, minute, second } = stamp;
        format!("{a}.{b}.{c} {hour:02}:{minute:02}:{second:02}")
    });
    let sender = message.sender.map_or("", |sender| chat.senders[sender].as_str());
    let mut bytes = format!("{time}\n{}\n{sender}\n", sender.len()).into_bytes();
    bytes.extend(chat.text[message.body.clone()].trim_end().as_bytes());
    Sha256::of(&bytes)
}
