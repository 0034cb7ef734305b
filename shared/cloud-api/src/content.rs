//! The content of an event by its type.

use serde_json::{Value, json};

use crate::{
    envelope::{Envelope, List},
    json::Members,
    people::insert,
};

/// Adds the type and the content of an event to an item.
pub(crate) fn describe(envelope: &Envelope, event: &Members<'_>, item: &mut Value, notes: &mut Vec<String>) {
    match envelope.list {
        List::Messages | List::Echoes | List::History => message(event, item, notes),
        List::Calls => item["type"] = json!("call"),
        List::Groups => item["type"] = json!("group_event"),
    }
}

fn message(event: &Members<'_>, item: &mut Value, _: &mut Vec<String>) {
    let kind = event.text("type");
    match kind.as_deref() {
        Some("text") => {
            item["type"] = json!("text");
            insert(item, "text", event.object("text").and_then(|text| text.value("body")));
        }
        _ => insert(item, "type", kind),
    }
}
