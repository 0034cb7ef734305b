//! The item as the source captured it.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    ItemId, ItemJson, Participant,
    item::Item,
    json_text::{self, Repaired},
    normalize,
};

/// An invalid item. Every variant is permanent. None of them contains content.
#[derive(Debug, thiserror::Error)]
pub enum ItemError {
    /// Not JSON, even after repair.
    #[error("the item is not JSON, at line {line} column {column}")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// A required part is missing: the id, the chat, or any time.
    #[error("the item has no {0}")]
    Missing(&'static str),
    /// JSON with another shape than [`Item`]; an unusual single member is not an error.
    #[error("the item does not have the contract's shape: {0}")]
    Shape(String),
    /// JSON that would take too much memory.
    #[error("the item has so many members that they would take more than {} MiB of memory", ItemJson::MAX_MEMORY_BYTES >> 20)]
    Memory,
    /// More attachments than a message may have.
    #[error("the item has {0} attachments and exceeds the limit of {max}", max = Item::MAX_ATTACHMENTS)]
    Attachments(usize),
    /// The source responded with another item than the requested one.
    #[error("the source responded with another item than requested")]
    OtherItem,
}

/// An item together with its evidence.
#[derive(Clone)]
pub struct Captured {
    /// The item's known members.
    pub item: Item,
    /// Everything that the source returned, unknown members included, as canonical JSON: members sorted, no white
    /// space, so that the same item has the same bytes in whatever order the source writes its members. If canonical
    /// JSON cannot represent everything (half of a surrogate pair, invalid UTF-8, a repeated member), the raw bytes.
    pub evidence: Vec<u8>,
    /// Unusual properties of the captured item, one English sentence each. The message lists them as facts.
    pub anomalies: Vec<String>,
}

impl Captured {
    /// Parses the source's response. `requested` is the id that was requested. Unusual members are read as far as
    /// possible and noted in [`anomalies`](Self::anomalies), because a replay would not change them.
    ///
    /// # Errors
    /// [`ItemError`], all of them permanent.
    pub fn parse(json: &[u8], requested: &ItemId) -> Result<Self, ItemError> {
        Self::parse_repaired(json, json_text::repair(json).as_ref(), requested)
    }

    pub(crate) fn parse_repaired(
        raw: &[u8],
        repaired: Option<&Repaired>,
        requested: &ItemId,
    ) -> Result<Self, ItemError> {
        let text = repaired.map_or(raw, |repaired| repaired.text.as_bytes());
        let invalid = |error: serde_json::Error| ItemError::Json { line: error.line(), column: error.column() };
        let has_duplicates = json_text::has_duplicates(text).map_err(invalid)?;
        let value: Value = serde_json::from_slice(text).map_err(invalid)?;
        let mut anomalies = repaired.map(|repaired| repaired.anomalies.clone()).unwrap_or_default();
        if has_duplicates {
            anomalies.push("A member is named twice; the last one is shown, and both are in the evidence.".to_owned());
        }
        let raw = if anomalies.is_empty() { None } else { Some(raw) };
        Self::read(value, raw, anomalies, requested)
    }

    /// Reads an item like [`parse`](Self::parse), from a parsed value.
    ///
    /// # Errors
    /// [`ItemError`], all of them permanent.
    pub fn from_value(value: Value, requested: &ItemId) -> Result<Self, ItemError> {
        Self::read(value, None, Vec::new(), requested)
    }

    /// Returns all participants in the evidence of an item; the sender first.
    ///
    /// # Errors
    /// [`ItemError`]: not the evidence of an item.
    pub fn participants_in(evidence: &[u8]) -> Result<Vec<Participant>, ItemError> {
        Ok(Self::of_evidence(evidence)?.item.participants().cloned().collect())
    }

    /// Reads an item from its evidence, which names its id.
    ///
    /// # Errors
    /// [`ItemError`]: it is not the evidence of an item.
    pub fn of_evidence(evidence: &[u8]) -> Result<Self, ItemError> {
        #[derive(Deserialize)]
        struct Named {
            id: Value,
        }
        let repaired = json_text::repair(evidence);
        let text = repaired.as_ref().map_or(evidence, |repaired| repaired.text.as_bytes());
        let named: Named = serde_json::from_slice(text).map_err(|_| ItemError::Missing("id"))?;
        let id = named.id.as_str().map_or_else(|| named.id.to_string(), str::to_owned);
        let id = id.parse().map_err(|_| ItemError::Missing("id"))?;
        Self::parse_repaired(evidence, repaired.as_ref(), &id)
    }

