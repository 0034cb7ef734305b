//! Text for a terminal: tables, and text of other systems made safe to display.

use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use serde::Serialize;

/// Creates an empty table with this header.
pub fn table_of(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
    table
}

/// Makes an id or a short text of another system safe to display: one line, at most 160 characters.
pub fn shown(id: &str) -> String {
    shown_up_to(id, 160)
}

/// Makes a text of another system safe to display: one line, at most `max_chars` characters.
pub fn shown_up_to(text: &str, max_chars: usize) -> String {
    let safe = |char: char| if is_deceptive(char) { char::REPLACEMENT_CHARACTER } else { char };
    let mut shown: String = text.chars().take(max_chars).map(safe).collect();
    if text.chars().nth(max_chars).is_some() {
        shown.push('…');
    }
    shown
}

/// Makes a whole document safe to display; its line breaks are kept.
pub fn visible(document: &str) -> String {
    let safe = |char: char| if char != '\n' && is_deceptive(char) { char::REPLACEMENT_CHARACTER } else { char };
    document.chars().map(safe).collect()
}

/// Serializes a value on one line. Characters that would act on a terminal are written as JSON escapes, so a program
/// reads the value unchanged.
///
/// # Errors
/// The value cannot be serialized.
pub fn json(value: &impl Serialize) -> serde_json::Result<String> {
    let json = serde_json::to_string(value)?;
    // Outside of strings, JSON contains none of these characters.
    if !json.contains(is_deceptive) {
        return Ok(json);
    }
    let mut escaped = String::with_capacity(json.len() + 64);
    for char in json.chars() {
        if is_deceptive(char) {
            for unit in char.encode_utf16(&mut [0; 2]) {
                escaped += &format!("\\u{unit:04x}");
            }
        } else {
            escaped.push(char);
        }
    }
    Ok(escaped)
}

/// Returns whether a character is a control character, or a character without a glyph that change the order, the line or the look of the text beside
/// them. The joiners U+200C and U+200D stay: scripts and emoji are written with them.
fn is_deceptive(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{AD}'
                | '\u{61C}'
                | '\u{180E}'
                | '\u{200B}'
                | '\u{200E}'
                | '\u{200F}'
                | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}'
                | '\u{FEFF}'
                | '\u{FFF9}'..='\u{FFFB}'
                | '\u{1BCA0}'..='\u{1BCA3}'
                | '\u{1D173}'..='\u{1D17A}'
                | '\u{E0000}'..='\u{E007F}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every character that Unicode gives the property `Bidi_Control`, and one of each other kind.
    const DECEPTIVE: &str = "\u{61C}\u{200E}\u{200F}\u{202A}\u{202B}\u{202C}\u{202D}\u{202E}\u{2066}\u{2067}\u{2068}\u{2069}\
                             \u{0}\u{7}\u{8}\t\r\u{1B}\u{7F}\u{80}\u{9B}\u{9F}\u{2028}\u{2029}\u{200B}\u{2060}\u{206A}\u{FEFF}\
                             \u{FFF9}\u{AD}\u{E0041}\u{1D173}";

    #[test]
    fn deceptive_characters_are_replaced_in_text() {
        let expected = char::REPLACEMENT_CHARACTER.to_string().repeat(DECEPTIVE.chars().count());
        assert_eq!(shown(DECEPTIVE), expected);
        assert_eq!(visible(DECEPTIVE), expected);
        assert_eq!((shown("a\nb").as_str(), visible("a\nb").as_str()), ("a\u{FFFD}b", "a\nb"));
        assert_eq!(shown_up_to("abc", 2), "ab…");
        for harmless in ["Zoë 😀", "👩\u{200D}👧", "نامه\u{200C}ای", "ø/–·"] {
            assert_eq!(shown(harmless), harmless);
        }
    }

    #[test]
    fn json_escapes_deceptive_characters_and_keeps_the_value() {
        let written = json(&DECEPTIVE).unwrap();
        assert!(written.is_ascii(), "{written}");
        assert!(
            written.contains("\\u202e") && written.contains("\\u009b") && written.contains("\\udb40\\udc41"),
            "{written}"
        );
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), DECEPTIVE);
        assert_eq!(json(&"Zoë 😀").unwrap(), "\"Zoë 😀\"");
    }
}
