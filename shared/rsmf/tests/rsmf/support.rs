//! Exports items to RSMF files as the command does, and reads the files.

use std::io::{Cursor, Read};

use mail_parser::{MessageParser, MimeHeaders};
use model::{Captured, Sha256};
use rsmf::{Finished, Limits, Package, PlannedFile, Record, Slice, StoredItem, plan};
use serde_json::{Value, json};
use zip::ZipArchive;

/// An item and the files of its stored message.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) captured: Captured,
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) missing_files: usize,
}

impl Item {
    pub(crate) fn of(json: Value) -> Self {
        let id = json["id"].as_str().expect("an id").parse().expect("an id");
        let captured = Captured::from_value(json, &id).unwrap_or_else(|error| panic!("{error}"));
        Self { captured, files: Vec::new(), missing_files: 0 }
    }

    pub(crate) fn with_file(mut self, name: &str, bytes: &[u8]) -> Self {
        self.files.push((name.to_owned(), bytes.to_vec()));
        self
    }
}

/// Creates a message in the chat of Ada, whose account is captured, and a client of hers.
pub(crate) fn item(number: u32, kind: &str, more: Value) -> Item {
    let mut json = json!({
        "id": format!("WA-{number}"), "messageId": format!("M{number}"), "type": kind, "direction": "incoming",
        "messageTime": format!("2026-11-20T09:{:02}:{:02}Z", number / 60, number % 60),
        "archivedTime": "2026-11-20T12:00:00Z", "chat": {"id": "4520123457@s.whatsapp.net", "type": "individual"},
        "from": client(), "to": [ada()],
    });
    merge(&mut json, more);
    Item::of(json)
}

pub(crate) fn ada() -> Value {
    json!({"name": "Ada Byrne", "phone": "+353871234567", "email": "ada@bank.example"})
}

pub(crate) fn client() -> Value {
    json!({"name": "Client", "phone": "4520123457"})
}

/// Returns the message with this number as the target of another item.
pub(crate) fn target(number: u32, from: Value) -> Value {
    json!({"messageId": format!("M{number}"), "from": from})
}

fn merge(json: &mut Value, more: Value) {
    if let (Value::Object(json), Value::Object(more)) = (json, more) {
        json.extend(more);
    }
}

/// An exported file and its parsed content.
pub(crate) struct Written {
    pub(crate) planned: PlannedFile,
    pub(crate) bytes: Vec<u8>,
    pub(crate) finished: Finished,
    pub(crate) manifest: Value,
    pub(crate) text: String,
    pub(crate) names: Vec<String>,
}

impl Written {
    pub(crate) fn events(&self) -> &[Value] {
        self.manifest["events"].as_array().expect("a list")
    }
}

fn records(items: &[Item]) -> Vec<Record> {
    items.iter().map(|item| Record::of(&item.captured, 2_000)).collect()
}

pub(crate) fn plan_of(items: &[Item], limits: Limits) -> Vec<PlannedFile> {
    let records = records(items);
    plan(&records.iter().collect::<Vec<_>>(), limits)
}

pub(crate) fn export(items: &[Item]) -> Vec<Written> {
    export_within(items, Limits::default())
}

pub(crate) fn export_within(items: &[Item], limits: Limits) -> Vec<Written> {
    plan_of(items, limits).into_iter().map(|planned| write(items, planned)).collect()
}

fn write(items: &[Item], planned: PlannedFile) -> Written {
    let PlannedFile { conversation, day, part, parts, .. } = planned;
    let empty = || Cursor::new(Vec::new());
    let mut package = Package::new(Slice { conversation, day, part, parts }, empty(), empty(), empty());
    for unit in &planned.units {
        let mut source = |at: usize| {
            let item: &Item = &items[at];
            let mut files = Vec::new();
            for (name, bytes) in &item.files {
                package.begin_file(name).unwrap();
                bytes.chunks(1_000).for_each(|bytes| package.write_file(bytes).unwrap());
                files.extend(package.end_file());
            }
            let sha256 = Sha256::of(item.captured.item.id.as_str().as_bytes());
            StoredItem {
                captured: &item.captured,
                message: "mime/0.eml",
                sha256,
                files,
                missing_files: item.missing_files,
            }
        };
        let first = source(unit.item);
        let folded: Vec<_> = unit.folded.iter().map(|&at| source(at)).collect();
        package.add(&first, &folded).unwrap();
    }
    let mut bytes = Vec::new();
    let finished = package.finish(&mut bytes).unwrap();
    let (manifest, text, names) = read(&bytes);
    Written { planned, bytes, finished, manifest, text, names }
}

/// Parses a file: the manifest, the text, and the names in the package.
fn read(bytes: &[u8]) -> (Value, String, Vec<String>) {
    let message = MessageParser::default().parse(bytes).expect("a message");
    let attachments: Vec<_> = message.attachments().collect();
    let [attachment] = attachments.as_slice() else { panic!("{} attachments", attachments.len()) };
    assert_eq!(attachment.attachment_name(), Some("rsmf.zip"));
    let mut zip = ZipArchive::new(Cursor::new(attachment.contents())).unwrap();
    let names = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
    let mut manifest = Vec::new();
    zip.by_name("rsmf_manifest.json").unwrap().read_to_end(&mut manifest).unwrap();
    (serde_json::from_slice(&manifest).unwrap(), message.body_text(0).expect("a text").into_owned(), names)
}

/// Returns the values of a fact of an event.
pub(crate) fn facts<'a>(event: &'a Value, name: &str) -> Vec<&'a str> {
    let custom = event["custom"].as_array().map(Vec::as_slice).unwrap_or_default();
    custom.iter().filter(|fact| fact["name"] == name).filter_map(|fact| fact["value"].as_str()).collect()
}
