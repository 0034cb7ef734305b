//! Reads what a phone's WhatsApp writes when its user chooses "Export chat": a text, or a zip with a text and media.
//! Every message of it becomes an item in the archive's own words.
//!
//! An export is made for people. It says neither its language nor its time zone, and not whether the day or the month
//! comes first; it has no ids, and it knows only what the phone shows. How each file's grammar is inferred is described
//! in `DESIGN.md`. What is promised:
//!
//! * No line is lost. What does not begin as a message does belongs to the message before it, and a line that only looks
//!   like a beginning is reported. What stands before the first message becomes an item of its own, and so does a file
//!   of the zip that no message names. Text keeps every code point; only an iPhone's CR LF becomes LF.
//! * A message's id comes from its time as written, its sender, its text, and its number among equals, so a later and
//!   longer export of the same chat under the same file name gives the same ids again. Trailing white space does not
//!   count: the last message of an export ends as the file does.
//! * Times are the wall clock of one zone. An hour that a clock skips is read as if the clock had not been put
//!   forward yet, and an hour that comes twice is read as its first (what RFC 5545 and jiff call "compatible").
//! * An upload is the uploader's word. Nothing in it decides whose mailbox receives an item ([`Recipients`]).
//!
//! This crate knows no AWS, no HTTP and no clock.

mod attachments;
mod cldr;
mod clock;
mod content;
mod dates;
mod directory;
mod error;
mod grammar;
mod head;
mod marks;
mod media;
mod messages;
mod name;
mod package;
mod people;
mod senders;
mod summary;
mod words;

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use jiff::{Timestamp, ToSpan, civil::DateTime, tz::TimeZone};
use model::{
    Attachment, AttachmentId, Captured, Chat, ChatType, Direction, Item, ItemError, ItemId, MailboxAddress,
    Participant, Sha256, Upload,
};
use serde_json::json;

pub use dates::{DateOrder, DayOrder, OrderEvidence};
pub use error::{AttachmentError, ExportError};
pub use name::{file_id, locate};
pub use people::Recipients;
pub use summary::Summary;

use attachments::Attachments;
use content::{Content, Surroundings};
use dates::Limits;
use grammar::Outside;
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
    /// How it is to be read.
    pub settings: &'a Settings,
    /// When it was uploaded.
    pub archived_time: Timestamp,
}

/// What an export does not say, and the operator does.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the phones were.
    pub zone: TimeZone,
    /// The order of day, month and year in exports whose dates can be read in more than one.
    pub date_order: Option<DateOrder>,
    /// Whose mailboxes items may be filed in.
    pub recipients: Recipients,
}

impl Settings {
    /// Phones in this zone, and nothing else known.
    pub fn in_zone(zone: TimeZone) -> Self {
        Self { zone, date_order: None, recipients: Recipients::Owner }
    }
}

/// A chat export that has been read. Attachments are decompressed when they are asked for.
pub struct Export {
    ids: Vec<ItemId>,
    /// By hash, the message's place; behind the messages, the places of the files that no message names.
    places: HashMap<Hash, usize>,
    id_form: Ids,
    chat: messages::Chat,
    about: Chat,
    people: People,
    /// For each sender, whether a person wrote under the name.
    wrote: Vec<bool>,
    /// Texts in angle brackets that come again and again.
    repeated: HashSet<String>,
    package: Option<Package>,
    attachments: Attachments,
    owner: MailboxAddress,
    file_name: String,
    zone: TimeZone,
    archived_time: Timestamp,
}

