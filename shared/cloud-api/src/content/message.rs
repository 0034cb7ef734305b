//! The content of a message, by its type.

use serde_json::{Map, Value, json};

use super::{contacts, errors::errors};
use crate::{json::Members, people::insert};

/// The types whose content is in a member with the type's name.
const KNOWN: [&str; 14] = [
    "text",
    "image",
    "video",
    "document",
    "sticker",
    "audio",
    "location",
    "contacts",
    "reaction",
    "interactive",
    "button",
    "order",
    "edit",
    "revoke",
];

pub(super) fn describe(event: &Members<'_>, item: &mut Value, notes: &mut Vec<String>) {
    let kind = event.text("type");
    let inferred = KNOWN.into_iter().find(|name| kind.is_none() && event.get(name).is_some());
    notes.extend(inferred.map(|name| {
        format!("The webhook states no type of the message. It is shown as the type of its member, {name}.")
    }));
    let word = kind.as_deref().or(inferred).unwrap_or_default();
    let content = event.object(word).unwrap_or_default();
    // Values of a wrong type are passed on too; the item reader reports them as anomalies.
    let text_of = |content: &Members<'_>, name: &str| content.value(name);
    match word {
        "text" => set_kind(item, "text", text_of(&content, "body").or_else(|| scalar(event, "text"))),
        "image" | "video" | "document" | "sticker" => set_kind(item, word, content.value("caption")),
        "audio" => {
            let is_voice = content.text("voice").is_some_and(|voice| voice == "true");
            set_kind(item, if is_voice { "voice" } else { "audio" }, content.value("caption"));
        }
        "media_placeholder" => {
            let reason = "the history has a placeholder for a file, and the file did not come";
            unsupported(item, reason.to_owned());
        }
        "location" => {
            set_kind(item, "location", None);
            insert(item, "location", event.value("location"));
        }
        "contacts" => {
            set_kind(item, "contacts", None);
            let (cards, written) = contacts::cards(event);
            item["contacts"] = Value::Array(cards);
            if written {
                notes.push(
                    "WhatsApp gave the fields of the contact cards; the vCards were written from them.".to_owned(),
                );
            }
        }
        "reaction" => {
            set_kind(item, "reaction", None);
            item["reaction"] = json!({});
            // Empty or absent: the reaction was removed.
            insert(&mut item["reaction"], "emoji", content.value("emoji"));
            target(item, content.value("message_id"));
        }
        "interactive" => interactive(&content, event, item),
        "button" => business(item, content.value("text"), event.value("button")),
        "order" => business(item, content.value("text"), event.value("order")),
        "system" => system(&content, event, item),
        "request_welcome" => {
            set_kind(item, "system", None);
            item["event"] = json!({"action": "opened the chat for the first time"});
        }
        "unsupported" | "unknown" => {
            let kind = content.text("type").filter(|_| word == "unsupported");
            let kind = kind.map(|kind| format!("type {kind}"));
            let reason = [errors(event), kind].into_iter().flatten().collect::<Vec<_>>().join("; ");
            let reason = if reason.is_empty() { "WhatsApp does not give its content".to_owned() } else { reason };
            unsupported(item, reason);
        }
        "edit" => edit(&content, item),
        "revoke" => {
            set_kind(item, "delete", None);
            item["deletion"] = json!({"scope": "everyone"});
            target(item, content.value("original_message_id"));
        }
        _ => {
            // An unrecognized type keeps its name, and is shown with all its members.
            insert(item, "type", kind.clone());
            insert(item, "content", unrecognized(event));
        }
    }
    add_context_notes(event, notes);
}

/// Returns the members with the content of a message of an unrecognized type: all but those that every message has, which
/// the item has elsewhere. The content may be in a member with another name than the type.
fn unrecognized(event: &Members<'_>) -> Option<Value> {
    let is_common = |name: &str| {
        matches!(name, "id" | "from" | "to" | "timestamp" | "type" | "context" | "group_id")
            || name.starts_with("from_")
            || name.starts_with("to_")
    };
    let members = event.all().filter(|(name, _)| !is_common(name));
    let content: Map<_, _> =
        members.filter_map(|(name, raw)| Some((name.to_owned(), serde_json::from_str(raw.get()).ok()?))).collect();
    (!content.is_empty()).then_some(Value::Object(content))
}

