//! Rendering of an item as a message that every reader parses in the same way.

use mail_parser::{MessageParser, MimeHeaders, decoders::base64::base64_decode};
use message::write::{Content, EVIDENCE_NAME, FileFacts, RenderError, Renderer};
use model::{Captured, Sha256};
use serde_json::{Value, json};

/// Separates the members in an input of [`render`].
const MEMBER_END: u8 = 0x1f;

/// Maximum length of a line in RFC 5322, without CR LF.
const MAX_LINE_BYTES: usize = 998;

/// Every header that a message may have, in their order.
const HEADERS: [&str; 17] = [
    "Date",
    "From",
    "Message-ID",
    "X-WA-Kind",
    "X-WA-Chat",
    "X-WA-Message-Id",
    "X-WA-Content-SHA256",
    "X-WA-Schema",
    "X-WA-Item",
    "Subject",
    "In-Reply-To",
    "References",
    "Thread-Topic",
    "Thread-Index",
    "To",
    "MIME-Version",
    "Content-Type",
];

/// Tests the rendering of an item. The input has members as `path=value`, which are set in an otherwise valid item, so
/// that nearly every input is an item. A value that is JSON is used as JSON, every other value as text. `file=` sets
/// the bytes of every second attachment; the other attachments were erased.
pub fn render(input: &[u8]) {
    let mut value = json!({
        "id": "WA-1", "messageId": "M1", "type": "text", "text": "hi",
        "messageTime": "2026-11-20T14:05:09Z", "archivedTime": "2026-11-20T14:05:11Z",
        "chat": {"id": "c1", "type": "individual"}, "direction": "incoming",
        "from": {"name": "Ada", "phone": "+4520123456"}, "to": [{"name": "Bo", "phone": "4520123457"}],
    });
    let mut file: &[u8] = b"a\r\nb\n\xff";
    for member in input.split(|byte| *byte == MEMBER_END) {
        let Some(at) = member.iter().position(|byte| *byte == b'=') else { continue };
        let (path, bytes) = (String::from_utf8_lossy(&member[..at]), &member[at + 1..]);
        if path == "file" {
            file = bytes;
            continue;
        }
        let text = String::from_utf8_lossy(bytes);
        set_member(&mut value, &path, serde_json::from_str(&text).unwrap_or_else(|_| json!(text)));
    }
    let Some(id) = value["id"].as_str().and_then(|id| id.parse().ok()) else { return };
    let Ok(captured) = Captured::from_value(value, &id) else { return };
    let content = |at: usize| match at % 2 {
        0 => Content::File(FileFacts::of(file, Sha256::of(file))),
        _ => Content::Erased,
    };
    let contents: Vec<_> = (0..captured.item.attachments.len()).map(content).collect();
    let renderer = Renderer::new("archive.example.com").expect("the domain is invalid");
    let rendered = match renderer.render(&captured, &contents) {
        Ok(rendered) => rendered,
        Err(RenderError::Attachments { .. }) => panic!("the numbers of files and contents differ"),
        Err(RenderError::Place) => panic!("a file has no part"),
    };
    assert!(rendered.message_id == renderer.message_id(&captured.item), "the Message-ID is not that of the item");
    let again = renderer.render(&captured, &contents).expect("the item cannot be rendered again");
    let mime = rendered.mime(|_| file);
    assert!(again.mime(|_| file) == mime, "the same item was rendered to different bytes");
    assert_valid_bytes(&mime);
    assert_content(&mime, &rendered.message_id, &captured, file);
}

/// Sets the member at a path such as `to.0.name`. A list grows by at most one element; other values are replaced by an
/// object.
fn set_member(value: &mut Value, path: &str, new: Value) {
    let Some((first, rest)) = path.split_once('.').map(|(first, rest)| (first, Some(rest))).or(Some((path, None)))
    else {
        return;
    };
    let member = match (first.parse::<usize>(), value) {
        (Ok(at), Value::Array(list)) => {
            let at = at.min(list.len());
            if at == list.len() {
                list.push(Value::Null);
            }
            &mut list[at]
        }
        (Ok(_), value) => {
            *value = json!([null]);
            &mut value[0]
        }
        (Err(_), value) => {
            if !value.is_object() {
                *value = json!({});
            }
            &mut value[first]
        }
    };
    match rest {
        Some(rest) => set_member(member, rest, new),
        None => *member = new,
    }
}

/// Asserts that the bytes meet the requirements of SMTP and of mail readers.
fn assert_valid_bytes(mime: &[u8]) {
    assert!(mime.is_ascii() && !mime.contains(&0), "the message is not ASCII, or contains NUL");
    assert!(mime.ends_with(b"\r\n"), "the last line has no end");
    for line in mime.split(|byte| *byte == b'\n') {
        let line = match line {
            [] => continue,
            [line @ .., b'\r'] => line,
            _ => panic!("a line feed without a carriage return"),
        };
        assert!(!line.contains(&b'\r'), "a carriage return without a line feed");
        assert!(line.len() <= MAX_LINE_BYTES, "a line of {} bytes", line.len());
    }
}

/// Asserts that the parsed message has exactly the expected headers and parts, with the content that was put into them.
fn assert_content(mime: &[u8], message_id: &str, captured: &Captured, file: &[u8]) {
    let item = &captured.item;
    let parsed = MessageParser::default().parse(mime).expect("the message cannot be parsed");
    let mut last = None;
    for header in parsed.headers() {
        let at = HEADERS.iter().position(|name| *name == header.name.as_str());
        assert!(at.is_some() && at > last, "{} is unexpected or repeated", header.name.as_str());
        last = at;
    }
    assert_eq!(parsed.message_id(), Some(message_id.trim_matches(['<', '>'])));
    assert_eq!(parsed.date().map(|date| date.to_timestamp()), Some(item.message_time.as_second()));
    let files = item.attachments.len().div_ceil(2);
    let cards = item.contacts.iter().filter(|card| card.vcard.is_some()).count();
    assert_eq!(parsed.attachment_count(), files + cards + 1);
    for part in parsed.attachments().take(files) {
        // The raw bytes of the message: the parser converts the character set of a text file.
        let encoded = mime.get(part.raw_body_offset() as usize..part.raw_end_offset() as usize).unwrap_or_default();
        assert!(base64_decode(encoded).as_deref() == Some(file), "the bytes of a file were changed");
    }
    let evidence = parsed.attachments().last().expect("the evidence is missing");
    assert_eq!(evidence.attachment_name(), Some(EVIDENCE_NAME));
    assert!(evidence.contents() == captured.evidence, "the evidence was changed");
    assert!(parsed.body_text(0).is_some_and(|text| !text.trim().is_empty()), "the message has no text");
    let html = parsed.body_html(0).expect("the message has no HTML").to_ascii_lowercase();
    assert_eq!(html.matches("<style").count(), 1, "the page has other style sheets than its own");
    for tag in html.split('<').skip(1) {
        let name: String = tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
        assert!(!matches!(name.as_str(), "script" | "iframe" | "object" | "form" | "link" | "svg"), "<{name}>");
        assert!(name != "img" || tag.starts_with("img src=\"cid:picture-"), "a picture has an unknown Content-ID");
    }
}
