//! Guarantees of this crate, one property per test.

use mail_parser::{MessageParser, MimeHeaders};
use message::write::{Base64Lines, Content, DomainError, Piece, RenderError, Renderer};
use model::{Captured, Sha256};
use proptest::{
    collection::vec,
    prelude::{ProptestConfig, any, proptest},
};
use serde_json::{Value, json};

use crate::golden::{in_pieces, render};

pub(crate) fn item(changes: Value) -> Captured {
    let mut value = json!({
        "id": "WA-1", "messageId": "M1", "type": "text", "text": "hi",
        "messageTime": "2026-11-20T14:05:09Z", "archivedTime": "2026-11-20T14:05:11Z",
        "chat": {"id": "c1", "type": "individual"}, "direction": "incoming",
        "from": {"name": "Ada", "phone": "+4520123456"}, "to": [{"name": "Bo", "phone": "4520123457"}],
    });
    for (key, change) in changes.as_object().expect("members") {
        value[key] = change.clone();
    }
    let id = value["id"].as_str().expect("an id").parse().expect("an id");
    Captured::from_value(value, &id).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn header(captured: &Captured, name: &str) -> Option<String> {
    let mime = render(captured, &[]).mime;
    let parsed = MessageParser::default().parse(&mime).expect("a message");
    parsed.header_raw(name).map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn message_id(captured: &Captured) -> String {
    Renderer::new("archive.example.com").expect("a domain").message_id(&captured.item)
}

#[test]
fn message_id_depends_on_the_identity_alone() {
    let original = message_id(&item(json!({})));
    assert!(original.starts_with('<') && original.ends_with("@archive.example.com>"), "{original}");
    assert_eq!(original, render(&item(json!({})), &[]).message_id);
    for same in [
        json!({"id": "WA-2"}),
        json!({"type": "image"}),
        json!({"text": "other", "archivedTime": "2026-12-01T00:00:00Z"}),
        json!({"from": {"whatsappId": "4520123456@s.whatsapp.net"}}),
    ] {
        assert_eq!(message_id(&item(same.clone())), original, "{same}");
    }
    for other in [
        json!({"messageId": "M2"}),
        json!({"messageId": null}),
        json!({"chat": {"id": "c2", "type": "individual"}}),
        json!({"from": {"phone": "4520123457"}}),
        json!({"type": "edit"}),
        json!({"type": "delete"}),
        json!({"type": "reaction"}),
        json!({"type": "poll_vote"}),
    ] {
        assert_ne!(message_id(&item(other.clone())), original, "{other}");
    }
    let without = |id: Value| message_id(&item(json!({"messageId": id})));
    assert_eq!(without(json!("")), without(Value::Null), "the item's id is used");
    let edit = |id: &str| message_id(&item(json!({"id": id, "type": "edit"})));
    assert_ne!(edit("WA-8"), edit("WA-9"), "two edits of one message have different ids");
}

#[test]
fn reply_refers_to_its_message_when_that_is_certain() {
    let original = message_id(&item(json!({})));
    let bo = json!({"name": "Bo", "phone": "4520123457"});
    let ada = json!({"phone": "004520123456"});
    let quoted = |from: &Value| json!({"messageId": "M1", "from": from});
    let by_bo = |kind: &str, more: Value| {
        let mut changes = json!({"id": "WA-5", "messageId": "M5", "type": kind, "from": bo, "to": [ada]});
        for (key, value) in more.as_object().expect("members") {
            changes[key] = value.clone();
        }
        header(&item(changes), "In-Reply-To")
    };
    let found = Some(original.clone());
    assert_eq!(by_bo("text", json!({"quoted": quoted(&ada)})), found);
    assert_eq!(by_bo("reaction", json!({"target": quoted(&ada)})), found);
    assert_eq!(by_bo("text", json!({"quoted": quoted(&Value::Null)})), None, "either may have written it");
    assert_eq!(by_bo("text", json!({"quoted": quoted(&json!({"name": " "}))})), None, "the sender is unknown");
    assert_eq!(by_bo("text", json!({"quoted": {"from": ada}})), None, "the message is unknown");
    assert_eq!(by_bo("text", json!({"quoted": {"messageId": "", "from": ada}})), None, "the message is unknown");
    // The quote contains only the id, the list of participants also the number.
    let known = json!({"phone": "4520123456", "whatsappId": "77@lid"});
    assert_eq!(by_bo("text", json!({"to": [known], "quoted": quoted(&json!({"whatsappId": "77@lid"}))})), found);
    let both = json!({"phone": "+4520123456", "whatsappId": "77@lid"});
    let other = json!({"phone": "4520123499", "whatsappId": "77@lid"});
    assert_eq!(by_bo("text", json!({"to": [other], "quoted": quoted(&both)})), found, "its own number is certain");

    let own = |kind: &str, more: Value| {
        let mut changes = json!({"id": "WA-6", "messageId": "M6", "type": kind, "target": {"messageId": "M1"}});
        changes["deletion"] = more;
        header(&item(changes), "In-Reply-To")
    };
    assert_eq!(own("edit", Value::Null), found, "participants edit only their own messages");
    assert_eq!(own("delete", json!({"scope": "everyone"})), found);
    assert_eq!(
        own("delete", json!({"scope": "me"})),
        None,
        "a user may delete any participant's message for themselves"
    );
    assert_eq!(own("delete", json!({"scope": "everyone", "by": bo})), None);
    assert_eq!(own("reaction", Value::Null), None);
}

#[test]
fn chat_is_one_thread() {
    let one = item(json!({}));
    let reply = item(
        json!({"id": "WA-2", "messageId": "M2", "direction": "outgoing", "quoted": {"messageId": "M1", "from": {"phone": "4520123456"}},
        "from": {"name": "Bo", "phone": "4520123457"}, "to": [{"name": "Ada", "phone": "+4520123456"}]}),
    );
    for name in ["Subject", "Thread-Topic", "Thread-Index"] {
        assert_eq!(header(&one, name), header(&reply, name), "{name}");
    }
    let root = header(&one, "References").expect("the chat's root");
    assert_eq!(header(&reply, "References"), Some(format!("{root} {}", message_id(&one))));
    let (ada, bo) = (
        json!({"name": "Ada", "phone": "+4520123456"}),
        json!({"name": "Bo", "phone": "4520123457", "whatsappId": "77@lid"}),
    );
    let named = |chat: &str, from: &Value, to: &Value| {
        let changes = json!({"chat": {"id": chat, "type": "individual"}, "direction": null, "from": from, "to": [to]});
        header(&item(changes), "Subject")
    };
    for (chat, name) in
        [("c1", "Ada, Bo"), ("+4520123457", "Bo"), ("4520123457@s.whatsapp.net", "Bo"), ("77@lid", "Bo")]
    {
        let expected = Some(format!("WhatsApp: {name}"));
        assert_eq!((named(chat, &ada, &bo), named(chat, &bo, &ada)), (expected.clone(), expected), "{chat}");
    }
    let elsewhere = item(json!({"chat": {"id": "c2", "type": "individual"}}));
    assert_ne!(header(&elsewhere, "References"), Some(root));
    assert_ne!(header(&elsewhere, "Thread-Index"), header(&one, "Thread-Index"));
}

#[test]
fn to_of_a_huge_group_is_bounded() {
    let to: Vec<Value> = (0..100_000).map(|at| json!({"phone": format!("4520{at:06}")})).collect();
    let mime = render(&item(json!({"chat": {"id": "g", "type": "group", "name": "All"}, "to": to})), &[]).mime;
    let parsed = MessageParser::default().parse(&mime).expect("a message");
    assert_eq!(parsed.to().and_then(|to| to.as_list()).map(<[_]>::len), Some(5_000));
    assert!(parsed.body_text(0).expect("a text").contains("95,000 more participants"));
    let few: Vec<Value> = (0..1_025).map(|at| json!({"phone": format!("4520{at:06}")})).collect();
    let mime = render(&item(json!({"to": few})), &[]).mime;
    let parsed = MessageParser::default().parse(&mime).expect("a message");
    assert_eq!(parsed.to().and_then(|to| to.as_list()).map(<[_]>::len), Some(1_025));
}

#[test]
fn to_is_the_last_header() {
    let to: Vec<Value> = (0..5_000).map(|at| json!({"phone": format!("4520{at:06}")})).collect();
    let mime = render(&item(json!({"to": to})), &[]).mime;
    let parsed = MessageParser::default().parse(&mime).expect("a message");
    let names: Vec<&str> = parsed.headers().iter().map(|header| header.name.as_str()).collect();
    let place = |name: &str| names.iter().position(|found| *found == name).expect("it has this header");
    for name in ["Message-ID", "Subject", "References", "X-WA-Kind", "X-WA-Content-SHA256"] {
        assert!(place(name) < place("To"), "{name}");
    }
}

#[test]
fn upload_is_stated_and_does_not_change_the_identity() {
    let upload = json!({"owner": "ada@example.com", "file": "chat\r\nFrom: x.zip"});
    let uploaded = item(json!({"upload": upload}));
    let text = plain(&render(&uploaded, &[]).mime);
    assert!(text.contains("Uploaded by: ada@example.com\r\nIn the file: chat From: x.zip\r\n"), "{text}");
    assert_eq!(message_id(&uploaded), message_id(&item(json!({}))));
    for other in [json!("yes"), json!({"owner": 1}), json!([]), Value::Null] {
        assert!(!plain(&render(&item(json!({"upload": other})), &[]).mime).contains("Uploaded by"), "{other}");
    }
}

#[test]
fn evidence_keeps_its_name_whatever_the_names_of_files() {
    let (forged, sent) = (b"forged".to_vec(), b"From: a@example.com\r\n\r\nhi".to_vec());
    let captured = item(json!({
        "attachments": [
            {"id": "1", "name": "WhatsApp-Item.eml", "evidence": true},
            {"id": "2", "name": "whatsapp-item.eml", "sha256": Sha256::of(&sent).to_string(), "evidence": true},
        ],
        "mail": {"file": "inbox/a.zip"},
    }));
    let mime = render(&captured, &[Some(forged.clone()), Some(sent.clone())]).mime;
    let parsed = MessageParser::default().parse(&mime).expect("a message");
    let named = |name: &str| {
        let part = parsed.attachments().find(|part| part.attachment_name() == Some(name));
        part.map(|part| part.contents().to_vec())
    };
    assert_eq!(named("whatsapp-item.eml"), Some(sent.clone()));
    assert_eq!(named("WhatsApp-Item (2).eml"), Some(forged));
    let digest = parsed.header_raw("X-WA-Evidence-SHA256").map(str::trim);
    assert_eq!(digest, Some(Sha256::of(&sent).to_string().as_str()));
    // Only an item that was delivered as a mail has separate evidence.
    assert_eq!(header(&item(json!({"attachments": []})), "X-WA-Evidence-SHA256"), None);
}

#[test]
fn anomalies_are_stated_and_do_not_change_the_identity() {
    let mut captured = item(json!({}));
    let before = header(&captured, "X-WA-Content-SHA256");
    captured.anomalies = vec!["The name contains half of an emoji.".to_owned(), "The year is 1970.".to_owned()];
    let text = plain(&render(&captured, &[]).mime);
    assert!(text.contains("Anomaly: The name contains half of an emoji.\r\nAnomaly: The year is 1970.\r\n"), "{text}");
    assert_eq!(header(&captured, "X-WA-Content-SHA256"), before);
}

pub(crate) fn plain(mime: &[u8]) -> String {
    let parsed = MessageParser::default().parse(mime).expect("a message");
    parsed.body_text(0).expect("a text").into_owned()
}

#[test]
fn huge_name_is_cut() {
    let mime = render(&item(json!({"from": {"name": "é".repeat(500_000), "phone": "4520123456"}})), &[]).mime;
    let end = mime.windows(4).position(|window| window == b"\r\n\r\n").expect("headers");
    assert!(end < 4_096, "{end} bytes of headers");
}

#[test]
fn content_digest_is_as_documented() {
    let captured = item(json!({"attachments": [{"id": "a"}, {"id": "b"}]}));
    let mime = render(&captured, &[Some(b"abc".to_vec()), None]).mime;
    let parsed = MessageParser::default().parse(&mime).expect("a message");
    let list = format!("{}\n{}\nerased\n", Sha256::of(&captured.evidence), Sha256::of(b"abc"));
    let found = parsed.header_raw("X-WA-Content-SHA256").map(str::trim);
    assert_eq!(found, Some(Sha256::of(list.as_bytes()).to_string().as_str()));
    assert!(parsed.body_text(0).expect("a text").contains("erased by the archive's retention"));
}

#[test]
fn impossible_rendering_is_an_error() {
    let renderer = Renderer::new("Archive.Example.com").expect("a domain");
    let given = renderer.render(&item(json!({})), &[Content::Erased]).err();
    assert_eq!(given, Some(RenderError::Attachments { expected: 0, given: 1 }));
    assert_eq!(Renderer::new("a\r\nb").err(), Some(DomainError::Label));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Convert sends large messages in pieces and builds others in memory.
    #[test]
    fn message_is_the_same_in_pieces_and_whole(
        files in vec(proptest::option::weighted(0.9, vec(any::<u8>(), 0..2_000)), 0..5),
        text in any::<bool>(),
        step in 1_usize..3_000,
    ) {
        let media_type = if text { "text/plain" } else { "video/mp4" };
        let attachments: Vec<Value> =
            (0..files.len()).map(|at| json!({"id": format!("{at}"), "contentType": media_type})).collect();
        let captured = item(json!({"attachments": attachments}));
        let whole = render(&captured, &files).mime;
        let mut streamed = Vec::new();
        for piece in in_pieces(&captured, &files).pieces {
            match piece {
                Piece::Written(bytes) => streamed.extend(bytes),
                Piece::File { index, bytes } => {
                    let file = files[index].as_ref().expect("not erased");
                    assert_eq!(bytes, file.len() as u64);
                    let mut lines = Base64Lines::default();
                    file.chunks(step).for_each(|bytes| lines.push(bytes, &mut streamed));
                    lines.finish(&mut streamed);
                }
            }
        }
        assert!(streamed == whole);
        let parsed = MessageParser::default().parse(&whole).expect("a message");
        let found: Vec<_> = parsed.attachments().map(|part| Sha256::of(raw(&parsed, part).as_slice())).collect();
        let expected: Vec<_> = files.iter().flatten().map(|file| Sha256::of(file)).collect();
        assert_eq!(found[..found.len() - 1], expected);
    }
}

/// Returns a part's own bytes, because the parser converts the character set of its text.
fn raw(message: &mail_parser::Message<'_>, part: &mail_parser::MessagePart<'_>) -> Vec<u8> {
    let range = part.raw_body_offset() as usize..part.raw_end_offset() as usize;
    mail_parser::decoders::base64::base64_decode(&message.raw_message[range]).expect("base64")
}
