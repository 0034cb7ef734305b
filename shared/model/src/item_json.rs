//! Estimates the memory that the JSON of an item takes, before it is parsed.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::{
    Captured, ItemError, ItemId,
    json_text::{self, Repaired},
};

/// The JSON of an item, not parsed yet.
///
/// Parsed hostile JSON may take a hundred times its length in memory. Therefore a first pass, which stores nothing,
/// estimates the memory, so that the caller can wait until enough is free.
pub struct ItemJson {
    json: Vec<u8>,
    repaired: Option<Repaired>,
    memory: Option<u64>,
}

impl ItemJson {
    /// A shorter response is not measured: it takes a few MB at most.
    const SMALL: usize = 64 << 10;

    /// Maximum memory of one item, in bytes. A group of 100,000 takes about half of it.
    pub const MAX_MEMORY: u64 = 256 << 20;

    /// Estimates the memory of a response.
    ///
    /// # Errors
    /// [`ItemError::Json`] if it is not JSON, as far as this pass checks it, and [`ItemError::Memory`].
    pub fn new(json: Vec<u8>) -> Result<Self, ItemError> {
        let repaired = json_text::repair(&json);
        let text = repaired.as_ref().map_or(&json[..], |repaired| repaired.text.as_bytes());
        let memory = if json.len() > Self::SMALL { Some(memory(text)?) } else { None };
        Ok(Self { json, repaired, memory })
    }

    /// Length in bytes.
    pub fn bytes(&self) -> u64 {
        let repaired = self.repaired.as_ref().map_or(0, |repaired| repaired.text.len());
        (self.json.len() + repaired) as u64
    }

    /// Upper bound of the memory, in bytes, that the parsed item takes during and after parsing, in addition to copies
    /// of the JSON itself. `None`: a negligible amount.
    pub fn memory(&self) -> Option<u64> {
        self.memory
    }

    /// Parses the item. `requested` is the id that was requested.
    ///
    /// # Errors
    /// [`ItemError`], all of them permanent.
    pub fn read(&self, requested: &ItemId) -> Result<Captured, ItemError> {
        Captured::parse_repaired(&self.json, self.repaired.as_ref(), requested)
    }
}

fn memory(json: &[u8]) -> Result<u64, ItemError> {
    let mut counted = 0;
    let mut reader = serde_json::Deserializer::from_slice(json);
    match Node(&mut counted).deserialize(&mut reader).and_then(|()| reader.end()) {
        Ok(()) => Ok(counted),
        Err(_) if counted > ItemJson::MAX_MEMORY => Err(ItemError::Memory),
        Err(error) => Err(ItemError::Json { line: error.line(), column: error.column() }),
    }
}

// Sizes of serde_json's values and of our item, in bytes. A test in `convert` verifies that they are upper bounds.

/// An element of a list whose capacity has doubled.
const PLACE: u64 = 64;
/// The first allocation of a list.
const LIST: u64 = 144;
/// The allocator's overhead of a text.
const TEXT: u64 = 32;
/// A number, as its digits.
const NUMBER: u64 = TEXT + 20;
/// The first allocation of a map.
const MAP: u64 = 648;
/// Number of members that fit into the first allocation of a map.
const MEMBERS: u64 = 11;
/// Each further member of a map.
const MEMBER: u64 = 130;
/// The largest structure of the item, in a list whose capacity has doubled.
const STRUCTURE: u64 = 200;

/// Reserved names with which serde_json marks its own types: a number with arbitrary precision is passed as a map with
/// this member. No source has them; in a text, the second one would be parsed as JSON again.
const ANY_NUMBER: &str = "$serde_json::private::Number";
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Measures a value.
struct Node<'a>(&'a mut u64);

