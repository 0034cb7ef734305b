//! A page of the list.

use std::fmt;

use jiff::Timestamp;
use model::{ItemId, Listed, Window};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{Value, json, value::RawValue};

use super::place::Place;
use crate::{Page, SourceError};

/// Maximum number of entries of a page that are read. 1,000 are requested.
const MAX_ENTRIES: usize = 10_000;

/// Number of entries of a page that others probably follow: the maximum that the contract allows to request.
const FULL_PAGE: usize = 1_000;

/// Maximum length of the JSON of an id or a time: 256 characters, each written as two escapes, fit.
const MAX_VALUE_BYTES: usize = 4 << 10;

/// Maximum number of characters that are kept of an invalid id or time: more than an id may have, so that it stays
/// invalid and becomes a dead letter that shows its beginning, and few enough for a message.
const MAX_SHOWN_CHARS: usize = 2 * ItemId::MAX_CHARS;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'body> {
    #[serde(borrow)]
    items: Entries<'body>,
    /// `None` if the member is missing.
    #[serde(default, deserialize_with = "present")]
    next_cursor: Option<Option<String>>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// The entries, unparsed: an entry with endless nesting or half of a surrogate pair does not affect the others.
enum Entries<'body> {
    All(Vec<&'body RawValue>),
    TooMany,
}

impl<'de: 'body, 'body> Deserialize<'de> for Entries<'body> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;

        impl<'de> Visitor<'de> for Array {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = array.next_element()? {
                    entries.push(entry);
                    if entries.len() > MAX_ENTRIES {
                        drop(entries);
                        while array.next_element::<IgnoredAny>()?.is_some() {}
                        return Ok(Entries::TooMany);
                    }
                }
                Ok(Entries::All(entries))
            }
        }

        deserializer.deserialize_seq(Array)
    }
}

/// Other members are ignored and take no memory, whatever their number and size.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'entry> {
    #[serde(borrow)]
    id: &'entry RawValue,
    #[serde(borrow)]
    archived_time: Option<&'entry RawValue>,
}

pub(super) fn query(window: &Window, limit: u16, cursor: Option<&str>) -> Vec<(&'static str, String)> {
    // The contract has milliseconds: the window may grow by a fraction of one, and never shrinks.
    let mut query = vec![
        ("from", milliseconds(floor(window.from))),
        ("to", milliseconds(ceiling(window.to))),
        ("network", "whatsapp".to_owned()),
        ("limit", limit.clamp(1, 1000).to_string()),
    ];
    query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
    query
}

/// Parses a page of a window. `used` is the place with which this page was requested.
pub(super) fn parse(body: &[u8], window: &Window, used: Option<&Place>) -> Result<Page, SourceError> {
    let body: Body<'_> = serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        SourceError::MalformedPage(format!(
            "no JSON object with an array `items` and a string `nextCursor`, at line {line} column {column}"
        ))
    })?;
    let Entries::All(entries) = body.items else {
        return Err(SourceError::MalformedPage(format!(
            "a page has more than {MAX_ENTRIES} entries, although at most 1000 were requested"
        )));
    };
    // The contract allows to leave out the member on the last page. A source that has renamed it would end each list here.
    if body.next_cursor.is_none() && entries.len() >= FULL_PAGE {
        return Err(SourceError::MalformedPage(format!(
            "a page of {} entries has no nextCursor, so it is not known whether it is the last one: the source must write null",
            entries.len()
        )));
    }
    let next_cursor = body.next_cursor.flatten();
    match next_cursor.as_deref() {
        // An empty cursor would request the first page again.
        Some("") => return Err(SourceError::MalformedPage("the next cursor is empty".to_owned())),
        Some(next) if used.is_some_and(|used| used.cursor == next) => {
            return Err(SourceError::MalformedPage("the next cursor equals the current one".to_owned()));
        }
        _ => {}
    }
    let items: Vec<Listed> = entries.into_iter().map(entry).collect();
    let next = next_cursor.map(|cursor| Place::after(window, used, &items, cursor));
    Ok(Page {
        items,
        reached: next.as_ref().and_then(|next| next.order.reached()),
        next: next.map(|next| next.write()),
        ..Page::default()
    })
}

/// Converts an entry of the list. An entry without a valid id is passed on in a form that is not an id: if it were left
/// out here, it would be lost.
fn entry(raw: &RawValue) -> Listed {
    match serde_json::from_str(raw.get()) {
        Ok(Entry { id, archived_time }) => {
            Listed { item: value(id), archived_time: archived_time.map(value).unwrap_or_default() }
        }
        Err(_) => Listed { item: json!({ "entry": shown(raw.get()) }), archived_time: Value::Null },
    }
}

/// Returns the value of a member, cut at a length that neither an id nor a time can have.
fn value(raw: &RawValue) -> Value {
    let read = if raw.get().len() <= MAX_VALUE_BYTES { serde_json::from_str(raw.get()).ok() } else { None };
    match read {
        Some(Value::String(text)) => Value::String(shown(&text)),
        Some(scalar @ (Value::Null | Value::Bool(_) | Value::Number(_))) => scalar,
        Some(Value::Array(_) | Value::Object(_)) | None => json!({ "entry": shown(raw.get()) }),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN_CHARS).collect()
}

fn milliseconds(time: Timestamp) -> String {
    format!("{time:.3}")
}

fn floor(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_nanosecond().div_euclid(1_000_000).try_into().unwrap_or(i64::MIN))
        .unwrap_or(Timestamp::MIN)
}

