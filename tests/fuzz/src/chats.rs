//! What phones export, or what somebody put into the inbox under such a name.

use std::io::{Cursor, Write};

use chat_export::{Export, ExportError, ExportFile, Settings, locate};
use jiff::tz::TimeZone;
use model::MailboxAddress;
use zip::{ZipWriter, write::SimpleFileOptions};

/// Ends the list of participants in an input of [`chat_export`].
const PARTICIPANTS_END: u8 = 0x1f;

/// The most of a file in a chat that is asked for, in bytes.
const LARGEST_FILE: u64 = 64 << 10;

/// The text of an export, with a list of participants before it where the input has a unit separator: read as it is,
/// and from a zip. Both are the same chat.
pub fn chat_export(input: &[u8]) {
    let mut halves = input.splitn(2, |byte| *byte == PARTICIPANTS_END);
    let (first, second) = (halves.next().unwrap_or_default(), halves.next());
    let (participants, text) = second.map_or((None, first), |text| (Some(first), text));
    let plain = read("WhatsApp Chat with Ada.txt", text, participants);
    let packed = read("WhatsApp Chat with Ada.zip", &zipped(text), participants);
    match (plain, packed) {
        (Ok(plain), Ok(packed)) => {
            exercise(&plain);
            exercise(&packed);
            assert_eq!(plain.ids().count(), packed.ids().count(), "the same chat has the same messages");
            let longer = [text, b"\n"].concat();
            let longer = read("WhatsApp Chat with Ada.txt", &longer, participants);
            let longer = longer.unwrap_or_else(|error| panic!("a line end more: {error}"));
            assert!(plain.ids().eq(longer.ids()), "the last message ends as the file does");
        }
        (Err(_), Err(_)) => {}
        (plain, packed) => panic!("{:?} plain, {:?} packed", plain.err(), packed.err()),
    }
}

/// A file that is called a zip.
pub fn chat_export_zip(input: &[u8]) {
    if let Ok(export) = read("WhatsApp Chat with Ada.zip", input, None) {
        exercise(&export);
    }
}

fn read(file_name: &str, bytes: &[u8], participants_csv: Option<&[u8]>) -> Result<Export, ExportError> {
    let owner: MailboxAddress = "owner@example.com".parse().expect("an address");
    Export::read(ExportFile {
        owner: &owner,
        file_name,
        bytes: bytes.to_vec(),
        participants_csv,
        settings: &Settings::in_zone(TimeZone::get("Europe/Copenhagen").expect("a time zone")),
        archived_time: "2026-11-22T10:00:00Z".parse().expect("a time"),
    })
}

fn zipped(text: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [("_chat.txt", text), ("IMG-20261122-WA0001.jpg", b"\xff\xd8\xff")] {
        zip.start_file(name, stored).expect("room in memory");
        zip.write_all(bytes).expect("room in memory");
    }
    zip.finish().expect("room in memory").into_inner()
}

/// Everything that can be asked of an export is asked.
fn exercise(export: &Export) {
    for id in export.ids() {
        assert!(locate(id).is_some(), "an id says its file");
        let captured = export.item(id).expect("an id of the export's own").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(captured.item.id, *id);
        for attachment in &captured.item.attachments {
            // Not found, damaged and too large are answers too.
            let longest = export.attachment(id, &attachment.id, LARGEST_FILE).map_or(0, |bytes| bytes.len());
            assert!(longest as u64 <= LARGEST_FILE, "no more than was asked for");
        }
    }
}
