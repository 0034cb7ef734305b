//! An export that was read, and its items.

use std::{collections::HashSet, fmt};

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use model::{
    Attachment, AttachmentId, Captured, Chat, ChatType, Direction, Item, ItemError, ItemId, MailboxAddress,
    Participant, Sha256, Upload,
};
use serde_json::json;

use crate::{
    attachments::Attachments,
    authors,
    content::{self, Content, MessageContext},
    dates::{DateOrder, DayOrder, Limits},
    error::{AttachmentError, ExportError},
    grammar::ExternalFacts,
    identity::Identities,
    instants::Instants,
    limits, marks,
    messages::{self, Message},
    name::{self, Hash, Ids},
    package::Package,
    people::{self, People, Recipients},
    senders::Doubt,
    summary::{self, Summary},
};

/// An uploaded file, and facts about it from other places.
pub struct ExportFile<'a> {
    /// The owner of the phone that wrote it.
    pub owner: &'a MailboxAddress,
    /// Its name, without any folder. It ends in `.txt` or `.zip`, and the chat's name is taken from it.
    pub file_name: &'a str,
    /// Its complete content.
    pub bytes: Vec<u8>,
    /// The participants file beside it: CSV with `name`, `phone` and `email`.
    pub participants_csv: Option<&'a [u8]>,
    /// The settings to read it with.
    pub settings: &'a Settings,
    /// The time of the upload.
    pub archived_time: Timestamp,
}

/// Settings of the operator that an export does not contain.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The time zone of the phones.
    pub zone: TimeZone,
    /// The order of day, month and year for exports whose dates are ambiguous.
    pub date_order: Option<DateOrder>,
    /// The users in whose mailboxes items may be filed.
    pub recipients: Recipients,
}

impl Settings {
    /// Settings for phones in this zone, with defaults otherwise.
    pub fn in_zone(zone: TimeZone) -> Self {
        Self { zone, date_order: None, recipients: Recipients::Owner }
    }
}

/// A chat export that was read. Attachments are decompressed on request.
pub struct Export {
    /// The items: the messages, and after them the files that no message names.
    identities: Identities,
    id_form: Ids,
    chat: messages::Chat,
    item_chat: Chat,
    people: People,
    /// For each sender, whether a person wrote under the name.
    wrote: Vec<bool>,
    /// Texts in angle brackets that are repeated.
    repeated: HashSet<String>,
    package: Option<Package>,
    attachments: Attachments,
    owner: MailboxAddress,
    file_name: String,
    instants: Instants,
    archived_time: Timestamp,
}

/// The source of an item.
enum Part<'a> {
    Message(usize, &'a Message),
    /// A file of the zip that no message names, by its index in the package.
    File(usize),
}

impl Export {
    /// Maximum size of the text, in bytes after decompression.
    pub const MAX_TEXT_BYTES: u64 = limits::MAX_TEXT_BYTES;
    /// Maximum number of messages that are read from one file.
    pub const MAX_MESSAGES: usize = limits::MAX_MESSAGES;
    /// Maximum number of senders that are read from one file. Each is a participant of every message; a group has 1,024.
    pub const MAX_SENDERS: usize = limits::MAX_SENDERS;
    /// Maximum number of entries of a zip. A phone exports 10,000 messages with media.
    pub const MAX_ZIP_ENTRIES: usize = limits::MAX_ZIP_ENTRIES;

