//! Zips as phones write them, and damaged or hostile ones.

use std::io::{Cursor, Write};

use chat_export::{AttachmentError, Export, ExportError, ExportFile, Settings};
use jiff::tz::TimeZone;
use model::{AttachmentId, ItemId, MailboxAddress};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

const CHAT: &str =
    "13/07/2024, 09:12 - Ada: \u{200e}IMG-1.jpg (file attached)\n13/07/2024, 09:13 - Ada: gone.jpg (file attached)\n";

fn pack(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(CompressionMethod::Deflated)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn read_as(file_name: &str, bytes: Vec<u8>) -> Result<Export, ExportError> {
    let owner: MailboxAddress = "owner@example.com".parse().unwrap();
    Export::read(ExportFile {
        owner: &owner,
        file_name,
        bytes,
        participants_csv: None,
        settings: &Settings::in_zone(TimeZone::UTC),
        archived_time: "2026-11-22T10:00:00Z".parse().unwrap(),
    })
}

fn read(bytes: Vec<u8>) -> Result<Export, ExportError> {
    read_as("WhatsApp Chat with Ada.zip", bytes)
}

fn ids(export: &Export) -> Vec<ItemId> {
    export.ids().cloned().collect()
}

fn first_attachment() -> AttachmentId {
    AttachmentId::try_from("1".to_owned()).unwrap()
}

/// Replaces the bytes in all places.
fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> = (0..=bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + from.len()].copy_from_slice(to);
    }
}

#[test]
fn attachment_is_found_by_name_and_read_on_request() {
    let picture = b"not really a picture".repeat(100);
    for (chat, file) in [
        ("_chat.txt", "IMG-1.jpg"),
        ("WhatsApp Chat with Ada.txt", "\u{200e}IMG-1.jpg"),
        ("in/_chat.txt", "in/IMG-1.jpg"),
    ] {
        let export =
            read(pack(&[(file, &picture), (chat, CHAT.as_bytes()), ("notes.zip", b"PK\x03\x04never opened")])).unwrap();
        let ids = ids(&export);
        let declared =
            export.item(&ids[0]).unwrap().unwrap_or_else(|error| panic!("{error}")).item.attachments.remove(0);
        assert_eq!((declared.id, declared.size), (first_attachment(), Some(2_000)), "{chat}");
        assert_eq!(export.attachment(&ids[0], &first_attachment(), 2_000), Ok(picture.clone()), "{chat}");
        assert_eq!(
            export.attachment(&ids[0], &first_attachment(), 1_999),
            Err(AttachmentError::TooLarge { limit: 1_999 })
        );
        assert_eq!(export.attachment(&ids[1], &first_attachment(), 1), Err(AttachmentError::Missing));
        let other = AttachmentId::try_from("2".to_owned()).unwrap();
        assert_eq!(export.attachment(&ids[0], &other, 1), Err(AttachmentError::Missing));
        assert_eq!(export.attachment(&"WA-1".parse().unwrap(), &first_attachment(), 1), Err(AttachmentError::Missing));
    }
    let bare = read_as("WhatsApp Chat with Ada.txt", CHAT.as_bytes().to_vec()).unwrap();
    assert_eq!(bare.attachment(&ids(&bare)[0], &first_attachment(), 1), Err(AttachmentError::Missing));
}