/// What an item is made of.
enum Part<'a> {
    Message(usize, &'a Message),
    /// A file of the zip that no message names, by its place in the package.
    File(usize),
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
        let Settings { zone, date_order, recipients } = file.settings;
        // A day of grace: the phone may have been east of the configured zone.
        let uploaded = file.archived_time.to_zoned(zone.clone()).date();
        let limits = Limits::until(uploaded.saturating_add(1.day()));
        let chat_name = name::chat_name(file.file_name);
        let names = known.iter().filter_map(people::Known::name).chain(chat_name.as_deref());
        let outside = Outside { limits, configured: *date_order };
        let chat = messages::Chat::cut(messages::decode(text)?, names, outside)?;
        let attachments = Attachments::of(&chat, package.as_ref());

        let (wrote, group_event) = authors(&chat, package.as_ref(), &attachments);
        let senders =
            people::Senders { names: &chat.senders, wrote: &wrote, chat_name: chat_name.as_deref(), group_event };
        let people = People::gather(&senders, &known, file.owner, *recipients);
        let about = about(file.owner, file.file_name, chat_name, &people, group_event);
        let (ids, places) = identify(&chat, &attachments, package.as_ref(), &id_form)?;
        Ok(Self {
            ids,
            places,
            id_form,
            about,
            people,
            wrote,
            repeated: repeated(&chat),
            chat,
            package,
            attachments,
            owner: file.owner.clone(),
            file_name: file.file_name.to_owned(),
            zone: zone.clone(),
            archived_time: file.archived_time,
        })
    }

    /// The ids of all items, in the file's order. Files that no message names come last.
    pub fn ids(&self) -> impl Iterator<Item = &ItemId> {
        self.ids.iter()
    }

    /// The order that the dates' numbers were read in, and why.
    pub fn day_order(&self) -> DayOrder {
        self.chat.day_order
    }

    /// The item with this id. `None` where the export has none.
    ///
    /// Its evidence holds, beside the archive's own words, a member `export`: `file`, `line` (from 1), `edited`
    /// where the message was edited, `marker`, the words that named the attachment and are not in the text,
    /// `suspiciousLines`, the lines in it that look like the beginning of another message, and `fromPhone`, the number
    /// that the upload has for the sender and that identifies nobody.
    pub fn item(&self, id: &ItemId) -> Option<Result<Captured, ItemError>> {
        let part = self.part(id)?;
        Some(self.capture(id, &part))
    }

    /// The bytes of an item's attachment, at most `limit` of them. Decompression stops there, whatever size the zip
    /// declares.
    ///
    /// # Errors
    /// [`AttachmentError`], all of them permanent.
    pub fn attachment(&self, id: &ItemId, attachment: &AttachmentId, limit: u64) -> Result<Vec<u8>, AttachmentError> {
        let part = self.part(id).filter(|_| attachment.as_str() == ATTACHMENT).ok_or(AttachmentError::Missing)?;
        let file = self.content(&part).file.ok_or(AttachmentError::Missing)?;
        self.package.as_ref().ok_or(AttachmentError::Missing)?.read(file.place, limit)
    }

    fn missing_files(&self) -> usize {
        let messages = self.chat.messages.iter().enumerate();
        messages.filter(|(place, message)| self.content(&Part::Message(*place, message)).file_missing).count()
    }

    fn part(&self, id: &ItemId) -> Option<Part<'_>> {
        let place = self.places.get(&self.id_form.hash(id)?).copied()?;
        match self.chat.messages.get(place) {
            Some(message) => Some(Part::Message(place, message)),
            None => self.attachments.unnamed.get(place - self.chat.messages.len()).map(|file| Part::File(*file)),
        }
    }

    fn content(&self, part: &Part<'_>) -> Content {
        match part {
            Part::Message(place, message) => {
                let body = &self.chat.text[message.body.clone()];
                match (message.time, message.sender) {
                    (None, _) => Content::fragment(body),
                    (Some(_), Some(sender)) => Content::sent(body, &self.surroundings(*place, sender)),
                    (Some(_), None) => Content::line(body),
                }
            }
            Part::File(place) => match &self.package {
                Some(package) => Content::unnamed(*place, package),
                None => Content::fragment(""),
            },
        }
    }

    fn surroundings(&self, place: usize, sender: usize) -> Surroundings<'_> {
        Surroundings {
            package: self.package.as_ref(),
            loose: self.attachments.loose.get(&place).copied(),
            iphone: self.chat.brackets,
            by_whatsapp: !self.wrote[sender],
            repeated: Some(&self.repeated),
        }
    }

    fn capture(&self, id: &ItemId, part: &Part<'_>) -> Result<Captured, ItemError> {
        let content = self.content(part);
        let message = match part {
            Part::Message(_, message) => Some(*message),
            Part::File(_) => None,
        };
        // Lines before the first message have no time of their own; the first message's is the nearest. A file that no
        // message names was there when the newest was written.
        let mut times = self.chat.messages.iter().filter_map(|message| message.time);
        let time = match message {
            Some(message) => message.time.or_else(|| times.next()),
            None => times.max(),
        };
        let sender = message.and_then(|message| message.sender);
        let (from, direction) = match sender {
            Some(sender) => match self.people.sender(sender) {
                Some((person, true)) => (person.clone(), Some(Direction::Outgoing)),
                Some((person, false)) if self.people.owner_is_sender() => (person.clone(), Some(Direction::Incoming)),
                Some((person, false)) => (person.clone(), None),
                None => (named(&self.chat.senders[sender]), None),
            },
            None if message.is_none_or(|message| message.time.is_none()) => (named("Unknown sender"), None),
            None => (named("WhatsApp"), None),
        };
        let attachments = content.file.iter().map(|file| self.declared(file)).collect::<Result<_, _>>()?;
        let notes = self.notes(message, &content);
        let item = Item {
            id: id.clone(),
            message_id: self.id_form.hash(id).map(Hash::digits),
            network: Some("whatsapp".to_owned()),
            kind: content.kind(),
            message_time: self.time(time).ok_or(ItemError::Missing("time"))?,
            archived_time: self.archived_time,
            direction,
            chat: self.about.clone(),
            from,
            to: self.people.others(sender),
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
            upload: Some(Upload { owner: self.owner.to_string(), file: self.file_name.clone(), notes }),
        };
        let mut value =
            serde_json::to_value(&item).map_err(|_| ItemError::Shape("the item has no JSON form".to_owned()))?;
        let mut export = json!({"file": self.file_name});
        if let Some(message) = message {
            export["line"] = message.line.into();
            if !message.suspicious.is_empty() {
                export["suspiciousLines"] = json!(message.suspicious);
            }
        }
        if content.edited {
            export["edited"] = true.into();
        }
        if let Some(marker) = content.file.and_then(|file| file.marker) {
            export["marker"] = marker.into();
        }
        if let Some(phone) = sender.and_then(|sender| self.people.unshown_phone(sender)) {
            export["fromPhone"] = phone.into();
        }
        value["export"] = export;
        Captured::from_value(value, id)
    }

    /// What a reader of the mail has to know of how the export was read.
    fn notes(&self, message: Option<&Message>, content: &Content) -> Vec<String> {
        let mut notes = Vec::new();
        if self.chat.day_order.is_ambiguous() {
            notes.push(format!("date order assumed: {}", self.chat.day_order.order));
        }
        if content.file_missing {
            notes.push(content::FILE_MISSING.to_owned());
        }
        if let Some(lines) = message.map(|message| &message.suspicious).filter(|lines| !lines.is_empty()) {
            notes.push(format!(
                "part of this message looks like the beginning of another message, in {} of the export",
                summary::lines(lines)
            ));
        }
        notes
    }

    fn declared(&self, file: &content::File) -> Result<Attachment, ItemError> {
        let id = AttachmentId::try_from(ATTACHMENT.to_owned()).map_err(|error| ItemError::Shape(error.to_string()))?;
        let package = self.package.as_ref();
        Ok(Attachment {
            id,
            name: package.map(|package| marks::trim(package.name(file.place)).to_owned()),
            content_type: Some(file.content_type.to_owned()),
            size: package.and_then(|package| package.declared_size(file.place)),
            sha256: None,
            duration_seconds: None,
            view_once: None,
        })
    }

    fn time(&self, wall_clock: Option<DateTime>) -> Option<Timestamp> {
        self.zone.to_ambiguous_timestamp(wall_clock?).compatible().ok()
    }
}

