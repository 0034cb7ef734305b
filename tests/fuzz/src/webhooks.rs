//! Webhooks from Meta and from AWS.

use cloud_api::{
    AppSecret, CapturedFile, Channel, EventKind, MissingFile, Origin, PayloadPath, StoredEvent, Variants, Webhook,
    aws_entries, entries, events, history_entries, item, signature_matches,
};
use jiff::Timestamp;
use model::{ItemError, ItemJson, Sha256, keys};
use ring::hmac;

const APP_SECRET: &str = "app-secret-for-tests";

/// Tests the body of a webhook. Every event that becomes an item can be read, keeps its bytes as evidence, and has the
/// same id each time.
pub fn webhook(input: &[u8]) {
    assert_only_signed_body_matches(input);
    let nested: PayloadPath = "eventDetails.rawEvent".parse().expect("the path is invalid");
    for path in [PayloadPath::default(), nested] {
        if let Ok(webhook) = entries(input, &path) {
            assert_events_readable(&webhook);
            if path == PayloadPath::default() && webhook.repairs.is_empty() {
                assert_evidence_in_body(&webhook, input);
            }
        }
    }
    if let Ok(webhook) = aws_entries(input) {
        assert_events_readable(&webhook);
    }
}

/// Asserts that the signature of a body matches, and neither another signature nor the same one for another body.
fn assert_only_signed_body_matches(body: &[u8]) {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, APP_SECRET.as_bytes()), body);
    let mut tag: [u8; 32] = tag.as_ref().try_into().expect("the signature has another length");
    let secret = AppSecret::new(APP_SECRET);
    let header = |tag| format!("sha256={}", Sha256::from(tag));
    assert!(signature_matches(body, &header(tag), &secret), "the signature of the body does not match");
    assert!(!signature_matches(&[body, b" "].concat(), &header(tag), &secret), "a longer body has the same signature");
    tag[31] ^= 1;
    assert!(!signature_matches(body, &header(tag), &secret), "another signature matches");
}

/// Writes an event as a stored object and reads the object.
fn store_and_read(json: &[u8]) -> StoredEvent {
    let time = Timestamp::UNIX_EPOCH;
    let origin = Origin { received: time, written: time, body: Sha256::of(b""), channel: Channel::Meta };
    let object = StoredEvent::write(json, &origin).expect("the event is not JSON");
    StoredEvent::read(&object).expect("a written event cannot be read")
}

/// Asserts that the evidence of every item is a part of the body.
fn assert_evidence_in_body(webhook: &Webhook, body: &[u8]) {
    for event in events(webhook).filter(|event| matches!(event.kind, EventKind::Item(_))) {
        let stored = store_and_read(&event.json);
        let evidence = stored.evidence();
        assert!(
            body.windows(evidence.len()).any(|window| window == evidence),
            "the evidence is not a part of the body"
        );
    }
}

/// Asserts that every event has a stable id, and that every item can be read with and without its file.
fn assert_events_readable(webhook: &Webhook) {
    let captured_file = CapturedFile::Stored { bytes: 1, sha256: Sha256::of(b"x"), other: None };
    for entry in history_entries(webhook).entries {
        let key = keys::history(&entry.phone_number_id, &entry.record);
        assert_eq!(keys::history_record(&key).map(|(_, record)| record), Some(entry.record), "the key of a chunk");
    }
    let again = events(webhook);
    for (event, again) in events(webhook).zip(again) {
        assert!(event.id == again.id && event.json == again.json, "the same event gave different ids");
        let EventKind::Item(_) = event.kind else { continue };
        let variants = Variants::new(vec![store_and_read(&event.json), store_and_read(&again.json)])
            .expect("the same event has two ids");
        let files = event.media.len();
        for file in [Some(captured_file), Some(CapturedFile::Missing(MissingFile::Erased)), None] {
            let states: Vec<_> = file.into_iter().cycle().take(files).collect();
            let json = item(&event.id, &variants, &states, None).to_string();
            let captured = ItemJson::new(json.into_bytes()).and_then(|json| json.read(&event.id));
            let captured = match captured {
                Ok(captured) => captured,
                Err(ItemError::Memory) => continue,
                Err(error) => panic!("the event cannot be read as an item: {error}"),
            };
            let evidence = captured.item.evidence().expect("the evidence is not attached");
            assert_eq!(evidence.sha256, Some(Sha256::of(variants.best().evidence())));
            let stored = if matches!(file, Some(CapturedFile::Stored { .. })) { files } else { 0 };
            assert_eq!(captured.item.files().len(), stored);
        }
    }
}
