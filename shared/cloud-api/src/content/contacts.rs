//! Contact cards. The webhook contains their fields; a vCard is written from the fields.

use serde_json::{Value, json};

use crate::{json::Members, people::insert};

/// Returns the cards of a message, and whether one of them was written from fields.
pub(super) fn cards(event: &Members<'_>) -> (Vec<Value>, bool) {
    let mut written = false;
    let cards = event.list("contacts").into_iter().map(|raw| {
        let Some(contact) = Members::of(raw) else { return json!({"name": crate::json::text(raw)}) };
        let name = contact.object("name").unwrap_or_default();
        let mut card = json!({});
        insert(&mut card, "name", name.text("formatted_name").or_else(|| name.text("first_name")));
        let sent = contact.text("vcard").or_else(|| contact.text("vCard"));
        written |= sent.is_none();
        insert(&mut card, "vcard", Some(sent.unwrap_or_else(|| vcard(&contact, &name))));
        card
    });
    (cards.collect(), written)
}

/// Writes a vCard 3.0 (RFC 2426) with the fields of a contact.
fn vcard(contact: &Members<'_>, name: &Members<'_>) -> String {
    let mut lines = vec!["BEGIN:VCARD".to_owned(), "VERSION:3.0".to_owned()];
    let part = |of: &Members<'_>, member: &str| escaped(&of.text(member).unwrap_or_default());
    let all = |of: &Members<'_>, members: &[&str]| members.iter().map(|m| part(of, m)).collect::<Vec<_>>().join(";");
    lines.push(format!("N:{}", all(name, &["last_name", "first_name", "middle_name", "prefix", "suffix"])));
    lines.push(format!("FN:{}", part(name, "formatted_name")));
    if let Some(org) = contact.object("org") {
        lines.push(format!("ORG:{}", all(&org, &["company", "department"])));
        lines.extend(org.text("title").map(|title| format!("TITLE:{}", escaped(&title))));
    }
    for phone in contact.list("phones").into_iter().filter_map(Members::of) {
        let number = phone.text("phone").or_else(|| phone.text("wa_id"));
        let wa_id = phone.text("wa_id").map(|id| format!(";waid={}", parameter_value(&id))).unwrap_or_default();
        lines.extend(number.map(|number| format!("TEL{}{wa_id}:{}", type_parameter(&phone), escaped(&number))));
    }
    for email in contact.list("emails").into_iter().filter_map(Members::of) {
        lines.extend(
            email.text("email").map(|address| format!("EMAIL{}:{}", type_parameter(&email), escaped(&address))),
        );
    }
    for place in contact.list("addresses").into_iter().filter_map(Members::of) {
        let fields = all(&place, &["street", "city", "state", "zip", "country"]);
        lines.push(format!("ADR{}:;;{fields}", type_parameter(&place)));
    }
    for link in contact.list("urls").into_iter().filter_map(Members::of) {
        lines.extend(link.text("url").map(|url| format!("URL{}:{}", type_parameter(&link), escaped(&url))));
    }
    lines.extend(contact.text("birthday").map(|day| format!("BDAY:{}", escaped(&day))));
    lines.push("END:VCARD\r\n".to_owned());
    lines.join("\r\n")
}

fn type_parameter(of: &Members<'_>) -> String {
    of.text("type").map(|kind| format!(";TYPE={}", parameter_value(&kind))).unwrap_or_default()
}

/// Keeps only the characters that cannot end a parameter's value.
fn parameter_value(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(32).collect()
}

fn escaped(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\\', "\\\\").replace(',', "\\,").replace(';', "\\;");
    text.replace(['\n', '\r'], "\\n")
}
