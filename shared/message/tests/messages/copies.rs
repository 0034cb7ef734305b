//! Copies: the stored message with the addresses of mailboxes in its address fields.

use bytes::Bytes;
use futures::executor::block_on;
use mail_parser::{Addr, MessageParser};
use message::{copy::CopyAddresses, read::Mime};
use model::{Captured, MailboxAddress};
use proptest::prelude::{ProptestConfig, any, prop, proptest};
use serde_json::json;

use crate::{golden::render, promises::item, readers::assert_clean};

const ADA: &str = "ada.lovelace@bank.example";

fn address(text: &str) -> MailboxAddress {
    text.parse().expect("an address")
}

/// Returns the addresses of a copy if the participants have these mailboxes.
fn addresses(captured: &Captured, mailboxes: &[Option<&str>]) -> CopyAddresses {
    let mailboxes = mailboxes.iter().map(|mailbox| mailbox.map(address)).chain(std::iter::repeat(None));
    CopyAddresses::of(captured.item.participants().zip(mailboxes))
}

fn copy(captured: &Captured, mailboxes: &[Option<&str>]) -> Bytes {
    let stored = render(captured, &[]).mime;
    addresses(captured, mailboxes).copy_of(stored.into()).in_memory().clone()
}

/// Names and addresses of the sender and the recipients.
fn people(mime: &[u8]) -> Vec<(String, String)> {
    let parsed = MessageParser::default().parse(mime).expect("a message");
    let both = [parsed.from(), parsed.to()].into_iter().flatten();
    let text = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().unwrap_or_default().to_owned();
    both.flat_map(|list| list.iter().map(|Addr { name, address }| (text(name), text(address)))).collect()
}

/// Returns the header without From and To, and the rest of the message.
fn rest(mime: &[u8]) -> (Vec<String>, &[u8]) {
    let text = std::str::from_utf8(mime).expect("ASCII");
    let (header, _) = text.split_once("\r\n\r\n").expect("a header");
    let unfolded = header.replace("\r\n ", " ");
    let is_other = |line: &&str| !line.starts_with("From:") && !line.starts_with("To:");
    (unfolded.split("\r\n").filter(is_other).map(str::to_owned).collect(), &mime[header.len()..])
}

#[test]
fn copy_differs_from_the_stored_message_in_addresses_only() {
    let captured =
        item(json!({"to": [{"name": "Bo", "phone": "4520123457"}, {"name": "Cy", "email": "cy@old.example"}]}));
    let stored = render(&captured, &[]).mime;
    let copy = copy(&captured, &[Some(ADA), None, Some("cy@bank.example")]);
    assert_eq!(rest(&copy), rest(&stored));
    let names = |mime| people(mime).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(&copy), names(&stored));
    let found: Vec<_> = people(&copy).into_iter().map(|(_, address)| address).collect();
    assert_eq!(found, [ADA, "4520123457@whatsapp.invalid", "cy@bank.example"]);
}

#[test]
fn copy_is_the_stored_message_if_no_address_changes() {
    let captured = item(json!({"to": [{"name": "Cy", "email": "cy@bank.example"}]}));
    let stored = render(&captured, &[]).mime;
    let same = addresses(&captured, &[None, Some("cy@bank.example")]).copy_of(stored.clone().into());
    assert_eq!(same.in_memory().as_ptr(), stored.as_ptr(), "the buffer is shared");
    for broken in [&b""[..], b"From: <4520123456@whatsapp.invalid>", b"\xff: <x>\r\n\r\n", b"\r\n\r\n"] {
        let stored = Bytes::from_static(broken);
        let copied = addresses(&captured, &[Some(ADA)]).copy_of(stored.clone().into());
        assert_eq!(*copied.in_memory(), stored);
    }
}

#[test]
fn address_within_a_name_is_kept() {
    let name = r#"Boss" <4520123456@whatsapp.invalid> \"#;
    let captured = item(json!({"from": {"name": name, "phone": "4520123456"}}));
    let copy = copy(&captured, &[Some(ADA)]);
    let [(shown, from), _] = &people(&copy)[..] else { panic!("two participants") };
    assert!(shown.contains("<4520123456@whatsapp.invalid>") && from == ADA, "{shown} <{from}>");
}

