//! The ids of an export's items.

use std::{borrow::Cow, collections::HashMap, fmt};

use model::{ItemId, Sha256};

use crate::{
    attachments::Attachments,
    error::ExportError,
    marker, media,
    messages::{self, Message},
    name::{self, Hash, Ids},
    package::Package,
    senders,
};

/// The ids of all items of an export.
pub(crate) struct Identities {
    /// In the order of the items.
    pub(crate) ids: Vec<ItemId>,
    /// The index of each item, by the hash of its id and by that of its earlier id.
    pub(crate) places: HashMap<Hash, usize>,
    /// The hash of the id that an item had in earlier releases, by the item's index, if it was another one.
    pub(crate) earlier: HashMap<usize, Hash>,
}

impl Identities {
    /// Identifies all messages, and then the files that no message names.
    pub(crate) fn of(
        chat: &messages::Chat,
        attachments: &Attachments,
        package: Option<&Package>,
        form: &Ids,
    ) -> Result<Self, ExportError> {
        let messages = chat.messages.iter().enumerate().map(|(place, message)| {
            let file = attachments.of_message.get(&place).copied();
            Fingerprints::of_message(Words::of(chat, message), FileState::of(file, package))
        });
        let files = attachments.unnamed.iter().map(|file| {
            let name = package.map_or("", |package| package.name(*file));
            Fingerprints::of_file(name, chat.brackets, FileState::of(Some(*file), package))
        });
        let fingerprints: Vec<Fingerprints> = messages.chain(files).collect();
        let (hashes, mut places) = numbered(fingerprints.iter().map(|prints| prints.current));
        let mut earlier = HashMap::new();
        if fingerprints.iter().any(|prints| prints.has_earlier) {
            let (others, _) = numbered(fingerprints.iter().map(|prints| prints.earlier));
            for (place, (prints, other)) in fingerprints.iter().zip(others).enumerate() {
                if prints.has_earlier {
                    earlier.insert(place, other);
                    places.entry(other).or_insert(place);
                }
            }
        }
        let ids = hashes.into_iter().map(|hash| form.id(hash)).collect::<Result<_, _>>();
        Ok(Self { ids: ids.map_err(|_| ExportError::NameTooLong { over: 1 })?, places, earlier })
    }
}

/// Returns a hash for each fingerprint, with its number among equal ones, and the place of each hash.
fn numbered(fingerprints: impl Iterator<Item = Sha256>) -> (Vec<Hash>, HashMap<Hash, usize>) {
    let (mut hashes, mut places) = (Vec::new(), HashMap::new());
    let mut seen: HashMap<Sha256, u64> = HashMap::new();
    for (place, same) in fingerprints.enumerate() {
        let number = seen.entry(same).or_insert(0);
        // 80 bits are few enough for a deliberate collision, which would hide one message behind another. In that case
        // the later message takes the next number with a free hash.
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
        hashes.push(hash);
    }
    (hashes, places)
}

/// The digests of the data by which two items are the same.
struct Fingerprints {
    current: Sha256,
    /// As in release 0.1, which compared no files.
    earlier: Sha256,
    /// `true` if an item with the earlier digest was certainly identified by release 0.1: this release gives that digest to no
    /// message with the same words, whether its file is in the export or not.
    has_earlier: bool,
}

impl Fingerprints {
    /// Two messages are the same if their time as written, sender and text are, and the file. Not the interpreted time: a
    /// longer export may show that the month comes first, and the old messages must keep their ids. For the same reason the
    /// sender is the text before the first colon, even if the whole file shows another name.
    fn of_message(words: Words<'_>, file: FileState) -> Self {
        let Words { written, sender, text } = words;
        let fingerprint = |file: &str, text: &str| {
            Sha256::of(format!("{file}{written}\n{}\n{sender}\n{text}", sender.len()).as_bytes())
        };
        let without_ordinals = marker::without_ordinals(text);
        let names_a_file = matches!(without_ordinals, Cow::Owned(_)) || media::may_name_a_file(text);
        let file = match file {
            FileState::None if names_a_file => FileState::Missing,
            file => file,
        };
        Self {
            current: fingerprint(&file.to_string(), &without_ordinals),
            earlier: fingerprint("", text),
            has_earlier: names_a_file,
        }
    }

    /// Two files that no message names are the same if their names and bytes are.
    fn of_file(name: &str, iphone: bool, file: FileState) -> Self {
        let fingerprint = |file: &str, name: &str| Sha256::of(format!("{file}file\n{name}").as_bytes());
        let current = if iphone { media::without_ordinal(name) } else { name };
        Self { current: fingerprint(&file.to_string(), current), earlier: fingerprint("", name), has_earlier: true }
    }
}

/// The words of a message.
struct Words<'a> {
    written: &'a str,
    sender: &'a str,
    text: &'a str,
}

impl<'a> Words<'a> {
    fn of(chat: &'a messages::Chat, message: &'a Message) -> Self {
        let whole = &chat.text[message.whole.clone()];
        let split = message.time.and_then(|_| senders::first_split(messages::first_line(whole)));
        let (sender, skip) = split.unwrap_or_default();
        Self { written: &message.written, sender, text: whole[skip..].trim_end() }
    }
}

/// The file of an item, as far as two exports can be compared by it. Several files of an iPhone may have one name and time; a
/// file that was missing may be in a later export.
#[derive(Clone, Copy)]
enum FileState {
    None,
    /// The words of the message may name a file. In a later export they may come with it, and then it has to be filed.
    Missing,
    Found {
        checksum: u32,
        bytes: u64,
    },
}

impl FileState {
    fn of(file: Option<usize>, package: Option<&Package>) -> Self {
        let found = file.and_then(|file| package?.checksum(file));
        found.map_or(Self::None, |(checksum, bytes)| Self::Found { checksum, bytes })
    }
}

/// The beginning of a fingerprint. A time as written cannot begin in the same way.
impl fmt::Display for FileState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Missing => writeln!(f, "no file"),
            Self::Found { checksum, bytes } => writeln!(f, "file {checksum:08x} {bytes}"),
        }
    }
}
