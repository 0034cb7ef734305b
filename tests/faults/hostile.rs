//! Malicious items: none affects another item.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use axum::{Router, extract::State, http::Uri, response::IntoResponse};
use harness::{ItemSource, MailSystem, Pipeline};
use jiff::{SignedDuration, Timestamp};
use local::sample_source::Sample;
use mail_parser::MessageParser;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::expectations::ADA;

/// The source's responses by id, as bytes because some are not valid JSON.
type Corpus = BTreeMap<String, Vec<u8>>;

const INJECTION: &str = "x\r\nBcc: victim@example.com\r\nX-Injected: yes\r\n\r\n<script>alert(1)</script>";

fn item(id: &str, now: Timestamp) -> Value {
    let time = format!("{:.3}", now - SignedDuration::from_hours(3));
    json!({"id": id, "messageId": id, "network": "whatsapp", "type": "text", "messageTime": time, "archivedTime": time,
           "direction": "incoming", "chat": {"id": "chat", "type": "individual", "name": "Chat"},
           "from": {"name": "Eve", "phone": "+4520123458"},
           "to": [{"name": "Ada", "phone": "+4520123456", "email": ADA}], "text": "The rate is unchanged."})
}

/// Returns malicious items that are valid and are filed.
fn malicious(now: Timestamp) -> Vec<(&'static str, Value)> {
    let with = |id: &'static str, change: &dyn Fn(&mut Value)| {
        let mut item = item(id, now);
        change(&mut item);
        (id, item)
    };
    vec![
        with("plain", &|_| {}),
        with("injection", &|item| {
            for path in
                ["/messageId", "/chat/id", "/chat/name", "/from/name", "/from/whatsappId", "/to/0/name", "/text"]
            {
                let Some((parent, name)) = path.rsplit_once('/') else { continue };
                if let Some(parent) = item.pointer_mut(parent) {
                    parent[name] = json!(INJECTION);
                }
            }
        }),
        with("a long name", &|item| item["from"]["name"] = json!("N".repeat(1 << 20))),
        with("20,000 participants", &|item| {
            let participants = (0..20_000)
                .map(|index| json!({"name": format!("Person {index}"), "phone": format!("+4530{index:06}")}));
            item["to"].as_array_mut().into_iter().for_each(|to| to.extend(participants.clone()));
        }),
        with("nul", &|item| {
            item["text"] = json!("a\u{0}b\u{1b}[2J");
            item["from"]["name"] = json!("E\u{0}ve");
        }),
        with("bidi", &|item| {
            item["text"] = json!("\u{202e}fdp.exe\u{2066}\u{2067}\u{202d} end");
            item["from"]["name"] = json!("\u{202e}evE\u{200f}");
        }),
        with("html", &|item| item["text"] = json!("</pre><script>alert(1)</script><img src=x onerror=alert(1)>&lt;")),
        with("../..//\"quoted\" 'id' \\ %2e%2e ?x=1#y \u{1F980}", &|_| {}),
        with("unknown members", &|item| {
            item["__proto__"] = json!({"a": [[[[]]]]});
            item["type"] = json!("x-unknown-type");
        }),
        with("many lines", &|item| item["text"] = json!("\r\n".repeat(20_000) + "." + &"\r\n.\r\n".repeat(100))),
        with("one word", &|item| item["text"] = json!("w".repeat(1 << 20))),
        with("sender without members", &|item| item["from"] = json!({})),
    ]
}

/// Returns unusual items with an id, a chat and a time: each is filed with its anomaly and its raw bytes.
fn unusual(now: Timestamp) -> Vec<(&'static str, Vec<u8>)> {
    let replaced = |id: &'static str, from: &str, to: &[u8]| {
        let text = item(id, now).to_string();
        let (before, after) = text.split_once(from).unwrap_or_else(|| panic!("{from} is not in the item"));
        (id, [before.as_bytes(), to, after.as_bytes()].concat())
    };
    let nested = "[".repeat(100_000) + &"]".repeat(100_000);
    vec![
        replaced("year", "\"messageTime\":\"2", b"\"messageTime\":\"55747-2"),
        replaced("surrogate", "The rate", b"\\ud83d rate"),
        replaced("nested", "\"The rate is unchanged.\"", nested.as_bytes()),
        replaced("not utf-8", "The rate", b"\xe6\xf8\xe5"),
        replaced("control", "The rate", b"The\x01\nrate"),
        replaced("twice", "\"text\":", b"\"text\":\"first\",\"text\":"),
        replaced("number", "\"+4520123456\"", b"4520123456"),
        replaced("encoded word", "\"Eve\"", b"\"Eve\",\"email\":\"=?utf-8?b?w7g=?=@x.example\""),
        replaced("null type", "\"type\":\"text\"", b"\"type\":null"),
    ]
}

/// Returns responses that are not items according to the contract.
fn malformed(now: Timestamp) -> Vec<(&'static str, Vec<u8>)> {
    let item_text = |id: &str| item(id, now).to_string();
    let replaced = |id: &'static str, from: &str, to: &str| {
        let text = item_text(id);
        assert!(text.contains(from), "{from} is not in the item");
        (id, text.replace(from, to).into_bytes())
    };
    vec![
        replaced("without chat", "\"chat\"", "\"chatter\""),
        replaced("without time", "Time\":", "Clock\":"),
        replaced("another", "\"id\":\"another\"", "\"id\":\"plain\""),
        ("truncated", item_text("truncated").into_bytes()[..100].to_vec()),
        ("latin", b"{\"id\":\"latin\",\"text\":\"\xe6\xf8\xe5\"}".to_vec()),
        ("empty", Vec::new()),
        ("null", b"null".to_vec()),
        ("list", b"[1,2,3]".to_vec()),
        replaced("many objects", "\"The rate is unchanged.\"", &format!("[{}0]", "{\"\":0},".repeat(10 << 17))),
        ("web page", b"<html>Please log in</html>".to_vec()),
    ]
}

