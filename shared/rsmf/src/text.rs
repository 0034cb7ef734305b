//! Writes the conversation as text. Review platforms index it, and display it if they do not support RSMF.

use std::borrow::Cow;

use message::write::{lines, write_visible};

use crate::{
    format::{Event, EventType},
    people::People,
};

/// Prefix of each line of a participant's words. No line of the archive begins with it.
const MARK: &str = "| ";

pub(crate) const LEGEND: &str =
    "Lines that begin with \"|\" are the words of participants. All other lines are written by the archive.\r\n\r\n";

/// Writes an event as lines. `is_statement`: the archive wrote the body, and has marked the words of participants in it.
pub(crate) fn event(event: &Event, is_statement: bool, people: &People) -> String {
    let mut out = String::with_capacity(event.body.len() + 256);
    let time = event.timestamp;
    let kind = match event.kind {
        EventType::Message => "",
        EventType::Join => " [joined]",
        EventType::Leave => " [left]",
        EventType::Unknown => " [unrecognized kind of message]",
    };
    // The participant who joined or left, not the one who added or removed that participant.
    let participant = People::number_of(&event.participant).map(|number| people.display(number));
    line(&mut out, &format!("{time} {}{kind}:", quoted(participant.unwrap_or(&event.participant))));
    for text in lines(&event.body) {
        let mark = if is_statement { "" } else { MARK };
        line(&mut out, &format!("{mark}{text}"));
    }
    for edit in &event.edits {
        line(&mut out, &format!("Edited {}; before:", edit.timestamp));
        for text in lines(edit.previous.as_deref().unwrap_or_default()) {
            line(&mut out, &format!("{MARK}{text}"));
        }
    }
    if event.deleted {
        line(&mut out, "This message was deleted.");
    }
    for attachment in &event.attachments {
        line(&mut out, &format!("File: {} ({}, {} bytes)", attachment.display, attachment.id, attachment.size));
    }
    for reaction in &event.reactions {
        line(&mut out, &format!("Reaction of {}: {}", reaction.count, reaction.value));
    }
    for fact in &event.custom {
        if matches!(fact.name.as_str(), "Not captured" | "Statement" | "In reply to" | "Forwarded" | "Vote in a poll") {
            line(&mut out, &format!("{}:", fact.name));
            for text in lines(&fact.value) {
                line(&mut out, text);
            }
        }
    }
    out.push_str("\r\n");
    out
}

/// Returns a participant's name for the first line of an event or a fact. It is in quotes if it has a sign of that line's own: a
/// participant could call themselves `Bo [left]`, or `2026-11-20T09:14:03Z Bo:`.
pub(crate) fn quoted(name: &str) -> Cow<'_, str> {
    if name.contains(['[', ']', ':', '"']) {
        Cow::Owned(format!("\"{}\"", name.replace('"', "'")))
    } else {
        Cow::Borrowed(name)
    }
}

fn line(out: &mut String, text: &str) {
    write_visible(text, out);
    out.push_str("\r\n");
}