    /// Reads a file.
    ///
    /// # Errors
    /// [`ExportError`], all of them permanent: a corrected file has to be uploaded.
    pub fn read(file: ExportFile<'_>) -> Result<Self, ExportError> {
        let id_form = Ids::new(file.owner, file.file_name)?;
        let known = file.participants_csv.map(people::read_participants).transpose()?.unwrap_or_default();
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
        // One day later: the phone may have been east of the configured zone.
        let uploaded = file.archived_time.to_zoned(zone.clone()).date();
        let limits = Limits::until(uploaded.saturating_add(1.day()));
        let composed_name = name::composed(file.file_name);
        let chat_name = name::chat_name(&composed_name);
        // A name that a person gave to the file proves nothing about the senders.
        let phones_name = chat_name.as_deref().filter(|_| name::is_named_by_phone(&composed_name));
        let names = known.iter().filter_map(people::ListedPerson::name).chain(phones_name);
        let external = ExternalFacts { limits, configured: *date_order };
        let chat = messages::Chat::split(messages::decode(text)?, names, external)?;
        let attachments = Attachments::of(&chat, package.as_ref());

        let (wrote, group_event) = authors::authors(&chat, &attachments);
        let senders = people::Senders { names: &chat.senders, wrote: &wrote, chat_name: phones_name, group_event };
        let people = People::gather(&senders, &known, file.owner, *recipients);
        let item_chat = describe_chat(file.owner, &composed_name, chat_name, &people, group_event);
        let identities = Identities::of(&chat, &attachments, package.as_ref(), &id_form)?;
        Ok(Self {
            identities,
            id_form,
            item_chat,
            people,
            wrote,
            repeated: authors::repeated(&chat),
            instants: Instants::of(&chat.messages, zone),
            chat,
            package,
            attachments,
            owner: file.owner.clone(),
            file_name: file.file_name.to_owned(),
            archived_time: file.archived_time,
        })
    }

    /// Returns the ids of all items, in the file's order. Files that no message names come last.
    pub fn ids(&self) -> impl Iterator<Item = &ItemId> {
        self.identities.ids.iter()
    }

    /// Returns the id that an item had in earlier releases, if it was another one. [`item`](Self::item) and
    /// [`attachment`](Self::attachment) accept it: it may be on a queue, or have an outcome.
    pub fn earlier_id(&self, id: &ItemId) -> Option<ItemId> {
        let place = self.identities.places.get(&self.id_form.hash(id)?)?;
        self.id_form.id(*self.identities.earlier.get(place)?).ok()
    }

    /// Returns the order in which the numbers of dates are read, and the reason.
    pub fn day_order(&self) -> DayOrder {
        self.chat.day_order
    }

    /// Returns the item with this id; `None` if the export does not have it.
    ///
    /// Besides the members of the source's contract, its evidence has a member `export`: `file`; `line` (from 1);
    /// `edited`, if the message was edited; `marker`, the words that name the attachment and are not in the text;
    /// `suspiciousLines`, the lines in it that look like the beginning of another message; and `fromPhone`, the
    /// sender's number in the upload, which is not used to identify a user.
    pub fn item(&self, id: &ItemId) -> Option<Result<Captured, ItemError>> {
        let part = self.part(id)?;
        Some(self.capture(id, &part))
    }

    /// Decompresses the bytes of an item's attachment. Decompression stops at `limit` bytes, whatever size the zip
    /// declares.
    ///
    /// # Errors
    /// [`AttachmentError`], all of them permanent.
    pub fn attachment(&self, id: &ItemId, attachment: &AttachmentId, limit: u64) -> Result<Vec<u8>, AttachmentError> {
        let part = self.part(id).filter(|_| attachment.as_str() == ATTACHMENT).ok_or(AttachmentError::Missing)?;
        let file = self.content(&part).file.ok_or(AttachmentError::Missing)?;
        self.package.as_ref().ok_or(AttachmentError::Missing)?.read(file.place, limit)
    }

    /// Returns the summary of reading the export.
    pub fn summary(&self) -> Summary {
        let mut suspicious: Vec<usize> =
            self.chat.messages.iter().flat_map(|message| message.suspicious.iter().copied()).collect();
        suspicious.sort_unstable();
        let package = self.package.as_ref();
        let name = |file: &usize| package.map(|package| package.name(*file).to_owned());
        Summary {
            messages: self.chat.messages.len(),
            day_order: self.chat.day_order,
            suspicious_lines: suspicious,
            out_of_order_lines: self
                .chat
                .messages
                .iter()
                .filter(|message| message.out_of_order)
                .map(|message| message.line)
                .collect(),
            missing_files: self.missing_files(),
            unnamed_files: self.attachments.unnamed.iter().filter_map(name).collect(),
        }
    }

    fn missing_files(&self) -> usize {
        let messages = self.chat.messages.iter().enumerate();
        messages.filter(|(place, message)| self.content(&Part::Message(*place, message)).file_missing).count()
    }

