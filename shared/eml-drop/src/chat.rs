//! The chat of a message, as far as its mail states it.

use mail_parser::Message;
use model::{Chat, ChatType, Participant, Sha256};

use crate::{Profile, parse::field};

/// Returns the chat. If the vendor gives no id, the id is derived from the participants, so that their messages stay
/// together.
pub(crate) fn chat(mail: &Message<'_>, profile: &Profile, from: &Participant, to: &[Participant]) -> Chat {
    let id = field(mail, &profile.chat).unwrap_or_else(|| {
        let mut participants: Vec<String> = std::iter::once(from).chain(to).map(Participant::identity).collect();
        participants.sort();
        format!("participants:{}", Sha256::of(participants.join("\n").as_bytes()).short_hex())
    });
    let chat_type = match field(mail, &profile.group) {
        Some(_) => ChatType::Group,
        None if to.len() == 1 => ChatType::Individual,
        // A group or a broadcast: the mail does not contain which of them.
        None => ChatType::Other("unknown".to_owned()),
    };
    Chat { id, chat_type, name: field(mail, &profile.chat_name) }
}