fn ceiling(time: Timestamp) -> Timestamp {
    let floor = floor(time);
    if floor == time { time } else { floor.checked_add(jiff::SignedDuration::from_millis(1)).unwrap_or(Timestamp::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &[u8], used: Option<&Place>) -> Result<Page, SourceError> {
        super::parse(body, &window(), used)
    }

    fn window() -> Window {
        let at = |text: &str| text.parse().unwrap();
        Window::between(at("2026-11-21T10:00:00.0009Z"), at("2026-11-21T11:00:00.0001Z")).unwrap()
    }

    #[test]
    fn invalid_entry_is_passed_on() {
        let page = parse(
            r#"{"items":[{"id":"WA-1","archivedTime":"2026-11-21T10:00:04.120Z","new":1},{"id":7},{"archivedTime":"x"},
                "WA-2",null,{"id":"\ud800"},{"id":["WA-3"],"archivedTime":null}],"nextCursor":null,"more":[]}"#
                .as_bytes(),
            None,
        )
        .unwrap();
        let item = |item: Value, archived_time: Value| Listed { item, archived_time };
        assert_eq!(
            page.items,
            [
                item(json!("WA-1"), json!("2026-11-21T10:00:04.120Z")),
                item(json!(7), Value::Null),
                item(json!({"entry": r#"{"archivedTime":"x"}"#}), Value::Null),
                item(json!({"entry": r#""WA-2""#}), Value::Null),
                item(json!({"entry": "null"}), Value::Null),
                item(json!({"entry": r#""\ud800""#}), Value::Null),
                item(json!({"entry": r#"["WA-3"]"#}), Value::Null),
            ]
        );
        let deep = format!(r#"{{"items":[{}1{}, {{"id":"WA-3"}}]}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(parse(deep.as_bytes(), None).unwrap().items[1].item, json!("WA-3"));
    }

    #[test]
    fn overlong_entry_is_cut_and_stays_invalid() {
        let long = "x".repeat(5_000_000);
        let body = json!({"items": [{"id": {"deep": long}}, {"id": long, "archivedTime": long}, {"new": long},
            {"id": "x".repeat(300)}, {"new": long, "id": "WA-1", "archivedTime": "2026-11-21T01:00:00Z"}]});
        let items = parse(body.to_string().as_bytes(), None).unwrap().items;
        for Listed { item, archived_time } in &items[..4] {
            assert!(item.to_string().len() < 2048 && serde_json::from_value::<ItemId>(item.clone()).is_err());
            assert!(archived_time.to_string().len() < 2048);
        }
        let whole = Listed { item: json!("WA-1"), archived_time: json!("2026-11-21T01:00:00Z") };
        assert_eq!(items[4], whole, "unknown members are allowed");
        // The longest possible id, in its longest notation.
        let longest = format!(r#"{{"items":[{{"id":"{}"}}]}}"#, r"\ud83d\udcac".repeat(ItemId::MAX_CHARS));
        assert_eq!(parse(longest.as_bytes(), None).unwrap().items[0].item, json!("💬".repeat(ItemId::MAX_CHARS)));
    }

    #[test]
    fn page_with_too_many_entries_is_rejected() {
        let page = |entries: usize| format!(r#"{{"items":[0{}],"nextCursor":"c"}}"#, ",0".repeat(entries - 1));
        assert_eq!(parse(page(MAX_ENTRIES).as_bytes(), None).unwrap().items.len(), MAX_ENTRIES);
        for entries in [MAX_ENTRIES + 1, 8 << 20] {
            let error = parse(page(entries).as_bytes(), None).unwrap_err();
            assert!(
                matches!(&error, SourceError::MalformedPage(detail) if detail.contains("10000 entries")),
                "{error}"
            );
        }
    }

    #[test]
    fn full_page_without_a_cursor_is_not_the_last_one() {
        let page = |entries: usize, more: &str| format!(r#"{{"items":[0{}]{more}}}"#, ",0".repeat(entries - 1));
        let full = parse(page(1_000, r#","next_cursor":"c""#).as_bytes(), None).unwrap_err();
        assert!(matches!(&full, SourceError::MalformedPage(detail) if detail.contains("no nextCursor")), "{full}");
        assert!(parse(page(1_000, r#","nextCursor":null"#).as_bytes(), None).unwrap().next.is_none());
        assert!(parse(page(999, "").as_bytes(), None).unwrap().next.is_none());
    }

    #[test]
    fn invalid_page_is_an_error_without_content() {
        for body in [
            "",
            "<html>",
            "[]",
            "{}",
            r#"{"items":{}}"#,
            r#"{"items":[],"nextCursor":7}"#,
            r#"{"items":[],"nextCursor":""}"#,
        ] {
            assert!(matches!(parse(body.as_bytes(), None), Err(SourceError::MalformedPage(_))), "{body}");
        }
        let used = Place::after(&window(), None, &[], "c-1".to_owned());
        let same = parse(br#"{"items":[],"nextCursor":"c-1"}"#, Some(&used)).unwrap_err();
        assert!(!same.to_string().contains("c-1"));
        assert!(parse(br#"{"items":[],"nextCursor":"c-2"}"#, Some(&used)).unwrap().next.is_some());
    }

    #[test]
    fn window_never_shrinks_when_rounded_to_milliseconds() {
        let query = query(&window(), 5000, None);
        assert_eq!(query[0], ("from", "2026-11-21T10:00:00.000Z".to_owned()));
        assert_eq!(query[1], ("to", "2026-11-21T11:00:00.001Z".to_owned()));
        assert_eq!(query[3], ("limit", "1000".to_owned()));
    }
}
