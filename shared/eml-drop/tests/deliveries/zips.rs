//! Zips as vendors write them, and hostile zips.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};

use eml_drop::{EntryKind, Package, PackageError};
use zip::{ZipWriter, write::SimpleFileOptions};

fn pack(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn open(bytes: Vec<u8>) -> Result<Package<Cursor<Vec<u8>>>, PackageError> {
    Package::open(Cursor::new(bytes))
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let places: Vec<usize> = (0..=bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
}

#[test]
fn entries_are_listed_in_order_and_read_one_by_one() {
    let files: [(&str, &[u8]); 5] =
        [("b.eml", b"B"), ("sub/a.EML", b"A"), ("list.mf", b"Count: 2"), ("__MACOSX/._b.eml", b"x"), ("note.txt", b"")];
    let mut package = open(pack(&files)).unwrap();
    let names: Vec<_> = package.names().map(|(name, kind)| (name.to_owned(), kind)).collect();
    assert_eq!(
        names,
        [
            ("b.eml".to_owned(), EntryKind::Mail),
            ("sub/a.EML".to_owned(), EntryKind::Mail),
            ("list.mf".to_owned(), EntryKind::Manifest),
            ("note.txt".to_owned(), EntryKind::Other)
        ]
    );
    assert_eq!(package.read(1, 10), Ok(b"A".to_vec()));
    assert_eq!(package.read(0, 10), Ok(b"B".to_vec()));
    assert_eq!(package.read(9, 10), Err(PackageError::DamagedEntry));
}

#[test]
fn zip_entry_is_not_decompressed_beyond_the_limit() {
    let mut package = open(pack(&[("a.eml", &vec![0; 64 << 20])])).unwrap();
    assert_eq!(package.read(0, 1 << 20), Err(PackageError::TooLarge { limit: 1 << 20 }));
}

#[test]
fn entry_outside_the_zip_is_rejected_and_others_are_read() {
    for name in ["../a.eml", "/a.eml", "x/../../a.eml", "C:a.eml", "a\\b.eml", "a\u{7}.eml"] {
        let mut package = open(pack(&[(name, b"A"), ("b.eml", b"B")])).unwrap();
        assert_eq!(package.read(0, 10), Err(PackageError::Name), "{name}");
        assert_eq!(package.read(1, 10), Ok(b"B".to_vec()));
    }
}

#[test]
fn damaged_entry_is_rejected_and_others_are_read() {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in [("a.eml", "damaged soon"), ("b.eml", "whole")] {
        let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        zip.start_file(name, stored).unwrap();
        zip.write_all(bytes.as_bytes()).unwrap();
    }
    let mut bytes = zip.finish().unwrap().into_inner();
    replace(&mut bytes, b"damaged soon", b"Damaged soon");
    let mut package = open(bytes).unwrap();
    assert_eq!(package.read(0, 100), Err(PackageError::DamagedEntry));
    assert_eq!(package.read(1, 100), Ok(b"whole".to_vec()));
}

#[test]
fn truncated_or_oversized_zip_is_rejected() {
    let whole = pack(&[("a.eml", b"A"), ("b.eml", b"B")]);
    for length in [0, 1, 10, whole.len() / 2, whole.len() - 23] {
        assert_eq!(open(whole[..length].to_vec()).err(), Some(PackageError::Damaged), "{length}");
    }
    // A 64-bit end record that declares four thousand million entries.
    let mut record = b"PK\x06\x06".to_vec();
    record.extend(44_u64.to_le_bytes());
    record.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for number in [u64::from(u32::MAX), u64::from(u32::MAX), 1 << 40, 0] {
        record.extend(number.to_le_bytes());
    }
    let at = (whole.len() - 22) as u64;
    let mut locator = b"PK\x06\x07".to_vec();
    locator.extend(0_u32.to_le_bytes());
    locator.extend(at.to_le_bytes());
    locator.extend(1_u32.to_le_bytes());
    let mut end = b"PK\x05\x06".to_vec();
    end.extend([0, 0, 0, 0, 255, 255, 255, 255]);
    end.extend([255; 8]);
    end.extend([0, 0]);
    let hostile = [&whole[..whole.len() - 22], &record, &locator, &end].concat();
    assert_eq!(open(hostile).err(), Some(PackageError::TooManyEntries { limit: 100_000 }));
}

#[test]
fn two_entries_of_one_name_are_rejected() {
    let mut bytes = pack(&[("a.eml", b"A"), ("b.eml", b"B")]);
    replace(&mut bytes, b"b.eml", b"a.eml");
    assert_eq!(open(bytes).err(), Some(PackageError::DuplicateNames));
}

struct Failing(Cursor<Vec<u8>>, usize);

impl Read for Failing {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.1 = self.1.checked_sub(1).ok_or(io::ErrorKind::ConnectionReset)?;
        self.0.read(into)
    }
}

impl Seek for Failing {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn reader_that_fails_is_not_taken_for_a_damaged_zip() {
    let whole = pack(&[("a.eml", b"A"), ("b.eml", b"B")]);
    let mut outcomes = Vec::new();
    for reads in 0..200 {
        let package = Package::open(Failing(Cursor::new(whole.clone()), reads));
        outcomes.push(match package.and_then(|mut package| package.read(1, 10)) {
            Ok(bytes) => bytes == b"B",
            Err(PackageError::Io(_)) => false,
            Err(error) => panic!("{error} after {reads} reads"),
        });
    }
    assert!(outcomes.contains(&true) && outcomes.contains(&false));
}

#[test]
fn mail_with_the_name_of_a_system_file_is_listed() {
    let mail = b"Date: x";
    let double = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X";
    let files: [(&str, &[u8]); 10] = [
        ("._a.eml", mail),
        ("sub/._b.eml", mail),
        ("._empty.eml", b""),
        ("._list.mf", b"Count: 2"),
        ("__MACOSX/c.eml", mail),
        ("._d.eml", double),
        ("sub/._list.mf", double),
        ("__MACOSX/._a.eml", double),
        ("__MACOSX/sub/._x.eml", b"x"),
        (".DS_Store", b"x"),
    ];
    let mut package = open(pack(&files)).unwrap();
    let names: Vec<_> = package.names().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names, ["._a.eml", "sub/._b.eml", "._empty.eml", "._list.mf", "__MACOSX/c.eml"]);
    assert_eq!(package.read(0, 10), Ok(mail.to_vec()));
    // An entry that cannot be read is a problem, so it is listed.
    let mut damaged = pack(&[("._a.eml", mail)]);
    replace(&mut damaged, b"PK\x03\x04", b"PK\x03\x05");
    let mut package = open(damaged).unwrap();
    assert_eq!(package.names().count(), 1);
    assert_eq!(package.read(0, 10), Err(PackageError::DamagedEntry));
}
