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
        let item = captured_with(&webhook, &[stored]).item;
        assert_eq!(item.kind, expected);
        assert_eq!(item.text.as_deref(), extra.get("caption").and_then(Value::as_str));
        let [file] = item.files() else { panic!("{kind}") };
        assert_eq!((file.size, file.sha256), (Some(4), Some(Sha256::of(b"test"))));
        assert_eq!(file.content_type.as_deref(), Some("x/y"));
        assert_eq!(file.name.as_deref(), extra.get("filename").and_then(Value::as_str));
    }
}

/// A message in which a person filled in a form with files, as a business receives it.
fn form(response: &Value) -> Value {
    let reply = json!({"name": "flow", "body": "Sent", "response_json": response.to_string()});
    incoming(json!({"type": "interactive", "interactive": {"type": "nfm_reply", "nfm_reply": reply}}))
}

#[test]
fn files_of_a_form_are_fetched_and_named() {
    let picture =
        |id: u64| json!({"id": id, "mime_type": "image/jpeg", "sha256": HASH, "file_name": format!("{id}.jpg")});
    let document = json!({"id": "99", "mime_type": "application/pdf", "sha256": HASH, "file_name": "a.pdf"});
    let response = json!({"flow_token": "t", "photo_picker": [picture(790_119_799_898), picture(2), picture(2)],
                          "screen": {"deeper": {"document_picker": [document]}}});
    let webhook = form(&response);
    let event = all(&webhook).remove(0);
    let mut ids: Vec<_> = event.media.iter().map(|media| media.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["2", "790119799898", "99"]);
    assert!(event.media.iter().all(|media| media.sha256 == Some(Sha256::of(b"test"))));
    let stored = CapturedFile::Stored { bytes: 4, sha256: Sha256::of(b"test"), other: None };
    let item = captured_with(&webhook, &[stored, CapturedFile::Missing(MissingFile::Erased), stored]).item;
    let names: Vec<_> = event.media.iter().map(|media| media.id.clone()).zip(["file", "", "file-3"]).collect();
    let found: Vec<_> = item.files().iter().map(|file| (file.name.clone().unwrap(), file.id.as_str())).collect();
    assert_eq!(found.len(), 2);
    for (name, id) in found {
        let media = names.iter().find(|(_, attachment)| *attachment == id).unwrap();
        assert_eq!(name.split('.').next().unwrap().replace('a', "99"), media.0);
    }
    assert!(notes(&item).contains("File 2 of 3: The file of the message is missing"), "{}", notes(&item));
    // Nothing is fetched yet: the mail says it for each.
    assert_eq!(notes(&captured(&webhook).item).matches("was not fetched").count(), 3);
    assert_eq!(item.kind, Kind::Business);
    for (id, place) in [
        ("file", Some(0)),
        ("file-2", Some(1)),
        ("file-3", Some(2)),
        ("file-1", None),
        ("file-02", None),
        ("file-0", None),
        ("file-", None),
        ("evidence", None),
    ] {
        assert_eq!(cloud_api::file_place(id), place, "{id}");
    }
}

/// The designer of a form names its members.
#[test]
fn answer_of_a_form_that_is_named_like_a_file_is_no_file() {
    let choice = json!({"id": "card_2", "title": "Gold"});
    let webhook = form(&json!({"image": choice, "document": [choice], "video": {"link": "x"}}));
    assert_eq!(all(&webhook)[0].media.len(), 0);
    let item = captured(&webhook).item;
    assert!(item.business.as_ref().unwrap().to_string().contains("Gold"));
    assert_eq!(notes(&item), "");
}

