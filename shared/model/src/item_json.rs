//! Estimates the memory that the JSON of an item takes, before it is parsed.

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
    /// The memory of a response up to this length is not estimated: it is a few MB at most.
    const UNMEASURED_MAX_BYTES: usize = 64 << 10;

    /// Maximum memory of one item, in bytes. A group of 100,000 fits; a group of WhatsApp has up to 1,024 members. There is
    /// no limit of the number of participants, because this limit bounds it.
    pub const MAX_MEMORY_BYTES: u64 = 256 << 20;

    /// Estimates the memory of a response.
    ///
    /// # Errors
    /// [`ItemError::Memory`].
    pub fn new(json: Vec<u8>) -> Result<Self, ItemError> {
        let repaired = json_text::repair(&json);
        let text = repaired.as_ref().map_or(&json[..], |repaired| repaired.text.as_bytes());
        let memory = if json.len() > Self::UNMEASURED_MAX_BYTES { Some(estimate(text)?) } else { None };
        Ok(Self { json, repaired, memory })
    }

    /// Returns the length in bytes.
    pub fn bytes(&self) -> u64 {
        let repaired = self.repaired.as_ref().map_or(0, |repaired| repaired.text.len());
        (self.json.len() + repaired) as u64
    }

    /// Returns an upper bound of the memory, in bytes, that the parsed item takes during and after parsing, in addition
    /// to copies of the JSON itself. `None`: a negligible amount.
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

/// Estimates the memory of parsed JSON, in bytes, from its length and from its brackets and commas outside of strings.
/// Invalid JSON is counted in the same way, and its parser stops at the first error.
fn estimate(json: &[u8]) -> Result<u64, ItemError> {
    let (mut memory, mut at) = (json.len() as u64, 0);
    while let Some(byte) = json.get(at) {
        at += 1;
        memory += match byte {
            b'"' => {
                at = end_of_string(json, at);
                0
            }
            b'{' if json.get(at) != Some(&b'}') => MAP_BYTES,
            b'{' | b'[' => LIST_BYTES,
            b',' => VALUE_BYTES,
            _ => 0,
        };
    }
    if memory > ItemJson::MAX_MEMORY_BYTES { Err(ItemError::Memory) } else { Ok(memory) }
}

/// Returns the position after a string. `at` is a position inside the string.
fn end_of_string(json: &[u8], mut at: usize) -> usize {
    while let Some(found) = json.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if json.get(at - 1) == Some(&b'"') {
            return at;
        }
        at += 1;
    }
    json.len()
}

// Upper bounds of the memory of serde_json's values and of our item, in bytes: about twice the memory that a list of such
// values takes. A test in `convert` verifies that parsing takes no more.

/// A map with its first value, its place in a list whose capacity has doubled, and the structure that is read from it.
const MAP_BYTES: u64 = 1_060;
/// A list with its first value, or an empty map, with their places.
const LIST_BYTES: u64 = 324;
/// A further value with its name, its place and its digits or the overhead of its text.
const VALUE_BYTES: u64 = 278;

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: usize = 12 << 20;

    /// Returns an item with a member that contains this many copies of `part`.
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
    }

    #[test]
    fn structure_in_texts_takes_no_memory() {
        for part in [r#""{[,{[,\\",{"#, r#""\"{[,{[,",{"#] {
            assert_eq!(estimate(part.as_bytes()).unwrap(), part.len() as u64 + VALUE_BYTES + MAP_BYTES, "{part}");
        }
        assert_eq!(estimate(b"[{},{ }]").unwrap(), 8 + LIST_BYTES + LIST_BYTES + VALUE_BYTES + MAP_BYTES);
    }

    #[test]
    fn largest_group_and_longest_text_are_parsed() {
        let person = r#"{"name":"Person 12345","phone":"+4530123456","whatsappId":"4530123456@s.whatsapp.net"},"#;
        let group = ItemJson::new(item(person, 100_000)).unwrap();
        assert!(group.memory().is_some_and(|memory| memory < ItemJson::MAX_MEMORY_BYTES), "{:?}", group.memory());
        assert_eq!(group.read(&"WA-1".parse().unwrap()).unwrap().item.to.len(), 100_001);
        let text = format!(r#""{}","#, "&".repeat(10 << 20));
        assert!(ItemJson::new(item(&text, 1)).unwrap().memory().is_some_and(|memory| memory < 11 << 20));
        assert_eq!(ItemJson::new(item(person, 1)).unwrap().memory(), None);
    }
}
