//! Messages of every type.

use cloud_api::{EVIDENCE_ID, EventKind};
use model::{ChatType, Direction, Kind};
use pretty_assertions::assert_eq;
use serde_json::json;

use crate::support::{CLIENT, CLIENT_PHONE, OUR_PHONE, OURS, all, captured, incoming};

#[test]
fn text_becomes_an_item_between_client_and_our_number() {
    let webhook = incoming(json!({"type": "text", "text": {"body": "hello"}}));
    let captured = captured(&webhook);
    let item = &captured.item;
    assert_eq!(captured.anomalies, [""; 0]);
    assert_eq!((item.id.as_str(), item.message_id.as_deref()), ("wamid.ONE", Some("wamid.ONE")));
    assert_eq!((&item.kind, item.text.as_deref()), (&Kind::Text, Some("hello")));
    assert_eq!(item.message_time.to_string(), "2026-11-27T09:14:03Z");
    assert_eq!(item.archived_time.to_string(), "2026-11-27T09:14:05Z");
    assert_eq!(item.direction, Some(Direction::Incoming));
    assert_eq!((item.from.phone.as_deref(), item.from.name.as_deref()), (CLIENT_PHONE, Some("Client")));
    assert_eq!(item.from.whatsapp_id.as_deref(), Some("GB.10000000000000001"));
    assert_eq!(item.to.iter().map(|to| to.phone.as_deref()).collect::<Vec<_>>(), [OUR_PHONE]);
    assert_eq!((item.chat.id.as_str(), &item.chat.chat_type), ("12025550143/447700900123", &ChatType::Individual));
}

#[test]
fn evidence_is_the_event_byte_for_byte() {
    // Spaces, escapes, the order of members and a duplicate member are kept.
    let message = r#"{ "id":"wamid.ONE","zNew" : [1.50,"\u00e9"], "from": "447700900123", "type":"text","text":{"body":"h\u00e9"},"zNew":2 }"#;
    let body = format!(
        r#"{{"entry":[{{"id":"9","changes":[{{"value":{{"metadata":{{"display_phone_number":"{OURS}"}},"messages":[ {message} ]}},"field":"messages"}}]}}]}}"#
    );
    let webhook = cloud_api::entries(body.as_bytes(), &Default::default()).unwrap();
    let event = cloud_api::events(&webhook).next().unwrap();
    let stored = crate::support::stored(&event);
    assert_eq!(String::from_utf8_lossy(stored.evidence()), message);
    let variants = cloud_api::Variants::new(vec![stored]).unwrap();
    let item = cloud_api::item(&event.id, &variants, &[], None);
    let captured = model::Captured::parse(item.to_string().as_bytes(), &event.id).unwrap_or_else(|e| panic!("{e}"));
    let evidence = captured.item.evidence().unwrap();
    assert_eq!((evidence.id.as_str(), evidence.sha256), (EVIDENCE_ID, Some(model::Sha256::of(message.as_bytes()))));
    assert_eq!(captured.item.files().len(), 0);
    assert!(captured.anomalies.iter().any(|anomaly| anomaly.contains("messageTime")), "{:?}", captured.anomalies);
}

#[test]
fn status_does_not_become_an_item() {
    let statuses =
        json!([{"id": "wamid.OUT", "status": "delivered", "timestamp": "1795770843", "recipient_id": CLIENT}]);
    let events = all(&crate::support::webhook("messages", json!({ "statuses": statuses })));
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].id.as_str(), "wamid.OUT");
    assert_eq!(events[0].kind, EventKind::Status(cloud_api::StatusWord::Delivered));
}
