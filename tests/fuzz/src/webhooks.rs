//! Webhooks from Meta and from AWS.

use cloud_api::{
    AppSecret, CapturedFile, Channel, EventKind, MissingFile, Origin, PayloadPath, StoredEvent, Variants, Webhook,
    aws_entries, entries, events, item, signature_matches,
};
use jiff::Timestamp;
use model::{ItemError, ItemJson, Sha256};

/// A body. Every event that becomes an item is one that can be read, keeps its bytes as evidence and has the same id each
/// time.
pub fn webhook(input: &[u8]) {
    assert!(!signature_matches(input, "sha256=00", &AppSecret::new("secret")));
    let nested: PayloadPath = "eventDetails.rawEvent".parse().expect("a path");
    for path in [PayloadPath::default(), nested] {
        if let Ok(webhook) = entries(input, &path) {
            exercise(&webhook);
            if path == PayloadPath::default() && webhook.repairs.is_empty() {
                evidence_is_in(&webhook, input);
            }
        }
    }
    if let Ok(webhook) = aws_entries(input) {
        exercise(&webhook);
    }
}

fn stored(json: &[u8]) -> StoredEvent {
    let time = Timestamp::UNIX_EPOCH;
    let origin = Origin { received: time, written: time, body: Sha256::of(b""), channel: Channel::Meta };
    let object = StoredEvent::write(json, &origin).expect("an event is JSON");
    StoredEvent::read(&object).expect("what was written is read")
}

fn evidence_is_in(webhook: &Webhook, body: &[u8]) {
    for event in events(webhook).filter(|event| matches!(event.kind, EventKind::Item(_))) {
        let stored = stored(&event.json);
        let evidence = stored.evidence();
        assert!(body.windows(evidence.len()).any(|window| window == evidence), "the evidence has the body's own bytes");
    }
}

fn exercise(webhook: &Webhook) {
    let captured_file = CapturedFile::Stored { bytes: 1, sha256: Sha256::of(b"x"), other: None };
    let again = events(webhook);
    for (event, again) in events(webhook).zip(again) {
        assert!(event.id == again.id && event.json == again.json, "an event has one id");
        let EventKind::Item(_) = event.kind else { continue };
        let variants = Variants::new(vec![stored(&event.json), stored(&again.json)]).expect("two copies");
        for file in [Some(captured_file), Some(CapturedFile::Missing(MissingFile::Erased)), None] {
            let json = item(&event.id, &variants, file).to_string();
            let captured = ItemJson::new(json.into_bytes()).and_then(|json| json.read(&event.id));
            let captured = match captured {
                Ok(captured) => captured,
                Err(ItemError::Memory) => continue,
                Err(error) => panic!("an event is an item: {error}"),
            };
            let evidence = captured.item.evidence().expect("the evidence is attached");
            assert_eq!(evidence.sha256, Some(Sha256::of(variants.best().evidence())));
            assert!(captured.item.files().len() <= 1);
        }
    }
}
