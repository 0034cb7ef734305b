//! Finds the file of the zip that each message names, and the files that no message names.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::AhoCorasick;

use crate::{
    marker::{Proof, named},
    messages,
    package::Package,
};

/// Minimum length of a file's name that is searched for within a text.
const MIN_NAME_IN_TEXT_CHARS: usize = 5;

/// Maximum number of places in the text where a file's name may be. It bounds the work for names that contain each
/// other; a chat has fewer.
const MAX_PLACES: usize = 1_000_000;

/// The files that messages name, and the files that no message names.
pub(crate) struct Attachments {
    /// The files that messages name in a phone's form.
    pub(crate) in_form: BTreeSet<usize>,
    /// The file of each message that names one, by the message's index.
    pub(crate) of_message: BTreeMap<usize, usize>,
    /// The files that no message names.
    pub(crate) unnamed: Vec<usize>,
}

impl Attachments {
    /// Finds the files that messages name in the way phones do, then the others anywhere in a text: the first message
    /// that contains the name gets the file, and keeps its complete text.
    pub(crate) fn of(chat: &messages::Chat, package: Option<&Package>) -> Self {
        let Some(package) = package else {
            return Self { in_form: BTreeSet::new(), of_message: BTreeMap::new(), unnamed: Vec::new() };
        };
        let sent = || chat.messages.iter().enumerate().filter(|(_, message)| message.sender.is_some());
        let file_of = |message: &messages::Message, proof| {
            named(&chat.text[message.body.clone()], package, proof).map(|named| named.file)
        };
        let in_form: BTreeSet<usize> = sent().filter_map(|(_, message)| file_of(message, Proof::Form)).collect();
        let mut of_message: BTreeMap<usize, usize> =
            sent().filter_map(|(place, message)| Some((place, file_of(message, Proof::NameOf(&in_form))?))).collect();
        let mut used: BTreeSet<usize> = of_message.values().copied().collect();
        let remaining: Vec<usize> = (0..package.count()).filter(|file| !used.contains(file)).collect();
        let long: Vec<usize> = remaining
            .iter()
            .copied()
            .filter(|file| package.name(*file).chars().count() >= MIN_NAME_IN_TEXT_CHARS)
            .collect();
        if let Ok(finder) = AhoCorasick::new(long.iter().map(|file| package.name(*file)))
            && !long.is_empty()
        {
            for found in finder.find_overlapping_iter(&chat.text).take(MAX_PLACES) {
                let file = long[found.pattern().as_usize()];
                let before = chat.text[..found.start()].chars().next_back();
                let after = chat.text[found.end()..].chars().next();
                let stands_alone = [before, after].into_iter().flatten().all(|c| !c.is_alphanumeric());
                let place = chat.messages.partition_point(|message| message.body.start <= found.start());
                let Some(place) = place.checked_sub(1) else { continue };
                let inside = chat.messages[place].body.end >= found.end() && chat.messages[place].sender.is_some();
                if stands_alone && inside && !of_message.contains_key(&place) && used.insert(file) {
                    of_message.insert(place, file);
                }
            }
        }
        let is_unnamed = |file: &usize| !used.contains(file) && !package.is_system_file(*file);
        let unnamed = remaining.into_iter().filter(is_unnamed).collect();
        Self { in_form, of_message, unnamed }
    }
}
