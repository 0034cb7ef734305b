//! Finds the file of the zip that each message names, and the files that no message names.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::AhoCorasick;

use crate::{marker::named, messages, package::Package};

/// Minimum length of a name that is searched for within a text.
const MIN_LOOSE_CHARS: usize = 5;

/// The files that messages name, and the files that no message names.
pub(crate) struct Attachments {
    /// By message: a file whose name occurs within its text.
    pub(crate) loose: BTreeMap<usize, usize>,
    /// The files that no message names.
    pub(crate) unnamed: Vec<usize>,
}

impl Attachments {
    /// Finds the files that messages name in the way phones do, then the others anywhere in a text: the first message
    /// that contains the name gets the file, and keeps its complete text.
    pub(crate) fn of(chat: &messages::Chat, package: Option<&Package>) -> Self {
        let Some(package) = package else { return Self { loose: BTreeMap::new(), unnamed: Vec::new() } };
        let mut taken = BTreeSet::new();
        let mut takes_more = vec![true; chat.messages.len()];
        for (place, message) in chat.messages.iter().enumerate() {
            let body = &chat.text[message.body.clone()];
            if let Some(named) = named(body, package).filter(|_| message.sender.is_some()) {
                taken.insert(named.file);
                takes_more[place] = false;
            }
        }
        let open: Vec<usize> = (0..package.count()).filter(|file| !taken.contains(file)).collect();
        let mut loose = BTreeMap::new();
        let long: Vec<usize> =
            open.iter().copied().filter(|file| package.name(*file).chars().count() >= MIN_LOOSE_CHARS).collect();
        if let Ok(finder) = AhoCorasick::new(long.iter().map(|file| package.name(*file)))
            && !long.is_empty()
        {
            for found in finder.find_overlapping_iter(&chat.text) {
                let file = long[found.pattern().as_usize()];
                let before = chat.text[..found.start()].chars().next_back();
                let after = chat.text[found.end()..].chars().next();
                let bounded = [before, after].into_iter().flatten().all(|c| !c.is_alphanumeric());
                let place = chat.messages.partition_point(|message| message.body.start <= found.start());
                let Some(place) = place.checked_sub(1) else { continue };
                let inside = chat.messages[place].body.end >= found.end() && chat.messages[place].sender.is_some();
                if bounded && inside && takes_more[place] && !taken.contains(&file) {
                    taken.insert(file);
                    takes_more[place] = false;
                    loose.insert(place, file);
                }
            }
        }
        let unnamed = open.into_iter().filter(|file| !taken.contains(file)).collect();
        Self { loose, unnamed }
    }
}