async fn respond(State(corpus): State<Arc<(Corpus, Timestamp)>>, uri: Uri) -> impl IntoResponse {
    let (corpus, now) = &*corpus;
    let Some(id) = uri.path().strip_prefix("/items/") else {
        let time = format!("{:.3}", *now - SignedDuration::from_hours(2));
        let listed: Vec<_> = corpus.keys().map(|id| json!({"id": id, "archivedTime": time})).collect();
        return json!({"items": listed, "nextCursor": null}).to_string().into_bytes();
    };
    let id = percent_decode(id);
    corpus.get(&id).cloned().unwrap_or_default()
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut remaining = text.as_bytes();
    while let Some((first, after)) = remaining.split_first() {
        let hex = after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                remaining = &after[2..];
            }
            None => {
                bytes.push(*first);
                remaining = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn hostile_item_affects_no_other_item() -> anyhow::Result<()> {
    let now = Timestamp::now();
    let (malicious, unusual, malformed) = (malicious(now), unusual(now), malformed(now));
    let mut corpus: Corpus = malformed.iter().map(|(id, bytes)| ((*id).to_owned(), bytes.clone())).collect();
    corpus.extend(unusual.iter().map(|(id, bytes)| ((*id).to_owned(), bytes.clone())));
    corpus.extend(malicious.iter().map(|(id, item)| ((*id).to_owned(), item.to_string().into_bytes())));
    let ids: Vec<_> = corpus.keys().cloned().collect();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = Router::new().fallback(respond).with_state(Arc::new((corpus, now)));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });

    let variables = [("ARCHIVER_URL", url.as_str())];
    let pipeline =
        Pipeline::start(ItemSource::Api(Sample::many(0, now)), MailSystem::Maildir(vec![ADA.to_owned()]), &variables)
            .await?;
    malicious.iter().for_each(|(_, item)| pipeline.keep_confidential(item));
    let fetched = pipeline.run(&Pipeline::timer()).await?;
    server.abort();
    assert_eq!(fetched.queued, ids.len() as u64);

    let dead_letters: BTreeMap<_, _> = pipeline
        .dead_letters()
        .await?
        .into_iter()
        .map(|dead_letter| (dead_letter.attributes.get("item").cloned().unwrap_or_default(), dead_letter.attributes))
        .collect();
    for (id, _) in &malformed {
        let reason = dead_letters.get(*id).and_then(|dead_letter| dead_letter.get("reason")).map(String::as_str);
        assert_eq!(reason, Some("item-malformed"), "{id}");
    }
    assert_eq!(dead_letters.len(), malformed.len(), "{dead_letters:?}");

    let mail = pipeline.mail(ADA)?;
    assert_eq!(mail.len(), malicious.len() + unusual.len());
    let plain = mail.values().find_map(|mail| {
        let parsed = MessageParser::new().parse(mail)?;
        (evidence(&parsed)?["id"] == "plain").then(|| header_names(&parsed))
    });
    let plain = plain.context("the plain item is not filed")?;
    for bytes in mail.values() {
        let parsed = MessageParser::new().parse(bytes).context("invalid mail")?;
        let raw = raw_evidence(&parsed).context("no evidence")?;
        let is_source_of = |(id, bytes): &&(&str, Vec<u8>)| match (serde_json::from_slice::<Value>(raw), *id) {
            (Ok(evidence), id) if id != "twice" => evidence["id"] == id,
            _ => bytes == raw,
        };
        if let Some((id, _)) = unusual.iter().find(is_source_of) {
            let text = parsed.body_text(0).unwrap_or_default();
            assert!(text.contains("Anomaly"), "{id}: {text}");
            continue;
        }
        let evidence = evidence(&parsed).context("no evidence")?;
        let id = evidence["id"].as_str().unwrap_or_default();
        let unexpected: Vec<_> = header_names(&parsed).into_iter().filter(|name| !plain.contains(name)).collect();
        assert!(unexpected.is_empty(), "{id}: {unexpected:?}");
        assert!(parsed.bcc().is_none(), "{id}");
        let html = parsed.body_html(0).unwrap_or_default();
        assert!(!html.contains("<script") && !html.contains("onerror=alert(1)>"), "{id}");
        assert!(bytes.split(|byte| *byte == b'\n').all(|line| line.len() <= 999), "{id}: a line is too long for SMTP");
        assert!(!bytes.contains(&0), "{id}: the mail contains NUL");
        let expected = malicious.iter().find(|(other, _)| *other == id).map(|(_, item)| item);
        assert_eq!(Some(&evidence), expected, "{id}: the evidence differs from the source's response");
    }
    Ok(())
}

fn header_names(mail: &mail_parser::Message<'_>) -> Vec<String> {
    mail.headers().iter().map(|header| header.name().to_owned()).collect()
}

fn evidence(mail: &mail_parser::Message<'_>) -> Option<Value> {
    serde_json::from_slice(raw_evidence(mail)?).ok()
}

fn raw_evidence<'mail>(mail: &'mail mail_parser::Message<'_>) -> Option<&'mail [u8]> {
    mail.attachments().map(|part| part.contents()).filter(|contents| contents.starts_with(b"{")).last()
}