#[test]
fn file_is_found_wherever_a_message_names_it() {
    let file = json!({"id": "77", "mime_type": "image/jpeg"});
    for message in [
        json!({"type": "image", "image": {"id": "77"}}),
        json!({"type": "interactive", "interactive": {"type": "button", "header": {"type": "image", "image": {"id": "77"}}}}),
        json!({"type": "template", "template": {"components": [{"parameters": [{"type": "document", "document": {"id": 77}}]}]}}),
        json!({"type": "edit", "edit": {"original_message_id": "wamid.O", "message": {"type": "image", "image": file}}}),
        json!({"type": "text", "text": {"body": "x"}, "referral": {"source_type": "ad", "image": file}}),
        json!({"type": "hologram", "hologram": [{"layers": [file]}]}),
    ] {
        let webhook = incoming(message);
        let events = all(&webhook);
        let ids: Vec<_> = events[0].media.iter().map(|media| media.id.as_str()).collect();
        assert_eq!(ids, ["77"], "{webhook}");
        assert!(notes(&captured(&webhook).item).contains("was not fetched"), "{webhook}");
    }
    // The message's own file is the first, in whatever order its members are.
    let webhook = incoming(json!({"a": {"image": {"id": "1"}}, "type": "video", "video": {"id": "2"}}));
    assert_eq!(all(&webhook)[0].media.iter().map(|media| media.id.as_str()).collect::<Vec<_>>(), ["2", "1"]);
}

#[test]
fn file_that_cannot_be_fetched_is_noted() {
    let files: Vec<_> = (0..150).map(|id| json!({"id": id, "mime_type": "image/jpeg"})).collect();
    for (message, says) in [
        (
            json!({"type": "interactive", "interactive": {"header": {"image": {"link": "https://x.example/a.jpg"}}}}),
            "names a file that cannot",
        ),
        (json!({"type": "image", "image": {"mime_type": "image/jpeg", "sha256": HASH}}), "names a file that cannot"),
        (json!({"type": "image", "image": {"id": "../x", "mime_type": "image/jpeg"}}), "names a file that cannot"),
        (json!({"type": "album", "album": files}), "names 50 files that cannot"),
        (
            json!({"type": "text", "text": {"body": "x"}, "referral": {"image_url": "https://x.example/b.jpg"}}),
            "not fetched: https://x.example/b.jpg",
        ),
    ] {
        let item = captured(&incoming(message)).item;
        assert!(notes(&item).contains(says), "{}", notes(&item));
    }
    // Other objects with an id are no files.
    for message in [
        json!({"type": "interactive", "interactive": {"type": "list_reply", "list_reply": {"id": "1", "title": "t"}}}),
        json!({"type": "text", "text": {"body": "x"}, "context": {"id": "wamid.Q"}}),
        json!({"type": "order", "order": {"catalog_id": "7", "product_items": [{"product_retailer_id": "1"}]}}),
    ] {
        let webhook = incoming(message);
        assert!(all(&webhook)[0].media.is_empty() && !notes(&captured(&webhook).item).contains("fetched"), "{webhook}");
    }
}

#[test]
fn deeply_nested_members_are_searched_within_limits() {
    let deep = format!("{}{}", "[".repeat(90), "]".repeat(90));
    let many = format!("[{}]", vec!["{\"image\":{}}"; 100_000].join(","));
    for content in [deep, many] {
        let webhook = incoming(json!({"type": "x", "x": serde_json::from_str::<Value>(&content).unwrap()}));
        assert!(all(&webhook)[0].media.is_empty());
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
    let item = captured_with(&webhook, &[CapturedFile::Missing(MissingFile::Erased)]).item;
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
    assert!(String::from_utf8_lossy(&captured.evidence).contains(r#""content":{"hologram":{"depth":3}}"#));
    // The content is in a member with another name.
    let poll = json!({"type": "poll_creation", "poll": {"name": "Sell?"}, "context": {"id": "wamid.Q"}});
    let captured = self::captured(&incoming(poll));
    assert!(String::from_utf8_lossy(&captured.evidence).contains(r#""content":{"poll":{"name":"Sell?"}}"#));
    let item = of("request_welcome", json!({}));
    assert_eq!(item.kind, Kind::System);
}

#[test]
fn message_without_a_type_has_the_type_of_its_member() {
    let item = captured(&incoming(json!({"text": {"body": "I accept"}}))).item;
    assert_eq!((&item.kind, item.text.as_deref()), (&Kind::Text, Some("I accept")));
    assert!(notes(&item).contains("states no type"), "{}", notes(&item));
    let stated = captured(&incoming(json!({"type": "text", "text": {"body": "I accept"}}))).item;
    assert_eq!(notes(&stated), "");
    let captured = captured(&incoming(json!({"novel": {"words": "I accept"}})));
    assert!(String::from_utf8_lossy(&captured.evidence).contains("I accept"));
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
    assert_eq!(quoted.from.and_then(|from| from.phone).as_deref(), Some("+12025550143"));
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
