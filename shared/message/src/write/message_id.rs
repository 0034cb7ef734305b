//! Computes Message-IDs from the item alone, so that a reply can refer to its message without a lookup, and repeated
//! runs produce the same Message-ID.

use model::{DeletionScope, Item, Kind, Participant, Quoted, Sha256};

/// The class of original content of every kind. There is one class only, because a quote does not contain the kind of
/// the quoted message.
const ORIGINAL: &str = "message";

/// Returns the item's own Message-ID, without angle brackets.
pub(crate) fn own(item: &Item, domain: &str) -> String {
    format!("{}@{domain}", identity(item))
}

/// Returns the hash in the Message-ID of an item, which does not depend on the archive's domain.
pub fn identity(item: &Item) -> Sha256 {
    let (class, revision) = match item.kind {
        Kind::Edit => ("edit", item.id.as_str()),
        Kind::Delete => ("delete", item.id.as_str()),
        Kind::Reaction => ("reaction", item.id.as_str()),
        Kind::PollVote => ("poll_vote", item.id.as_str()),
        _ => (ORIGINAL, ""),
    };
    let key = item.webhook.as_ref().and_then(|webhook| non_empty(&webhook.message_key));
    let message = key.unwrap_or_else(|| whatsapp_id(item));
    hash(&item.chat.id, &item.from.identity(), message, class, revision)
}

/// Returns the chat's hash. With the domain it is the first reference of every message in the chat; no message has that
/// Message-ID.
pub(crate) fn chat_hash(item: &Item) -> Sha256 {
    hash(&item.chat.id, "", "", "chat", "")
}

/// Returns WhatsApp's id of the message, or the item's id if there is none.
pub(crate) fn whatsapp_id(item: &Item) -> &str {
    non_empty(&item.message_id).unwrap_or(item.id.as_str())
}

fn non_empty(id: &Option<String>) -> Option<&str> {
    id.as_deref().filter(|id| !id.is_empty())
}

/// Returns the Message-ID of the message that the item replies to or acts on, if it is certain.
pub(crate) fn replied_to(item: &Item, domain: &str) -> Option<String> {
    referred(item).map(|hash| format!("{hash}@{domain}"))
}

/// Returns the [`identity`] of the message that the item replies to or acts on, if its WhatsApp id and its sender are
/// certain. A wrong sender would attach the item to another participant's message. If the sender is not captured, it is
/// inferred in two cases only: participants edit only their own messages, and a message that was deleted for everyone,
/// without another participant being named, was the sender's. The sender of a quoted message is never inferred: in a
/// chat of two, either may have written it.
pub fn referred(item: &Item) -> Option<Sha256> {
    let acts = item.kind.acts_on_a_message();
    let message = if acts { item.target.as_ref() } else { item.quoted.as_ref() }?;
    let key = item
        .webhook
        .as_ref()
        .and_then(|webhook| non_empty(if acts { &webhook.target_key } else { &webhook.quoted_key }));
    let message_id = key.or_else(|| non_empty(&message.message_id))?;
    let sender = sender(item, message)?;
    Some(hash(&item.chat.id, &sender, message_id, ORIGINAL, ""))
}

fn sender(item: &Item, message: &Quoted) -> Option<String> {
    if let Some(from) = &message.from {
        let identity = full(item, from).identity();
        return (!identity.is_empty()).then_some(identity);
    }
    let own = match item.kind {
        Kind::Edit => true,
        Kind::Delete => item
            .deletion
            .as_ref()
            .is_some_and(|deletion| deletion.by.is_none() && deletion.scope == Some(DeletionScope::Everyone)),
        _ => false,
    };
    own.then(|| item.from.identity())
}

/// Completes a quote's sender from the item's participants. A quote often contains only the sender's WhatsApp id, while
/// the original message was identified by the phone number.
fn full<'a>(item: &'a Item, quoted: &'a Participant) -> &'a Participant {
    if quoted.phone_digits().is_some() || quoted.whatsapp_id.is_none() {
        return quoted;
    }
    item.participants().find(|participant| participant.whatsapp_id == quoted.whatsapp_id).unwrap_or(quoted)
}

/// Hashes the fields with their lengths, so that different tuples result in different bytes.
fn hash(chat: &str, sender: &str, message_id: &str, class: &str, revision: &str) -> Sha256 {
    let mut bytes =
        Vec::with_capacity(chat.len() + sender.len() + message_id.len() + class.len() + revision.len() + 5 * 8);
    for field in [chat, sender, message_id, class, revision] {
        bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
        bytes.extend_from_slice(field.as_bytes());
    }
    Sha256::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moved_borders_give_other_hashes() {
        let hashes = [
            hash("ab", "c", "", "", ""),
            hash("a", "bc", "", "", ""),
            hash("", "abc", "", "", ""),
            hash("", "", "abc", "", ""),
            hash("abc", "", "", "", ""),
        ];
        for (at, one) in hashes.iter().enumerate() {
            assert!(hashes.iter().skip(at + 1).all(|other| other != one));
        }
    }
}
