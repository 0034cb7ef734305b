//! The chunks of a phone's history.

use cloud_api::{HistoryEntries, HistoryEntry, count_events, history_entries};
use model::keys::HistoryRecord;
use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use crate::support::{CLIENT, OUR_ID, merge, parsed, webhook};

fn part(metadata: Value) -> Value {
    let message =
        json!({"from": CLIENT, "id": "wamid.H", "timestamp": "1795000000", "type": "text", "text": {"body": "old"}});
    json!({"metadata": metadata, "threads": [{"id": CLIENT, "messages": [message]}]})
}

fn of_parts(parts: &[Value]) -> HistoryEntries {
    history_entries(&parsed(&webhook("history", json!({ "history": parts }))))
}

fn records(parts: &[Value]) -> Vec<HistoryRecord> {
    let found = of_parts(parts);
    assert_eq!(found.unreadable, 0);
    assert!(found.entries.iter().all(|entry| entry.phone_number_id == OUR_ID));
    found.entries.into_iter().map(|entry| entry.record).collect()
}

#[test]
fn chunk_is_read_from_numbers_and_strings() {
    let chunk = HistoryRecord::Chunk { phase: 1, chunk: 2, progress: 55 };
    for metadata in [
        json!({"phase": 1, "chunk_order": 2, "progress": 55}),
        json!({"phase": "1", "chunk_order": 2, "progress": "55"}),
        json!({"phase": " 1", "chunk_order": "2", "progress": "55 ", "of_next_year": {}}),
    ] {
        assert_eq!(records(&[part(metadata.clone())]), [chunk], "{metadata}");
    }
    let second = json!({"metadata": {"phase": 2, "chunk_order": 0, "progress": 100}});
    let all = [part(json!({"phase": 1, "chunk_order": 2, "progress": 55})), second.clone(), second];
    assert_eq!(records(&all), [chunk, HistoryRecord::Chunk { phase: 2, chunk: 0, progress: 100 }]);
}

#[test]
fn hostile_metadata_of_a_chunk_is_counted_as_unreadable() {
    let valid = json!({"phase": 1, "chunk_order": 2, "progress": 55});
    for wrong in [
        json!({"phase": -1}),
        json!({"phase": null}),
        json!({"phase": true}),
        json!({"chunk_order": 1_000_000_000_000_u64}),
        json!({"chunk_order": "1000000000000"}),
        json!({"chunk_order": 1.0}),
        json!({"chunk_order": 1e3}),
        json!({"chunk_order": [2]}),
        json!({"chunk_order": "../2"}),
        json!({"progress": 101}),
        json!({"progress": "55 %"}),
        json!({"progress": {}}),
    ] {
        let mut metadata = valid.clone();
        merge(&mut metadata, wrong);
        let expected = HistoryEntries { unreadable: 1, ..HistoryEntries::default() };
        assert_eq!(of_parts(&[part(metadata.clone())]), expected, "{metadata}");
    }
    assert_eq!(of_parts(&[json!(7), json!({}), part(json!("x"))]).unreadable, 3);
    // The others are read.
    assert_eq!(of_parts(&[json!(7), part(valid)]).entries.len(), 1);
    for metadata in [json!({}), json!({"phone_number_id": "7".repeat(257)})] {
        let mut webhook =
            webhook("history", json!({"history": [part(json!({"phase": 0, "chunk_order": 1, "progress": 1}))]}));
        webhook["entry"][0]["changes"][0]["value"]["metadata"] = metadata;
        assert_eq!(history_entries(&parsed(&webhook)).unreadable, 1);
    }
}

#[test]
fn declined_history_has_the_code_of_its_error() {
    let declined = |code| HistoryRecord::Declined { code };
    let errors = |errors: Value| json!({ "errors": errors });
    let error = json!({"code": 2_593_109, "title": "History sharing is turned off"});
    assert_eq!(records(&[errors(json!([error]))]), [declined(2_593_109)]);
    assert_eq!(records(&[errors(json!({"code": "2593109"}))]), [declined(2_593_109)]);
    assert_eq!(records(&[errors(json!([{"title": "no code"}]))]), [declined(0)]);
}

/// Tasks and proofs that an earlier release wrote number the events of a body.
#[test]
fn chunk_does_not_change_the_number_of_events() {
    let parts = [part(json!({"phase": 0, "chunk_order": 1, "progress": 30})), part(json!(null))];
    assert_eq!(count_events(&parsed(&webhook("history", json!({ "history": parts })))), 2);
}

#[test]
fn webhook_of_another_kind_has_no_chunk() {
    let message =
        json!({"from": CLIENT, "id": "wamid.H", "timestamp": "1795000000", "type": "text", "text": {"body": "old"}});
    let chunk = part(json!({"phase": 0, "chunk_order": 1, "progress": 30}));
    for webhook in [
        // The second webhook of a history, with its files.
        webhook("history", json!({"messages": [message.clone()]})),
        webhook("messages", json!({"messages": [message]})),
        webhook("account_update", json!({"history": [chunk.clone()]})),
        webhook("history", json!({"history": "encrypted"})),
    ] {
        assert_eq!(history_entries(&parsed(&webhook)), HistoryEntries::default());
    }
    let entry = HistoryEntry {
        phone_number_id: OUR_ID.to_owned(),
        record: HistoryRecord::Chunk { phase: 0, chunk: 1, progress: 30 },
    };
    assert_eq!(of_parts(&[chunk]).entries.into_iter().collect::<Vec<_>>(), [entry]);
}
