//! The WhatsApp Business app beside the API: echoes, the history and the address book.

use cloud_api::{AccountEvent, Completeness, EventKind};
use model::{Direction, Kind};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use crate::support::{CLIENT, CLIENT_PHONE, OUR_PHONE, OURS, all, captured, captured_from, merge, webhook};

#[test]
fn echo_is_outgoing_from_our_number() {
    for field in ["smb_message_echoes", "message_echoes"] {
        let echo = json!({"from": OURS, "to": CLIENT, "id": "wamid.E", "timestamp": "1795770843",
                          "type": "text", "text": {"body": "sent"}});
        let contacts = json!([{"profile": {"name": "Client"}, "wa_id": CLIENT}]);
        let item = captured(&webhook(field, json!({"contacts": contacts, "message_echoes": [echo]}))).item;
        assert_eq!(item.direction, Some(Direction::Outgoing));
        assert_eq!(item.from.phone.as_deref(), OUR_PHONE);
        assert_eq!(item.to.iter().map(|to| to.phone.as_deref()).collect::<Vec<_>>(), [CLIENT_PHONE]);
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
        let item = cloud_api::item(&events[at].id, &variants, &[], None).to_string();
        model::Captured::parse(item.as_bytes(), &events[at].id).unwrap_or_else(|error| panic!("{error}")).item
    };
    assert_eq!(item(0).direction, Some(Direction::Incoming));
    assert_eq!(item(1).direction, Some(Direction::Outgoing));
    assert_eq!(item(1).to[0].phone.as_deref(), CLIENT_PHONE);
    assert_eq!(item(2).kind, Kind::Unsupported);
    // A message without a sender has the thread's id as the other party.
    assert_eq!(item(3).from.phone.as_deref(), CLIENT_PHONE);
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

/// Creates a history webhook of one message, in a thread or outside of one.
fn history(ours: &str, thread: Option<&str>, message: &Value) -> Value {
    let mut whole = json!({"id": "wamid.H", "timestamp": "1795000000", "type": "text", "text": {"body": "old"}});
    merge(&mut whole, message.clone());
    let value = match thread {
        Some(thread) => json!({"history": [{"threads": [{"id": thread, "messages": [whole]}]}]}),
        None => json!({"messages": [whole]}),
    };
    let mut webhook = webhook("history", value);
    webhook["entry"][0]["changes"][0]["value"]["metadata"]["display_phone_number"] = json!(ours);
    webhook
}

#[test]
fn direction_of_history_does_not_depend_on_the_form_of_numbers() {
    let phone = |person: &model::Participant| person.phone.as_deref().unwrap().trim_start_matches('+').to_owned();
    let person = |item: &model::Item| (phone(&item.from), phone(&item.to[0]));
    // Brazil's ninth digit, Mexico's 1 and Argentina's 9: WhatsApp keeps the form in which an account was registered.
    for (ours, in_messages) in
        [("5531999345678", "553199345678"), ("525512345678", "5215512345678"), ("541123456789", "5491123456789")]
    {
        for thread in [Some(CLIENT), None] {
            let item = captured(&history(ours, thread, &json!({"from": in_messages, "to": CLIENT}))).item;
            assert_eq!(item.direction, Some(Direction::Outgoing), "{ours} {thread:?}");
            assert_eq!(person(&item), (ours.to_owned(), CLIENT.to_owned()));
        }
        let received = captured(&history(ours, Some(CLIENT), &json!({"from": CLIENT}))).item;
        assert_eq!(received.direction, Some(Direction::Incoming));
        assert_eq!(person(&received), (CLIENT.to_owned(), ours.to_owned()));
    }
    // A sender who is not the thread's person, whatever our number is.
    let sent = captured(&history("553112345678", Some(CLIENT), &json!({"from": "5531912345678"}))).item;
    assert_eq!((sent.direction, sent.to[0].phone.as_deref()), (Some(Direction::Outgoing), CLIENT_PHONE));
    // The thread names the person in the other form.
    let received = captured(&history(OURS, Some("5531999345678"), &json!({"from": "553199345678"}))).item;
    assert_eq!(received.direction, Some(Direction::Incoming));
    let to_us = captured(&history(OURS, Some("447700900199"), &json!({"from": CLIENT, "to": OURS}))).item;
    assert_eq!(to_us.direction, Some(Direction::Incoming), "the person has changed the number");
}

#[test]
fn mark_of_the_history_decides_the_direction() {
    for (from, from_me, expected) in [
        (CLIENT, json!(true), Direction::Outgoing),
        (CLIENT, json!("true"), Direction::Outgoing),
        (OURS, json!(false), Direction::Incoming),
    ] {
        let message = json!({"from": from, "history_context": {"from_me": from_me}});
        assert_eq!(captured(&history(OURS, Some(CLIENT), &message)).item.direction, Some(expected));
    }
    let item = captured(&history(OURS, Some(CLIENT), &json!({"from": "1", "history_context": {"from_me": true}}))).item;
    assert_eq!((item.from.phone.as_deref(), item.to[0].phone.as_deref()), (OUR_PHONE, CLIENT_PHONE));
}

#[test]
fn any_copy_of_a_message_names_the_other_party() {
    let placeholder = history(OURS, Some(CLIENT), &json!({"from": OURS, "type": "media_placeholder"}));
    let image = json!({"from": OURS, "type": "image", "image": {"id": "7", "mime_type": "image/jpeg"}});
    let file = history(OURS, None, &image);
    let copies = [file.clone(), placeholder.clone()];
    // As one item, and as a second item after the placeholder was filed.
    for item in [captured_from(&copies, &[]).item, captured_from(&[file], &[placeholder]).item] {
        assert_eq!((&item.kind, item.direction), (&Kind::Image, Some(Direction::Outgoing)));
        assert_eq!(item.to.iter().map(|to| to.phone.as_deref()).collect::<Vec<_>>(), [CLIENT_PHONE]);
        assert_eq!(item.chat.id, "12025550143/447700900123");
    }
    let late = cloud_api::late_id(&"wamid.H".parse().unwrap());
    assert_eq!(cloud_api::original_id(&late), "wamid.H".parse().ok());
    assert_eq!(cloud_api::original_id(&"wamid.H".parse().unwrap()), None);
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
