//! Finds the file of the zip that each message names, and the files that no message names.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::AhoCorasick;

use crate::{marker::named, messages, package::Package};

/// Minimum length of a file's name that is searched for within a text.
const MIN_NAME_IN_TEXT_CHARS: usize = 5;

/// The files that messages name, and the files that no message names.
pub(crate) struct Attachments {
    /// The file whose name occurs within the text of a message, by the message's index.
    pub(crate) named_in_text: BTreeMap<usize, usize>,
    /// The files that no message names.
    pub(crate) unnamed: Vec<usize>,
}

impl Attachments {
    /// Finds the files that messages name in the way phones do, then the others anywhere in a text: the first message
    /// that contains the name gets the file, and keeps its complete text.
    pub(crate) fn of(chat: &messages::Chat, package: Option<&Package>) -> Self {
        let Some(package) = package else { return Self { named_in_text: BTreeMap::new(), unnamed: Vec::new() } };
        let mut used = BTreeSet::new();
        let mut has_no_file = vec![true; chat.messages.len()];
        for (place, message) in chat.messages.iter().enumerate() {
            let body = &chat.text[message.body.clone()];
            if let Some(named) = named(body, package).filter(|_| message.sender.is_some()) {
                used.insert(named.file);
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
            for found in finder.find_overlapping_iter(&chat.text) {
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
        Self { named_in_text, unnamed }
    }
}
