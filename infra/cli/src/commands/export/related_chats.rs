//! Finds the chats that a person continues under another id: WhatsApp reports a person by phone number, and by a
//! business-scoped id alone once they hide the number, and the id of a chat between two contains the one or the other.

use std::collections::{BTreeSet, HashMap, HashSet};

use model::{ChatType, Item, Participant};

/// The chats between two in the window, by what identifies their participants.
#[derive(Default)]
pub(super) struct RelatedChats {
    exported: HashMap<String, HashSet<String>>,
    /// The participants of each other chat.
    others: HashMap<String, BTreeSet<Vec<String>>>,
}

impl RelatedChats {
    /// Adds an item of an exported chat.
    pub(super) fn add_exported(&mut self, item: &Item) {
        if item.chat.chat_type == ChatType::Individual {
            let known = self.exported.entry(item.chat.id.clone()).or_default();
            known.extend(item.participants().flat_map(identities));
        }
    }

    /// Adds an item of another chat.
    pub(super) fn add_other(&mut self, item: &Item) {
        if item.chat.chat_type == ChatType::Individual {
            let participants = item.participants().map(identities).filter(|ids| !ids.is_empty());
            self.others.entry(item.chat.id.clone()).or_default().extend(participants);
        }
    }

    /// Returns the other chats in which only the participants of an exported chat take part.
    pub(super) fn found(&self) -> Vec<String> {
        let is_same = |participants: &BTreeSet<Vec<String>>| {
            let known =
                |known: &HashSet<String>| participants.iter().all(|ids| ids.iter().any(|id| known.contains(id)));
            participants.len() > 1 && self.exported.values().any(known)
        };
        let mut found: Vec<_> = self
            .others
            .iter()
            .filter(|(_, participants)| is_same(participants))
            .map(|(chat, _)| chat.clone())
            .collect();
        found.sort_unstable();
        found
    }
}

/// Returns what identifies a participant: the phone number in one form, and WhatsApp's id.
fn identities(participant: &Participant) -> Vec<String> {
    let phone = participant.phone_digits().map(|digits| format!("phone {}", phone::canonical_digits(&digits)));
    let id = participant.whatsapp_id.as_deref().map(str::trim).filter(|id| !id.is_empty());
    phone.into_iter().chain(id.map(|id| format!("id {id}"))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const OURS: &str = "46701740605";

    fn item(chat: &str, kind: &str, other: Value) -> Item {
        let item = json!({"id": "1", "type": "text", "messageTime": "2026-11-20T09:00:00Z", "archivedTime": "2026-11-20T09:00:00Z",
            "chat": {"id": chat, "type": kind}, "from": other, "to": [{"phone": OURS}]});
        serde_json::from_value(item).unwrap()
    }

    fn found(exported: &[Item], others: &[Item]) -> Vec<String> {
        let mut chats = RelatedChats::default();
        exported.iter().for_each(|item| chats.add_exported(item));
        others.iter().for_each(|item| chats.add_other(item));
        chats.found()
    }

    #[test]
    fn chat_of_a_person_who_hides_the_number_is_found() {
        let may = item("A/447700900123", "individual", json!({"phone": "447700900123", "whatsappId": "GB.1"}));
        let july = item("A/GB.1", "individual", json!({"whatsappId": "GB.1"}));
        assert_eq!(found(std::slice::from_ref(&may), std::slice::from_ref(&july)), ["A/GB.1"]);
        assert_eq!(found(std::slice::from_ref(&july), std::slice::from_ref(&may)), ["A/447700900123"]);
        assert!(found(&[may, july], &[]).is_empty());
    }

    #[test]
    fn chats_of_other_people_are_not_found() {
        let exported = [item("A/447700900123", "individual", json!({"phone": "447700900123", "whatsappId": "GB.1"}))];
        let others = [
            item("A/447700900124", "individual", json!({"phone": "447700900124", "whatsappId": "GB.2"})),
            item("A/", "individual", json!({})),
            item("group", "group", json!({"whatsappId": "GB.1"})),
        ];
        assert!(found(&exported, &others).is_empty());
        // The same person with a colleague.
        let mut colleague = item("B/447700900123", "individual", json!({"phone": "447700900123"}));
        colleague.to[0].phone = Some("447700900104".to_owned());
        assert!(found(&exported, &[colleague]).is_empty());
    }
}
