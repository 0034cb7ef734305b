//! The committed messages: `golden/<name>.json` is an item, `golden/<name>.eml` its message.
//!
//! A change of the layout changes the bytes of all messages that are rendered later, so it must be intended.
//! `GOLDEN=write cargo nextest run --workspace -E 'test(messages_are_the_committed_ones)'` writes the messages anew;
//! read the difference before committing it.

use std::{collections::BTreeMap, fs, path::PathBuf};

use bytes::Bytes;
use mail_parser::{MessageParser, MimeHeaders};
use message::copy::CopyAddresses;
use message::write::{Content, FileFacts, Renderer};
use model::{Captured, Kind, MailboxAddress, Sha256};
use serde_json::Value;

use crate::readers::{self, Reader};

/// A message in memory.
pub(crate) struct Rendered {
    pub(crate) message_id: String,
    pub(crate) mime: Bytes,
    pub(crate) sha256: Sha256,
}

struct Golden {
    name: String,
    captured: Captured,
    files: Vec<Option<Vec<u8>>>,
    rendered: Rendered,
}

impl Golden {
    /// Returns the file names according to our own reader, which import uses.
    fn file_names(&self) -> Vec<String> {
        let parsed = MessageParser::default().parse(&self.rendered.mime).expect("a message");
        parsed.attachments().filter_map(MimeHeaders::attachment_name).map(str::to_owned).collect()
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn all() -> Vec<Golden> {
    let mut names: Vec<String> = fs::read_dir(folder())
        .expect("the folder of golden messages")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 30, "only {} golden items were found", names.len());
    names.into_iter().map(golden).collect()
}

fn golden(name: String) -> Golden {
    let json = fs::read(folder().join(format!("{name}.json"))).expect("an item");
    let value: Value = serde_json::from_slice(&json).expect("JSON");
    let id = value["id"].as_str().expect("an id").parse().expect("an id");
    let captured = Captured::from_value(value, &id).unwrap_or_else(|error| panic!("{name}: {error}"));
    let files: Vec<Option<Vec<u8>>> = captured.item.attachments.iter().map(file).collect();
    let rendered = render(&captured, &files);
    Golden { name, captured, files, rendered }
}

pub(crate) fn render(captured: &Captured, files: &[Option<Vec<u8>>]) -> Rendered {
    let rendered = in_pieces(captured, files);
    let mime = rendered.mime(|index| files[index].as_deref().expect("an erased file has no place"));
    assert_eq!(rendered.length(), mime.len() as u64);
    Rendered { message_id: rendered.message_id, sha256: Sha256::of(&mime), mime }
}

pub(crate) fn in_pieces(captured: &Captured, files: &[Option<Vec<u8>>]) -> message::write::Rendered {
    let contents: Vec<Content> = files
        .iter()
        .map(|file| match file {
            Some(bytes) => Content::File(FileFacts::of(bytes, Sha256::of(bytes))),
            None => Content::Erased,
        })
        .collect();
    Renderer::new("archive.example.com").expect("a domain").render(captured, &contents).expect("a message")
}

/// Returns a picture if one is declared; otherwise every possible byte, line breaks of all kinds, and the beginning of
/// a boundary.
fn file(attachment: &model::Attachment) -> Option<Vec<u8>> {
    if attachment.id.as_str().starts_with("erased") {
        return None;
    }
    match attachment.content_type.as_deref() {
        Some("text/plain") => return Some("linje 1\nlinje 2\r\nlinje 3\r–slut".into()),
        Some("image/jpeg") => return Some(include_bytes!("../files/picture.jpg").to_vec()),
        Some("image/png") => return Some(include_bytes!("../files/picture.png").to_vec()),
        Some("image/gif") => return Some(include_bytes!("../files/picture.gif").to_vec()),
        Some("image/webp") => return Some(include_bytes!("../files/picture.webp").to_vec()),
        _ => {}
    }
    let mut bytes: Vec<u8> = (0..=255).collect();
    bytes.extend_from_slice(b"\r\n\n\r--=_mixed_\r\n");
    bytes.extend_from_slice(attachment.id.as_str().as_bytes());
    Some(bytes)
}

#[test]
fn messages_are_the_committed_ones() {
    #[expect(clippy::disallowed_methods, reason = "a switch of the test, not configuration")]
    let write = std::env::var("GOLDEN").is_ok_and(|value| value == "write");
    for Golden { name, rendered, .. } in all() {
        let path = folder().join(format!("{name}.eml"));
        if write {
            fs::write(&path, &rendered.mime).expect("a writable folder");
        }
        let committed = fs::read(&path).unwrap_or_else(|error| panic!("{name}.eml: {error}"));
        assert!(committed == rendered.mime, "{name}: the message differs from the committed one");
    }
}

#[test]
fn every_kind_has_a_golden_message() {
    let mut kinds = BTreeMap::new();
    for golden in all() {
        *kinds.entry(golden.captured.item.kind.to_string()).or_insert(0) += 1;
    }
    for kind in Kind::KNOWN {
        assert!(kinds.contains_key(kind.as_str()), "no golden message of kind {kind}");
    }
    assert!(kinds.keys().any(|kind| matches!(Kind::from(kind.clone()), Kind::Other(_))), "no unknown kind");
}

#[test]
fn messages_are_clean_and_the_same_every_time() {
    for Golden { name, captured, files, rendered } in all() {
        readers::assert_clean(&rendered.mime);
        let again = render(&captured, &files);
        assert!(again.mime == rendered.mime && again.sha256 == rendered.sha256, "{name}");
        assert_eq!(rendered.sha256, Sha256::of(&rendered.mime), "{name}");
    }
}

/// Returns the digests of the files that the message must contain, in order, the evidence last.
fn digests(golden: &Golden) -> Vec<String> {
    let cards = golden.captured.item.contacts.iter().filter_map(|card| card.vcard.as_deref());
    let files = golden.files.iter().flatten().map(Vec::as_slice);
    let all = files.chain(cards.map(str::as_bytes)).chain([golden.captured.evidence.as_slice()]);
    all.map(|bytes| Sha256::of(bytes).to_string()).collect()
}

/// Asserts that every line of the text is marked, and otherwise equals the captured line.
fn same_text(golden: &Golden, plain: &str) {
    let Some(text) = golden.captured.item.text.as_deref().filter(|text| !text.contains('\0')) else { return };
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let marked: String = text.split('\n').map(|line| format!("| {line}\n")).collect();
    assert!(plain.replace("\r\n", "\n").contains(&format!("\nText:\n{marked}")), "{}: not its text", golden.name);
}

/// Returns a header value without the marks that isolate a name's direction.
fn unmarked(text: &str) -> String {
    text.replace(['\u{200e}', '\u{200f}'], "")
}

/// Returns the address of a participant's mailbox: of usual or of maximum length.
fn mailbox(place: usize) -> MailboxAddress {
    let label = "a".repeat(60);
    let long = format!("{}@{label}.{label}.{label}.example", "b".repeat(63));
    let address = if place.is_multiple_of(2) { format!("user-{place}@bank.example") } else { long };
    address.parse().expect("an address")
}

/// Returns the copy that is filed if each participant has a mailbox.
fn copy(golden: &Golden) -> Vec<u8> {
    let people = golden.captured.item.participants().enumerate();
    let addresses = CopyAddresses::of(people.map(|(place, participant)| (participant, Some(mailbox(place)))));
    addresses.copy_of(golden.rendered.mime.clone().into()).in_memory().to_vec()
}

/// Splits a text into lines, without the last line break, which belongs to the boundary.
fn lines(text: &str) -> Vec<&str> {
    text.trim_end_matches(['\r', '\n']).lines().collect()
}

/// Compares every field with the captured value, or a computed field with the value of our own reader. A copy has
/// mailbox addresses.
fn compare(golden: &Golden, read: &Value, is_copy: bool) {
    let name = &golden.name;
    let item = &golden.captured.item;
    let own = MessageParser::default().parse(&golden.rendered.mime).expect("a message");
    assert_eq!(read["message_id"], golden.rendered.message_id, "{name}");
    let subject = read["subject"].as_str().expect("a subject");
    assert!(subject.starts_with("WhatsApp: ") && subject.len() <= 128, "{name}: {subject}");
    if let Some(chat) = &item.chat.name {
        assert_eq!(unmarked(subject), format!("WhatsApp: {chat}"), "{name}");
    }
    assert_eq!(own.subject(), Some(subject), "{name}");
    let fields = read["fields"].as_object().expect("fields");
    for field in readers::FIELDS {
        let expected = match field {
            "Thread-Topic" => Some(subject.to_owned()),
            _ => own.header_raw(field).map(|value| value.split_whitespace().collect::<Vec<_>>().join(" ")),
        };
        assert_eq!(fields.get(field).and_then(Value::as_str), expected.as_deref(), "{name}: {field}");
    }
    let files = read["files"].as_array().expect("files");
    let listed = |member: &str| -> Vec<&str> {
        files
            .iter()
            .map(|file| file[member].as_str().unwrap_or_else(|| panic!("{name}: a file without a {member}")))
            .collect()
    };
    assert_eq!(listed("sha256"), digests(golden), "{name}");
    assert_eq!(listed("name"), golden.file_names(), "{name}");
    let types = own.attachments().filter_map(MimeHeaders::content_type);
    let types: Vec<_> = types.map(|kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default())).collect();
    assert_eq!(listed("type"), types, "{name}");
    let cids: Vec<_> = own.attachments().map(MimeHeaders::content_id).collect();
    assert_eq!(files.iter().map(|file| file["cid"].as_str()).collect::<Vec<_>>(), cids, "{name}");
    let plain = read["plain"].as_str().expect("a text");
    same_text(golden, plain);
    assert_eq!(lines(plain), lines(&own.body_text(0).expect("a text")), "{name}");
    let page = read["html"].as_str().expect("a page");
    assert_eq!(lines(page), lines(&own.body_html(0).expect("a page")), "{name}");
    for picture in page.split("src=\"cid:").skip(1) {
        let id = picture.split('"').next().expect("an id");
        assert!(files.iter().any(|file| file["cid"] == id), "{name}: no file with the id {id}");
    }
    compare_people(golden, (&read["from"], &read["to"]), is_copy);
    assert_eq!(read["date"], item.message_time.to_string().replace('Z', "+00:00"), "{name}");
    // Only some parsers report these fields.
    if let Some(defects) = read.get("defects") {
        assert_eq!(*defects, Value::Array(Vec::new()), "{name}");
        assert!(files.iter().all(|file| file["encoding"] == "base64"), "{name}");
        let structure = read["structure"].as_array().expect("parts");
        let types = ["multipart/mixed", "multipart/alternative", "text/plain", "text/html"];
        assert!(structure.iter().zip(types).all(|(found, expected)| found == expected), "{name}: {structure:?}");
    }
}