#[test]
fn chat_is_found_by_name_and_never_guessed() {
    let message: &[u8] = CHAT.as_bytes();
    let forged: &[u8] =
        b"13/07/2024, 09:12 - Ada: I confess\n13/07/2024, 09:12 - Ada: I do\n13/07/2024, 09:12 - Ada: yes";
    let message_count = |zip_name: &str, entries: &[(&str, &[u8])]| {
        read_as(zip_name, pack(entries)).map(|export| export.summary().messages)
    };
    for (zip_name, entries, expected) in [
        ("a.zip", &[("_chat.txt", message), ("00000003-notes.txt", forged)][..], Ok(2)),
        (
            "WhatsApp Chat with Ada.zip",
            &[("WhatsApp Chat with Ada.txt", message), ("WhatsApp Chat with Bob.txt", forged), ("_chat.txt", forged)],
            Ok(2),
        ),
        ("renamed.zip", &[("WhatsApp Chat with Ada.txt", message), ("notes.txt", forged)], Ok(2)),
        (
            "notes.zip",
            &[("WhatsApp Chat with Ada.txt", message), ("notes.txt", forged)],
            Err(ExportError::SeveralChats { count: 2 }),
        ),
        ("a.zip", &[("whatever.txt", message)], Ok(2)),
        ("a.zip", &[("_chat.txt", message), ("__MACOSX/._chat.txt", b"\0")], Ok(2)),
        (
            "renamed.zip",
            &[("WhatsApp Chat with Ada.txt", message), ("_chat.txt", forged)],
            Err(ExportError::SeveralChats { count: 2 }),
        ),
        ("a.zip", &[("x/_chat.txt", message), ("y/_chat.txt", forged)], Err(ExportError::SeveralChats { count: 2 })),
        (
            "a.zip",
            &[("one.txt", message), ("two.txt", forged), ("three.txt", forged)],
            Err(ExportError::SeveralChats { count: 3 }),
        ),
        ("a.zip", &[("picture.jpg", message)], Err(ExportError::NoChat)),
        ("a.zip", &[], Err(ExportError::NoChat)),
    ] {
        assert_eq!(
            message_count(zip_name, entries),
            expected,
            "{zip_name} {:?}",
            entries.iter().map(|entry| entry.0).collect::<Vec<_>>()
        );
    }
}

#[test]
fn names_that_lead_out_of_the_zip_are_rejected() {
    for name in ["../x.jpg", "a/../../x.jpg", "/x.jpg", "C:x.jpg", "a\\x.jpg", "a\u{0}.jpg", "a\n.jpg"] {
        // The writer corrects some of these names, so they are inserted afterwards.
        let plain = "n".repeat(name.len());
        let mut bytes = pack(&[("_chat.txt", CHAT.as_bytes()), (&plain, b"x")]);
        replace(&mut bytes, plain.as_bytes(), name.as_bytes());
        assert_eq!(read(bytes).err(), Some(ExportError::ZipName { entry: 2 }), "{name:?}");
    }
}

#[test]
fn links_passwords_and_duplicates_are_rejected() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("_chat.txt", SimpleFileOptions::default()).unwrap();
    zip.write_all(CHAT.as_bytes()).unwrap();
    zip.add_symlink("IMG-1.jpg", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    assert_eq!(read(zip.finish().unwrap().into_inner()).err(), Some(ExportError::ZipLink { entry: 2 }));

    let mut duplicates = pack(&[("_chat.txt", CHAT.as_bytes()), ("IMG-1.jpg", b"1"), ("IMG-2.jpg", b"2")]);
    replace(&mut duplicates, b"IMG-2.jpg", b"IMG-1.jpg");
    assert_eq!(read(duplicates).err(), Some(ExportError::ZipDuplicate));

    let mut encrypted = pack(&[("_chat.txt", CHAT.as_bytes()), ("IMG-1.jpg", b"1")]);
    let second = (0..encrypted.len()).filter(|at| encrypted[*at..].starts_with(b"PK\x01\x02")).nth(1).unwrap();
    encrypted[second + 8] |= 1;
    assert_eq!(read(encrypted).err(), Some(ExportError::ZipEncrypted { entry: 2 }));
}

#[test]
fn decompression_stops_at_the_limit() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("_chat.txt", SimpleFileOptions::default()).unwrap();
    let block = vec![b'\n'; 1 << 20];
    for _ in 0..=64 {
        zip.write_all(&block).unwrap();
    }
    let bomb = zip.finish().unwrap().into_inner();
    assert_eq!(read(bomb).err(), Some(ExportError::TextTooLarge { limit: Export::MAX_TEXT_BYTES }));

    // The declared size is wrong: 10 bytes instead of a million.
    let mut bytes = pack(&[("_chat.txt", CHAT.as_bytes()), ("IMG-1.jpg", &[b'x'; 1_000_000])]);
    replace(&mut bytes, &1_000_000_u32.to_le_bytes(), &10_u32.to_le_bytes());
    let export = read(bytes).unwrap();
    let read_back = export.attachment(&ids(&export)[0], &first_attachment(), 1_000);
    assert!(matches!(read_back, Err(AttachmentError::TooLarge { .. } | AttachmentError::Damaged)), "{read_back:?}");
}

