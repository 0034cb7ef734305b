//! Repairs the text of an item that a JSON parser would reject as a whole: half of a surrogate pair, invalid UTF-8,
//! control characters, endless nesting. The evidence then has the raw bytes, so nothing is lost.

use std::{borrow::Cow, hash::Hasher};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Maximum nesting that is read; serde_json's limit is 127 levels.
const MAX_DEPTH: usize = 100;

/// A text that a JSON parser accepts, unless it is not JSON at all.
pub struct Repaired {
    /// The text.
    pub text: String,
    /// One English sentence for each kind of repair.
    pub anomalies: Vec<String>,
}

/// Repairs a text; `None` if nothing has to be repaired.
pub fn repair(json: &[u8]) -> Option<Repaired> {
    let text = String::from_utf8_lossy(json);
    let without_mark = text.strip_prefix('\u{feff}');
    let mut repair = Repair {
        invalid_utf8: matches!(text, Cow::Owned(_)),
        byte_order_mark: without_mark.is_some(),
        ..Repair::default()
    };
    let text = without_mark.unwrap_or(&text);
    if !repair.is_needed_by(text) && repair.anomalies().is_empty() {
        return None;
    }
    let text = repair.write(text);
    let anomalies = repair.anomalies();
    (!anomalies.is_empty()).then_some(Repaired { text, anomalies })
}

#[derive(Default)]
struct Repair {
    invalid_utf8: bool,
    byte_order_mark: bool,
    half_characters: bool,
    control_characters: bool,
    too_deep: bool,
}

impl Repair {
    /// Checks quickly, because most items contain no surrogate at all. May return `true` although no repair is needed.
    fn is_needed_by(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let surrogate = |at: usize| matches!(bytes.get(at + 1..at + 3), Some([b'u', b'd' | b'D']));
        // A line break is allowed between members, but not in a string.
        let has_control = bytes.iter().fold(false, |found, byte| found | (*byte < 32));
        has_control || memchr::memchr_iter(b'\\', bytes).any(surrogate) || is_deep(bytes)
    }

    fn write(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let (mut rest, mut depth, mut in_string) = (text, 0_usize, false);
        // The depth of the value that is left out.
        let mut left_out = 0_usize;
        while let Some(char) = rest.chars().next() {
            let mut taken = char.len_utf8();
            let written: Cow<'_, str> = match char {
                '"' => {
                    in_string = !in_string;
                    rest[..taken].into()
                }
                '\\' if in_string => {
                    let (length, replacement) = escape(rest);
                    taken = length;
                    self.half_characters |= replacement.is_some();
                    replacement.map_or_else(|| rest[..taken].into(), Cow::Borrowed)
                }
                '\u{0}'..='\u{1f}' if in_string => {
                    self.control_characters = true;
                    format!("\\u{:04x}", u32::from(char)).into()
                }
                '{' | '[' if !in_string => {
                    depth += 1;
                    if depth > MAX_DEPTH {
                        self.too_deep = true;
                        left_out += 1;
                        if left_out == 1 { "null".into() } else { "".into() }
                    } else {
                        rest[..taken].into()
                    }
                }
                '}' | ']' if !in_string => {
                    depth = depth.saturating_sub(1);
                    if left_out > 0 {
                        left_out -= 1;
                        "".into()
                    } else {
                        rest[..taken].into()
                    }
                }
                _ => rest[..taken].into(),
            };
            if left_out == 0 || written == "null" {
                out.push_str(&written);
            }
            rest = &rest[taken..];
        }
        out
    }

    fn anomalies(&self) -> Vec<String> {
        let found = [
            (self.invalid_utf8, "The item contains bytes that are not UTF-8; they are shown as \u{fffd}."),
            (self.byte_order_mark, "The item begins with a byte order mark."),
            (
                self.half_characters,
                "A text contains half of a character, such as a name cut inside an emoji; it is shown as \u{fffd}.",
            ),
            (self.control_characters, "A text contains a control character that JSON does not allow."),
            (self.too_deep, "A member is nested too deeply to be read; it is complete in the evidence."),
        ];
        found.into_iter().filter(|(is_there, _)| *is_there).map(|(_, sentence)| sentence.to_owned()).collect()
    }
}

