//! Writes the message's own header fields.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mail_builder::{
    MessageBuilder,
    headers::{HeaderType, date::Date, raw::Raw},
};
use model::{ChatType, Direction, Item, Participant, Sha256};

use crate::read::{CONTENT_HEADER, ITEM_HEADER, KIND_HEADER};
use crate::write::{
    clean::{at_most_bytes, one_line},
    direction, encoded_word, message_id,
    people::{self, Label},
};

/// Version of the layout, in X-WA-Schema.
const SCHEMA: &str = "2";

/// Maximum number of participants in To; the body states the number of the others.
pub(crate) const MAX_TO: usize = 5_000;

/// Maximum number of participants in the header: the sender, and those in To.
pub(crate) const MAX_NAMED: usize = 1 + MAX_TO;

/// Maximum length of a subject, in bytes before it is encoded.
const MAX_SUBJECT: usize = 128;

/// The prefix of every subject.
const SUBJECT: &str = "WhatsApp: ";

/// Maximum length of an id in an X-WA header, in bytes after it is encoded, so that it fits on one line.
const MAX_ID: usize = 512;

/// The time in Thread-Index. It must be constant for a chat, and the start of a chat is unknown, so the start of 2009,
/// WhatsApp's first year, is used: in units of 100 ns since 1601 (Windows file time), without the 24 lowest bits.
const THREAD_EPOCH: u64 = 128_752_416_000_000_000 >> 24;

/// Writes all header fields except those of the MIME structure. `labels` are the labels of the named participants, the
/// sender's first; `chat` is the chat's name.
pub(crate) fn write<'a>(
    item: &Item,
    labels: &[Label],
    chat: &str,
    domain: &str,
    message_id: &str,
    content: &Sha256,
) -> MessageBuilder<'a> {
    let subject = encoded_word::unstructured(&subject(chat));
    let mut addresses = item.participants().zip(labels).map(|(participant, label)| {
        let address = people::header_address(participant, item.upload.is_some());
        format!("{} <{address}>", encoded_word::phrase(&label.text()))
    });
    let mut message = MessageBuilder::new().header("Date", Date::new(item.message_time.as_second()));
    if let Some(from) = addresses.next() {
        message = message.header("From", raw(from));
    }
    message = message
        .header("Message-ID", raw(format!("<{message_id}>")))
        .header(KIND_HEADER, raw(token(item.kind.as_str())))
        .header("X-WA-Chat", raw(token(&item.chat.id)))
        .header("X-WA-Message-Id", raw(token(message_id::whatsapp_id(item))))
        .header(CONTENT_HEADER, raw(content.to_string()))
        .header("X-WA-Schema", raw(SCHEMA.to_owned()));
    if let Some(sha256) = item.evidence().and_then(|evidence| evidence.sha256) {
        message = message.header("X-WA-Evidence-SHA256", raw(sha256.to_string()));
    }
    // After the other X-WA fields: Graph's JSON has five of them at most, and its copies have the item's id elsewhere.
    message = message.header(ITEM_HEADER, raw(item.id.key().to_string()));
    message = message.header("Subject", raw(subject.clone()));
    let chat_hash = message_id::chat_hash(item);
    let root = format!("{chat_hash}@{domain}");
    message = match message_id::replied_to(item, domain) {
        Some(replied_to) => message
            .header("In-Reply-To", raw(format!("<{replied_to}>")))
            .header("References", raw(format!("<{root}> <{replied_to}>"))),
        None => message.header("References", raw(format!("<{root}>"))),
    };
    message = message.header("Thread-Topic", raw(subject)).header("Thread-Index", raw(thread_index(&chat_hash)));
    // To is last: mail servers index a limited number of header lines, which thousands of participants exceed.
    if !item.to.is_empty() {
        message = message.header("To", raw(addresses.collect::<Vec<_>>().join(", ")));
    }
    message
}

/// Returns the subject, which is the same for all messages of a chat. It does not contain the kind, because mail
/// programs would split the conversation; the kind is in the body and in X-WA-Kind.
fn subject(chat: &str) -> String {
    // The marks around a right-to-left name take at most 12 bytes, and must not be cut off.
    let name = if direction::reorders(chat) {
        at_most_bytes(chat.to_owned(), MAX_SUBJECT - SUBJECT.len() - 12)
    } else {
        at_most_bytes(chat.to_owned(), MAX_SUBJECT - SUBJECT.len())
    };
    format!("{SUBJECT}{}", direction::isolated(&name))
}

