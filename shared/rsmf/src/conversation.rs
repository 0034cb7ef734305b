//! Determines the conversation of an item and the user whose account was captured.

use model::{ChatType, Direction, Item, Participant, Sha256};

/// Returns the identity of an item's conversation. A source names a chat of two after the other participant, so all
/// captured users who talk to the same client have the same chat id. Therefore the captured user is part of the
/// identity.
pub fn conversation(item: &Item) -> Sha256 {
    let captured = match item.chat.chat_type {
        ChatType::Individual => captured_side(item).map(Participant::identity).unwrap_or_default(),
        _ => String::new(),
    };
    let mut bytes = Vec::with_capacity(8 + item.chat.id.len() + captured.len());
    bytes.extend_from_slice(&(item.chat.id.len() as u64).to_be_bytes());
    bytes.extend_from_slice(item.chat.id.as_bytes());
    bytes.extend_from_slice(captured.as_bytes());
    Sha256::of(&bytes)
}

/// Returns whether participants may join and leave the chat.
pub fn is_channel(item: &Item) -> bool {
    item.chat.chat_type != ChatType::Individual
}

/// Returns the captured side of a chat of two: the participant that the chat is not named after.
fn captured_side(item: &Item) -> Option<&Participant> {
    let [other] = item.to.as_slice() else { return captured_user(item) };
    match (is_chat(item, &item.from), is_chat(item, other)) {
        (true, false) => Some(other),
        (false, true) => Some(&item.from),
        _ => captured_user(item),
    }
}

fn is_chat(item: &Item, participant: &Participant) -> bool {
    let chat = item.chat.id.as_str();
    participant.whatsapp_id.as_deref() == Some(chat)
        || participant
            .phone_digits()
            .is_some_and(|digits| chat.trim_start_matches('+').split('@').next() == Some(digits.as_str()))
}

/// Returns the user whose account was captured, if the item identifies that user. The item's direction is relative to
/// this user.
pub(crate) fn captured_user(item: &Item) -> Option<&Participant> {
    match item.direction.as_ref()? {
        Direction::Outgoing => Some(&item.from),
        Direction::Incoming => {
            if let [only] = item.to.as_slice() {
                return Some(only);
            }
            let mut registered = item.to.iter().filter(|participant| participant.email.is_some());
            registered.next().filter(|_| registered.next().is_none())
        }
        Direction::Other(_) => None,
    }
}