/// Returns whether brackets are nested too deeply, those in strings included.
fn is_deep(json: &[u8]) -> bool {
    // Most items have fewer brackets than that.
    if memchr::memchr2_iter(b'{', b'[', json).nth(MAX_DEPTH).is_none() {
        return false;
    }
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in json {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest > MAX_DEPTH
}

/// Returns the length of the escape at the beginning of a text, and its replacement if it is half of a surrogate pair.
fn escape(text: &str) -> (usize, Option<&'static str>) {
    let unit = |text: &str| text.strip_prefix("\\u")?.get(..4).and_then(|hex| u16::from_str_radix(hex, 16).ok());
    match unit(text) {
        Some(0xd800..=0xdbff) if matches!(text.get(6..).and_then(unit), Some(0xdc00..=0xdfff)) => (12, None),
        Some(0xd800..=0xdfff) => (6, Some("\\ufffd")),
        Some(_) => (6, None),
        None => (1 + text[1..].chars().next().map_or(0, char::len_utf8), None),
    }
}

/// Reserved name with which serde_json marks JSON in a text, which it would parse although its memory was not estimated. No
/// source has it.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// Checks that a text is JSON, and returns whether an object has a repeated member: a parser keeps only one of the two.
///
/// # Errors
/// It is not JSON, or has a reserved member name.
pub(crate) fn has_duplicates(json: &[u8]) -> serde_json::Result<bool> {
    let mut found = false;
    let mut reader = serde_json::Deserializer::from_slice(json);
    Node(&mut found).deserialize(&mut reader)?;
    reader.end()?;
    Ok(found)
}

struct Node<'a>(&'a mut bool);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Node(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        // Hashes, not names: 8 bytes per member, regardless of their length.
        let mut names = Vec::new();
        while let Some(name) = map.next_key_seed(Name)? {
            names.push(name);
            map.next_value_seed(Node(self.0))?;
        }
        names.sort_unstable();
        *self.0 |= names.windows(2).any(|pair| pair[0] == pair[1]);
        Ok(())
    }
}

struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = u64;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<u64, E> {
        if name == RAW_VALUE {
            return Err(E::custom("a reserved member name"));
        }
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(name.as_bytes());
        Ok(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_text_is_not_changed() {
        for json in [r#"{"a":"😀 \ud83d\ude00 \u00e9 \\ud800"}"#, "{\n \"a\": [1, true, null]\r\n}\t"] {
            let repaired = repair(json.as_bytes());
            assert!(repaired.is_none_or(|repaired| repaired.text == json && repaired.anomalies.is_empty()), "{json}");
        }
        assert!(repair(br#"{"a":"plain"}"#).is_none());
    }

    #[test]
    fn each_kind_of_damage_is_repaired_and_noted_once() {
        let deep = format!(r#"{{"a":{}1{},"b":2}}"#, "[".repeat(5_000), "]".repeat(5_000));
        let cut = format!(r#"{{"a":{}null{},"b":2}}"#, "[".repeat(MAX_DEPTH - 1), "]".repeat(MAX_DEPTH - 1));
        let cases: [(&[u8], &str); 7] = [
            (br#"{"a":"x\ud83d"}"#, r#"{"a":"x\ufffd"}"#),
            (br#"{"a":"\ude00\ud83d\u0041\ud83d\ude00"}"#, r#"{"a":"\ufffd\ufffd\u0041\ud83d\ude00"}"#),
            (b"{\"a\":\"\xff\xfe\"}", "{\"a\":\"\u{fffd}\u{fffd}\"}"),
            (b"{\"a\":\"one\ntwo\x00\"}", r#"{"a":"one\u000atwo\u0000"}"#),
            ("\u{feff}{}".as_bytes(), "{}"),
            (deep.as_bytes(), &cut),
            (br#"{"a":"\\\ud83d"}"#, r#"{"a":"\\\ufffd"}"#),
        ];
        for (json, expected) in cases {
            let repaired = repair(json).unwrap();
            assert_eq!(repaired.text, expected);
            assert_eq!(repaired.anomalies.len(), 1, "{expected}: {:?}", repaired.anomalies);
            assert!(serde_json::from_str::<serde_json::Value>(&repaired.text).is_ok(), "{expected}");
        }
    }

    #[test]
    fn duplicate_members_are_found_at_any_depth() {
        for json in [r#"{"a":1,"a":2}"#, r#"[{"b":{"a":1,"\u0061":1}}]"#, r#"{"a":{"b":1,"b":1},"c":1e400}"#] {
            assert!(has_duplicates(json.as_bytes()).unwrap(), "{json}");
        }
        for json in [r#"{"a":1,"b":{"a":1}}"#, r#"[{"a":1},{"a":1}]"#, r#"{"a":12345678901234567890123}"#] {
            assert!(!has_duplicates(json.as_bytes()).unwrap(), "{json}");
        }
    }

    #[test]
    fn json_hidden_in_a_text_is_rejected() {
        let hidden = r#"{"a":1,"a":[{"\u0024serde_json::private::RawValue":"[{},{}]"}]}"#;
        for json in [hidden, "{", "{}{}"] {
            assert!(has_duplicates(json.as_bytes()).is_err(), "{json}");
        }
    }
}
