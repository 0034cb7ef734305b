//! Webhooks that break their documentation.

use cloud_api::{Completeness, EventKind, MAX_BODY_BYTES, Malformed, PayloadPath, aws_entries, entries, events};
use model::Kind;
use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use crate::support::{OUR_ID, all, captured, incoming, webhook};

#[test]
fn wrong_types_are_kept_and_marked() {
    for message in [
        json!({"type": "text", "text": {"body": 7}}),
        json!({"type": "text", "text": "plain"}),
        json!({"type": "location", "location": "here"}),
        json!({"type": "location", "location": {"latitude": "51.5", "longitude": []}}),
        json!({"type": "reaction", "reaction": {"message_id": 7, "emoji": {}}}),
        json!({"type": "text", "text": {"body": "x"}, "context": {"id": 5, "forwarded": "yes"}}),
        json!({"type": "text", "text": {"body": "x"}, "timestamp": "soon"}),
        json!({"type": "text", "text": {"body": "x"}, "timestamp": null}),
        json!({"type": "image", "image": {"id": "7", "mime_type": [], "sha256": 1, "caption": {}}}),
        json!({"type": null}),
    ] {
        let captured = captured(&incoming(message.clone()));
        let is_marked = !captured.anomalies.is_empty() || captured.item.text.as_deref() == Some("plain");
        assert!(is_marked, "{message}");
        assert_eq!(captured.item.id.as_str(), "wamid.ONE");
    }
}

#[test]
fn numbers_are_read_in_place_of_strings() {
    let item = captured(&incoming(json!({"from": 447700900123_u64, "timestamp": 1795770843, "type": "text",
                                         "text": {"body": "x"}})));
    assert_eq!(item.anomalies, [""; 0]);
    assert_eq!(item.item.from.phone.as_deref(), Some("+447700900123"));
    assert_eq!(item.item.message_time.to_string(), "2026-11-27T09:14:03Z");
}

#[test]
fn entries_that_are_not_objects_become_items() {
    let webhook = webhook("messages", json!({"messages": ["loose", 7, ["x"], {"type": "text"}]}));
    let events = all(&webhook);
    assert_eq!(events.len(), 4);
    assert!(events.iter().all(|event| event.id.as_str().starts_with("sha256:")));
    let one = captured(&crate::support::webhook("messages", json!({"messages": "loose"})));
    assert_eq!(one.item.kind, Kind::Unsupported);
}