    fn part(&self, id: &ItemId) -> Option<Part<'_>> {
        let place = self.identities.places.get(&self.id_form.hash(id)?).copied()?;
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
                    (Some(_), Some(sender)) => Content::sent(body, &self.message_context(*place, sender)),
                    (Some(_), None) => Content::line(body),
                }
            }
            Part::File(place) => match &self.package {
                Some(package) => Content::unnamed(*place, package),
                None => Content::fragment(""),
            },
        }
    }

    fn message_context(&self, place: usize, sender: usize) -> MessageContext<'_> {
        MessageContext {
            package: self.package.as_ref().map(|package| (package, &self.attachments.in_form)),
            file: self.attachments.of_message.get(&place).copied(),
            iphone: self.chat.brackets,
            by_whatsapp: !self.wrote[sender],
            first: place == 0,
            repeated: Some(&self.repeated),
        }
    }

    fn capture(&self, id: &ItemId, part: &Part<'_>) -> Result<Captured, ItemError> {
        let content = self.content(part);
        let message = match part {
            Part::Message(_, message) => Some(*message),
            Part::File(_) => None,
        };
        // Lines before the first message have no time; that of the first message is the nearest. A file that no message
        // names existed when the newest message was written.
        let messages = self.chat.messages.iter().enumerate();
        let mut times = messages.filter_map(|(place, message)| Some((place, message.time?)));
        let time = match part {
            Part::Message(place, Message { time: Some(time), .. }) => Some((*place, *time)),
            Part::Message(..) => times.next(),
            Part::File(_) => times.max_by_key(|(_, time)| *time),
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
            message_time: time
                .and_then(|(place, time)| self.instants.at(place, time))
                .ok_or(ItemError::Missing("time"))?,
            archived_time: self.archived_time,
            direction,
            chat: self.item_chat.clone(),
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
            mail: None,
            webhook: None,
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

    /// Returns the notes for the mail's reader about how the export was read.
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
        if message.is_some_and(|message| message.out_of_order) {
            notes.push(OUT_OF_ORDER.to_owned());
        }
        if let Some(note) = message.and_then(|message| self.instants.note(message.time?)) {
            notes.push(note.to_owned());
        }
        if content.may_be_by_sender {
            notes.push(MAY_BE_BY_SENDER.to_owned());
        }
        if let Some(doubt) = message.and_then(|message| message.doubt) {
            notes.push(
                match doubt {
                    Doubt::Sentence => MAY_BE_A_NOTICE,
                    Doubt::MayBeName => MAY_BE_A_NAME,
                    Doubt::Continuation => MAY_BE_PART_OF_THE_NAME,
                }
                .to_owned(),
            );
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
            evidence: None,
        })
    }
}

/// Shows no content and no names.
impl fmt::Debug for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Export")
            .field("items", &self.identities.ids.len())
            .field("day_order", &self.chat.day_order)
            .finish()
    }
}

/// The note in a mail whose message is out of order.
const OUT_OF_ORDER: &str = "the time is earlier than that of a message above it in the export: this may be part of a \
                            pasted chat, and then its sender is not proven";

/// The note in a mail of a notice under the name of a person.
const MAY_BE_BY_SENDER: &str =
    "a mark shows that WhatsApp wrote this line itself; the sender could have written the mark, too";

/// The notes in a mail whose sender is not proven.
const MAY_BE_A_NOTICE: &str = "the sender is not proven: the words before the first colon may be the beginning of a \
                               line that WhatsApp wrote itself";
const MAY_BE_A_NAME: &str = "the sender is not proven: this is most likely a line that WhatsApp wrote itself, but the \
                             words before the first colon may be a person's name";
const MAY_BE_PART_OF_THE_NAME: &str = "the sender is not proven: all messages of the sender begin with the same words \
                                       and a colon, which may be part of the name";

/// The id of a message's attachment: it has at most one.
const ATTACHMENT: &str = "1";

fn named(name: &str) -> Participant {
    Participant { name: Some(name.to_owned()), ..Participant::default() }
}

/// Describes the chat. Its id is the same in every export of it by the owner, as long as the chat keeps its name.
fn describe_chat(
    owner: &MailboxAddress,
    file_name: &str,
    name: Option<String>,
    people: &People,
    group_event: bool,
) -> Chat {
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