#[test]
fn address_of_two_mailboxes_is_kept() {
    let twice = json!([{"name": "Bo", "email": "team@old.example"}, {"name": "Cy", "email": "team@old.example"}]);
    let captured = item(json!({"to": twice}));
    let to = |mailboxes: &[Option<&str>]| {
        people(&copy(&captured, mailboxes))[1..].iter().map(|to| to.1.clone()).collect::<Vec<_>>()
    };
    assert_eq!(to(&[None, Some("bo@bank.example"), Some("cy@bank.example")]), ["team@old.example"; 2]);
    assert_eq!(to(&[None, Some("bo@bank.example"), None]), ["team@old.example"; 2]);
    assert_eq!(to(&[None, Some("bo@bank.example"), Some("bo@bank.example")]), ["bo@bank.example"; 2]);
}

#[test]
fn number_of_an_uploaded_chat_gets_no_mailbox_address() {
    let owner = json!({"name": "Bo", "email": "bo@bank.example"});
    let captured =
        item(json!({"to": [owner], "upload": {"owner": "bo@bank.example", "file": "chat.zip", "notes": []}}));
    let found = people(&copy(&captured, &[Some(ADA), Some("bo.b@bank.example")]));
    assert_eq!(found[0].1, "4520123456@upload.whatsapp.invalid", "the uploader claims it");
    assert_eq!(found[1].1, "bo.b@bank.example", "the folder identifies the owner");
}

#[test]
fn copy_of_the_largest_header_names_the_same_people() {
    let to: Vec<_> = (0..6_000).map(|n| json!({"name": format!("é {n}"), "phone": format!("45{:08}", n)})).collect();
    let captured = item(json!({"chat": {"id": "g", "type": "group"}, "to": to}));
    let label = "a".repeat(60);
    let long = format!("{}@{label}.{label}.{label}.example", "b".repeat(63));
    let copy = copy(&captured, &vec![Some(long.as_str()); 6_001]);
    assert_clean(&copy);
    let found = people(&copy);
    assert_eq!(found.len(), 5_001);
    assert!(found.iter().all(|(name, address)| !name.is_empty() && *address == long));
}

/// Reads a message chunk by chunk.
fn read(mime: &Mime) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let piece = block_on(mime.piece(whole.len() as u64)).expect("memory");
        if piece.is_empty() {
            return whole;
        }
        whole.extend_from_slice(&piece);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn copy_of_a_large_message_is_the_copy_of_the_whole(
        name in "[a-z\"\\\\<>(),;@é語 ]{0,40}",
        bytes in prop::collection::vec(any::<u8>(), 300..3_000),
        mailbox in "[a-z]{1,60}",
        (from, length) in (0_u64..2_000, 1_u64..400),
    ) {
        let attachments = json!([{"id": "1", "contentType": "video/mp4"}, {"id": "2", "contentType": "text/plain"}]);
        let captured = item(json!({"from": {"name": name, "phone": "4520123456"}, "attachments": attachments}));
        let stored = render(&captured, &[Some(bytes.clone()), Some(b"small".to_vec())]).mime;
        let addresses = addresses(&captured, &[Some(&format!("{mailbox}@bank.example"))]);
        let whole = addresses.copy_of(stored.clone().into()).in_memory().clone();
        assert_eq!(people(&whole)[0].0, people(&stored)[0].0);
        assert_eq!(people(&whole)[0].1, format!("{mailbox}@bank.example"));
        assert_eq!(rest(&whole), rest(&stored));
        assert_clean(&whole);

        let large = addresses.copy_of(Mime::from(stored).leaving_out(100));
        assert_eq!(large.length(), whole.len() as u64);
        assert!(read(&large) == whole);
        let Mime::Large(parts) = &large else { panic!("the file is left out") };
        let range = from.min(large.length())..(from + length).min(large.length());
        let slice = whole.slice(range.start as usize..range.end as usize);
        assert_eq!(block_on(parts.original.read(range)).expect("memory"), slice, "any range of it");
        let first = parts.files.first().expect("a file");
        let file = large.file_at(first.at).expect("a file");
        assert_eq!(block_on(file.read(0..file.length())).expect("memory"), bytes);
        assert_eq!(*large.in_memory(), whole_without_files(&large, &whole));
    }
}

/// Returns the whole message without the files that are left out.
fn whole_without_files(large: &Mime, whole: &Bytes) -> Vec<u8> {
    let Mime::Large(parts) = large else { return whole.to_vec() };
    let (mut kept, mut at) = (Vec::new(), 0);
    for file in &parts.files {
        kept.extend_from_slice(&whole[at..file.base64.start as usize]);
        at = file.base64.end as usize;
    }
    kept.extend_from_slice(&whole[at..]);
    kept
}
