//! Chat exports, and other files in the inbox with the name of one.

use std::io::{Cursor, Write};

use chat_export::{Export, ExportError, ExportFile, Settings, locate};
use jiff::tz::TimeZone;
use model::MailboxAddress;
use zip::{ZipWriter, write::SimpleFileOptions};

/// The separator after the list of participants in an input of [`chat_export`].
const PARTICIPANTS_END: u8 = 0x1f;

/// Maximum length of an attachment in bytes.
const FILE_MAX_BYTES: u64 = 64 << 10;

/// Tests the text of an export. If the input has a unit separator, the part before it is the list of participants. The
/// text is read as a file and from a zip. Both have the same messages; a file of the zip that no message names is a
/// separate item.
pub fn chat_export(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == PARTICIPANTS_END);
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let (participants, text) = second.map_or((None, first), |text| (Some(first), text));
    let plain = read("WhatsApp Chat with Ada.txt", text, participants);
    let packed = read("WhatsApp Chat with Ada.zip", &zipped(text), participants);
    match (plain, packed) {
        (Ok(plain), Ok(packed)) => {
            assert_items_readable(&plain);
            assert_items_readable(&packed);
            assert_eq!(message_count(&plain), message_count(&packed), "the same text gave different messages");
            let longer = [text, b"\n"].concat();
            let longer = read("WhatsApp Chat with Ada.txt", &longer, participants);
            let longer = longer.unwrap_or_else(|error| panic!("an additional line end gave an error: {error}"));
            assert!(plain.ids().eq(longer.ids()), "the end of the last message is wrong");
        }
        (Err(_), Err(_)) => {}
        (plain, packed) => {
            panic!("the text and the zip gave different results: {:?} and {:?}", plain.err(), packed.err())
        }
    }
}

/// Tests a file with the extension of a zip.
pub fn chat_export_zip(input: &[u8]) {
    if let Ok(export) = read("WhatsApp Chat with Ada.zip", input, None) {
        assert_items_readable(&export);
    }
}

fn read(file_name: &str, bytes: &[u8], participants_csv: Option<&[u8]>) -> Result<Export, ExportError> {
    let owner: MailboxAddress = "owner@example.com".parse().expect("the address is invalid");
    Export::read(ExportFile {
        owner: &owner,
        file_name,
        bytes: bytes.to_vec(),
        participants_csv,
        settings: &Settings::in_zone(TimeZone::get("Europe/Copenhagen").expect("the time zone is unknown")),
        archived_time: "2026-11-22T10:00:00Z".parse().expect("the time is invalid"),
    })
}

/// Returns a zip with the text of an export and a picture.
fn zipped(text: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [("_chat.txt", text), ("IMG-20261122-WA0001.jpg", b"\xff\xd8\xff")] {
        zip.start_file(name, stored).expect("memory is available");
        zip.write_all(bytes).expect("memory is available");
    }
    zip.finish().expect("memory is available").into_inner()
}

/// Returns the number of items without those of files that no message names.
fn message_count(export: &Export) -> usize {
    export.ids().count() - export.summary().unnamed_files.len()
}

/// Asserts that every item of an export can be read, and that every attachment is bounded.
fn assert_items_readable(export: &Export) {
    for id in export.ids() {
        assert!(locate(id).is_some(), "the id does not contain the digest of the file");
        let captured =
            export.item(id).expect("the id is not that of an export").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(captured.item.id, *id);
        for attachment in &captured.item.attachments {
            // Missing, damaged and too large files are valid results too.
            let length = export.attachment(id, &attachment.id, FILE_MAX_BYTES).map_or(0, |bytes| bytes.len());
            assert!(length as u64 <= FILE_MAX_BYTES, "an attachment exceeds the limit");
        }
    }
}
