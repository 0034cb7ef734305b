//! JSON of a shape that we do not know, as rows.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{body::Row, clean::one_line, file_name};

/// How many members are shown; the rest is in the evidence.
const MAX_ROWS: usize = 100;
/// The longest path to a member, in characters.
const MAX_PATH: usize = 80;
/// The longest value, in characters.
const MAX_VALUE: usize = 500;

/// The scalars in a value with the paths to them: `buttons[0].title`. Of what is not shown nothing is kept, so that the
/// evidence can be shown without being in memory once more.
///
/// # Errors
/// The reader's.
pub(super) fn rows<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<Row>, D::Error> {
    let mut shown = Shown::default();
    Member { path: String::new(), shown: &mut shown }.deserialize(value)?;
    if shown.more {
        shown.rows.push(Row::new("More", format!("in {}", file_name::EVIDENCE)));
    }
    Ok(shown.rows)
}

#[derive(Default)]
struct Shown {
    rows: Vec<Row>,
    /// Whether there is more than that.
    more: bool,
}

/// A value on its way to the rows.
struct Member<'a> {
    path: String,
    shown: &'a mut Shown,
}

/// As what serde_json gives a number that no machine has: a map of one member.
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
        self.show(&serde_json::Value::from(value).to_string())
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
    use serde_json::{Deserializer, Value, json};

    use super::*;

    fn shown(rows: &[Row]) -> Vec<String> {
        rows.iter().map(|row| format!("{}={}", row.key, row.value.joined())).collect()
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
        let full: Value = (0..MAX_ROWS).collect();
        assert_eq!(rows(&full).unwrap().len(), MAX_ROWS);
    }
}