#[test]
fn digest_ids_do_not_depend_on_how_json_is_written() {
    let id = |message: &str| {
        let body =
            format!(r#"{{"entry":[{{"changes":[{{"field":"messages","value":{{"messages":[{message}]}}}}]}}]}}"#);
        let webhook = entries(body.as_bytes(), &PayloadPath::default()).unwrap();
        events(&webhook).next().unwrap().id
    };
    let one = id(r#"{"type":"text","text":{"body":"é"}}"#);
    assert_eq!(id(r#"{ "text": {"body": "é"}, "type": "text" }"#), one);
    assert_ne!(id(r#"{"type":"text","text":{"body":"e"}}"#), one);
}

#[test]
fn invalid_ids_are_replaced_by_their_digest() {
    for id in ["wamid.A#late".to_owned(), "x".repeat(300), "a\nb".to_owned()] {
        let event = all(&incoming(json!({ "id": id, "type": "text" }))).remove(0);
        assert!(event.id.as_str().starts_with("sha256:"), "{id}");
    }
}

fn kinds(webhook: &Value) -> Vec<EventKind> {
    all(webhook).into_iter().map(|event| event.kind).collect()
}

#[test]
fn unrecognized_value_that_may_have_messages_is_reported() {
    let threads =
        |threads: Value| webhook("history", json!({"history": [{"metadata": {"phase": 0}, "threads": threads}]}));
    for webhook in [
        json!({"entry": [7]}),
        json!({"entry": [{"id": "9"}]}),
        json!({"entry": [{"id": "9", "changes": [{"field": "messages"}]}]}),
        json!({"entry": [{"id": "9", "changes": [{"field": "messages", "value": []}]}]}),
        // Encrypted.
        json!({"entry": [{"id": "9", "changes": [{"field": "messages", "value": "eyJhbGciOiJSU0EtT0FFUCJ9.b.c.d.e"}]}]}),
        webhook("smb_message_echoes", json!({"encrypted_contents": "eyJhbGciOiJSU0EtT0FFUCJ9.b.c.d.e"})),
        webhook("history", json!({"history": [{"metadata": {"phase": 0}, "encrypted": "eyJh"}]})),
        webhook("messages", json!({"holograms": [{}]})),
        webhook("group_messages", json!({"holograms": [{}]})),
        webhook("calls", json!({"ringing": {}})),
        webhook("history", json!({"history": "eyJhbGciOiJSU0EtT0FFUCJ9.b.c.d.e"})),
        threads(json!("eyJhbGciOiJSU0EtT0FFUCJ9.b.c.d.e")),
        threads(json!(["loose"])),
        threads(json!([{"id": "447700900123", "lines": []}])),
    ] {
        assert_eq!(kinds(&webhook), [EventKind::Unreadable], "{webhook}");
    }
    // Beside messages that are read.
    let mut more = incoming(json!({"type": "text"}));
    more["entry"][0]["changes"][0]["value"]["holograms"] = json!([{}]);
    assert!(kinds(&more).contains(&EventKind::Unreadable) && kinds(&more).len() == 2);
}

#[test]
fn value_without_messages_is_not_reported() {
    for webhook in [
        webhook("template_performance", json!({"score": "GREEN"})),
        webhook("of_next_year", json!({"holograms": [{}]})),
        webhook("messages", json!({"messages": []})),
        webhook("messages", json!({"statuses": null})),
        webhook("history", json!({"history": [{"metadata": {"phase": 2, "progress": 100}, "threads": []}]})),
    ] {
        assert_eq!(kinds(&webhook), [EventKind::Unknown], "{webhook}");
    }
    // A new description of messages that are read.
    let mut more = incoming(json!({"type": "text"}));
    more["entry"][0]["changes"][0]["value"]["pricing_of_next_year"] = json!({"model": "x"});
    assert!(!kinds(&more).contains(&EventKind::Unreadable));
}

#[test]
fn lone_surrogate_and_deep_nesting_do_not_lose_the_message() {
    let body = incoming(json!({"type": "text", "text": {"body": "BODY"}, "deep": 0})).to_string();
    let deep = format!("\"deep\":{}{}", "[".repeat(5_000), "]".repeat(5_000));
    for broken in [body.replace("BODY", "x\\ud83d"), body.replace("\"deep\":0", &deep), format!("\u{feff}{body}")] {
        let webhook = entries(broken.as_bytes(), &PayloadPath::default()).unwrap();
        let event = events(&webhook).next().unwrap();
        assert_eq!((event.id.as_str(), &event.kind), ("wamid.ONE", &EventKind::Item(Completeness::Complete)));
        assert!(!webhook.repairs.is_empty());
    }
}

#[test]
fn bodies_that_are_not_webhooks_are_rejected() {
    let path: PayloadPath = "eventDetails.rawEvent".parse().unwrap();
    let rejected = |body: &str, path: &PayloadPath| entries(body.as_bytes(), path).map(drop).unwrap_err();
    assert_eq!(rejected("", &PayloadPath::default()), Malformed::Json);
    assert_eq!(rejected("{", &PayloadPath::default()), Malformed::Json);
    assert_eq!(rejected("[]", &PayloadPath::default()), Malformed::Entries);
    assert_eq!(rejected("{}", &PayloadPath::default()), Malformed::Entries);
    assert_eq!(rejected(r#"{"eventDetails":{}}"#, &path), Malformed::Path);
    assert_eq!("a..b".parse::<PayloadPath>(), Err(Malformed::PathForm));
    for body in ["{}", "[]", r#"{"Message":"{}"}"#, r#"{"Message":7}"#, r#"{"whatsAppWebhookEntry":"x"}"#] {
        assert_eq!(aws_entries(body.as_bytes()).map(drop).unwrap_err(), Malformed::AwsEntry, "{body}");
    }
}

fn ids(webhook: &cloud_api::Webhook) -> Vec<(String, Vec<u8>)> {
    events(webhook).map(|event| (event.id.to_string(), event.json)).collect()
}

#[test]
fn all_envelopes_give_the_same_events() {
    let body = incoming(json!({"type": "text", "text": {"body": "h\u{e9} \"x\""}}));
    let plain = ids(&entries(body.to_string().as_bytes(), &PayloadPath::default()).unwrap());
    let path: PayloadPath = "eventDetails.rawEvent".parse().unwrap();
    for wrapped in
        [json!({"eventDetails": {"rawEvent": body}}), json!({"eventDetails": {"rawEvent": body.to_string()}})]
    {
        assert_eq!(ids(&entries(wrapped.to_string().as_bytes(), &path).unwrap()), plain);
    }
    let event = json!({"context": {"MetaPhoneNumberIds": [{"metaPhoneNumberId": OUR_ID,
                         "arn": "arn:aws:social-messaging:eu-west-1:111122223333:phone-number-id/0bb2"}]},
                       "whatsAppWebhookEntry": body["entry"][0].to_string(), "aws_account_id": "111122223333"});
    for sqs in [event.clone(), json!({"Type": "Notification", "Message": event.to_string()})] {
        let webhook = aws_entries(sqs.to_string().as_bytes()).unwrap();
        assert_eq!(ids(&webhook), plain);
    }
}

#[test]
fn aws_id_of_our_number_goes_with_the_file() {
    let body = incoming(json!({"type": "image", "image": {"id": "7", "mime_type": "image/jpeg"}}));
    let numbers = json!([{"metaPhoneNumberId": "1", "arn": "x:phone-number-id/aa"},
                         {"metaPhoneNumberId": OUR_ID, "arn": "x:phone-number-id/bb"}]);
    let event =
        json!({"context": {"MetaPhoneNumberIds": numbers}, "whatsAppWebhookEntry": body["entry"][0].to_string()});
    let webhook = aws_entries(event.to_string().as_bytes()).unwrap();
    let media = events(&webhook).flat_map(|event| event.media).next().unwrap();
    assert_eq!(media.aws_phone_number_id.as_deref(), Some("phone-number-id-bb"));
}

#[test]
fn long_metadata_and_contacts_are_not_multiplied() {
    let long = "x".repeat(500_000);
    let contacts: Vec<_> =
        (0..1_000).map(|_| json!({"wa_id": "447700900123", "profile": {"name": "Client"}})).collect();
    let messages: Vec<_> =
        (0..1_000).map(|n| json!({"from": "447700900123", "id": n.to_string(), "type": "text"})).collect();
    let mut body = webhook(&long, json!({"contacts": contacts, "messages": messages}));
    body["entry"][0]["id"] = json!(long);
    body["entry"][0]["changes"][0]["value"]["metadata"]["more"] = json!(long);
    let events = all(&body);
    let bytes: usize = events.iter().map(|event| event.json.len()).sum();
    assert!(events.len() == 1_000 && bytes < 1_500_000, "{bytes} bytes");
    let item = captured(&{
        body["entry"][0]["changes"][0]["value"]["messages"] = json!([{"from": "447700900123", "type": "text"}]);
        body
    });
    assert_eq!(item.item.to[0].phone.as_deref(), crate::support::OUR_PHONE);
    assert_eq!(item.item.from.name.as_deref(), Some("Client"));
}

#[test]
fn history_of_thousands_is_read_one_by_one() {
    let message = |n: usize| {
        json!({"from": "447700900123", "id": format!("wamid.{n}"), "timestamp": "1795000000",
                                    "type": "text", "text": {"body": "old"}})
    };
    let messages: Vec<Value> = (0..15_000).map(message).collect();
    let body = webhook("history", json!({"history": [{"threads": [{"id": "447700900123", "messages": messages}]}]}));
    let body = body.to_string();
    assert!(body.len() < MAX_BODY_BYTES, "{}", body.len());
    let webhook = entries(body.as_bytes(), &PayloadPath::default()).unwrap();
    assert_eq!(events(&webhook).map(|event| event.json.len()).filter(|length| *length < 1_000).count(), 15_000);
}