impl Node<'_> {
    fn takes<E: Error>(&mut self, bytes: u64) -> Result<(), E> {
        *self.0 += bytes;
        if *self.0 > ItemJson::MAX_MEMORY { Err(E::custom("too much")) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<(), D::Error> {
        self.takes(PLACE)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(mut self, _: u64) -> Result<(), E> {
        self.takes(NUMBER)
    }

    fn visit_i64<E: Error>(mut self, _: i64) -> Result<(), E> {
        self.takes(NUMBER)
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        self.takes(TEXT + text.len() as u64)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        if list.next_element_seed(Node(self.0))?.is_none() {
            return Ok(());
        }
        self.takes(LIST)?;
        while list.next_element_seed(Node(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut members = 0;
        while let Some(name) = map.next_key_seed(Name(self.0))? {
            if name == Named::Number {
                // It is stored as digits, not as a map.
                return map.next_value_seed(Node(self.0));
            }
            members += 1;
            self.takes(match members {
                1 => MAP,
                2..=MEMBERS => 0,
                _ => MEMBER,
            })?;
            map.next_value_seed(Node(self.0))?;
        }
        self.takes(STRUCTURE)
    }
}

/// Measures the name of a member.
struct Name<'a>(&'a mut u64);

#[derive(PartialEq)]
enum Named {
    Member,
    /// The only member of a map that represents a number.
    Number,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Named;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Named, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<'de> Visitor<'de> for Name<'_> {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Named, E> {
        match name {
            ANY_NUMBER => return Ok(Named::Number),
            RAW_VALUE => return Err(E::custom("a reserved member name")),
            "" => {}
            _ => Node(self.0).takes(TEXT + name.len() as u64)?,
        }
        Ok(Named::Member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: usize = 12 << 20;

    /// An item with a member that contains this many copies of `part`.
    fn item(part: &str, parts: usize) -> Vec<u8> {
        let mut json = br#"{"id":"WA-1","type":"x","messageTime":"2026-11-21T09:59:58Z","archivedTime":"2026-11-21T09:59:58Z","chat":{"id":"c","type":"group"},"from":{},"to":["#.to_vec();
        let to = if part.contains("phone") { part } else { "" };
        (0..parts).for_each(|_| json.extend_from_slice(to.as_bytes()));
        json.extend_from_slice(br#"{}],"business":["#);
        let other = if to.is_empty() { part } else { "" };
        (0..parts).for_each(|_| json.extend_from_slice(other.as_bytes()));
        json.extend_from_slice(b"0]}");
        json
    }

    #[test]
    fn costly_json_is_rejected_before_it_is_parsed() {
        for part in [r#"{"":0},"#, "[0],", "0,", r#""","#, r#"{"":[{"":0}]},"#, "[[[[[]]]]],", "{},"] {
            let json = item(part, LONGEST / part.len());
            assert!(matches!(ItemJson::new(json), Err(ItemError::Memory)), "{part}");
        }
        let hidden = format!(r#"{{"{RAW_VALUE}":"[{}0]"}}"#, "{},".repeat(1 << 20));
        assert!(matches!(ItemJson::new(hidden.into_bytes()), Err(ItemError::Json { .. })));
    }

    #[test]
    fn largest_group_and_longest_text_are_parsed() {
        let person = r#"{"name":"Person 12345","phone":"+4530123456","whatsappId":"4530123456@s.whatsapp.net"},"#;
        let crowd = ItemJson::new(item(person, 100_000)).unwrap();
        assert!(crowd.memory().is_some_and(|memory| memory < ItemJson::MAX_MEMORY * 2 / 3), "{:?}", crowd.memory());
        assert_eq!(crowd.read(&"WA-1".parse().unwrap()).unwrap().item.to.len(), 100_001);
        let text = format!(r#""{}","#, "&".repeat(10 << 20));
        assert!(ItemJson::new(item(&text, 1)).unwrap().memory().is_some_and(|memory| memory < 11 << 20));
        assert_eq!(ItemJson::new(item(person, 1)).unwrap().memory(), None);
    }
}
