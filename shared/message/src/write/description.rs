//! Describes the content of an item as text, for output formats other than mail.

use model::Captured;

use super::{content, people::Label};

/// The description of an item. It contains message content, so it does not implement `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Description {
    /// The kind of message: `Voice message`.
    pub title: String,
    /// The name of the chat, or of the other participant.
    pub chat: String,
    /// The statements of the archive about the content, one per line. A line that begins with `| ` contains words of a
    /// participant.
    pub statements: String,
    /// The message that this one replies to, in the same form. Empty if it is not a reply.
    pub reply: String,
    /// The facts of the capture, with their names.
    pub details: Vec<(String, String)>,
}

/// Maximum number of participants that are named.
const MAX_LABELS: usize = 11;

/// Facts that need all participants, or that each output format has in a separate place.
const LEFT_OUT: [&str; 10] = [
    "From",
    "To",
    "Chat",
    "Chat id",
    "WhatsApp id",
    "Archive id",
    "Sent",
    "Outgoing from",
    "Incoming for",
    "Direction",
];

/// Describes an item, without its participants and its files.
pub fn describe(captured: &Captured) -> Description {
    let labels: Vec<Label> = captured.item.participants().take(MAX_LABELS).map(Label::of).collect();
    let body = content::compose(captured, &labels, &[], None);
    let details = body.details.iter().filter(|row| !LEFT_OUT.contains(&&*row.key));
    Description {
        title: body.title.clone().into_owned(),
        chat: body.chat.clone(),
        statements: body.statements().trim_end().to_owned(),
        reply: body.quoted().trim_end().to_owned(),
        details: details.map(|row| (row.key.clone().into_owned(), row.value.text().into_owned())).collect(),
    }
}
