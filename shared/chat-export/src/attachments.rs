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
    /// The file whose name occurs within the text of a message, by the message's index.
    pub(crate) named_in_text: BTreeMap<usize, usize>,
    /// The files that no message names.
    pub(crate) unnamed: Vec<usize>,
}

impl Attachments {
    /// Finds the files that messages name in the way phones do, then the others anywhere in a text: the first message
    /// that contains the name gets the file, and keeps its complete text.
    pub(crate) fn of(chat: &messages::Chat, package: Option<&Package>) -> Self {
        let Some(package) = package else {
            return Self { in_form: BTreeSet::new(), named_in_text: BTreeMap::new(), unnamed: Vec::new() };
        };
        let sent = || chat.messages.iter().enumerate().filter(|(_, message)| message.sender.is_some());
        let file_of = |message: &messages::Message, proof| {
            named(&chat.text[message.body.clone()], package, proof).map(|named| named.file)
        };
        let in_form: BTreeSet<usize> = sent().filter_map(|(_, message)| file_of(message, Proof::Form)).collect();
        let mut used = BTreeSet::new();
        let mut has_no_file = vec![true; chat.messages.len()];
        for (place, message) in sent() {
            if let Some(file) = file_of(message, Proof::NameOf(&in_form)) {
                used.insert(file);
                has_no_file[place] = false;
            }
        }
        let remaining: Vec<usize> = (0..package.count()).filter(|file| !used.contains(file)).collect();
        let mut named_in_text = BTreeMap::new();
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
                if stands_alone && inside && has_no_file[place] && !used.contains(&file) {
                    used.insert(file);
                    has_no_file[place] = false;
                    named_in_text.insert(place, file);
                }
            }
        }
        let unnamed = remaining.into_iter().filter(|file| !used.contains(file)).collect();
        Self { in_form, named_in_text, unnamed }
    }
}
