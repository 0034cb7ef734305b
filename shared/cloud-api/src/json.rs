//! Reads JSON of uncertain shape: each member is parsed separately and keeps its bytes.

use std::fmt;

use jiff::Timestamp;
use model::Sha256;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Value, json, value::RawValue};

/// The members of an object in order, each with its raw bytes. A name may occur twice.
#[derive(Default)]
pub(crate) struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Parses an object; `None` if `raw` is another value.
    pub(crate) fn of(raw: &'a RawValue) -> Option<Self> {
        serde_json::from_str(raw.get()).ok()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, raw)| (name.as_str(), *raw))
    }

    /// Returns the last member with this name. `null` counts as missing.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.0.iter().rev().find(|(given, _)| given == name)?.1;
        (found.get() != "null").then_some(found)
    }

    /// Returns the member if it is an object.
    pub(crate) fn object(&self, name: &str) -> Option<Self> {
        Self::of(self.get(name)?)
    }

    /// Returns the entries of the member if it is a list.
    pub(crate) fn list(&self, name: &str) -> Vec<&'a RawValue> {
        self.get(name).and_then(list).unwrap_or_default()
    }

    /// Returns the member as text if it is a string, a number or a boolean. Empty text counts as missing.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        text(self.get(name)?)
    }

    /// Returns the parsed member; `None` if it is missing or cannot be parsed.
    pub(crate) fn value(&self, name: &str) -> Option<Value> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    /// Returns the member as a time, if it is a number of seconds since 1970 (string or number). Other values are
    /// passed on.
    pub(crate) fn time(&self, name: &str) -> Option<Value> {
        let seconds = self.text(name).and_then(|text| text.trim().parse().ok());
        let at = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
        at.map(|at| json!(at)).or_else(|| self.value(name))
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Returns the entries of a list; `None` if `raw` is not a list.
pub(crate) fn list(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

/// Converts a value like [`Members::text`].
pub(crate) fn text(raw: &RawValue) -> Option<String> {
    let text = match raw.get().as_bytes().first()? {
        b'"' => serde_json::from_str(raw.get()).ok()?,
        b'{' | b'[' | b'n' => return None,
        _ => raw.get().to_owned(),
    };
    (!text.is_empty()).then_some(text)
}

/// Returns the digest of the parsed value, independent of white space, escapes and the order of members.
pub(crate) fn content_digest(raw: &RawValue) -> Sha256 {
    let Ok(mut value) = serde_json::from_str::<Value>(raw.get()) else { return Sha256::of(raw.get().as_bytes()) };
    value.sort_all_objects();
    Sha256::of(value.to_string().as_bytes())
}
