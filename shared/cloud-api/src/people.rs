//! Participants, chat and direction of an event.

use serde_json::{Value, json};

use crate::{
    envelope::{Envelope, List},
    json::Members,
    wamid::is_number,
};

/// Sender, others, chat and direction of an event.
pub(crate) struct People {
    pub(crate) from: Value,
    pub(crate) to: Vec<Value>,
    pub(crate) chat: Value,
    pub(crate) is_outgoing: bool,
    /// The business numbers that report the event.
    pub(crate) captured: Vec<Value>,
}

/// Reads the participants from the copies of an event, the best first. The business number is always one of them: it
/// determines the mailbox. Copies may come from two business numbers that write to each other, or are in one group; each
/// of them takes part. A copy may lack the other party: the file of a history's message comes in a second webhook without
/// the thread.
pub(crate) fn people(copies: &[&Envelope]) -> People {
    let copies: Vec<Copy<'_>> = copies.iter().map(|envelope| Copy::of(envelope)).collect();
    let sides = sides(&copies);
    let (Some(best), Some(first)) = (copies.first(), sides.first()) else {
        return People { from: json!({}), to: Vec::new(), chat: json!({}), is_outgoing: false, captured: Vec::new() };
    };
    let side = sides.iter().find(|side| side.is_outgoing).unwrap_or(first);
    let chat = match copies.iter().find_map(|copy| copy.event.text("group_id")) {
        Some(group) => {
            let subject = best.event.text("subject").filter(|_| best.envelope.list == List::Groups);
            let mut chat = json!({"id": group, "type": "group"});
            insert(&mut chat, "name", subject);
            chat
        }
        // The chat's id contains both numbers, because two business numbers may write to the same person. Their order
        // does not depend on the number that reports the message.
        None => {
            let mut both = [identity(&side.business_number), identity(&side.other)];
            both.sort();
            json!({"id": both.join("/"), "type": "individual"})
        }
    };
    let (from, to) = match (best.envelope.list, side.is_outgoing) {
        // WhatsApp does not name the person who changed a group; the business number takes part in the group.
        (List::Groups, _) => (&side.business_number, None),
        (_, true) => (&side.business_number, Some(&side.other)),
        (_, false) => (&side.other, Some(&side.business_number)),
    };
    let mut participants: Vec<Value> = vec![from.clone()];
    for participant in to.into_iter().chain(sides.iter().map(|side| &side.business_number)) {
        let id = identity(participant);
        if !id.is_empty() && participants.iter().all(|earlier| identity(earlier) != id) {
            participants.push(participant.clone());
        }
    }
    let is_captured = |participant: &Value| {
        let id = identity(participant);
        sides.iter().any(|side| identity(&side.business_number) == id)
    };
    let captured = participants.iter().filter(|participant| is_captured(participant)).cloned().collect();
    for participant in &mut participants {
        complete(participant, &sides);
    }
    let from = participants.remove(0);
    People { from, to: participants, chat, is_outgoing: side.is_outgoing, captured }
}

/// An event as one business number reports it.
struct Side {
    business_number: Value,
    other: Value,
    is_outgoing: bool,
}

