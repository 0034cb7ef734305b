//! A page of the list.

use item::{Listed, Window};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{Page, SourceError};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'body> {
    // Each entry is read by itself: one that is nested without end, or holds half a surrogate pair, costs only itself.
    #[serde(borrow)]
    items: Vec<&'body RawValue>,
    #[serde(default)]
    next_cursor: Option<String>,
}

pub(super) fn query(window: &Window, limit: u16, cursor: Option<&str>) -> Vec<(&'static str, String)> {
    // The contract has milliseconds: the window may grow by a part of one, and never shrinks.
    let mut query = vec![
        ("from", milliseconds(floor(window.from))),
        ("to", milliseconds(ceiling(window.to))),
        ("network", "whatsapp".to_owned()),
        ("limit", limit.clamp(1, 1000).to_string()),
    ];
    query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
    query
}

/// `used` is the cursor that asked for this page.
pub(super) fn parse(body: &[u8], used: Option<&str>) -> Result<Page, SourceError> {
    let body: Body<'_> = serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        SourceError::MalformedPage(format!(
            "no JSON object with an array `items` and a string `nextCursor`, at line {line} column {column}"
        ))
    })?;
    match body.next_cursor.as_deref() {
        // An empty cursor would ask for the first page again.
        Some("") => return Err(SourceError::MalformedPage("the next cursor is empty".to_owned())),
        next if next.is_some() && next == used => {
            return Err(SourceError::MalformedPage("the next cursor is the one that was just used".to_owned()));
        }
        _ => {}
    }
    Ok(Page { items: body.items.into_iter().map(entry).collect(), next: body.next_cursor })
}

/// What cannot be told apart by an id is passed on whole, in a form that is no id.
fn entry(raw: &RawValue) -> Listed {
    match serde_json::from_str(raw.get()) {
        Ok(Value::Object(mut entry)) => {
            let archived_time = entry.remove("archivedTime").unwrap_or_default();
            let item = entry.remove("id").unwrap_or(Value::Object(entry));
            Listed { item, archived_time }
        }
        Ok(other) => Listed { item: json!({ "entry": other }), archived_time: Value::Null },
        Err(_) => Listed { item: json!({ "unreadable": raw.get() }), archived_time: Value::Null },
    }
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

    #[test]
    fn an_entry_that_breaks_the_contract_is_passed_on() {
        let page = parse(
            r#"{"items":[{"id":"WA-1","archivedTime":"2026-11-21T10:00:04.120Z","new":1},{"id":7},{"archivedTime":"x","a":1},
                "WA-2",null,{"id":"\ud800"}],"nextCursor":null,"more":[]}"#.as_bytes(),
            None,
        )
        .unwrap();
        let item = |item: Value, archived_time: Value| Listed { item, archived_time };
        assert_eq!(
            page.items,
            [
                item(json!("WA-1"), json!("2026-11-21T10:00:04.120Z")),
                item(json!(7), Value::Null),
                item(json!({"a": 1}), json!("x")),
                item(json!({"entry": "WA-2"}), Value::Null),
                item(json!({"entry": null}), Value::Null),
                item(json!({"unreadable": r#"{"id":"\ud800"}"#}), Value::Null),
            ]
        );
        let deep = format!(r#"{{"items":[{}1{}, {{"id":"WA-3"}}]}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(parse(deep.as_bytes(), None).unwrap().items[1].item, json!("WA-3"));
    }

    #[test]
    fn a_page_that_breaks_the_contract_is_an_error_and_quotes_nothing() {
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
        let same = parse(br#"{"items":[],"nextCursor":"c-1"}"#, Some("c-1")).unwrap_err();
        assert!(!same.to_string().contains("c-1"));
        assert_eq!(parse(br#"{"items":[],"nextCursor":"c-2"}"#, Some("c-1")).unwrap().next.as_deref(), Some("c-2"));
    }

    #[test]
    fn the_window_never_shrinks_to_milliseconds() {
        let window =
            Window::between("2026-11-21T10:00:00.0009Z".parse().unwrap(), "2026-11-21T11:00:00.0001Z".parse().unwrap())
                .unwrap();
        let query = query(&window, 5000, None);
        assert_eq!(query[0], ("from", "2026-11-21T10:00:00.000Z".to_owned()));
        assert_eq!(query[1], ("to", "2026-11-21T11:00:00.001Z".to_owned()));
        assert_eq!(query[3], ("limit", "1000".to_owned()));
    }
}