fn set_kind(item: &mut Value, kind: &str, text: Option<Value>) {
    item["type"] = json!(kind);
    insert(item, "text", text);
}

/// Returns the member if it is a plain value where an object is expected.
fn scalar(event: &Members<'_>, name: &str) -> Option<Value> {
    event.value(name).filter(|value| !value.is_object())
}

fn target(item: &mut Value, message_id: Option<Value>) {
    if let Some(message_id) = message_id {
        item["target"] = json!({"messageId": message_id});
    }
}

fn unsupported(item: &mut Value, reason: String) {
    set_kind(item, "unsupported", None);
    item["reason"] = json!(reason);
}

fn business(item: &mut Value, text: Option<Value>, content: Option<Value>) {
    set_kind(item, "business", text);
    insert(item, "business", content);
}

/// Describes a reply to buttons, a list, a flow or a request for permission. An outgoing interactive message has a body
/// and an action.
fn interactive(content: &Members<'_>, event: &Members<'_>, item: &mut Value) {
    let kind = content.text("type").unwrap_or_default();
    match content.object(&kind) {
        Some(reply) if matches!(kind.as_str(), "button_reply" | "list_reply") => {
            business(item, reply.value("title"), content.value(&kind));
        }
        Some(reply) if kind == "nfm_reply" => {
            let mut value = content.value(&kind).unwrap_or_default();
            // A string that contains JSON.
            let response = reply.text("response_json").and_then(|text| serde_json::from_str::<Value>(&text).ok());
            insert(&mut value, "response_json", response);
            business(item, None, Some(value));
        }
        _ => business(item, None, event.value("interactive")),
    }
}

/// Describes a line that WhatsApp itself writes into the chat.
fn system(content: &Members<'_>, event: &Members<'_>, item: &mut Value) {
    set_kind(item, "system", content.value("body").or_else(|| scalar(event, "system")));
    let number = content.text("wa_id").or_else(|| content.text("new_wa_id"));
    let user_id = content.text("user_id").or_else(|| content.text("new_user_id"));
    let mut change = json!({});
    match content.text("type").as_deref() {
        Some("user_changed_number") => {
            insert(&mut change, "action", Some("number_changed"));
            insert(&mut change, "oldValue", event.text("from"));
        }
        word => insert(&mut change, "action", word),
    }
    insert(&mut change, "newValue", number.or(user_id));
    item["event"] = change;
}

/// Describes an edit: the new text of a message.
fn edit(content: &Members<'_>, item: &mut Value) {
    let message = content.object("message").unwrap_or_default();
    let kind = message.text("type").unwrap_or_default();
    let inner = message.object(&kind).unwrap_or_default();
    set_kind(item, "edit", inner.value("body").or_else(|| inner.value("caption")));
    target(item, content.value("original_message_id"));
}

/// Adds notes for facts that the item contract has no member for.
fn add_context_notes(event: &Members<'_>, notes: &mut Vec<String>) {
    if let Some(status) = event.object("history_context").and_then(|context| context.text("status")) {
        notes.push(format!("From the history of the phone; its status there: {}", status.to_lowercase()));
    }
    if let Some(referral) = event.object("referral") {
        let about = ["source_type", "headline", "body", "source_url"];
        let about: Vec<_> = about.iter().filter_map(|name| referral.text(name)).collect();
        notes.push(format!("The chat began with an ad or a post: {}", about.join(", ")));
        for name in ["image_url", "video_url", "thumbnail_url"] {
            notes.extend(
                referral.text(name).map(|url| format!("A file of the ad or post, which was not fetched: {url}")),
            );
        }
    }
    let context = event.object("context").unwrap_or_default();
    if let Some(product) = context.object("referred_product") {
        let ids = ["catalog_id", "product_retailer_id"].iter().filter_map(|name| product.text(name));
        notes.push(format!("About a product of the catalog: {}", ids.collect::<Vec<_>>().join(", ")));
    }
}
