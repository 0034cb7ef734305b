//! The names under which people wrote, and the words that are repeated.

use std::collections::{HashMap, HashSet};

use crate::{attachments::Attachments, content, messages, senders::Doubt};

/// Returns for each sender whether a person wrote under the name, and whether the chat has an event that only groups
/// have.
///
/// iPhones put a group's name before notices of WhatsApp, and a mark after it. A name before a single colon that may be
/// the beginning of a notice is not a person's.
pub(crate) fn authors(chat: &messages::Chat, attachments: &Attachments) -> (Vec<bool>, bool) {
    #[derive(Clone, Default)]
    struct Lines {
        by_person: bool,
        /// A complete notice of WhatsApp is under the name.
        sentence: bool,
        /// Marked words that may represent a file that was not exported.
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
        let file = attachments.of_message.contains_key(&place);
        // An iPhone's export begins with the note about encryption, which in Japanese or Thai is one word.
        let words = if place == 0 { 0 } else { content::MAX_MARKER_WORDS };
        let by_whatsapp = content::is_notice(body, chat.brackets && place == 0)
            || (chat.brackets && content::is_marked_sentence(body, words));
        if !file && by_whatsapp {
            lines[sender].sentence = true;
            group_event |= content::is_group_event(body);
        } else if !file && chat.brackets && body.starts_with('\u{200e}') {
            lines[sender].short = true;
        } else if message.doubt != Some(Doubt::Sentence) {
            lines[sender].by_person = true;
        }
    }
    let people = lines.iter().filter(|lines| lines.by_person).count();
    // In a chat of two, one person may have sent only content that was not exported.
    let wrote = |lines: &Lines| lines.by_person || (lines.short && !(lines.sentence && people > 1));
    (lines.iter().map(wrote).collect(), group_event)
}

/// Returns the words in angle brackets that are a complete message three times or more.
pub(crate) fn repeated(chat: &messages::Chat) -> HashSet<String> {
    const TIMES: usize = 3;
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for message in chat.messages.iter().filter(|message| message.sender.is_some()) {
        if let Some(words) = content::bracketed(&chat.text[message.body.clone()]) {
            *counts.entry(words).or_default() += 1;
        }
    }
    counts.into_iter().filter(|(_, count)| *count >= TIMES).map(|(words, _)| words.to_owned()).collect()
}
