//! A message between two business numbers, which both report it.

use cloud_api::{CapturedFile, Completeness, Event, EventKind, Variants, item, late_id};
use model::{Captured, Direction, Item, ItemId, Sha256};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use crate::support::{all, merge, stored};

const ADA: &str = "46701740605";
const KARIM: &str = "447700900104";
/// WhatsApp's ids of Karim's message: in his webhook, and in Ada's.
const SENT: &str = "wamid.HBgLNDY3MDE3NDA2MDUVAgARGBQzRUIwMDAwMDAwMDAwMDAwMDA0MQA=";
const RECEIVED: &str = "wamid.HBgMNDQ3NzAwOTAwMTA0FQIAEhgUM0VCMDAwMDAwMDAwMDAwMDAwNDEA";
const KEY: &str = "wa:447700900104:46701740605:3EB00000000000000041";

fn webhook(ours: &str, value: Value) -> Value {
    let field = if value.get("message_echoes").is_some() { "smb_message_echoes" } else { "messages" };
    let mut webhook = crate::support::webhook(field, value);
    webhook["entry"][0]["changes"][0]["value"]["metadata"] =
        json!({"display_phone_number": format!("+{ours}"), "phone_number_id": format!("7{ours}")});
    webhook
}

fn message(members: Value, content: &Value) -> Value {
    let mut message = json!({"timestamp": "1795770843"});
    merge(&mut message, members);
    merge(&mut message, content.clone());
    message
}

/// Karim's webhook of his message.
fn echo(content: &Value) -> Value {
    let contacts = json!([{"profile": {"name": "Ada"}, "wa_id": ADA, "user_id": "SE.1"}]);
    let echo = message(json!({"from": KARIM, "to": ADA, "to_user_id": "SE.1", "id": SENT}), content);
    webhook(KARIM, json!({"contacts": contacts, "message_echoes": [echo]}))
}

/// Ada's webhook of Karim's message.
fn receipt(content: &Value) -> Value {
    let contacts = json!([{"profile": {"name": "Karim"}, "wa_id": KARIM, "user_id": "GB.1"}]);
    let message = message(json!({"from": KARIM, "from_user_id": "GB.1", "id": RECEIVED}), content);
    webhook(ADA, json!({"contacts": contacts, "messages": [message]}))
}

fn text() -> Value {
    json!({"type": "text", "text": {"body": "hello"}})
}

fn event(webhook: &Value) -> Event {
    all(webhook).remove(0)
}

fn read(webhooks: &[Value], files: &[CapturedFile]) -> Item {
    let events: Vec<_> = webhooks.iter().map(event).collect();
    assert!(events.iter().all(|event| event.id == events[0].id), "the copies have one id");
    let id: &ItemId = &events[0].id;
    let item = item(id, &Variants::new(events.iter().map(stored).collect()).expect("a copy"), files, None);
    Captured::parse(item.to_string().as_bytes(), id).unwrap_or_else(|error| panic!("{error}")).item
}

fn numbers(item: &Item) -> Vec<String> {
    let digits = |phone: &str| phone.trim_start_matches('+').to_owned();
    item.participants().map(|person| digits(person.phone.as_deref().unwrap_or_default())).collect()
}

#[test]
fn message_between_two_numbers_is_one_item() {
    let (sent, received) = (echo(&text()), receipt(&text()));
    assert_eq!(event(&sent).id.as_str(), KEY);
    let item = read(&[sent.clone(), received.clone()], &[]);
    assert_eq!(numbers(&item), [KARIM, ADA], "each of both once");
    assert_eq!(item.direction, Some(Direction::Outgoing));
    assert_eq!(item.chat.id, "447700900104/46701740605");
    assert_eq!(item.text.as_deref(), Some("hello"));
    assert_eq!(item.message_id.as_deref(), Some(RECEIVED), "the id of the best copy");
    assert_eq!((item.from.name.as_deref(), item.from.whatsapp_id.as_deref()), (Some("Karim"), Some("GB.1")));
    assert_eq!((item.to[0].name.as_deref(), item.to[0].whatsapp_id.as_deref()), (Some("Ada"), Some("SE.1")));
    assert!(read(&[received.clone(), sent.clone()], &[]) == item, "the order of receipt does not matter");
    // Each webhook alone names both numbers, in the same chat.
    let alone = [(sent, Direction::Outgoing), (received, Direction::Incoming)].map(|(webhook, direction)| {
        let alone = read(&[webhook], &[]);
        assert_eq!(numbers(&alone), [KARIM, ADA]);
        assert_eq!((&alone.chat.id, alone.direction.as_ref()), (&item.chat.id, Some(&direction)));
        alone.webhook.unwrap().message_key
    });
    assert_eq!(alone, [Some(KEY.to_owned()), Some(KEY.to_owned())]);
}

