//! Each type of message.

use cloud_api::{CapturedFile, MissingFile};
use model::{DeletionScope, Item, Kind, Sha256};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use crate::support::{all, captured, captured_with, incoming, merge, webhook};

const HASH: &str = "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=";

fn of(kind: &str, content: Value) -> Item {
    let captured = captured(&incoming(json!({"type": kind, kind: content})));
    assert_eq!(captured.anomalies, [""; 0], "{kind}");
    captured.item
}

fn notes(item: &Item) -> String {
    item.webhook.as_ref().map(|webhook| webhook.notes.join("\n")).unwrap_or_default()
}

#[test]
fn files_are_named_with_caption_type_and_digest() {
    let stored = CapturedFile::Stored { bytes: 4, sha256: Sha256::of(b"test"), other: None };
    for (kind, extra, expected) in [
        ("image", json!({"caption": "c"}), Kind::Image),
        ("video", json!({"caption": "c"}), Kind::Video),
        ("audio", json!({"voice": true}), Kind::Voice),
        ("audio", json!({"voice": false}), Kind::Audio),
        ("document", json!({"caption": "c", "filename": "term sheet.pdf"}), Kind::Document),
        ("sticker", json!({"animated": false}), Kind::Sticker),
    ] {
        let mut content = json!({"id": "111222333444555", "mime_type": "x/y", "sha256": HASH});
        merge(&mut content, extra.clone());
        let webhook = incoming(json!({"type": kind, kind: content}));
        let event = all(&webhook).remove(0);
        let [media] = &event.media[..] else { panic!("{kind}") };
        assert_eq!((media.id.as_str(), media.sha256), ("111222333444555", Some(Sha256::of(b"test"))));
        assert_eq!(media.phone_number_id.as_deref(), Some(crate::support::OUR_ID));
        let item = captured_with(&webhook, Some(stored)).item;
        assert_eq!(item.kind, expected);
        assert_eq!(item.text.as_deref(), extra.get("caption").and_then(Value::as_str));
        let [file] = item.files() else { panic!("{kind}") };
        assert_eq!((file.size, file.sha256), (Some(4), Some(Sha256::of(b"test"))));
        assert_eq!(file.content_type.as_deref(), Some("x/y"));
        assert_eq!(file.name.as_deref(), extra.get("filename").and_then(Value::as_str));
    }
}

#[test]
fn digests_are_read_in_hex_and_in_both_base64_alphabets() {
    let digest = Some(Sha256::of(b"test"));
    let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    for text in [HASH, hex, &hex.to_uppercase(), &HASH[..43], &HASH.replace('+', "-").replace('/', "_")] {
        assert_eq!(cloud_api::sha256(text), digest, "{text}");
    }
    for text in ["", "q1w2=", &hex[1..], &HASH[1..], &"é".repeat(22)] {
        assert_eq!(cloud_api::sha256(text), None, "{text}");
    }
}

#[test]
fn message_whose_file_is_missing_keeps_its_text_and_says_why() {
    let webhook = incoming(json!({"type": "image", "image": {"id": "1", "mime_type": "image/jpeg", "caption": "c"}}));
    let item = captured_with(&webhook, Some(CapturedFile::Missing(MissingFile::Erased))).item;
    assert_eq!((item.files().len(), item.text.as_deref()), (0, Some("c")));
    assert!(notes(&item).contains("WhatsApp did not have it"), "{}", notes(&item));
}

#[test]
fn location_and_contacts_keep_their_members() {
    let item = of("location", json!({"latitude": 51.5, "longitude": -0.12, "name": "Office", "address": "1 Road"}));
    let location = item.location.unwrap();
    assert_eq!((location.latitude, location.longitude), (Some(51.5), Some(-0.12)));
    assert_eq!(location.name.as_deref(), Some("Office"));
    let item = of(
        "contacts",
        json!([{"name": {"formatted_name": "Ana; Sousa", "first_name": "Ana", "last_name": "Sousa"},
                "phones": [{"phone": "+44 7700 900124", "wa_id": "447700900124", "type": "CELL\r\nX"}],
                "emails": [{"email": "ana@bank.example"}], "org": {"company": "Bank"}},
               {"name": {"formatted_name": "As sent"}, "vcard": "BEGIN:VCARD\nEND:VCARD"}]),
    );
    let [written, sent] = &item.contacts[..] else { panic!("two cards") };
    let vcard = written.vcard.as_deref().unwrap();
    assert_eq!(written.name.as_deref(), Some("Ana; Sousa"));
    assert!(
        vcard.contains("FN:Ana\\; Sousa\r\n") && vcard.contains("TEL;TYPE=CELLX;waid=447700900124:+44 7700 900124")
    );
    assert_eq!(sent.vcard.as_deref(), Some("BEGIN:VCARD\nEND:VCARD"));
    assert!(notes(&item).contains("vCards were written"));
}

#[test]
fn reaction_is_put_on_or_removed() {
    for (content, emoji) in [
        (json!({"message_id": "wamid.OLD", "emoji": "👍"}), Some("👍")),
        (json!({"message_id": "wamid.OLD", "emoji": ""}), Some("")),
        (json!({"message_id": "wamid.OLD"}), None),
    ] {
        let item = of("reaction", content);
        assert_eq!(item.kind, Kind::Reaction);
        assert_eq!(item.target.unwrap().message_id.as_deref(), Some("wamid.OLD"));
        assert_eq!(item.reaction.unwrap().emoji.as_deref(), emoji);
    }
}