/// For each sender, whether a person wrote under the name; and whether something happened that happens only in groups.
///
/// iPhones put a group's name before what WhatsApp itself writes, and a mark behind it.
fn authors(chat: &messages::Chat, package: Option<&Package>, attachments: &Attachments) -> (Vec<bool>, bool) {
    #[derive(Clone, Default)]
    struct Lines {
        by_person: bool,
        /// Under the name stands a whole sentence of WhatsApp's.
        sentence: bool,
        /// Marked words that may stand for a file that was not exported.
        short: bool,
    }
    let mut lines = vec![Lines::default(); chat.senders.len()];
    let mut group_event = false;
    for (place, message) in chat.messages.iter().enumerate() {
        let body = &chat.text[message.body.clone()];
        let Some(sender) = message.sender else {
            group_event |= message.time.is_some() && content::is_group_event(body);
            continue;
        };
        let file = attachments.loose.contains_key(&place)
            || package.is_some_and(|package| attachments::named(body, package).is_some());
        if !file && (content::is_notice(body) || (chat.brackets && content::is_marked_sentence(body))) {
            lines[sender].sentence = true;
            group_event |= content::is_group_event(body);
        } else if !file && chat.brackets && body.starts_with('\u{200e}') {
            lines[sender].short = true;
        } else {
            lines[sender].by_person = true;
        }
    }
    let people = lines.iter().filter(|lines| lines.by_person).count();
    // In a chat of two, what was not exported may be all that one of them sent.
    let wrote = |lines: &Lines| lines.by_person || (lines.short && !(lines.sentence && people > 1));
    (lines.iter().map(wrote).collect(), group_event)
}

