//! The WhatsApp Business app beside the API: echoes, the history and the address book.

use cloud_api::{AccountEvent, Completeness, EventKind};
use model::{Direction, Kind};
use pretty_assertions::assert_eq;
use serde_json::json;

use crate::support::{CLIENT, OURS, all, captured, merge, webhook};

#[test]
fn echo_is_outgoing_from_our_number() {
    for field in ["smb_message_echoes", "message_echoes"] {
        let echo = json!({"from": OURS, "to": CLIENT, "id": "wamid.E", "timestamp": "1795770843",
                          "type": "text", "text": {"body": "sent"}});
        let contacts = json!([{"profile": {"name": "Client"}, "wa_id": CLIENT}]);
        let item = captured(&webhook(field, json!({"contacts": contacts, "message_echoes": [echo]}))).item;
        assert_eq!(item.direction, Some(Direction::Outgoing));
        assert_eq!(item.from.phone.as_deref(), Some(OURS));
        assert_eq!(item.to.iter().map(|to| to.phone.as_deref()).collect::<Vec<_>>(), [Some(CLIENT)]);
        assert_eq!(item.to[0].name.as_deref(), Some("Client"));
        assert_eq!(item.chat.id, "12025550143/447700900123");
        assert_eq!(item.text.as_deref(), Some("sent"));
    }
}

#[test]
fn history_has_both_directions_and_its_placeholders_wait() {
    let message = |id: &str, with| {
        let mut message = json!({"id": id, "timestamp": "1795000000", "type": "text", "text": {"body": "old"},
                                 "history_context": {"status": "READ"}});
        merge(&mut message, with);
        message
    };
    let messages = json!([
        message("wamid.H1", json!({"from": CLIENT})),
        message("wamid.H2", json!({"from": OURS, "to": CLIENT})),
        message("wamid.H3", json!({"from": CLIENT, "type": "media_placeholder"})),
        message("wamid.H4", json!({})),
    ]);
    let part = json!({"metadata": {"phase": 0, "chunk_order": 1, "progress": 30},
                      "threads": [{"id": CLIENT, "messages": messages}]});
    let webhook = webhook("history", json!({ "history": [part] }));
    let events = all(&webhook);
    let ids: Vec<_> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, ["wamid.H1", "wamid.H2", "wamid.H3", "wamid.H4"]);
    assert_eq!(events[2].kind, EventKind::Item(Completeness::Placeholder));
    let item = |at: usize| {
        let variants = cloud_api::Variants::new(vec![crate::support::stored(&events[at])]).unwrap();
        let item = cloud_api::item(&events[at].id, &variants, None).to_string();
        model::Captured::parse(item.as_bytes(), &events[at].id).unwrap_or_else(|error| panic!("{error}")).item
    };
    assert_eq!(item(0).direction, Some(Direction::Incoming));
    assert_eq!(item(1).direction, Some(Direction::Outgoing));
    assert_eq!(item(1).to[0].phone.as_deref(), Some(CLIENT));
    assert_eq!(item(2).kind, Kind::Unsupported);
    // A message without a sender has the thread's id as the other party.
    assert_eq!(item(3).from.phone.as_deref(), Some(CLIENT));
    assert!((0..4).all(|at| item(at).chat.id == "12025550143/447700900123"));
    assert!(item(0).webhook.unwrap().notes.iter().any(|note| note.contains("status there: read")));
}

#[test]
fn second_webhook_of_a_history_has_the_file_under_the_same_id() {
    let message = json!({"from": CLIENT, "id": "wamid.H3", "timestamp": "1795000000", "type": "image",
                         "image": {"id": "777", "mime_type": "image/jpeg", "sha256": "a".repeat(64)}});
    let events = all(&webhook("history", json!({"messages": [message]})));
    let [event] = &events[..] else { panic!("one") };
    assert_eq!((event.id.as_str(), &event.kind), ("wamid.H3", &EventKind::Item(Completeness::Complete)));
    assert_eq!(event.media.len(), 1);
}

#[test]
fn declined_history_and_lost_accounts_are_account_events() {
    let declined = json!({"errors": [{"code": 2593109, "title": "History sync is turned off"}]});
    let kinds = |webhook| all(&webhook).into_iter().map(|event| event.kind).collect::<Vec<_>>();
    assert_eq!(
        kinds(webhook("history", json!({ "history": [declined] }))),
        [EventKind::Account(AccountEvent::HistoryError)]
    );
    for (word, event, stops) in [
        ("PARTNER_REMOVED", AccountEvent::PartnerRemoved, true),
        ("ACCOUNT_OFFBOARDED", AccountEvent::Offboarded, true),
        ("ACCOUNT_RECONNECTED", AccountEvent::Reconnected, false),
        ("VERIFIED_ACCOUNT", AccountEvent::Other, false),
    ] {
        let value = json!({"phone_number": OURS, "event": word, "disconnection_info": {"reason": "x"}});
        assert_eq!(kinds(webhook("account_update", value)), [EventKind::Account(event)]);
        assert_eq!(event.stops_capture(), stops);
    }
    let errors = json!([{"code": 130429, "title": "Rate limit hit"}]);
    assert_eq!(kinds(webhook("messages", json!({ "errors": errors }))), [EventKind::Account(AccountEvent::Errors)]);
}

#[test]
fn address_book_entry_does_not_become_an_item() {
    let entry = json!({"type": "contact", "action": "add", "contact": {"full_name": "Client", "phone_number": CLIENT}});
    let events = all(&webhook("smb_app_state_sync", json!({ "state_sync": [entry] })));
    assert!(events.iter().all(|event| event.kind == EventKind::Contact) && events.len() == 1);
}
