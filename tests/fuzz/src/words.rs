//! Internal formats and the operator's user map.

use jiff::Timestamp;
use mapping::UserMap;
use model::{Captured, ConvertTask, DeadLetter, ImportTask, ItemId, Reason, Stage};
use serde_json::Value;

/// Tests a message on a queue. It is parsed or rejected with an error that does not quote it, and SQS accepts its dead
/// letter.
pub fn task(input: &[u8]) {
    // SQS delivers only bodies in UTF-8.
    let body = String::from_utf8_lossy(input);
    match ConvertTask::parse(&body) {
        Ok(task) => {
            let again = ConvertTask::parse(&serde_json::to_string(&task).expect("the task cannot be serialized"));
            assert_eq!(again.ok(), Some(task), "the task changed when it was written and read");
        }
        Err(error) => assert_input_not_quoted(&error),
    }
    match ImportTask::parse(&body) {
        Ok(task) => {
            let again = ImportTask::parse(&serde_json::to_string(&task).expect("the task cannot be serialized"));
            assert_eq!(again.ok(), Some(task), "the task changed when it was written and read");
        }
        Err(error) => assert_input_not_quoted(&error),
    }
    let value: Value = serde_json::from_str(&body).unwrap_or_default();
    let member = |name: &str| value.get(name).cloned().unwrap_or_default();
    let dead_letter = DeadLetter {
        body: body.into_owned(),
        stage: Stage::Convert,
        reason: Reason::TaskMalformed,
        detail: "fuzzed".to_owned(),
        item: serde_json::from_value(member("item")).ok(),
        run: serde_json::from_value(member("run")).ok(),
        failed_at: Timestamp::UNIX_EPOCH,
        source_message: None,
    };
    for (name, value) in dead_letter.attributes() {
        assert!(!value.is_empty(), "{name} is empty");
        let is_rejected =
            |char: char| char < ' ' && !matches!(char, '\t' | '\n' | '\r') || matches!(char, '\u{fffe}' | '\u{ffff}');
        assert!(!value.contains(is_rejected), "{name} has a character that SQS rejects");
    }
}

/// Tests the source's response to a request for an item.
pub fn item(input: &[u8]) {
    let id = |value: &Value| value.get("id")?.as_str()?.parse::<ItemId>().ok();
    let requested = serde_json::from_slice::<Value>(input).ok().and_then(|value| id(&value));
    let requested = requested.unwrap_or_else(|| "WA-1".parse().expect("the id is invalid"));
    match Captured::parse(input, &requested) {
        Ok(captured) => {
            assert_eq!(captured.item.id, requested);
            let again =
                Captured::parse(&captured.evidence, &requested).expect("the evidence cannot be read as an item");
            assert!(again.evidence == captured.evidence, "the evidence is not canonical");
            assert!(again.item == captured.item, "the evidence differs from the item");
        }
        Err(error) => assert_input_not_quoted(&error),
    }
}

/// Tests a user map. An input that begins with `!` is read with a default region.
pub fn user_map(input: &[u8]) {
    let (region, csv) = match input.split_first() {
        Some((b'!', csv)) => (Some("DK".parse().expect("the country is invalid")), csv),
        _ => (None, input),
    };
    match UserMap::parse(csv, region) {
        Ok(map) => {
            let people = map.people();
            assert!(people.len() >= map.len(), "the map has fewer people than numbers");
            assert_eq!(people.is_empty(), map.is_empty());
            for (number, address) in people.into_iter().filter(|_| !map.has_periods()) {
                assert_eq!(
                    map.address_of(&number, Timestamp::UNIX_EPOCH),
                    Some(address),
                    "a person of the map is not found"
                );
            }
        }
        Err(errors) => {
            let csv = String::from_utf8_lossy(csv);
            // Only addresses of the file: an error may contain `@` alone when it reports that the sign is missing.
            let addresses: Vec<_> =
                csv.split([',', ';', '\n']).filter(|cell| cell.len() > 4 && cell.contains('@')).collect();
            for text in [errors.to_string(), errors.log_safe()] {
                assert!(text.lines().all(|line| line.len() < 300), "{text}");
                assert!(!addresses.iter().any(|address| text.contains(address)), "{text}");
            }
        }
    }
}

/// Asserts that an error does not quote the input. The product's error texts are short ASCII and quote with backticks.
fn assert_input_not_quoted(error: &impl std::fmt::Display) {
    let text = error.to_string();
    assert!(text.len() < 200 && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !text.contains('"'), "{text}");
}