#[test]
fn references_name_the_message_from_both_sides() {
    for (sent, received) in [
        (
            json!({"type": "revoke", "revoke": {"original_message_id": SENT}}),
            json!({"type": "revoke", "revoke": {"original_message_id": RECEIVED}}),
        ),
        (
            json!({"type": "edit", "edit": {"original_message_id": SENT}}),
            json!({"type": "edit", "edit": {"original_message_id": RECEIVED}}),
        ),
        (
            json!({"type": "reaction", "reaction": {"message_id": SENT, "emoji": "x"}}),
            json!({"type": "reaction", "reaction": {"message_id": RECEIVED, "emoji": "x"}}),
        ),
    ] {
        let keys = [echo(&sent), receipt(&received)].map(|webhook| read(&[webhook], &[]).webhook.unwrap().target_key);
        assert_eq!(keys, [Some(KEY.to_owned()), Some(KEY.to_owned())], "{sent}");
    }
    let reply = |id: &str| json!({"type": "text", "text": {"body": "x"}, "context": {"from": KARIM, "id": id}});
    let keys = [echo(&reply(SENT)), receipt(&reply(RECEIVED))]
        .map(|webhook| read(&[webhook], &[]).webhook.unwrap().quoted_key);
    assert_eq!(keys, [Some(KEY.to_owned()), Some(KEY.to_owned())]);
}

#[test]
fn status_of_a_message_has_the_items_id() {
    let status = webhook(KARIM, json!({"statuses": [{"id": SENT, "status": "sent", "recipient_id": ADA}]}));
    assert_eq!(event(&status).id, event(&receipt(&text())).id);
}

#[test]
fn history_has_the_id_of_the_message() {
    let message = message(json!({"from": KARIM, "id": RECEIVED}), &text());
    let thread = json!({"id": KARIM, "messages": [message]});
    let history = webhook(ADA, json!({"history": [{"threads": [thread]}]}));
    assert_eq!(event(&history).id.as_str(), KEY);
}

#[test]
fn file_of_both_webhooks_is_shown_once() {
    let file =
        |id: &str| json!({"type": "image", "image": {"id": id, "mime_type": "image/png", "sha256": "a".repeat(64)}});
    let (sent, received) = (echo(&file("11")), receipt(&file("22")));
    let stored_file = CapturedFile::Stored { bytes: 3, sha256: Sha256::of(b"abc"), other: None };
    let item = read(&[sent.clone(), received.clone()], &[stored_file]);
    assert_eq!(item.files().len(), 1);
    let variants = Variants::new([sent, received].iter().map(|webhook| stored(&event(webhook))).collect()).unwrap();
    let media = variants.media();
    let of: Vec<_> = media[0].iter().map(|file| (file.id.as_str(), file.phone_number_id.as_deref())).collect();
    assert_eq!((media.len(), of), (1, vec![("22", Some("746701740605")), ("11", Some("7447700900104"))]));
}

#[test]
fn content_of_either_side_completes_the_message() {
    let unsupported = receipt(&json!({"type": "unsupported", "errors": [{"code": 131060}]}));
    let item = read(&[unsupported.clone(), echo(&text())], &[]);
    assert_eq!(item.text.as_deref(), Some("hello"));
    assert_eq!(event(&unsupported).kind, EventKind::Item(Completeness::Unsupported));
    // If the message was filed without content, the content is an item of its own, from either side.
    assert_eq!(late_id(&event(&unsupported).id), late_id(&event(&echo(&text())).id));
}

/// In a group every member's webhook has the same id.
#[test]
fn group_message_is_filed_for_each_of_our_numbers() {
    const GROUP_MESSAGE: &str = "wamid.HBgSMTIwMzYzNDIzMTQ4MDkxNzE2FQgAEhgUM0VCMDAwMDAwMDAwMDAwMDAwNDEA";
    let client = "447700900123";
    let of = |ours| {
        let members = json!({"from": client, "group_id": format!("group of {ours}"), "id": GROUP_MESSAGE});
        webhook(ours, json!({"messages": [message(members, &text())]}))
    };
    let mut item = read(&[of(KARIM), of(ADA)], &[]);
    item.to.sort_by(|one, other| one.phone.cmp(&other.phone));
    assert_eq!((item.id.as_str(), item.direction.as_ref()), (GROUP_MESSAGE, Some(&Direction::Incoming)));
    assert_eq!(numbers(&item), [client, KARIM, ADA]);
}
