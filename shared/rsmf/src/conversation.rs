//! Determines the conversation of an item and the user whose account was captured.

use model::{ChatType, Direction, Item, Kind, Participant, Sha256};

/// The end of the id of a chat that is named after a participant's number.
const PHONE_JID: &str = "@s.whatsapp.net";

/// Returns the identity of an item's conversation. A source names a chat of two after the other participant, so all
/// captured users who talk to the same client have the same chat id. Therefore the captured user is part of the
/// identity, except in an upload: its chat id contains the owner, and many of its items identify no captured user.
pub fn conversation(item: &Item) -> Sha256 {
    let captured = match item.chat.chat_type {
        ChatType::Individual if item.upload.is_none() => {
            captured_side(item).map(Participant::identity).unwrap_or_default()
        }
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

/// Returns the captured side of a chat of two: the only participant that the chat is not named after.
fn captured_side(item: &Item) -> Option<&Participant> {
    // The sender of a notice may be WhatsApp, of which only a name is known.
    let is_notice = matches!(item.kind, Kind::System | Kind::GroupEvent);
    let from = Some(&item.from).filter(|from| !is_notice || has_identity(from));
    let (mut chats, mut others) = (0, Vec::<&Participant>::new());
    for participant in from.into_iter().chain(&item.to) {
        if is_chat(item, participant) {
            chats += 1;
        } else if others.iter().all(|other| other.identity() != participant.identity()) {
            others.push(participant);
        }
    }
    // A notice may name only the captured user. A message without a recipient names only its sender, on either side.
    let is_named_after_client = chats > 0 || is_notice && item.chat.id.ends_with(PHONE_JID);
    match others.as_slice() {
        [only] if is_named_after_client => Some(only),
        _ => captured_user(item),
    }
}

fn has_identity(participant: &Participant) -> bool {
    participant.phone_digits().is_some() || participant.whatsapp_id.is_some() || participant.email.is_some()
}

fn is_chat(item: &Item, participant: &Participant) -> bool {
    let chat = item.chat.id.as_str();
    participant.whatsapp_id.as_deref() == Some(chat)
        || participant
            .phone_digits()
            .is_some_and(|digits| chat.trim_start_matches('+').split('@').next() == Some(digits.as_str()))
}

/// Returns the user whose account was captured, if the item identifies that user: the owner of an upload, or else the
/// user that the item's direction is relative to.
pub(crate) fn captured_user(item: &Item) -> Option<&Participant> {
    if let Some(upload) = &item.upload {
        let is_owner = |participant: &&Participant| {
            participant.email.as_deref().is_some_and(|email| email.eq_ignore_ascii_case(&upload.owner))
        };
        if let Some(owner) = std::iter::once(&item.from).chain(&item.to).find(is_owner) {
            return Some(owner);
        }
    }
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
