//! Items do not depend on the order in which webhooks arrive.

use std::collections::{BTreeMap, BTreeSet};

use cloud_api::{Completeness, EventKind, Origin, StoredEvent, Variants, aws_entries, events, item, late_id};
use jiff::{SignedDuration, Timestamp};
use model::ItemId;
use pretty_assertions::assert_eq;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{CLIENT, OURS, RECEIVED, incoming, origin, parsed, webhook};

/// Returns the webhooks of a day through both channels, with an edit, placeholders, files and events that do not become
/// items.
fn day() -> Vec<cloud_api::Webhook> {
    let live = incoming(json!({"id": "wamid.A", "type": "text", "text": {"body": "one"}}));
    let aws = json!({"whatsAppWebhookEntry": live["entry"][0].to_string()}).to_string();
    let old = |id: &str, kind: &str| {
        json!({"from": CLIENT, "id": id, "timestamp": "1795000000", "type": kind,
                                            "text": {"body": "one"}, "image": {"id": "7", "mime_type": "image/jpeg"}})
    };
    let thread = json!({"id": CLIENT, "messages": [old("wamid.A", "text"), old("wamid.P", "media_placeholder")]});
    let edit = json!({"original_message_id": "wamid.A", "message": {"type": "text", "text": {"body": "two"}}});
    let echo = json!({"from": OURS, "to": CLIENT, "id": "wamid.E", "timestamp": "1795770843", "type": "text",
                      "text": {"body": "sent"}});
    let group = json!({"timestamp": "1795770843", "group_id": "Zw==", "type": "group_create", "subject": "Deal"});
    let mut all: Vec<_> = [
        live,
        incoming(json!({"id": "wamid.B", "type": "edit", "edit": edit})),
        incoming(json!({"id": "wamid.R", "type": "reaction", "reaction": {"message_id": "wamid.A"}})),
        webhook("history", json!({ "history": [{"threads": [thread]}] })),
        webhook("history", json!({"messages": [old("wamid.P", "image")]})),
        webhook("smb_message_echoes", json!({ "message_echoes": [echo] })),
        webhook("group_lifecycle_update", json!({ "groups": [group] })),
        webhook("messages", json!({"statuses": [{"id": "wamid.A", "status": "read"}]})),
    ]
    .iter()
    .map(parsed)
    .collect();
    all.push(aws_entries(aws.as_bytes()).expect("AWS's event"));
    all
}

/// Returns the items after the webhooks arrived in this order. Equal bytes are stored once, as in the bucket.
fn items(day: &[cloud_api::Webhook], order: &[usize]) -> BTreeMap<ItemId, Value> {
    let mut copies: BTreeMap<ItemId, BTreeMap<Vec<u8>, StoredEvent>> = BTreeMap::new();
    for place in order {
        for event in events(&day[*place]) {
            let EventKind::Item(_) = event.kind else { continue };
            let object = StoredEvent::write(&event.json, &origin(RECEIVED.parse().expect("a time")));
            let copy = StoredEvent::read(&object.expect("an event")).expect("a copy");
            copies.entry(event.id).or_default().insert(event.json, copy);
        }
    }
    let of = |(id, copies): (ItemId, BTreeMap<_, _>)| {
        let variants = Variants::new(copies.into_values().collect()).expect("a copy");
        let item = item(&id, &variants, &[], None);
        (id, item)
    };
    copies.into_iter().map(of).collect()
}

proptest! {
    #[test]
    fn any_order_and_any_duplicates_give_the_same_items(
        order in Just((0..9).collect::<Vec<usize>>()).prop_shuffle(),
        again in proptest::collection::vec(0..9_usize, 0..20),
    ) {
        let day = day();
        let expected = items(&day, &(0..9).collect::<Vec<_>>());
        prop_assert_eq!(expected.len(), 6);
        let order: Vec<_> = order.into_iter().chain(again).collect();
        prop_assert_eq!(items(&day, &order), expected);
    }
}

fn copy(message: Value, received: Timestamp) -> StoredEvent {
    let event = crate::support::all(&incoming(message)).remove(0);
    let object = StoredEvent::write(&event.json, &origin(received)).expect("an event");
    StoredEvent::read(&object).expect("a copy")
}

/// The members of a stored event are a contract: an earlier or a later version of the program reads them.
#[test]
fn stored_event_has_the_members_of_version_1() {
    let event = crate::support::all(&incoming(json!({"type": "text", "text": {"body": "x"}}))).remove(0);
    let object = StoredEvent::write(&event.json, &origin(RECEIVED.parse().unwrap())).expect("an event");
    let object: Value = serde_json::from_slice(&object).unwrap();
    let members: BTreeSet<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(Vec::from_iter(members), ["body", "door", "event", "received", "v", "written"]);
    assert_eq!(object["door"], json!("meta"));
}

/// The events of a body may be written hours later, after an outage or a replay.
#[test]
fn item_has_the_time_of_the_body_and_waits_from_the_writing() {
    let received: Timestamp = RECEIVED.parse().unwrap();
    let written = received + SignedDuration::from_hours(72);
    let event = crate::support::all(&incoming(json!({"type": "media_placeholder"}))).remove(0);
    let object = StoredEvent::write(&event.json, &Origin { written, ..origin(received) }).expect("an event");
    let variants = Variants::new(vec![StoredEvent::read(&object).expect("a copy")]).unwrap();
    assert!(variants.is_waiting(written + SignedDuration::from_hours(1)));
    let item = item(&event.id, &variants, &[], None);
    assert_eq!((&item["archivedTime"], &item["webhook"]["received"]), (&json!(received), &json!(received)));
}

#[test]
fn best_copy_has_the_content_and_the_item_the_first_time() {
    let at: Timestamp = RECEIVED.parse().unwrap();
    let placeholder = || copy(json!({"type": "media_placeholder"}), at);
    let unsupported = || copy(json!({"type": "unsupported"}), at);
    let text = || copy(json!({"type": "text", "text": {"body": "x"}}), at + SignedDuration::from_hours(1));
    let variants = Variants::new(vec![placeholder(), text(), unsupported()]).unwrap();
    assert_eq!((variants.completeness(), variants.received()), (Completeness::Complete, at));
    assert!(!variants.is_waiting(at));
    let early = copy(json!({"type": "text", "text": {"body": "x"}}), at - SignedDuration::from_hours(1));
    assert_eq!(
        Variants::new(vec![unsupported(), early, placeholder()]).unwrap().completeness(),
        Completeness::Complete
    );
    let waiting = Variants::new(vec![placeholder()]).unwrap();
    assert!(waiting.is_waiting(at + SignedDuration::from_hours(23)));
    assert!(!waiting.is_waiting(at + SignedDuration::from_hours(25)));
    assert!(Variants::new(vec![unsupported(), placeholder()]).unwrap().is_waiting(at));
    assert!(!Variants::new(vec![unsupported()]).unwrap().is_waiting(at));
    assert!(Variants::new(Vec::new()).is_none());
}

#[test]
fn late_content_has_an_id_of_its_own_and_says_so() {
    let id: ItemId = "wamid.ONE".parse().unwrap();
    let variants = Variants::new(vec![copy(json!({"type": "text"}), RECEIVED.parse().unwrap())]).unwrap();
    let late = item(&late_id(&id), &variants, &[], None);
    assert_eq!(late["id"], "wamid.ONE#late");
    assert_eq!(late["messageId"], "wamid.ONE");
    assert!(late["webhook"]["notes"].to_string().contains("came later"));
    let long: ItemId = "x".repeat(256).parse().unwrap();
    assert!(late_id(&long).as_str().starts_with("sha256:"));
}
