//! Shows JSON of unknown shape as rows.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::write::{body::Row, clean::one_line, file_name};

/// Maximum number of members that are shown; the others are in the evidence.
const MAX_ROWS: usize = 100;
/// Maximum length of the path to a member, in characters.
const MAX_PATH: usize = 80;
/// Maximum length of a value, in characters.
const MAX_VALUE: usize = 500;

/// Returns the scalars in a value with their paths, such as `buttons[0].title`. Only displayed scalars are kept, so
/// that the evidence is not in memory twice.
///
/// # Errors
/// The deserializer's error.
pub(super) fn rows<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<Row>, D::Error> {
    let mut shown = Shown::default();
    Member { path: String::new(), shown: &mut shown }.deserialize(value)?;
    Ok(shown.finish())
}

/// Makes the path of a row readable: `Items 1 name` for `items[0].name`.
fn readable(mut row: Row) -> Row {
    let mut words = String::with_capacity(row.key.len() + 8);
    for part in row.key.split('.') {
        let (name, index) = part.split_once('[').unwrap_or((part, ""));
        for c in name.chars() {
            if c == '_' || c == '-' {
                words.push(' ');
            } else if c.is_uppercase() && words.chars().next_back().is_some_and(char::is_lowercase) {
                words.push(' ');
                words.extend(c.to_lowercase());
            } else {
                words.push(c);
            }
        }
        // Readers count from 1.
        for index in index.split('[').filter_map(|index| index.trim_end_matches(']').parse::<usize>().ok()) {
            words.push_str(&format!(" {}", index + 1));
        }
        words.push(' ');
    }
    let mut chars = words.trim().chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    row.key = one_line(&(first + chars.as_str()), MAX_PATH).into();
    row
}

/// Returns the scalars in the selected members of an object, under readable names.
pub(super) fn rows_of<'de>(
    members: impl Iterator<Item = (&'de String, &'de Value)>,
) -> Result<Vec<Row>, serde_json::Error> {
    let mut shown = Shown::default();
    for (name, value) in members {
        Member { path: one_line(name, MAX_PATH), shown: &mut shown }.deserialize(value)?;
    }
    Ok(shown.finish().into_iter().map(readable).collect())
}

#[derive(Default)]
struct Shown {
    rows: Vec<Row>,
    /// `true` if scalars were left out.
    more: bool,
}

impl Shown {
    fn finish(mut self) -> Vec<Row> {
        if self.more {
            self.rows.push(Row::new("More", format!("in {}", file_name::EVIDENCE)));
        }
        self.rows
    }
}

/// A value that is converted to rows.
struct Member<'a> {
    path: String,
    shown: &'a mut Shown,
}

/// The member name by which serde_json represents a number of arbitrary precision as a map.
const NUMBER: &str = "$serde_json::private::Number";

impl Member<'_> {
    fn show<E: Error>(self, value: &str) -> Result<(), E> {
        self.shown.rows.push(Row::new(self.path, one_line(value, MAX_VALUE)));
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.shown.rows.len() < MAX_ROWS {
            return deserializer.deserialize_any(self);
        }
        self.shown.more = true;
        deserializer.deserialize_ignored_any(IgnoredAny).map(drop)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.show("null")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.show(if value { "true" } else { "false" })
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.show(&value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.show(&value.to_string())
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<(), E> {
        self.show(&value.to_string())
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<(), E> {
        self.show(&value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.show(&Value::from(value).to_string())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.show(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        for at in 0..MAX_ROWS {
            let path = one_line(&format!("{}[{at}]", self.path), MAX_PATH);
            if list.next_element_seed(Member { path, shown: self.shown })?.is_none() {
                return Ok(());
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            self.shown.more = true;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let dot = if self.path.is_empty() { "" } else { "." };
        for _ in 0..MAX_ROWS {
            let Some(name) = map.next_key::<String>()? else { return Ok(()) };
            if name == NUMBER {
                let number = map.next_value::<String>()?;
                return self.show(&number);
            }
            let path = one_line(&format!("{}{dot}{name}", self.path), MAX_PATH);
            map.next_value_seed(Member { path, shown: self.shown })?;
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            self.shown.more = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Deserializer, json};

    use super::*;

    fn shown(rows: &[Row]) -> Vec<String> {
        rows.iter().map(|row| format!("{}={}", row.key, row.value.text())).collect()
    }

    #[test]
    fn paths_are_readable() {
        let key = |path: &'static str| readable(Row::new(path, "")).key.into_owned();
        assert_eq!(key("order.totalAmount"), "Order total amount");
        assert_eq!(key("items[0].product_name"), "Items 1 product name");
        assert_eq!(key("a[1][2]"), "A 2 3");
        assert_eq!(key(""), "");
    }

    #[test]
    fn members_are_shown_in_order_and_bounded() {
        let text =
            r#"{"a": {"b": [1, "x\r\ny", -1.50, 1e3, 123456789012345678901234567890]}, "c": null, "d": [true, {}]}"#;
        let expected = [
            "a.b[0]=1",
            "a.b[1]=x y",
            "a.b[2]=-1.50",
            "a.b[3]=1e+3",
            "a.b[4]=123456789012345678901234567890",
            "c=null",
            "d[0]=true",
        ];
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(shown(&rows(&value).unwrap()), expected);
        assert_eq!(shown(&rows(&mut Deserializer::from_str(text)).unwrap()), expected);
        let wide: Value = (0..100_000).map(|at| json!({"k": at})).collect();
        assert_eq!(rows(&wide).unwrap().len(), MAX_ROWS + 1);
        assert_eq!(rows(&mut Deserializer::from_str(&wide.to_string())).unwrap().len(), MAX_ROWS + 1);
        let nested: Value = (0..2).map(|_| (0..MAX_ROWS - 1).collect::<Value>()).collect();
        assert_eq!(rows(&nested).unwrap().len(), MAX_ROWS + 1);
        let full: Value = (0..MAX_ROWS).collect();
        assert_eq!(rows(&full).unwrap().len(), MAX_ROWS);
    }
}
