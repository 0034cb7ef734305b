//! Mails of a capture vendor and other files in the inbox, as single files and in a zip.

use std::io::Cursor;

use eml_drop::{
    Delivered, Entry, EntryKind as Kind, Manifest, Package, Profile, attachment, examine, has_same_content, item_id,
    read,
};
use jiff::Timestamp;
use model::{Captured, Problem, Sha256};

/// Upper bound on the bytes of one file of a zip.
const FILE_MAX_BYTES: u64 = 64 << 10;

/// A field that mail servers add at the beginning of a mail.
const TRANSPORT_FIELD: &[u8] = b"Received: from a.example by b.example; Sun, 22 Nov 2026 07:00:00 +0000\r\n";

fn profiles() -> [Profile; 2] {
    let generic =
        Profile::generic("id=X-Archive-Id,chat=X-Chat-Id,group=X-Group,type=X-Type").expect("the profile is invalid");
    [Profile::telemessage(), generic]
}

/// Tests a file as one mail. A mail that can be read becomes an item whose attachments are the mail itself and files of
/// the mail.
pub fn eml_drop(input: &[u8]) {
    for profile in profiles() {
        let (id, sha256) = (item_id(input, &profile), Sha256::of(input));
        let file = "inbox/sftp/mail.eml";
        let delivered = Delivered { id: &id, file, name: None, received: Timestamp::UNIX_EPOCH, sha256 };
        let Ok(value) = read(input, &profile, &delivered) else { continue };
        let captured = Captured::from_value(value, &id).unwrap_or_else(|error| panic!("not an item: {error}"));
        assert_eq!(captured.item.id, id);
        let transported = [TRANSPORT_FIELD, input].concat();
        assert!(
            has_same_content(input, &transported, &profile),
            "the same mail with a field of transport is another one"
        );
        let mut evidence_count = 0;
        for declared in &captured.item.attachments {
            let bytes = attachment(input, &declared.id).expect("a file of the item is not in the mail");
            assert_eq!(declared.sha256, Some(Sha256::of(&bytes)), "{:?}", declared.id);
            evidence_count += usize::from(bytes == input);
        }
        assert!(evidence_count > 0, "the mail is not among the attachments");
    }
}

/// Tests a file as a zip of mails with a manifest. A delivery without a problem matches its manifest.
pub fn eml_drop_zip(input: &[u8]) {
    let Ok(mut package) = Package::open(Cursor::new(input)) else { return };
    let names: Vec<_> = package.names().map(|(name, kind)| (name.to_owned(), kind)).collect();
    let (mut manifest, mut entries) = (None, Vec::new());
    for (index, (name, kind)) in names.into_iter().enumerate() {
        let bytes = package.read(index, FILE_MAX_BYTES);
        assert!(bytes.as_ref().map_or(0, Vec::len) as u64 <= FILE_MAX_BYTES, "a file exceeds the limit");
        match (kind, bytes) {
            (Kind::Manifest, Ok(bytes)) => manifest = Some(Manifest::parse(&bytes)),
            (Kind::Mail, Ok(bytes)) if bytes.is_empty() => entries.push(Entry::Empty(name)),
            (Kind::Mail, Ok(bytes)) => {
                eml_drop(&bytes);
                entries.push(Entry::Read(name));
            }
            (Kind::Mail, Err(error)) => entries.push(Entry::Unreadable(name, error.to_string())),
            (Kind::Manifest | Kind::Other, _) => {}
        }
    }
    let problems = examine(manifest.as_ref(), true, &entries);
    for problem in &problems {
        let stored = serde_json::to_string(problem).expect("the problem cannot be serialized");
        assert_eq!(serde_json::from_str::<Problem>(&stored).ok().as_ref(), Some(problem), "{stored}");
    }
    for entry in &entries {
        let (Entry::Empty(name) | Entry::Unreadable(name, _)) = entry else { continue };
        let is_about = |problem: &Problem| matches!(problem, Problem::Empty { name: about } | Problem::Unreadable { name: about, .. } if about == name);
        assert!(problems.iter().any(is_about), "no problem is about {name:?}");
    }
    if problems.is_empty() {
        let manifest = manifest.expect("a zip without a manifest was accepted");
        assert_eq!(manifest.count, Some(entries.len() as u64));
        assert!(entries.iter().all(|entry| matches!(entry, Entry::Read(_))), "{entries:?}");
    }
}