/// Words in angle brackets that are a whole message three times or more.
fn repeated(chat: &messages::Chat) -> HashSet<String> {
    const TIMES: usize = 3;
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for message in chat.messages.iter().filter(|message| message.sender.is_some()) {
        if let Some(words) = content::bracketed(&chat.text[message.body.clone()]) {
            *counts.entry(words).or_default() += 1;
        }
    }
    counts.into_iter().filter(|(_, count)| *count >= TIMES).map(|(words, _)| words.to_owned()).collect()
}

/// Shows no content and no names.
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
    let identity = name.clone().unwrap_or_else(|| name::stem(file_name).to_owned());
    let chat_type = if group_event || people.known_count() > 2 { ChatType::Group } else { ChatType::Individual };
    let name = match chat_type {
        ChatType::Individual => name.or_else(|| people.counterparty_name().map(str::to_owned)),
        _ => name,
    };
    Chat {
        id: format!("export-{}", Sha256::of(format!("{owner}\n{identity}").as_bytes()).short_hex()),
        chat_type,
        name,
    }
}

/// The ids of all items, and the place of each.
fn identify(
    chat: &messages::Chat,
    attachments: &Attachments,
    package: Option<&Package>,
    form: &Ids,
) -> Result<(Vec<ItemId>, HashMap<Hash, usize>), ExportError> {
    let count = chat.messages.len() + attachments.unnamed.len();
    let mut ids = Vec::with_capacity(count);
    let mut places = HashMap::with_capacity(count);
    let mut seen: HashMap<Sha256, u64> = HashMap::new();
    let files = attachments.unnamed.iter().map(|file| package.map_or("", |package| package.name(*file)));
    let files = files.map(|name| Sha256::of(format!("file\n{name}").as_bytes()));
    for (place, same) in chat.messages.iter().map(|message| fingerprint(chat, message)).chain(files).enumerate() {
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
/// show that the month comes first, and the old messages must keep their ids. For the same reason the sender is what
/// stands before the first colon, whatever the whole file shows to be the name.
fn fingerprint(chat: &messages::Chat, message: &Message) -> Sha256 {
    let whole = &chat.text[message.whole.clone()];
    let split = message.time.and_then(|_| senders::first_split(messages::first_line(whole)));
    let (sender, skip) = split.map_or(("", 0), |split| (split.name, split.skip));
    let mut bytes = format!("{}\n{}\n{sender}\n", message.written, sender.len()).into_bytes();
    bytes.extend(whole[skip..].trim_end().as_bytes());
    Sha256::of(&bytes)
}
