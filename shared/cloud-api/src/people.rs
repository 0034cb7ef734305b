//! Participants, chat and direction of an event.

use serde_json::{Value, json};

use crate::{
    envelope::{Envelope, List},
    json::Members,
};

/// Sender, others, chat and direction of an event.
pub(crate) struct People {
    pub(crate) from: Value,
    pub(crate) to: Vec<Value>,
    pub(crate) chat: Value,
    pub(crate) is_outgoing: bool,
}

/// Reads the participants. The business number is always one of them: it determines the mailbox.
pub(crate) fn people(envelope: &Envelope, event: &Members<'_>) -> People {
    let business_number = business_number(envelope);
    let is_outgoing = is_outgoing(envelope, event);
    let other = match is_outgoing {
        true => other_party(envelope, event, ("to", "to_user_id")),
        false => other_party(envelope, event, ("from", "from_user_id")),
    };
    let chat = match event.text("group_id") {
        Some(group) => {
            let subject = event.text("subject").filter(|_| envelope.list == List::Groups);
            let mut chat = json!({"id": group, "type": "group"});
            insert(&mut chat, "name", subject);
            chat
        }
        // The chat's id contains both numbers, because two business numbers may write to the same person.
        None => json!({"id": format!("{}/{}", identity(&business_number), identity(&other)), "type": "individual"}),
    };
    let others = |participant: Value| if identity(&participant).is_empty() { Vec::new() } else { vec![participant] };
    match (envelope.list, is_outgoing) {
        // WhatsApp does not name the person who changed a group; the business number takes part in the group.
        (List::Groups, _) => People { from: business_number, to: Vec::new(), chat, is_outgoing },
        (_, true) => People { from: business_number, to: others(other), chat, is_outgoing },
        (_, false) => People { from: other, to: others(business_number), chat, is_outgoing },
    }
}

/// Returns the business number.
fn business_number(envelope: &Envelope) -> Value {
    let metadata = envelope.metadata.as_deref().and_then(Members::of).unwrap_or_default();
    let mut business_number = json!({});
    match metadata.text("display_phone_number") {
        Some(phone) => insert(&mut business_number, "phone", Some(phone)),
        None => insert(&mut business_number, "whatsappId", metadata.text("phone_number_id")),
    }
    business_number
}

/// Returns whether the business number sent the message: the webhook says so, or the sender is the business number.
fn is_outgoing(envelope: &Envelope, event: &Members<'_>) -> bool {
    match envelope.list {
        List::Echoes => true,
        List::Groups => false,
        List::Calls => event.text("direction").is_some_and(|direction| direction == "BUSINESS_INITIATED"),
        List::Messages | List::History => {
            let business_number =
                business_number(envelope).get("phone").and_then(Value::as_str).map(digits).unwrap_or_default();
            event.text("from").is_some_and(|from| !business_number.is_empty() && digits(&from) == business_number)
        }
    }
}

/// Returns the other party: its phone number if the webhook contains it, and its business-scoped id.
fn other_party(envelope: &Envelope, event: &Members<'_>, (phone, user_id): (&str, &str)) -> Value {
    let mut contacts = envelope.contacts.iter().filter_map(|raw| Members::of(raw));
    let (mut number, mut id) = (event.text(phone), event.text(user_id));
    let contact = contacts.find(|contact| {
        let same = |name, given: &Option<String>| given.is_some() && contact.text(name) == *given;
        same("wa_id", &number) || same("user_id", &id)
    });
    let contact = contact.unwrap_or_default();
    number = number.or_else(|| contact.text("wa_id"));
    id = id.or_else(|| contact.text("user_id"));
    if number.is_none() && id.is_none() {
        match envelope.thread.clone() {
            Some(thread) if is_number(&thread) => number = Some(thread),
            thread => id = thread,
        }
    }
    let profile = contact.object("profile").unwrap_or_default();
    let mut other = json!({});
    insert(&mut other, "name", profile.text("name").or_else(|| profile.text("username")));
    insert(&mut other, "phone", number);
    insert(&mut other, "whatsappId", id);
    other
}

/// Creates a participant with a number, an id or both.
pub(crate) fn participant(phone: Option<String>, user_id: Option<String>) -> Value {
    let mut participant = json!({});
    insert(&mut participant, "phone", phone);
    insert(&mut participant, "whatsappId", user_id);
    participant
}

pub(crate) fn insert(value: &mut Value, name: &str, member: Option<impl Into<Value>>) {
    if let (Value::Object(members), Some(member)) = (value, member) {
        members.insert(name.to_owned(), member.into());
    }
}

/// Returns the number's digits, or the id if there is no number.
fn identity(participant: &Value) -> String {
    let text = |name| participant.get(name).and_then(Value::as_str);
    text("phone").map(digits).or_else(|| text("whatsappId").map(str::to_owned)).unwrap_or_default()
}

fn digits(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).collect()
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (5..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}
