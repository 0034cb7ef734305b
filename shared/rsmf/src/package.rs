//! Writes one RSMF file: events and attached files are streamed, the manifest and the header are written at the end.

use std::{
    collections::{HashMap, HashSet},
    io::{self, BufReader, Read, Seek, Write},
};

use jiff::{Timestamp, civil::Date};
use message::write::{Base64Lines, describe, identity, one_line};
use model::{Hasher, Item, Sha256};
use zip::{CompressionMethod, ZipWriter, result::ZipError, write::SimpleFileOptions};

use crate::{
    conversation::{captured_user, is_channel},
    event::{self, CONVERSATION, File, StoredItem},
    fold::fold,
    format::{Conversation, Custom, Event, EventType, VERSION},
    mail,
    people::{self, People},
    text,
};

/// The name of the manifest in the package.
const MANIFEST: &str = "rsmf_manifest.json";

/// Maximum number of named participants of a conversation. The evidence of the items contains all.
const MAX_MEMBERS: usize = 100_000;

/// Maximum number of captured users that a conversation names.
const MAX_CAPTURED: usize = 100;

/// Size of a piece when copying: a multiple of a base64 line.
const COPY_BYTES: usize = 57 * 1024;

/// Error of writing a package.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A writer of the caller failed.
    #[error("writing a package failed: {0}")]
    Io(#[from] io::Error),
    /// The zip could not be written.
    #[error("writing the zip of a package failed: {0}")]
    Zip(#[from] ZipError),
    /// Serialization of an event failed.
    #[error("an event could not be serialized: {0}")]
    Json(#[from] serde_json::Error),
    /// The package has no events, or the written message does not contain the marks at which it is split: a bug.
    #[error("internal error: the package has no events, or its message does not contain its marks")]
    Empty,
}

/// The part of a conversation that a file contains.
#[derive(Debug, Clone, Copy)]
pub struct Slice {
    pub conversation: Sha256,
    /// The day in UTC.
    pub day: Date,
    /// Counted from 1.
    pub part: u32,
    /// The number of parts.
    pub parts: u32,
}

/// Counts and times of a finished file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// Number of events.
    pub events: u64,
    /// Number of files in the package.
    pub attachments: u64,
    /// Number of participants.
    pub participants: u64,
    /// The time of the first event.
    pub begin: Timestamp,
    /// The time of the last event.
    pub end: Timestamp,
}

/// An RSMF file being written. `Z` stores the zip, `S` the events and the text until the file is finished.
pub struct Package<Z: Write + Seek, S> {
    slice: Slice,
    zip: ZipWriter<Z>,
    events: S,
    events_bytes: u64,
    text: S,
    hasher: Hasher,
    people: People,
    members: Members,
    /// Event ids by the identity of the message; `None` if two messages have the same identity.
    ids: HashMap<Sha256, Option<String>>,
    last_recipients: Vec<model::Participant>,
    head: Option<ConversationHead>,
    count: u64,
    attachments: u64,
    file: Option<OpenFile>,
}

/// Facts about the conversation from its first item.
struct ConversationHead {
    display: String,
    chat_id: String,
    channel: bool,
    sender: usize,
    custodian: Option<usize>,
    begin: Timestamp,
    end: Timestamp,
    other_captured: Vec<usize>,
}

#[derive(Default)]
struct Members {
    list: Vec<usize>,
    /// Members in the list, and participants who joined later and are not in the list.
    seen: HashSet<usize>,
    /// `true` if the conversation has more members than the list names.
    is_truncated: bool,
}

struct OpenFile {
    id: String,
    display: String,
    bytes: u64,
    hasher: Hasher,
}

impl<Z: Read + Write + Seek, S: Read + Write + Seek> Package<Z, S> {
    /// Begins an RSMF file.
    pub fn new(slice: Slice, zip: Z, events: S, text: S) -> Self {
        Self {
            slice,
            zip: ZipWriter::new(zip),
            events,
            events_bytes: 0,
            text,
            hasher: Hasher::default(),
            people: People::default(),
            members: Members::default(),
            ids: HashMap::new(),
            last_recipients: Vec::new(),
            head: None,
            count: 0,
            attachments: 0,
            file: None,
        }
    }

    /// Begins an attached file. Its name in the package consists of digits and the extension.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn begin_file(&mut self, display: &str) -> Result<(), PackageError> {
        self.attachments += 1;
        let id = format!("{:06}{}", self.attachments, extension(display));
        // Media are compressed already. The time is constant, so that equal items produce equal bytes.
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        self.zip.start_file(&id, options)?;
        let display = Some(one_line(display, 255)).filter(|display| !display.is_empty());
        let display = display.unwrap_or_else(|| id.clone());
        self.file = Some(OpenFile { id, display, bytes: 0, hasher: Hasher::default() });
        Ok(())
    }

    /// Writes the next bytes of the attached file.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn write_file(&mut self, bytes: &[u8]) -> Result<(), PackageError> {
        if let Some(file) = &mut self.file {
            file.bytes += bytes.len() as u64;
            file.hasher.update(bytes);
            self.zip.write_all(bytes)?;
        }
        Ok(())
    }

    /// Ends the attached file; `None` if none was begun.
    pub fn end_file(&mut self) -> Option<File> {
        let OpenFile { id, display, bytes, hasher } = self.file.take()?;
        Some(File { id, display, bytes, sha256: hasher.finish() })
    }

    /// Adds an item with the items that are folded into it. Their attached files must be written before.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn add(&mut self, stored: &StoredItem<'_>, folded: &[StoredItem<'_>]) -> Result<(), PackageError> {
        let item = &stored.captured.item;
        let sender = self.people.number(&item.from);
        let captured = captured_user(item).map(|user| self.people.number(user));
        let head = self.head.get_or_insert_with(|| ConversationHead {
            display: describe(stored.captured).chat,
            chat_id: one_line(&item.chat.id, 256),
            channel: is_channel(item),
            sender,
            custodian: captured,
            begin: item.message_time,
            end: item.message_time,
            other_captured: Vec::new(),
        });
        head.begin = head.begin.min(item.message_time);
        head.end = head.end.max(item.message_time);
        if head.custodian.is_none() {
            head.custodian = captured;
        }
        let custodian = head.custodian;
        if let Some(other) = captured.filter(|_| captured != custodian)
            && !head.other_captured.contains(&other)
            && head.other_captured.len() < MAX_CAPTURED
        {
            head.other_captured.push(other);
        }
        let parent = message::write::referred(item).and_then(|identity| self.ids.get(&identity).cloned().flatten());
        let mut drafts = event::compose(stored, &mut self.people, parent);
        for action in folded {
            fold(&mut drafts, action, &mut self.people);
        }
        self.join_members(item, sender, &drafts.events);
        if let Some(first) = drafts.events.first_mut() {
            event::set_direction(first, item, custodian, &mut self.people);
            let id = first.id.clone();
            self.ids.entry(identity(item)).and_modify(|unique| *unique = None).or_insert(Some(id));
        }
        for event in &drafts.events {
            self.write_event(event, drafts.is_statement)?;
        }
        Ok(())
    }

    /// Adds an item's participants as members of the conversation, except those who joined later.
    fn join_members(&mut self, item: &Item, sender: usize, events: &[Event]) {
        for event in events.iter().filter(|event| event.kind == EventType::Join) {
            self.members.seen.extend(People::number_of(&event.participant));
        }
        self.members.add(sender);
        if item.to != self.last_recipients {
            for participant in &item.to {
                if self.members.list.len() >= MAX_MEMBERS {
                    self.members.is_truncated = true;
                    break;
                }
                self.members.add(self.people.number(participant));
            }
            self.last_recipients.clone_from(&item.to);
        }
    }

    fn write_event(&mut self, event: &Event, is_statement: bool) -> Result<(), PackageError> {
        let json = serde_json::to_vec(event)?;
        if self.count > 0 {
            self.events.write_all(b",\n")?;
            self.events_bytes += 2;
        }
        self.count += 1;
        self.hasher.update(&json);
        self.events_bytes += json.len() as u64;
        self.events.write_all(&json)?;
        self.text.write_all(text::event(event, is_statement, &self.people).as_bytes())?;
        Ok(())
    }

    /// Writes the RSMF file.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn finish(mut self, out: &mut impl Write) -> Result<Finished, PackageError> {
        let Some(head) = self.head.take() else { return Err(PackageError::Empty) };
        let finished = Finished {
            events: self.count,
            attachments: self.attachments,
            participants: self.people.len() as u64,
            begin: head.begin,
            end: head.end,
        };
        let Slice { day, part, parts, .. } = self.slice;
        let of = if parts > 1 { format!(" ({part} of {parts})") } else { String::new() };
        let seed = self.hasher.clone().finish();
        let pieces = mail::write(&mail::Head {
            subject: format!("WhatsApp: {} {day}{of}", one_line(&head.display, 90)),
            begin: head.begin,
            end: head.end,
            events: finished.events,
            attachments: finished.attachments,
            collection: self.slice.conversation,
            seed,
            people: &self.people,
            sender: head.sender,
            custodian: head.custodian,
        });
        let [before, between, after] = pieces.ok_or(PackageError::Empty)?;
        self.write_manifest(head)?;
        out.write_all(&before)?;
        let mut lines = Base64Lines::default();
        let mut encoded = Vec::new();
        lines.push(text::LEGEND.as_bytes(), &mut encoded);
        self.text.rewind()?;
        copy_encoded(&mut self.text, lines, encoded, out)?;
        out.write_all(&between)?;
        let mut zip = self.zip.finish()?;
        zip.rewind()?;
        copy_encoded(&mut zip, Base64Lines::default(), Vec::new(), out)?;
        out.write_all(&after)?;
        Ok(finished)
    }

    fn write_manifest(&mut self, head: ConversationHead) -> Result<(), PackageError> {
        // An entry above 4 GB needs the ZIP64 format, which must be declared when the entry begins.
        let large = self.events_bytes > u64::from(u32::MAX / 2);
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).large_file(large);
        self.zip.start_file(MANIFEST, options)?;
        if let Some(member) = head.custodian {
            // The vendor requires the custodian among the participants, even if the custodian joined during the day.
            if !self.members.list.contains(&member) {
                self.members.list.push(member);
            }
        }
        let mut custom = vec![Custom { name: "Chat id".to_owned(), value: head.chat_id }];
        for number in head.other_captured {
            custom.push(Custom { name: "Also captured for".to_owned(), value: self.people.display(number).to_owned() });
        }
        if self.members.is_truncated {
            let value = "the evidence of the items names more".to_owned();
            custom.push(Custom { name: "Participants".to_owned(), value });
        }
        custom.retain(|fact| !fact.value.is_empty());
        let conversation = Conversation {
            id: CONVERSATION,
            platform: "whatsapp",
            kind: if head.channel { "channel" } else { "direct" },
            display: head.display,
            participants: self.members.list.iter().map(|&number| people::id(number)).collect(),
            custodian: head.custodian.map(people::id),
            custom,
        };
        let zip = &mut self.zip;
        write!(zip, "{{\"version\":\"{VERSION}\",\"eventcollectionid\":\"{}\",", self.slice.conversation)?;
        zip.write_all(b"\n\"participants\":[")?;
        for (at, participant) in self.people.participants().enumerate() {
            zip.write_all(if at > 0 { b",\n" } else { b"\n" })?;
            serde_json::to_writer(&mut *zip, participant)?;
        }
        zip.write_all(b"],\n\"conversations\":[")?;
        serde_json::to_writer(&mut *zip, &conversation)?;
        zip.write_all(b"],\n\"events\":[\n")?;
        self.events.rewind()?;
        io::copy(&mut BufReader::new(&mut self.events), zip)?;
        zip.write_all(b"]}\n")?;
        Ok(())
    }
}

impl Members {
    fn add(&mut self, number: usize) {
        if self.seen.insert(number) {
            self.list.push(number);
        }
    }
}

/// Returns the extension of a name with its dot if every file system accepts it, otherwise `.bin`.
fn extension(name: &str) -> String {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let harmless = (1..=8).contains(&extension.len()) && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if harmless { format!(".{}", extension.to_ascii_lowercase()) } else { ".bin".to_owned() }
}

fn copy_encoded(
    from: &mut impl Read,
    mut lines: Base64Lines,
    mut encoded: Vec<u8>,
    out: &mut impl Write,
) -> Result<(), PackageError> {
    let mut piece = vec![0; COPY_BYTES];
    loop {
        out.write_all(&encoded)?;
        encoded.clear();
        let read = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        lines.push(piece.get(..read).unwrap_or_default(), &mut encoded);
    }
    lines.finish(&mut encoded);
    out.write_all(&encoded)?;
    Ok(())
}