    fn read(
        mut value: Value,
        raw: Option<&[u8]>,
        mut anomalies: Vec<String>,
        requested: &ItemId,
    ) -> Result<Self, ItemError> {
        value.sort_all_objects();
        let evidence = match raw {
            Some(raw) => raw.to_vec(),
            None => value.to_string().into_bytes(),
        };
        normalize::normalize(&mut value, requested, &mut anomalies)?;
        // The texts of the value are moved into the item, so that hostile JSON is not in memory twice.
        let item = Item::deserialize(value).map_err(|error| ItemError::Shape(message_without_values(&error)))?;
        if item.attachments.len() > Item::MAX_ATTACHMENTS {
            return Err(ItemError::Attachments(item.attachments.len()));
        }
        Ok(Self { item, evidence, anomalies })
    }
}

/// Returns serde's message without the values that it quotes, because they are content.
fn message_without_values(error: &serde_json::Error) -> String {
    const FOUND: [&str; 3] = ["invalid type", "invalid value", "invalid length"];
    let message = error.to_string();
    // "missing field `chat`" names our own member. "invalid type: string "secret", expected a string" quotes content,
    // but the expectation is ours; the last one, because a quoted text may contain the same words. Every other message
    // (for an invalid time, for example) may quote anything.
    if message.starts_with("missing field") {
        return message;
    }
    let found = FOUND.into_iter().find(|found| message.starts_with(found));
    match found.zip(message.rsplit_once(", expected ")) {
        Some((found, (_, expected))) => format!("{found}, expected {expected}"),
        None => "a member has a value that is not allowed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id() -> ItemId {
        "WA-1".parse().unwrap()
    }

    fn text_item() -> Value {
        json!({"id": "WA-1", "type": "text", "messageTime": "2026-11-21T09:59:58Z", "archivedTime": "2026-11-21T10:00:04.120Z",
               "chat": {"id": "c1", "type": "individual"}, "from": {"phone": "4520123456"}, "to": [{"phone": "4520123457"}],
               "text": "hello", "zNew": {"b": 1, "a": 2}})
    }

    #[test]
    fn evidence_does_not_depend_on_the_order_of_members() {
        let one = Captured::parse(br#"{"type":"text","id":"WA-1","messageTime":"2026-11-21T09:59:58Z","archivedTime":"2026-11-21T10:00:04.120Z","chat":{"type":"individual","id":"c1"},"to":[{"phone":"4520123457"}],"from":{"phone":"4520123456"},"text":"hello","zNew":{"a":2,"b":1}}"#, &id());
        let other = Captured::from_value(text_item(), &id());
        let (Ok(one), Ok(other)) = (one, other) else { panic!("both are items") };
        assert_eq!(one.evidence, other.evidence);
        assert!(String::from_utf8_lossy(&one.evidence).contains(r#""zNew":{"a":2,"b":1}"#), "unknown members are kept");
    }

    fn changed(change: impl FnOnce(&mut Value)) -> Result<Captured, ItemError> {
        let mut value = text_item();
        change(&mut value);
        Captured::from_value(value, &id())
    }

    fn error(change: impl FnOnce(&mut Value)) -> String {
        changed(change).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn item_without_id_chat_or_time_is_rejected() {
        let remove =
            |name: &'static str| move |item: &mut Value| drop(item.as_object_mut().map(|item| item.remove(name)));
        assert_eq!(error(remove("id")), "the item has no id");
        assert_eq!(error(|item| item["id"] = Value::Null), "the item has no id");
        assert_eq!(error(remove("chat")), "the item has no chat");
        assert_eq!(error(|item| item["chat"] = json!([])), "the item has no chat");
        assert_eq!(error(|item| item["chat"] = json!({"name": "Søren"})), "the item has no chat");
        let no_time = |item: &mut Value| {
            item["messageTime"] = json!("yesterday, Søren");
            item["archivedTime"] = Value::Null;
        };
        assert_eq!(error(no_time), "the item has no time");
        assert_eq!(error(|item| item["id"] = json!("WA-2")), "the source responded with another item than requested");
        let many: Vec<_> = (0..1_001).map(|id| json!({"id": id.to_string()})).collect();
        assert_eq!(
            error(|item| item["attachments"] = json!(many)),
            "the item has 1001 attachments and exceeds the limit of 1000"
        );
        for json in ["", "[]", "{\"id\":", "7", "null", "<html>"] {
            assert!(Captured::parse(json.as_bytes(), &id()).is_err(), "{json}");
        }
    }

    #[test]
    fn unusual_member_is_archived_and_noted() {
        type Change = fn(&mut Value);
        let cases: &[(Change, &str)] = &[
            (|item| item["from"] = json!("Søren"), "from"),
            (|item| item["from"] = json!([7]), "from"),
            (|item| item["from"]["phone"] = json!(4520123456_u64), "from.phone"),
            (|item| item["from"]["phone"] = json!({"x": 1}), "from.phone"),
            (|item| item["from"]["email"] = json!("=?utf-8?b?w7g=?=@x.example"), "encoded word"),
            (|item| item["to"] = Value::Null, "to"),
            (|item| item["to"] = json!({"phone": "4520123457"}), "to"),
            (|item| item["to"] = json!([null, {"name": "Bob"}]), "to[0]"),
            (|item| item["type"] = json!(7), "type"),
            (|item| drop(item.as_object_mut().and_then(|item| item.remove("type"))), "type"),
            (|item| item["text"] = json!(7), "text"),
            (|item| item["text"] = json!(["a"]), "text"),
            (|item| item["chat"] = json!("c1"), "chat"),
            (|item| item["chat"]["type"] = json!({}), "chat.type"),
            (|item| item["messageTime"] = json!("1970-01-01T00:00:00Z"), "before 1971"),
            (|item| item["messageTime"] = json!("+055747-01-01T00:00:00Z"), "messageTime"),
            (|item| item["messageTime"] = json!("9999-01-01T00:00:00Z"), "later"),
            (|item| item["messageTime"] = json!(1_795_255_198_000_u64), "messageTime"),
            (|item| item["messageTime"] = json!("2026-11-21 09:59:58"), "messageTime"),
            (|item| item["archivedTime"] = json!(-1e300), "archivedTime"),
            (|item| item["disappearingSeconds"] = json!("86400"), "disappearingSeconds"),
            (|item| item["disappearingSeconds"] = json!(-1), "disappearingSeconds"),
            (|item| item["forwarded"] = json!("yes"), "forwarded"),
            (|item| item["call"] = json!({"durationSeconds": -5, "startTime": "?"}), "call.durationSeconds"),
            (|item| item["call"] = json!([]), "call"),
            (|item| item["attachments"] = json!([{"id": 7, "size": "1024"}]), "attachments[0].size"),
            (|item| item["attachments"] = json!([{"id": "1", "size": -1, "sha256": "Søren"}]), "attachments[0].sha256"),
            (|item| item["attachments"] = json!([{"name": "a.pdf"}]), "attachments[0]"),
            (|item| item["mentions"] = json!("Søren"), "mentions"),
            (|item| item["poll"] = json!({"options": "one", "selectable": 1.0}), "poll.options"),
            (|item| item["reaction"] = json!("👍"), "reaction"),
        ];
        for (number, (change, named)) in cases.iter().enumerate() {
            let captured = changed(change).unwrap_or_else(|error| panic!("{number}, {named}: {error}"));
            let sentences = captured.anomalies.join("\n");
            assert!(sentences.contains(named), "{number}, {named}: {sentences}");
            assert!(!sentences.contains("Søren"), "content is in the evidence only: {sentences}");
            let mut value = text_item();
            change(&mut value);
            value.sort_all_objects();
            assert_eq!(captured.evidence, value.to_string().as_bytes(), "{number}, {named}");
            let people = Captured::participants_in(&captured.evidence).unwrap_or_else(|error| panic!("{error}"));
            assert!(people.iter().eq(captured.item.participants()), "{number}, {named}");
        }
        assert!(changed(|_| {}).is_ok_and(|captured| captured.anomalies.is_empty()));
        assert!(changed(|item| item["attachments"] = Value::Null).is_ok_and(|captured| captured.anomalies.is_empty()));
        let bad: Vec<_> = (0..1_000).map(|_| json!({"size": -1})).collect();
        let captured = changed(|item| item["attachments"] = json!(bad)).unwrap_or_else(|error| panic!("{error}"));
        assert!(captured.anomalies.len() <= 21, "{}", captured.anomalies.len());
    }

    #[test]
    fn converted_member_has_the_intended_value() {
        let item = changed(|item| {
            item["messageTime"] = json!(1_795_255_198_000_u64);
            item["archivedTime"] = json!("1795255198");
            item["attachments"] = json!([{"id": 7, "size": "1024", "viewOnce": 1, "durationSeconds": "2.5"}]);
            item["from"] = json!("Ada");
        });
        let item = item.unwrap_or_else(|error| panic!("{error}")).item;
        assert_eq!(item.message_time.to_string(), "2026-11-21T09:59:58Z");
        assert_eq!(item.archived_time, item.message_time);
        let [attachment] = &item.attachments[..] else { panic!("one attachment") };
        assert_eq!((attachment.id.as_str(), attachment.size), ("7", Some(1024)));
        assert_eq!((attachment.view_once, attachment.duration_seconds), (Some(true), Some(2.5)));
        assert_eq!(item.from.name.as_deref(), Some("Ada"));
    }

    #[test]
    fn participant_given_as_text_or_number_is_not_lost() {
        let given = json!(["+45 20 12 34 57", 4520123457_u64, "4520123457:3@s.whatsapp.net", "4520123457@c.us", "4520123457@hosted", "77@lid", "Ada@example.com", "Ada",
            "4 of us", {"phone": 4520123457_u64}, {"phone": {"x": 1}}, true, null]);
        let captured = changed(|item| item["to"] = given).unwrap_or_else(|error| panic!("{error}"));
        let read: Vec<_> = captured
            .item
            .to
            .iter()
            .map(|person| [&person.phone, &person.whatsapp_id, &person.email, &person.name].map(Option::as_deref))
            .collect();
        let (phone, whatsapp_id) = (|text| [Some(text), None, None, None], |text| [None, Some(text), None, None]);
        let (email, name) = (|text| [None, None, Some(text), None], |text| [None, None, None, Some(text)]);
        let nothing = [None; 4];
        assert_eq!(
            read,
            [
                phone("+45 20 12 34 57"),
                phone("4520123457"),
                whatsapp_id("4520123457:3@s.whatsapp.net"),
                whatsapp_id("4520123457@s.whatsapp.net"),
                whatsapp_id("4520123457@hosted"),
                whatsapp_id("77@lid"),
                email("Ada@example.com"),
                name("Ada"),
                name("4 of us"),
                phone("4520123457"),
                nothing,
                nothing,
                nothing
            ]
        );
        for (subjects, count) in [(json!("4520123457"), 1), (json!([true]), 1), (json!([]), 0)] {
            let captured = changed(|item| item["event"] = json!({"action": "left", "subjects": subjects}));
            let event = captured.ok().and_then(|captured| captured.item.event);
            assert_eq!(event.map(|event| event.subjects.len()), Some(count), "the sender has not left");
        }
    }

    #[test]
    fn unreadable_reaction_or_vote_is_not_a_removal() {
        let reaction = |value: Value| {
            let captured = changed(|item| item["reaction"] = value).unwrap_or_else(|error| panic!("{error}"));
            captured.item.reaction.map(|reaction| reaction.emoji.unwrap_or_default())
        };
        assert_eq!(reaction(json!("👍")).as_deref(), Some("👍"));
        assert_eq!(reaction(json!({"emoji": "👍"})).as_deref(), Some("👍"));
        assert_eq!(reaction(json!({"emoji": {"value": "👍"}})), None);
        assert_eq!(reaction(json!(["👍"])), None);
        assert_eq!(reaction(json!({})).as_deref(), Some(""), "removed");
        let votes = |value: Value| {
            let captured =
                changed(|item| item["poll"] = json!({"votes": value})).unwrap_or_else(|error| panic!("{error}"));
            captured.item.poll.and_then(|poll| poll.votes)
        };
        assert_eq!(votes(json!([{"name": "Yes"}])), None);
        assert_eq!(votes(json!(["Yes", ["No"]])), None, "an incomplete vote");
        assert_eq!(votes(json!("Yes")), Some(vec!["Yes".to_owned()]));
        assert_eq!(votes(json!([])), Some(vec![]), "removed");
    }

    #[test]
    fn doubtful_time_is_stated() {
        let noted = |message_time: Value, archived_time: &str| {
            let captured = changed(|item| {
                item["messageTime"] = message_time;
                item["archivedTime"] = json!(archived_time);
            });
            let captured = captured.unwrap_or_else(|error| panic!("{error}"));
            (captured.item.message_time.to_string(), captured.anomalies.join("\n"))
        };
        let archived = "2026-11-21T10:00:00Z";
        let (time, sentences) = noted(json!("2026-11-21 09:59:58"), archived);
        assert_eq!(time, "2026-11-21T09:59:58Z");
        assert!(sentences.contains("messageTime has no time zone and was read as UTC"), "{sentences}");
        let (_, sentences) = noted(json!("2026-11-21T10:10:01Z"), archived);
        assert!(sentences.contains("later than the archivedTime"), "{sentences}");
        assert_eq!(noted(json!("2026-11-21T10:10:00Z"), archived).1, "", "clocks differ");
        // No mail system accepts an earlier date than 1970.
        for early in [json!("1900-01-01T00:00:00Z"), json!(-1), json!("0001-01-01T00:00:00")] {
            let (time, sentences) = noted(early, archived);
            assert_eq!(time, archived);
            assert!(sentences.contains("messageTime is missing or cannot be read"), "{sentences}");
        }
    }

    #[test]
    fn damaged_text_has_its_raw_bytes_as_evidence() {
        let with = |text: &[u8]| {
            let json = text_item().to_string();
            let (before, after) = json.split_once("hello").unwrap_or_default();
            [before.as_bytes(), text, after.as_bytes()].concat()
        };
        for text in [&br"x\ud83d"[..], b"x\xf0\x9f", b"x\x07", br#"x","text":"y"#] {
            let json = with(text);
            let captured = Captured::parse(&json, &id()).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((captured.anomalies.len(), &captured.evidence), (1, &json));
            assert!(captured.item.text.is_some_and(|text| text.starts_with('x') || text == "y"));
            assert!(Captured::participants_in(&json).is_ok_and(|people| people.len() == 2));
        }
        let deep = format!(r#"x","zDeep":{}1{},"zz":""#, "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(
            Captured::parse(&with(deep.as_bytes()), &id()).map(|captured| captured.anomalies.len()).ok(),
            Some(1)
        );
    }

    #[test]
    fn evidence_keeps_the_numbers_of_the_source() {
        let long = "[3.14159265358979323846264338327950288,18446744073709551616,-0.10,1e+400,9007199254740993]";
        let mut json = text_item().to_string();
        json.truncate(json.len() - 1);
        json += &format!(r#","zzNumbers":{long}}}"#);
        let captured = Captured::parse(json.as_bytes(), &id()).unwrap_or_else(|error| panic!("{error}"));
        let evidence = String::from_utf8_lossy(&captured.evidence);
        assert!(evidence.ends_with(&format!(r#""zzNumbers":{long}}}"#)), "{evidence}");
        let call = json.replace(
            "\"zNew\"",
            r#""call":{"durationSeconds":1e400},"location":{"latitude":55.6760968,"longitude":12},"zNew""#,
        );
        let Captured { item, anomalies, .. } =
            Captured::parse(call.as_bytes(), &id()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((item.call.and_then(|call| call.duration_seconds), anomalies.len()), (None, 1));
        assert_eq!(item.location.and_then(|place| place.latitude.zip(place.longitude)), Some((55.676_096_8, 12.0)));
    }
}
