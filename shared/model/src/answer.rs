//! The source's answer to the question for an item, before it is read.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::{
    Captured, ItemError, ItemId,
    json_text::{self, Repaired},
};

/// Some JSON that is said to be an item.
///
/// Read, hostile JSON takes a hundred times its length, so what it will take is counted first, in a pass that keeps
/// nothing: the reader can wait for memory.
pub struct Answer {
    json: Vec<u8>,
    repaired: Option<Repaired>,
    memory: Option<u64>,
}

impl Answer {
    /// A shorter one is not counted: whatever it holds, it takes a few MB.
    const SMALL: usize = 64 << 10;

    /// The most bytes of memory that one may take. A group of 100,000 takes about half.
    pub const MOST_MEMORY: u64 = 256 << 20;

    /// What the source answered.
    ///
    /// # Errors
    /// [`ItemError::Json`] where it is no JSON, as far as that is looked at here, and [`ItemError::Memory`].
    pub fn new(json: Vec<u8>) -> Result<Self, ItemError> {
        let repaired = json_text::repair(&json);
        let text = repaired.as_ref().map_or(&json[..], |repaired| repaired.text.as_bytes());
        let memory = if json.len() > Self::SMALL { Some(memory(text)?) } else { None };
        Ok(Self { json, repaired, memory })
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> u64 {
        let repaired = self.repaired.as_ref().map_or(0, |repaired| repaired.text.len());
        (self.json.len() + repaired) as u64
    }

    /// The most memory, in bytes, that what it says takes while it is read and after, beside copies of the JSON itself.
    /// `None`: so little that it does not matter.
    pub fn memory(&self) -> Option<u64> {
        self.memory
    }

    /// Reads it. `asked` is the id that was asked for.
    ///
    /// # Errors
    /// [`ItemError`], all of them permanent.
    pub fn read(&self, asked: &ItemId) -> Result<Captured, ItemError> {
        Captured::parse_repaired(&self.json, self.repaired.as_ref(), asked)
    }
}

fn memory(json: &[u8]) -> Result<u64, ItemError> {
    let mut counted = 0;
    let mut reader = serde_json::Deserializer::from_slice(json);
    match Node(&mut counted).deserialize(&mut reader).and_then(|()| reader.end()) {
        Ok(()) => Ok(counted),
        Err(_) if counted > Answer::MOST_MEMORY => Err(ItemError::Memory),
        Err(error) => Err(ItemError::Json { line: error.line(), column: error.column() }),
    }
}

// What serde_json's values and our item take, in bytes. `convert` has a test that it is no less.

/// A place in a list that has doubled.
const PLACE: u64 = 64;
/// The room that a list begins with.
const LIST: u64 = 144;
/// What the allocator adds to a text.
const TEXT: u64 = 32;
/// A number that a machine has, as its digits.
const NUMBER: u64 = TEXT + 20;
/// The room that a map begins with,
const MAP: u64 = 648;
/// how many members have it,
const MEMBERS: u64 = 11;
/// and what each after them takes.
const MEMBER: u64 = 130;
/// The largest of our structures, in a list that has doubled.
const STRUCTURE: u64 = 200;

/// The names by which serde_json's own types know each other: a number that no machine has comes as a map. No archive has
/// them; in a text, the second would be read as JSON of its own.
const ANY_NUMBER: &str = "$serde_json::private::Number";
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Counts a value.
struct Node<'a>(&'a mut u64);

impl Node<'_> {
    fn takes<E: Error>(&mut self, bytes: u64) -> Result<(), E> {
        *self.0 += bytes;
        if *self.0 > Answer::MOST_MEMORY { Err(E::custom("too much")) } else { Ok(()) }
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
                // Kept as its digits, and no map.
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

/// Counts a member's name.
struct Name<'a>(&'a mut u64);

#[derive(PartialEq)]
enum Named {
    Member,
    /// The one member of what is no map but a number.
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
            RAW_VALUE => return Err(E::custom("a name that nobody but the reader may use")),
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

    /// An item with a member that holds so many of these.
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
    fn what_hurts_most_for_its_length_is_refused_before_it_is_read() {
        for part in [r#"{"":0},"#, "[0],", "0,", r#""","#, r#"{"":[{"":0}]},"#, "[[[[[]]]]],", "{},"] {
            let json = item(part, LONGEST / part.len());
            assert!(matches!(Answer::new(json), Err(ItemError::Memory)), "{part}");
        }
        let hidden = format!(r#"{{"{RAW_VALUE}":"[{}0]"}}"#, "{},".repeat(1 << 20));
        assert!(matches!(Answer::new(hidden.into_bytes()), Err(ItemError::Json { .. })));
    }

    #[test]
    fn a_group_of_a_hundred_thousand_and_a_text_of_ten_megabytes_are_read() {
        let person = r#"{"name":"Person 12345","phone":"+4530123456","whatsappId":"4530123456@s.whatsapp.net"},"#;
        let crowd = Answer::new(item(person, 100_000)).unwrap();
        assert!(crowd.memory().is_some_and(|memory| memory < Answer::MOST_MEMORY * 2 / 3), "{:?}", crowd.memory());
        assert_eq!(crowd.read(&"WA-1".parse().unwrap()).unwrap().item.to.len(), 100_001);
        let text = format!(r#""{}","#, "&".repeat(10 << 20));
        assert!(Answer::new(item(&text, 1)).unwrap().memory().is_some_and(|memory| memory < 11 << 20));
        assert_eq!(Answer::new(item(person, 1)).unwrap().memory(), None);
    }
}
