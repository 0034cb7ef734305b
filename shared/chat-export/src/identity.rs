//! The ids of an export's items.

use std::{borrow::Cow, collections::HashMap};

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
        let fingerprints = |ordinals| {
            let name = move |file: &usize| package.map_or("", |package| package.name(*file));
            let files = attachments.unnamed.iter().map(move |file| file_fingerprint(name(file), chat, ordinals));
            chat.messages.iter().map(move |message| fingerprint(chat, message, ordinals)).chain(files)
        };
        let (hashes, mut places) = numbered(fingerprints(Ordinals::Removed));
        let mut earlier = HashMap::new();
        let has_ordinals =
            marker::ordinals(&chat.text).next().is_some() || chat.brackets && !attachments.unnamed.is_empty();
        if has_ordinals {
            for (place, (hash, other)) in hashes.iter().zip(numbered(fingerprints(Ordinals::Kept)).0).enumerate() {
                if *hash != other {
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

/// The treatment of the number that an iPhone puts before the name of a file. It counts the messages of that export, so it
/// changes when older messages are gone.
#[derive(Clone, Copy, PartialEq)]
enum Ordinals {
    Removed,
    /// As in earlier releases.
    Kept,
}

/// Returns the digest of the data by which two messages are the same: time as written, sender and text. Not the
/// interpreted time: a longer export may show that the month comes first, and the old messages must keep their ids. For
/// the same reason the sender is the text before the first colon, even if the whole file shows another name.
fn fingerprint(chat: &messages::Chat, message: &Message, ordinals: Ordinals) -> Sha256 {
    let whole = &chat.text[message.whole.clone()];
    let split = message.time.and_then(|_| senders::first_split(messages::first_line(whole)));
    let (sender, skip) = split.unwrap_or_default();
    let text = whole[skip..].trim_end();
    let text = if ordinals == Ordinals::Removed { marker::without_ordinals(text) } else { Cow::Borrowed(text) };
    let mut bytes = format!("{}\n{}\n{sender}\n", message.written, sender.len()).into_bytes();
    bytes.extend(text.as_bytes());
    Sha256::of(&bytes)
}

/// Returns the digest of the data by which two files that no message names are the same: the name.
fn file_fingerprint(name: &str, chat: &messages::Chat, ordinals: Ordinals) -> Sha256 {
    let is_numbered = chat.brackets && ordinals == Ordinals::Removed;
    let name = if is_numbered { media::without_ordinal(name) } else { name };
    Sha256::of(format!("file\n{name}").as_bytes())
}