#[test]
fn bytes_beyond_the_limit_are_not_decompressed() {
    let noise: Vec<u8> = (0_u32..200_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut bytes = pack(&[("_chat.txt", CHAT.as_bytes()), ("IMG-1.jpg", &noise)]);
    let directory = (0..bytes.len()).find(|at| bytes[*at..].starts_with(b"PK\x01\x02")).unwrap();
    bytes[directory - 500] ^= 0xff;
    let export = read(bytes).unwrap();
    let limited = |limit| export.attachment(&ids(&export)[0], &first_attachment(), limit);
    assert_eq!(limited(1_000), Err(AttachmentError::TooLarge { limit: 1_000 }), "bytes beyond the limit were read");
    assert_eq!(limited(200_000), Err(AttachmentError::Damaged));
}

#[test]
fn damaged_and_missing_files_are_distinguished() {
    let good = pack(&[("_chat.txt", CHAT.as_bytes()), ("IMG-1.jpg", b"an uncompressible picture 8f3a91")]);
    let mut damaged = good.clone();
    let at = damaged.windows(9).position(|window| window == b"IMG-1.jpg").unwrap() + 12;
    damaged[at] ^= 0x10;
    let export = read(damaged).unwrap();
    assert_eq!(export.attachment(&ids(&export)[0], &first_attachment(), 1_000), Err(AttachmentError::Damaged));
    assert_eq!(read(good[..good.len() - 30].to_vec()).err(), Some(ExportError::ZipDamaged));
    assert_eq!(read(Vec::new()).err(), Some(ExportError::ZipDamaged));
}

/// Creates a zip with this many entries whose directory begins with invalid bytes.
fn pack_many(entries: usize) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for number in 0..entries {
        zip.start_file(
            format!("{number}.jpg"),
            SimpleFileOptions::default().compression_method(CompressionMethod::Stored),
        )
        .unwrap();
    }
    let mut bytes = zip.finish().unwrap().into_inner();
    let first = (0..bytes.len()).find(|at| bytes[*at..].starts_with(b"PK\x01\x02")).unwrap();
    bytes[first] = b'Q';
    bytes
}

#[test]
fn too_many_entries_are_rejected_before_any_is_read() {
    let refused = Some(ExportError::ZipEntries { limit: Export::MAX_ZIP_ENTRIES });
    assert_eq!(read(pack_many(Export::MAX_ZIP_ENTRIES + 1)).err(), refused);
    assert_eq!(read(pack_many(3)).err(), Some(ExportError::ZipDamaged));

    // More than fit in the end record's 16 bits: a second record has the number.
    let many = pack_many(70_000);
    assert_eq!(read(many.clone()).err(), refused);

    // A later end record says that there is one entry. Where its directory is invalid, readers use the earlier record.
    let mut contradictory = many;
    contradictory.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x2e\0\0\0\0\0\0\0\0\0");
    assert_eq!(read(contradictory).err(), refused);
    let mut contradictory = pack_many(Export::MAX_ZIP_ENTRIES + 1);
    let end = u32::try_from(contradictory.len()).unwrap().to_le_bytes();
    contradictory.extend([b"PK\x05\x06\0\0\0\0\x01\0\x01\0\0\0\0\0".as_slice(), &end, b"\0\0"].concat());
    assert_eq!(read(contradictory).err(), refused);
}

#[test]
fn sent_file_does_not_keep_the_chat_from_being_read() {
    // Files are stored as they are, and this one ends as a zip of very many would.
    let hostile = b"PK\x05\x06\0\0\0\0\xfe\xff\xfe\xff\x2e\0\0\0\0\0\0\0\0\0";
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in [("_chat.txt", CHAT.as_bytes()), ("IMG-1.jpg", hostile)] {
        zip.start_file(name, SimpleFileOptions::default().compression_method(CompressionMethod::Stored)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    assert_eq!(read(zip.finish().unwrap().into_inner()).unwrap().ids().count(), 2);
}

#[test]
fn misplaced_end_record_is_damage() {
    let mut bytes = pack_many(70_000);
    let locator = (0..bytes.len()).rfind(|at| bytes[*at..].starts_with(b"PK\x06\x07")).unwrap();
    bytes[locator + 8..locator + 16].fill(0);
    assert_eq!(read(bytes).err(), Some(ExportError::ZipDamaged));
}
