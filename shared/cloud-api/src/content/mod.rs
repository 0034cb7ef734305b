//! The content of an event, by its type. Values are passed on unchanged: the item reader checks their types.

mod call;
mod contacts;
mod errors;
mod group;
mod message;

use serde_json::{Value, json};

use crate::{
    envelope::{Envelope, List},
    json::Members,
};

/// Adds the type and the content of an event to an item.
pub(crate) fn describe(envelope: &Envelope, event: &Members<'_>, item: &mut Value, notes: &mut Vec<String>) {
    if Members::of(&envelope.event).is_none() {
        item["type"] = json!("unsupported");
        item["reason"] = json!("the entry of the webhook is not an object");
        return;
    }
    match envelope.list {
        List::Messages | List::Echoes | List::History => message::describe(event, item, notes),
        List::Calls => call::describe(event, item),
        List::Groups => group::describe(event, item, notes),
    }
    if item["type"] != "unsupported" {
        notes.extend(errors::errors(event).map(|error| format!("WhatsApp reports an error: {error}")));
    }
}