/// Returns one side for each business number, that of the best copy first.
fn sides(copies: &[Copy<'_>]) -> Vec<Side> {
    let mut by_number: Vec<(Value, Vec<&Copy<'_>>)> = Vec::new();
    for copy in copies {
        let number = business_number(copy.envelope);
        match by_number.iter_mut().find(|(earlier, _)| identity(earlier) == identity(&number)) {
            Some((_, copies)) => copies.push(copy),
            None => by_number.push((number, vec![copy])),
        }
    }
    let side = |(business_number, copies): (Value, Vec<&Copy<'_>>)| {
        let is_outgoing = is_outgoing(&copies, &business_number);
        let other = match is_outgoing {
            true => other_party(&copies, ("to", "to_user_id")),
            false => other_party(&copies, ("from", "from_user_id")),
        };
        Side { business_number, other, is_outgoing }
    };
    by_number.into_iter().map(side).collect()
}

/// Adds the name and the id under which another business number knows a participant.
fn complete(participant: &mut Value, sides: &[Side]) {
    let id = identity(participant);
    for other in sides.iter().map(|side| &side.other).filter(|other| identity(other) == id) {
        for name in ["name", "whatsappId"] {
            if participant.get(name).is_none() {
                insert(participant, name, other.get(name).cloned());
            }
        }
    }
}

/// A copy of an event.
struct Copy<'a> {
    envelope: &'a Envelope,
    event: Members<'a>,
}

impl<'a> Copy<'a> {
    fn of(envelope: &'a Envelope) -> Self {
        Self { envelope, event: Members::of(&envelope.event).unwrap_or_default() }
    }
}

/// Returns the business number.
fn business_number(envelope: &Envelope) -> Value {
    let metadata = envelope.metadata.as_deref().and_then(Members::of).unwrap_or_default();
    let mut business_number = json!({});
    match metadata.text("display_phone_number") {
        Some(phone) => insert(&mut business_number, "phone", Some(international(phone))),
        None => insert(&mut business_number, "whatsappId", metadata.text("phone_number_id")),
    }
    business_number
}

/// Returns whether the business number sent the message. The webhook says so, or the sender is the business number, or the
/// sender is not the person of the history's thread.
fn is_outgoing(copies: &[&Copy<'_>], business_number: &Value) -> bool {
    let Some(best) = copies.first() else { return false };
    match best.envelope.list {
        List::Echoes => true,
        List::Groups => false,
        List::Calls => best.event.text("direction").is_some_and(|direction| direction == "BUSINESS_INITIATED"),
        List::Messages | List::History => {
            let any = |read: &dyn Fn(&Copy<'_>) -> Option<bool>| copies.iter().find_map(|copy| read(copy));
            let from_me = any(&|copy| copy.event.object("history_context")?.text("from_me")?.parse().ok());
            let number = business_number.get("phone").and_then(Value::as_str);
            let is_ours = |member: &str| {
                any(&|copy| number.zip(copy.event.text(member)).map(|(ours, given)| is_same_number(ours, &given)))
                    .unwrap_or_default()
            };
            let not_of_thread = || {
                any(&|copy| {
                    let thread = copy.envelope.thread.as_deref()?;
                    let person = if is_number(plain(thread)) { "from" } else { "from_user_id" };
                    let from = copies.iter().find_map(|copy| copy.event.text(person))?;
                    Some(!is_same_number(thread, &from))
                })
            };
            from_me.unwrap_or_else(|| is_ours("from") || (!is_ours("to") && not_of_thread().unwrap_or_default()))
        }
    }
}

/// Returns the other party: its phone number if a copy contains it, and its business-scoped id.
fn other_party(copies: &[&Copy<'_>], (phone, user_id): (&str, &str)) -> Value {
    let (mut number, mut id) = (
        copies.iter().find_map(|copy| copy.event.text(phone)),
        copies.iter().find_map(|copy| copy.event.text(user_id)),
    );
    if number.is_none() && id.is_none() {
        match copies.iter().find_map(|copy| copy.envelope.thread.clone()) {
            Some(thread) if is_number(plain(&thread)) => number = Some(thread),
            thread => id = thread,
        }
    }
    let mut contacts =
        copies.iter().flat_map(|copy| &copy.envelope.contacts).filter_map(|raw| Members::of(raw)).filter(|contact| {
            let same = |name, given: &Option<String>| given.is_some() && contact.text(name) == *given;
            same("wa_id", &number) || same("user_id", &id)
        });
    let contact = contacts.next().unwrap_or_default();
    number = number.or_else(|| contact.text("wa_id"));
    id = id.or_else(|| contact.text("user_id"));
    let profile = contact.object("profile").unwrap_or_default();
    let mut other = json!({});
    insert(&mut other, "name", profile.text("name").or_else(|| profile.text("username")));
    insert(&mut other, "phone", number.map(international));
    insert(&mut other, "whatsappId", id);
    other
}

/// Returns whether two numbers are of the same person: WhatsApp writes some countries' numbers in two forms. Ids are
/// compared unchanged.
fn is_same_number(one: &str, other: &str) -> bool {
    let one = canonical(one);
    !one.is_empty() && one == canonical(other)
}

/// Returns the business number that reports an event, in one form for all webhooks.
pub(crate) fn own_number(metadata: &Members<'_>) -> Option<String> {
    let number = metadata.text("display_phone_number")?;
    Some(canonical(&number)).filter(|number| is_number(number))
}

/// Creates a participant with a number, an id or both.
pub(crate) fn participant(phone: Option<String>, user_id: Option<String>) -> Value {
    let mut participant = json!({});
    insert(&mut participant, "phone", phone.map(international));
    insert(&mut participant, "whatsappId", user_id);
    participant
}

/// Returns a number of a webhook with a plus. WhatsApp writes each number with its country code, mostly without a plus; without
/// one, a number that no plan assigns (+1 555 …) could be read as another person's number in the user map's default region.
fn international(number: String) -> String {
    let is_plain =
        number.starts_with(|first: char| matches!(first, '1'..='9')) && !number.contains(char::is_alphabetic);
    if is_plain { format!("+{number}") } else { number }
}

pub(crate) fn insert(value: &mut Value, name: &str, member: Option<impl Into<Value>>) {
    if let (Value::Object(members), Some(member)) = (value, member) {
        members.insert(name.to_owned(), member.into());
    }
}

/// Returns the number's digits, in one form for all webhooks, or the id if there is no number.
fn identity(participant: &Value) -> String {
    let text = |name| participant.get(name).and_then(Value::as_str);
    text("phone").map(canonical).or_else(|| text("whatsappId").map(str::to_owned)).unwrap_or_default()
}

fn plain(number: &str) -> &str {
    number.strip_prefix('+').unwrap_or(number)
}

/// Returns the digits of a number, in one form for all webhooks. Ids are returned unchanged.
fn canonical(number: &str) -> String {
    if number.chars().any(char::is_alphabetic) {
        return number.to_owned();
    }
    phone::canonical_digits(&number.chars().filter(char::is_ascii_digit).collect::<String>())
}

#[cfg(test)]
mod tests {
    use phone::{PhoneNumber, Region};

    use super::*;

    #[test]
    fn number_of_a_webhook_is_never_read_as_national() {
        let national = |region: &str| PhoneNumber::parse("15550783881", Some(region.parse::<Region>().unwrap()));
        let phone = |participant: Value| participant.get("phone").and_then(Value::as_str).unwrap().to_owned();
        let envelope: Envelope = serde_json::from_value(json!({
            "v": 1, "id": "wa:1", "list": "messages", "field": "messages",
            "metadata": {"display_phone_number": "15550783881", "phone_number_id": "1"},
            "event": {"id": "wamid.1", "from": "15550783881"},
        }))
        .unwrap();
        let other = other_party(&[&Copy::of(&envelope)], ("from", "from_user_id"));
        let subject = participant(Some("15550783881".to_owned()), None);
        for phone in [phone(business_number(&envelope)), phone(other), phone(subject)] {
            for region in ["DE", "AT", "CN"] {
                assert_ne!(national(region).unwrap().e164(), "+15550783881", "the digits are ambiguous in {region}");
                let read = PhoneNumber::parse(&phone, Some(region.parse().unwrap())).unwrap();
                assert_eq!(read.e164(), "+15550783881", "{region}");
            }
        }
    }

    #[test]
    fn number_that_is_written_otherwise_is_unchanged() {
        assert_eq!(international("1 631-555-5555".to_owned()), "+1 631-555-5555");
        for text in ["+4520123456", "004520123456", "0701740605", "GB.1000", "1-800-FLOWERS", ""] {
            assert_eq!(international(text.to_owned()), text);
        }
    }
}
