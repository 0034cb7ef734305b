//! The message's own header fields.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use item::{ChatType, Direction, Item, Participant, Sha256};
use mail_builder::{
    MessageBuilder,
    headers::{HeaderType, address::Address, date::Date, raw::Raw, text::Text},
};

use crate::{
    clean::{at_most_bytes, one_line},
    message_id, people,
};

/// The version of this layout, in X-WA-Schema.
const SCHEMA: &str = "1";

/// How many participants To names; the body says how many more there are.
pub(crate) const MAX_TO: usize = 5_000;

/// The longest subject, in bytes before it is encoded.
const MAX_SUBJECT: usize = 128;

/// The longest id that an X-WA header shows, in bytes after it is encoded. It stays on one line.
const MAX_ID: usize = 512;

/// Thread-Index holds a time. A chat's must never change, and nobody knows when a chat began: the beginning of 2009,
/// WhatsApp's first year, in the 100 ns since 1601 that Windows counts, less the 24 lowest bits.
const THREAD_EPOCH: u64 = 128_752_416_000_000_000 >> 24;

/// All header fields but those of the MIME structure. `labels` are those of the participants that are named, the sender's
/// first; `chat` is the chat's name.
pub(crate) fn write<'a>(
    item: &Item,
    labels: Vec<String>,
    chat: &str,
    domain: &str,
    message_id: &str,
    content: &Sha256,
) -> MessageBuilder<'a> {
    // The same for everything in a chat: what happened stands in the body and in X-WA-Kind, or a mail program would split
    // the conversation.
    let subject = at_most_bytes(format!("WhatsApp: {chat}"), MAX_SUBJECT);
    let mut addresses = item.participants().zip(labels).map(|(participant, label)| people::address(participant, label));
    let mut message = MessageBuilder::new().header("Date", Date::new(item.message_time.as_second()));
    if let Some(from) = addresses.next() {
        message = message.header("From", from);
    }
    message = message
        .header("Message-ID", raw(format!("<{message_id}>")))
        .header("X-WA-Kind", raw(token(item.kind.as_str())))
        .header("X-WA-Chat", raw(token(&item.chat.id)))
        .header("X-WA-Message-Id", raw(token(message_id::whatsapp_id(item))))
        .header("X-WA-Content-SHA256", raw(content.to_string()))
        .header("X-WA-Schema", raw(SCHEMA.to_owned()))
        .header("Subject", Text::new(subject.clone()));
    let chat_hash = message_id::chat_hash(item);
    let root = format!("{chat_hash}@{domain}");
    message = match message_id::answered(item, domain) {
        Some(answered) => message
            .header("In-Reply-To", raw(format!("<{answered}>")))
            .header("References", raw(format!("<{root}> <{answered}>"))),
        None => message.header("References", raw(format!("<{root}>"))),
    };
    message = message.header("Thread-Topic", Text::new(subject)).header("Thread-Index", raw(thread_index(&chat_hash)));
    // To is last: mail servers limit how many lines of a header they index, and thousands of participants exceed that.
    if !item.to.is_empty() {
        message = message.header("To", Address::new_list(addresses.collect()));
    }
    message
}

/// Text values over 77 bytes would become encoded words even in ASCII; these are ASCII and stay as they are.
fn raw(value: String) -> HeaderType<'static> {
    Raw::new(value).into()
}

/// The chat as a reader knows it: its name, or who else is in it.
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

/// Who the captured user talks to: whoever the chat is named after, else whoever is on the other side; where the
/// archive says neither, both, in an order that does not depend on who speaks.
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

/// Somebody else's id as one run of harmless ASCII: percent-encoded, and where even that is too long, its hash.
fn token(id: &str) -> String {
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
    fn ids_are_readable_and_harmless() {
        assert_eq!(token("4520123456-1600@g.us"), "4520123456-1600@g.us");
        assert_eq!(token("a b\r\nBcc: é"), "a%20b%0D%0ABcc:%20%C3%A9");
        assert_eq!(token(&"é".repeat(1_000_000)).len(), 7 + 64);
    }

    #[test]
    fn the_thread_epoch_is_2009() {
        let seconds = i64::try_from(128_752_416_000_000_000_u64 / 10_000_000).unwrap() - 11_644_473_600;
        assert_eq!(jiff::Timestamp::from_second(seconds).unwrap().to_string(), "2009-01-01T00:00:00Z");
    }
}