fn compare_people(golden: &Golden, (from, to): (&Value, &Value), is_copy: bool) {
    let item = &golden.captured.item;
    let count = |people: &Value| people.as_array().expect("people").len();
    assert_eq!((count(from), count(to)), (1, item.to.len()), "{}", golden.name);
    let own = MessageParser::default().parse(&golden.rendered.mime).expect("a message");
    let named = [own.from(), own.to()].into_iter().flatten().flat_map(mail_parser::Address::iter);
    let mut names = named.map(|person| person.name().unwrap_or_default().to_owned());
    let found = from.as_array().into_iter().chain(to.as_array()).flatten();
    for ((place, person), read) in item.participants().enumerate().zip(found) {
        let shown = read[0].as_str().expect("a name");
        let address = read[1].as_str().expect("an address");
        // Python keeps the space between two encoded words.
        let words = |name: &str| name.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(shown), words(&names.next().expect("a name")), "{}", golden.name);
        let captured = words(person.name.as_deref().unwrap_or_default());
        assert!(words(&unmarked(shown)).contains(&captured), "{}: {shown}", golden.name);
        match (&person.email, person.phone_digits()) {
            (Some(_), _) if is_copy => assert_eq!(address, mailbox(place).as_str()),
            (_, _) if is_copy && item.upload.is_none() => assert_eq!(address, mailbox(place).as_str()),
            (Some(email), _) => assert_eq!(address, email),
            (None, Some(digits)) if item.upload.is_some() => {
                assert_eq!(address, format!("{digits}@upload.whatsapp.invalid"));
            }
            (None, Some(digits)) => assert_eq!(address, format!("{digits}@whatsapp.invalid")),
            (None, None) => assert!(address.ends_with("@whatsapp.invalid"), "{address}"),
        }
    }
}

fn every_field_is_read_by(reader: Reader) {
    let goldens = all();
    // A copy has the Message-ID of its message, and notmuch treats them as one message.
    for (is_copy, mime) in [(false, (|golden| golden.rendered.mime.to_vec()) as fn(&Golden) -> Vec<u8>), (true, copy)] {
        let messages: Vec<Vec<u8>> = goldens.iter().map(mime).collect();
        for (golden, read) in goldens.iter().zip(reader.read(&messages)) {
            compare(golden, &read, is_copy);
        }
    }
}

#[test]
fn every_field_is_read_by_python() {
    every_field_is_read_by(Reader::Python);
}

#[test]
fn every_field_is_read_by_perl() {
    every_field_is_read_by(Reader::Perl);
}

#[test]
fn every_field_is_read_by_mailparser() {
    every_field_is_read_by(Reader::Mailparser);
}

#[test]
fn every_field_is_read_by_postal_mime() {
    every_field_is_read_by(Reader::PostalMime);
}

#[test]
fn every_field_is_read_by_notmuch() {
    every_field_is_read_by(Reader::Notmuch);
}