/// Returns a raw header: the values are ASCII already, and the builder only folds them.
fn raw(value: String) -> HeaderType<'static> {
    Raw::new(value).into()
}

/// Returns the chat's name, or the name of the other participant.
pub(crate) fn chat(item: &Item) -> String {
    let named = item.chat.name.as_deref().map(|name| one_line(name, MAX_SUBJECT)).filter(|name| !name.is_empty());
    named.unwrap_or_else(|| match &item.chat.chat_type {
        ChatType::Individual => counterparty(item),
        ChatType::Group => "Group without a name".to_owned(),
        ChatType::Broadcast => format!("Broadcast by {}", people::name(&item.from)),
        ChatType::Channel => "Channel without a name".to_owned(),
        ChatType::Status => format!("Status of {}", people::name(&item.from)),
        ChatType::Other(_) => "Chat without a name".to_owned(),
    })
}

/// Returns the name of the participant that the captured user talks to: the one after whom the chat is named, otherwise
/// the other side by the direction. If the item has neither, returns both names in an order that does not depend on the
/// sender.
fn counterparty(item: &Item) -> String {
    let Some(other) = item.to.first() else { return people::name(&item.from) };
    let is_chat = |participant: &&Participant| {
        participant.whatsapp_id.as_deref() == Some(item.chat.id.as_str())
            || participant
                .phone_digits()
                .is_some_and(|digits| item.chat.id.trim_start_matches('+').split('@').next() == Some(digits.as_str()))
    };
    if let Some(named) = [&item.from, other].into_iter().find(is_chat) {
        return people::name(named);
    }
    match item.direction {
        Some(Direction::Incoming) => people::name(&item.from),
        Some(Direction::Outgoing) => people::name(other),
        _ => {
            let mut both = [&item.from, other];
            both.sort_by_key(|participant| participant.identity());
            both.map(people::name).join(", ")
        }
    }
}

fn thread_index(chat: &Sha256) -> String {
    let mut index = vec![1];
    index.extend(THREAD_EPOCH.to_be_bytes().iter().skip(3));
    index.extend(chat.as_bytes().iter().take(16));
    STANDARD.encode(index)
}

/// Returns a captured id as ASCII without white space: percent-encoded, or its hash if that is too long.
pub(crate) fn token(id: &str) -> String {
    let mut token = String::new();
    for byte in id.bytes().take(MAX_ID + 1) {
        if byte.is_ascii_alphanumeric() || b"-._~@:+/=".contains(&byte) {
            token.push(char::from(byte));
        } else {
            let _infallible = write!(token, "%{byte:02X}");
        }
    }
    if token.len() > MAX_ID { format!("sha256:{}", Sha256::of(id.as_bytes())) } else { token }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subject_is_short_and_keeps_its_direction() {
        assert_eq!(subject("Ada"), "WhatsApp: Ada");
        assert_eq!(subject("דנה"), "WhatsApp: \u{200e}דנה\u{200e}");
        for long in ["é".repeat(99), "ש".repeat(99), format!("({})", "ש".repeat(99)), "x".repeat(999)] {
            let subject = subject(&long);
            assert!(subject.len() <= MAX_SUBJECT, "{subject}");
            assert_eq!(subject.ends_with('\u{200e}'), long.contains('ש'));
        }
    }

    #[test]
    fn ids_are_readable_and_harmless() {
        assert_eq!(token("4520123456-1600@g.us"), "4520123456-1600@g.us");
        assert_eq!(token("a b\r\nBcc: é"), "a%20b%0D%0ABcc:%20%C3%A9");
        assert_eq!(token(&"é".repeat(1_000_000)).len(), 7 + 64);
        assert_eq!([MAX_ID, MAX_ID + 1].map(|length| token(&"a".repeat(length)).len()), [MAX_ID, 7 + 64]);
    }

    #[test]
    fn thread_epoch_is_2009() {
        let seconds = i64::try_from(128_752_416_000_000_000_u64 / 10_000_000).unwrap() - 11_644_473_600;
        assert_eq!(jiff::Timestamp::from_second(seconds).unwrap().to_string(), "2009-01-01T00:00:00Z");
    }
}