#[test]
fn business_content_has_a_text_where_the_user_saw_one() {
    for (kind, content, text) in [
        ("interactive", json!({"type": "button_reply", "button_reply": {"id": "1", "title": "Yes"}}), Some("Yes")),
        (
            "interactive",
            json!({"type": "list_reply", "list_reply": {"id": "1", "title": "A", "description": "b"}}),
            Some("A"),
        ),
        (
            "interactive",
            json!({"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent", "response_json": "{\"a\":1}"}}),
            None,
        ),
        (
            "interactive",
            json!({"type": "call_permission_reply", "call_permission_reply": {"response": "accept"}}),
            None,
        ),
        ("button", json!({"payload": "p", "text": "Stop"}), Some("Stop")),
        ("order", json!({"catalog_id": "7", "text": "please", "product_items": [{"quantity": 2}]}), Some("please")),
    ] {
        let item = of(kind, content.clone());
        assert_eq!((&item.kind, item.text.as_deref()), (&Kind::Business, text), "{content}");
        let business = item.business.unwrap().to_string();
        assert!(!business.is_empty() && !business.contains("\\\""), "{business}");
    }
}

#[test]
fn system_message_says_the_new_number() {
    let content = json!({"type": "user_changed_number", "body": "changed", "wa_id": "447700900199"});
    let item = of("system", content);
    assert_eq!((&item.kind, item.text.as_deref()), (&Kind::System, Some("changed")));
    let event = item.event.unwrap();
    assert_eq!(event.action.as_deref(), Some("number_changed"));
    assert_eq!((event.old_value.as_deref(), event.new_value.as_deref()), (Some("447700900123"), Some("447700900199")));
}

#[test]
fn unsupported_message_says_code_and_type() {
    let errors = json!([{"code": 131051, "title": "Message type unknown", "message": "Message type unknown",
                         "error_data": {"details": "Message type is currently not supported."}}]);
    let message = json!({"type": "unsupported", "errors": errors, "unsupported": {"type": "poll_creation"}});
    let item = captured(&incoming(message)).item;
    assert_eq!(item.kind, Kind::Unsupported);
    let reason = "131051: Message type unknown: Message type is currently not supported.; type poll_creation";
    assert_eq!(item.reason.as_deref(), Some(reason));
    assert_eq!(of("unknown", json!({})).reason.as_deref(), Some("WhatsApp does not give its content"));
}

#[test]
fn edit_and_revoke_name_the_message_they_act_on() {
    let message = json!({"type": "text", "text": {"body": "new"}, "context": {"id": "wamid.Q"}});
    let item = of("edit", json!({"original_message_id": "wamid.OLD", "message": message}));
    assert_eq!((&item.kind, item.text.as_deref()), (&Kind::Edit, Some("new")));
    assert_eq!(item.target.and_then(|target| target.message_id).as_deref(), Some("wamid.OLD"));
    let image = json!({"type": "image", "image": {"caption": "new caption"}});
    let item = of("edit", json!({"original_message_id": "wamid.OLD", "message": image}));
    assert_eq!(item.text.as_deref(), Some("new caption"));
    let item = of("revoke", json!({"original_message_id": "wamid.OLD"}));
    assert_eq!(item.kind, Kind::Delete);
    assert_eq!(item.deletion.and_then(|deletion| deletion.scope), Some(DeletionScope::Everyone));
    assert_eq!(item.target.and_then(|target| target.message_id).as_deref(), Some("wamid.OLD"));
}

#[test]
fn unknown_type_is_kept_with_its_members() {
    let captured = captured(&incoming(json!({"type": "hologram", "hologram": {"depth": 3}})));
    assert_eq!(captured.item.kind, Kind::Other("hologram".to_owned()));
    assert!(String::from_utf8_lossy(&captured.evidence).contains(r#""content":{"depth":3}"#));
    let item = of("request_welcome", json!({}));
    assert_eq!(item.kind, Kind::System);
}

#[test]
fn reply_forwarding_and_referral_are_kept() {
    let context = json!({"from": "12025550143", "id": "wamid.Q", "forwarded": true, "frequently_forwarded": true,
                         "referred_product": {"catalog_id": "7", "product_retailer_id": "shoe"}});
    let referral = json!({"source_type": "ad", "headline": "Shoes", "source_url": "https://shop.example/ad"});
    let item =
        captured(&incoming(json!({"type": "text", "text": {"body": "x"}, "context": context, "referral": referral})))
            .item;
    let quoted = item.quoted.clone().unwrap();
    assert_eq!(quoted.message_id.as_deref(), Some("wamid.Q"));
    assert_eq!(quoted.from.and_then(|from| from.phone).as_deref(), Some("12025550143"));
    assert_eq!((item.forwarded, item.frequently_forwarded), (Some(true), Some(true)));
    let notes = notes(&item);
    assert!(notes.contains("ad, Shoes, https://shop.example/ad") && notes.contains("7, shoe"), "{notes}");
}

#[test]
fn username_without_number_is_identified_by_the_scoped_id() {
    let message = json!({"from_user_id": "US.13491208655302741918", "id": "wamid.U", "timestamp": "1795770843",
                         "type": "text", "text": {"body": "x"}});
    let contacts = json!([{"profile": {"username": "ana.s"}, "user_id": "US.13491208655302741918"}]);
    let item = captured(&webhook("messages", json!({"contacts": contacts, "messages": [message]}))).item;
    assert_eq!((item.from.phone.as_deref(), item.from.name.as_deref()), (None, Some("ana.s")));
    assert_eq!(item.from.whatsapp_id.as_deref(), Some("US.13491208655302741918"));
    assert_eq!(item.chat.id, "12025550143/US.13491208655302741918");
}
