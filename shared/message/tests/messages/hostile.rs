//! Items that try to break out of a header, a part or a page.

use mail_parser::MessageParser;
use model::Captured;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

use crate::{golden, readers};

/// The number of generated items. The generator has a fixed seed.
const ITEMS: usize = 200;

fn text() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(vec![
        "\r\nBcc: victim@example.com\r\n",
        "\n\n--=_mixed_\n",
        "\r\n.\r\n",
        "=?utf-8?B?w6Y=?=",
        "=?utf-8?Q?a",
        "\u{202e}\u{2066}",
        "\0\u{1}\u{7f}\u{85}\u{2028}",
        "\u{2028}Anomaly: none\u{2029}Bcc: x",
        "\"><script>alert(1)</script>",
        "';--\\\\\"",
        "<a@b>, c@d",
        "(comment",
        ":;,",
        "👨\u{200d}👩\u{200d}👧🏽",
        "שלום",
        "Søren",
        " \t ",
        "*_~`",
        "http://x\"onmouseover=",
        "%00%0d%0a",
    ]);
    let piece = prop_oneof![4 => nasty.prop_map(str::to_owned), 2 => "\\PC{0,20}", 1 => "[ -~]{0,90}", 1 => Just("n".repeat(3_000))];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

fn maybe() -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Value::Null), 3 => text().prop_map(Value::from)]
}

fn participant() -> impl Strategy<Value = Value> {
    let phone = prop_oneof![Just(Value::Null), Just(json!("+4520123456")), maybe()];
    let email = prop_oneof![3 => Just(Value::Null), 1 => Just(json!("ada@example.com")), 1 => maybe()];
    (maybe(), phone, maybe(), email)
        .prop_map(|(name, phone, id, email)| json!({"name": name, "phone": phone, "whatsappId": id, "email": email}))
}

fn kind() -> impl Strategy<Value = String> {
    let known: Vec<String> = model::Kind::KNOWN.iter().map(ToString::to_string).collect();
    prop_oneof![9 => prop::sample::select(known), 1 => text()]
}

fn json_item() -> impl Strategy<Value = Value> {
    let chat = (text(), prop::sample::select(vec!["individual", "group", "status", "x\r\ny"]), maybe());
    let attachment = (maybe(), maybe(), any::<bool>())
        .prop_map(|(name, content_type, once)| json!({"name": name, "contentType": content_type, "viewOnce": once}));
    let quoted = (maybe(), participant(), maybe())
        .prop_map(|(id, from, text)| json!({"messageId": id, "from": from, "text": text}));
    let people = (participant(), prop::collection::vec(participant(), 0..4));
    let parts = (prop::collection::vec(attachment, 0..3), prop::collection::vec((maybe(), maybe()), 0..3));
    let rest = (maybe(), text(), maybe(), any::<f64>(), prop::collection::vec(text(), 0..3));
    (kind(), chat, people, (maybe(), maybe()), parts, quoted, rest).prop_map(
        |(
            kind,
            chat,
            (from, to),
            (message_id, said),
            (attachments, contacts),
            quoted,
            (name, word, url, number, options),
        )| {
            let attachments: Vec<Value> = (0..)
                .zip(attachments)
                .map(|(at, mut attachment)| {
                    attachment["id"] = json!(format!("a{at}"));
                    attachment
                })
                .collect();
            let contacts: Vec<Value> =
                contacts.iter().map(|(name, card)| json!({"name": name, "vcard": card})).collect();
            let number = if number.is_finite() { json!(number) } else { Value::Null };
            json!({
                "id": "WA-1", "messageId": message_id, "type": kind,
                "messageTime": "2026-11-20T14:05:09Z", "archivedTime": "2026-11-20T14:05:11Z",
                "chat": {"id": chat.0, "type": chat.1, "name": chat.2}, "from": from, "to": to, "text": said,
                "attachments": attachments, "contacts": contacts, "quoted": quoted, "target": quoted,
                "mentions": to, "direction": word, "reaction": {"emoji": name},
                "deletion": {"scope": word, "by": from, "state": word},
                "call": {"media": word, "status": word, "durationSeconds": number},
                "location": {"latitude": number, "longitude": number, "name": name, "address": word, "url": url},
                "poll": {"question": name, "options": options, "votes": options},
                "event": {"action": word, "subjects": to, "oldValue": name, "newValue": url},
                "business": {word.clone(): [name, url]}, "reason": name,
            })
        },
    )
}

fn captured(value: Value) -> Captured {
    let id = "WA-1".parse().expect("an id");
    Captured::from_value(value, &id).unwrap_or_else(|error| panic!("{error}"))
}

fn expected_headers(captured: &Captured, read: &[String]) -> Vec<&'static str> {
    let mut names = vec!["Date", "From", "Message-ID", "X-WA-Kind", "X-WA-Chat", "X-WA-Message-Id"];
    names.extend(["X-WA-Content-SHA256", "X-WA-Schema", "X-WA-Item", "Subject"]);
    // Another test checks the presence of this field; here it may occur once.
    if read.iter().any(|name| name == "In-Reply-To") {
        names.push("In-Reply-To");
    }
    names.extend(["References", "Thread-Topic", "Thread-Index"]);
    if !captured.item.to.is_empty() {
        names.push("To");
    }
    names.extend(["MIME-Version", "Content-Type"]);
    names
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
}

#[test]
fn hostile_content_does_not_break_out() {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let items: Vec<Captured> =
        (0..ITEMS).map(|_| json_item().new_tree(&mut runner).expect("an item").current()).map(captured).collect();
    let mut messages = Vec::new();
    for captured in &items {
        let files: Vec<_> = captured.item.attachments.iter().map(|_| Some(b"a\r\nb\n\xff".to_vec())).collect();
        let rendered = golden::render(captured, &files);
        readers::assert_clean(&rendered.mime);
        let parsed = MessageParser::default().parse(&rendered.mime).expect("a message");
        let names: Vec<String> = parsed.headers().iter().map(|header| header.name.as_str().to_owned()).collect();
        assert_eq!(names, expected_headers(captured, &names));
        let cards = captured.item.contacts.iter().filter(|card| card.vcard.is_some()).count();
        assert_eq!(parsed.attachment_count(), files.len() + cards + 1);
        messages.push(rendered.mime.to_vec());
    }
    for ((captured, read), at) in items.iter().zip(readers::Reader::Python.read(&messages)).zip(0..) {
        assert_eq!(read["defects"], json!([]), "item {at}");
        assert_eq!(strings(&read["headers"]), expected_headers(captured, &strings(&read["headers"])), "item {at}");
        assert_eq!(read["to"].as_array().map(Vec::len), Some(captured.item.to.len()), "item {at}");
        let html = read["html"].as_str().expect("a page");
        assert!(!html.contains("<script") && !html.contains("\"onmouseover"), "item {at}");
        assert!(
            !html.contains("src=\"http") && html.matches("<img").count() == html.matches("src=\"cid:").count(),
            "item {at}"
        );
        let plain = read["plain"].as_str().expect("a text");
        // Programs begin a line at each of these, Rust's `lines` only at LF.
        let mut lines = plain.split(['\n', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}']);
        let forged = ["Bcc:", "--=_", "Anomaly: none"];
        assert!(!lines.any(|line| forged.iter().any(|forged| line.starts_with(forged))), "item {at}");
        let subject = read["subject"].as_str().expect("a subject");
        assert!(subject.len() <= 128 && !subject.contains(['\r', '\n', '\u{202e}']), "item {at}: {subject:?}");
    }
}
