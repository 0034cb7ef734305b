//! The ids of an export's items.

use std::collections::HashMap;

use model::{ItemId, Sha256};

use crate::{
    attachments::Attachments,
    error::ExportError,
    messages::{self, Message},
    name::{self, Hash, Ids},
    package::Package,
    senders,
};

/// Returns the ids of all items, and the place of each.
pub(crate) fn identify(
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
        ids.push(form.id(hash).map_err(|_| ExportError::NameTooLong { over: 1 })?);
    }
    Ok((ids, places))
}

/// Returns the digest of the data by which two messages are the same: time as written, sender and text. Not the
/// interpreted time: a longer export may show that the month comes first, and the old messages must keep their ids. For
/// the same reason the sender is the text before the first colon, even if the whole file shows another name.
fn fingerprint(chat: &messages::Chat, message: &Message) -> Sha256 {
    let whole = &chat.text[message.whole.clone()];
    let split = message.time.and_then(|_| senders::first_split(messages::first_line(whole)));
    let (sender, skip) = split.unwrap_or_default();
    let mut bytes = format!("{}\n{}\n{sender}\n", message.written, sender.len()).into_bytes();
    bytes.extend(whole[skip..].trim_end().as_bytes());
    Sha256::of(&bytes)
}
