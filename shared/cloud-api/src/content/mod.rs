//! The content of an event by its type. Values are passed on as they came: the reader of items checks their types.

mod call;
mod contacts;
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
        List::Groups => group::describe(event, item),
    }
    if item["type"] != "unsupported" {
        notes.extend(errors(event).map(|error| format!("WhatsApp reports an error: {error}")));
    }
}

/// The errors of an event in words: code, title and details.
fn errors(event: &Members<'_>) -> Option<String> {
    /// An event has one.
    const MAX_ERRORS: usize = 5;
    let errors: Vec<_> = event.list("errors").into_iter().take(MAX_ERRORS).filter_map(Members::of).map(error).collect();
    (!errors.is_empty()).then(|| errors.join("; "))
}

fn error(error: Members<'_>) -> String {
    let details = error.object("error_data").and_then(|data| data.text("details"));
    let title = error.text("title");
    let message = error.text("message").filter(|message| Some(message) != title.as_ref());
    [error.text("code"), title, message, details].into_iter().flatten().collect::<Vec<_>>().join(": ")
}
