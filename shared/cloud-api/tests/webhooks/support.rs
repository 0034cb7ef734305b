//! Creates webhooks and reads their items. The numbers are from ranges that are reserved for fiction.

use cloud_api::{
    CapturedFile, Channel, Event, Origin, PayloadPath, StoredEvent, Variants, Webhook, entries, events, item,
};
use jiff::Timestamp;
use model::{Captured, Sha256};
use serde_json::{Value, json};

pub(crate) const OURS: &str = "12025550143";
pub(crate) const OUR_ID: &str = "700800900100200";
pub(crate) const CLIENT: &str = "447700900123";
/// The two numbers as an item has them.
pub(crate) const OUR_PHONE: Option<&str> = Some("+12025550143");
pub(crate) const CLIENT_PHONE: Option<&str> = Some("+447700900123");
pub(crate) const RECEIVED: &str = "2026-11-27T09:14:05Z";

/// Creates a webhook of one change.
pub(crate) fn webhook(field: &str, mut value: Value) -> Value {
    value["messaging_product"] = json!("whatsapp");
    value["metadata"] = json!({"display_phone_number": OURS, "phone_number_id": OUR_ID});
    json!({"object": "whatsapp_business_account",
           "entry": [{"id": "900100200300400", "changes": [{"field": field, "value": value}]}]})
}

/// Creates a webhook of one message from the client.
pub(crate) fn incoming(message: Value) -> Value {
    let mut whole = json!({"from": CLIENT, "from_user_id": "GB.10000000000000001", "id": "wamid.ONE",
                           "timestamp": "1795770843"});
    merge(&mut whole, message);
    let contacts = json!([{"profile": {"name": "Client"}, "wa_id": CLIENT, "user_id": "GB.10000000000000001"}]);
    webhook("messages", json!({"contacts": contacts, "messages": [whole]}))
}

pub(crate) fn merge(whole: &mut Value, with: Value) {
    let Value::Object(with) = with else { panic!("an object") };
    for (name, member) in with {
        whole[name] = member;
    }
}

pub(crate) fn parsed(webhook: &Value) -> Webhook {
    entries(webhook.to_string().as_bytes(), &PayloadPath::default()).expect("a webhook")
}

pub(crate) fn all(webhook: &Value) -> Vec<Event> {
    events(&parsed(webhook)).collect()
}

/// Returns the origin of a body whose events are written as soon as it is received.
pub(crate) fn origin(received: Timestamp) -> Origin {
    Origin { received, written: received, body: Sha256::of(b"body"), channel: Channel::Meta }
}

/// Returns an event as it is stored.
pub(crate) fn stored(event: &Event) -> StoredEvent {
    let object = StoredEvent::write(&event.json, &origin(RECEIVED.parse().expect("a time"))).expect("an event");
    StoredEvent::read(&object).expect("a copy")
}

/// Reads the copies of a webhook's only event, one from each webhook, as an item. `earlier`: the webhooks of the same
/// message without its content.
pub(crate) fn captured_from(webhooks: &[Value], earlier: &[Value]) -> Captured {
    let copies =
        |webhooks: &[Value]| Variants::new(webhooks.iter().flat_map(all).map(|event| stored(&event)).collect());
    let id = &all(&webhooks[0])[0].id;
    let item = item(id, &copies(webhooks).expect("a copy"), &[], copies(earlier).as_ref());
    Captured::parse(item.to_string().as_bytes(), id).unwrap_or_else(|error| panic!("{error}"))
}

/// Reads the only event of a webhook as an item, as convert does.
pub(crate) fn captured_with(webhook: &Value, files: &[CapturedFile]) -> Captured {
    let events = all(webhook);
    let [event] = &events[..] else { panic!("{} events", events.len()) };
    let variants = Variants::new(vec![stored(event)]).expect("a copy");
    let item = item(&event.id, &variants, files, None);
    Captured::parse(item.to_string().as_bytes(), &event.id).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn captured(webhook: &Value) -> Captured {
    captured_with(webhook, &[])
}
