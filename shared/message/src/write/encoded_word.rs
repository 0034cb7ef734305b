//! RFC 2047 encoded words.
//!
//! Programs that use GMime (notmuch, mu) stop at the first base64 word that ends in padding. Therefore only the last
//! word may have padding: the other words have a number of bytes that is a multiple of 3.
//!
//! Python (3.11) keeps the white space between two encoded words of a display name. Therefore words end after a space
//! if possible: then Python shows two spaces there, instead of a space within a name or a number.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Maximum number of bytes of text in a base64 word: 48 characters, so that the longest header name and a word fit into
/// a line of 76 characters.
const WORD_BYTES: usize = 36;
/// Maximum number of characters that a word's text takes in the Q encoding.
const Q_CHARACTERS: usize = 48;
/// Maximum length of an ASCII text that is not encoded. A longer text is encoded, so that its lines can be folded
/// anywhere.
const PLAIN_BYTES: usize = 77;

/// Returns a text as the value of an unstructured header field.
pub fn unstructured(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { words(text).join(" ") }
}

/// Returns a text as a display name before an address.
pub fn phrase(text: &str) -> String {
    if !is_plain(text) {
        return words(text).join(" ");
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

fn is_plain(text: &str) -> bool {
    text.len() <= PLAIN_BYTES && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !text.contains("=?")
}

/// Splits a text into encoded words, which decode to the text when joined. They contain no character with a meaning in
/// a quoted string.
pub(crate) fn words(text: &str) -> Vec<String> {
    let q_is_shorter = text.bytes().map(q_length).sum::<usize>() <= text.len().div_ceil(3) * 4;
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let cut = whole(rest, q_is_shorter).or_else(|| after_a_space(rest, q_is_shorter));
        let (end, is_q) = cut.unwrap_or_else(|| match aligned(rest).filter(|_| !q_is_shorter) {
            Some(end) => (end, false),
            None => (q_end(rest, !q_is_shorter), true),
        });
        let (word, after) = rest.split_at(end);
        words.push(if is_q {
            format!("=?utf-8?Q?{}?=", q(word))
        } else {
            format!("=?utf-8?B?{}?=", STANDARD.encode(word))
        });
        rest = after;
    }
    words
}

/// Returns the length of the text if it fits into one word; `true` if that word uses the Q encoding.
fn whole(text: &str, q_is_shorter: bool) -> Option<(usize, bool)> {
    let fits = if q_is_shorter { q_fits(text) } else { text.len() <= WORD_BYTES };
    fits.then_some((text.len(), q_is_shorter))
}

/// Returns the length of the longest beginning that ends in a space and becomes a word without padding; `true` if that
/// word uses the Q encoding.
fn after_a_space(text: &str, q_is_shorter: bool) -> Option<(usize, bool)> {
    // Each byte takes at least one character.
    let begins = &text.as_bytes()[..text.len().min(Q_CHARACTERS)];
    memchr::memrchr_iter(b' ', begins).map(|at| at + 1).find_map(|end| {
        let is_aligned = !q_is_shorter && end <= WORD_BYTES && end % 3 == 0;
        (is_aligned || q_fits(&text[..end])).then_some((end, !is_aligned))
    })
}

fn q_fits(text: &str) -> bool {
    text.bytes().map(q_length).sum::<usize>() <= Q_CHARACTERS
}

/// Returns the length of the longest beginning that becomes a base64 word without padding.
fn aligned(text: &str) -> Option<usize> {
    (1..=WORD_BYTES / 3).rev().map(|triples| 3 * triples).find(|end| text.is_char_boundary(*end))
}

/// Returns the length of the longest beginning that fits into a word in Q encoding; of one character if base64 can
/// continue after it.
fn q_end(text: &str, one: bool) -> usize {
    let mut length = 0;
    let mut end = 0;
    for (at, c) in text.char_indices() {
        length += c.encode_utf8(&mut [0; 4]).bytes().map(q_length).sum::<usize>();
        if at > 0 && (one || length > Q_CHARACTERS) {
            break;
        }
        end = at + c.len_utf8();
    }
    end
}

fn q_length(byte: u8) -> usize {
    if byte == b' ' || byte.is_ascii_alphanumeric() { 1 } else { 3 }
}

fn q(text: &str) -> String {
    let mut out = String::with_capacity(3 * text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('_'),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => {
                let _infallible = write!(out, "={byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str) {
        let words = words(text);
        for (at, word) in words.iter().enumerate() {
            assert!(word.len() <= 60, "{word}");
            let is_last = at + 1 == words.len();
            assert!(is_last || !word.starts_with("=?utf-8?B?") || !word.contains("=?="), "{words:?}");
        }
        let mime = format!("Subject: {}\r\n\r\n", words.join("\r\n "));
        let parsed = MessageParser::default().parse(mime.as_bytes()).unwrap();
        assert_eq!(parsed.subject().unwrap_or_default(), text);
    }

    #[test]
    fn only_the_last_word_of_base64_has_padding() {
        for text in [
            "שלום לכולם, הפגישה נדחתה ל־15:00".to_owned(),
            format!("a{}", "語".repeat(50)),
            format!("é{}", "語".repeat(50)),
            "👨‍👩‍👧".repeat(20),
            "ж".repeat(100),
            "Søren Jensen (+45 20 12 34 56)".to_owned(),
            "x".repeat(500),
        ] {
            check(&text);
        }
    }

    #[test]
    fn words_end_at_spaces() {
        for label in [
            "\u{200e}דנה לוי\u{200e} (+972 50-123-4567)\u{200e}",
            "Søren Kierkegaard Jensen den yngre fra København (+45 20 12 34 56)",
            "Жанна Жемчужникова (+7 900 123-45-67), отдел кредитования",
        ] {
            let words = words(label);
            assert!(words.len() > 1);
            let decoded = words.iter().map(|word| {
                let mime = format!("Subject: {word}\r\n\r\n");
                MessageParser::default().parse(mime.as_bytes()).unwrap().subject().unwrap().to_owned()
            });
            let kept = decoded.collect::<Vec<_>>().join(" ");
            assert_eq!(kept.split_whitespace().collect::<Vec<_>>(), label.split_whitespace().collect::<Vec<_>>());
            check(label);
        }
    }

    #[test]
    fn display_name_is_quoted_or_encoded() {
        assert_eq!(phrase("Ada \"B\" \\ (+353)"), "\"Ada \\\"B\\\" \\\\ (+353)\"");
        assert_eq!(phrase("é"), "=?utf-8?B?w6k=?=");
        assert_eq!(unstructured("plain = ?"), "plain = ?");
        assert_eq!(unstructured("=?x"), "=?utf-8?B?PT94?=");
        assert!(
            [PLAIN_BYTES, PLAIN_BYTES + 1].map(|length| unstructured(&"x".repeat(length)).starts_with('='))
                == [false, true]
        );
    }

    proptest! {
        #[test]
        fn words_are_the_text_again(text in "[a-zé語👍 ]{0,80}") {
            prop_assume!(text.trim() == text);
            check(&text);
        }
    }
}
