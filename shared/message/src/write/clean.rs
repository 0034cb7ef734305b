//! Prepares captured text for headers, file names, tables and prose. Characters that are removed here remain in the
//! evidence.

use icu_properties::{CodePointSetData, CodePointSetDataBorrowed, props::DefaultIgnorableCodePoint};

const IGNORABLE: CodePointSetDataBorrowed<'static> = CodePointSetData::new::<DefaultIgnorableCodePoint>();

/// Returns whether a character is invisible: white space, a control character, a character with the Unicode property
/// Default_Ignorable_Code_Point, such as U+200B and U+3164, or the blank Braille pattern U+2800, which lacks that
/// property.
pub(crate) fn is_invisible(c: char) -> bool {
    c == ' '
        || (!c.is_ascii_graphic() && (c.is_control() || c.is_whitespace() || c == '\u{2800}' || IGNORABLE.contains(c)))
}

/// Returns a text in the form for a header, a file name or a table: one line, no control characters, no marks that
/// change the writing direction, at most `max` characters and then an ellipsis. Empty if no visible character remains.
pub fn one_line(text: &str, max: usize) -> String {
    let mut line = String::with_capacity(text.len().min(max.saturating_mul(4)));
    let mut shown = 0;
    let mut space = false;
    for c in text.chars() {
        if is_direction_mark(c) {
            continue;
        }
        if c.is_control() || c.is_whitespace() {
            space = shown > 0;
            continue;
        }
        // Mail programs treat `=?` as the start of an encoded word, even inside quotes, so a space is inserted.
        let word = c == '?' && !space && line.ends_with('=');
        let needed = 1 + usize::from(space || word);
        if shown + needed > max {
            end_in_ellipsis(&mut line);
            break;
        }
        if space || word {
            line.push(' ');
        }
        line.push(c);
        shown += needed;
        space = false;
    }
    if line.chars().all(is_invisible) {
        line.clear();
    }
    line
}

/// Cuts a text to at most `max` bytes, including an ellipsis.
pub(crate) fn at_most_bytes(mut text: String, max: usize) -> String {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max.saturating_sub('…'.len_utf8())));
        end_in_ellipsis(&mut text);
    }
    text
}

fn end_in_ellipsis(text: &mut String) {
    // A joiner at the end would join the last character with the ellipsis.
    while text.ends_with(['\u{200d}', ' ']) {
        text.pop();
    }
    text.push('…');
}

/// Returns whether a character is a mark or an override of the writing direction, which can make one name look like
/// another.
pub(crate) fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes a visible form of a control character, or of Unicode's line or paragraph separator, at which some programs
/// begin a line. For all other characters, tab and line breaks, returns `false` and writes nothing.
pub(crate) fn show_control(c: char, out: &mut String) -> bool {
    let picture = match c {
        '\t' | '\r' | '\n' => None,
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)),
        '\u{7f}' => Some('\u{2421}'),
        '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
            out.push_str(&format!("[U+{:04X}]", u32::from(c)));
            return true;
        }
        _ => None,
    };
    out.extend(picture);
    picture.is_some()
}

/// A set of bytes to search a text for.
pub(crate) struct Wanted([bool; 256]);

impl Wanted {
    /// Creates the set of these ASCII characters.
    pub(crate) const fn of(ascii: &[u8]) -> Self {
        let mut wanted = [false; 256];
        let mut at = 0;
        while at < ascii.len() {
            wanted[ascii[at] as usize] = true;
            at += 1;
        }
        Self(wanted)
    }

    /// Creates the set of these ASCII characters, all control characters except tab, and Unicode's line and paragraph
    /// separators.
    pub(crate) const fn controls_and(ascii: &[u8]) -> Self {
        let Self(mut wanted) = Self::of(ascii);
        let mut byte = 0;
        while byte < 0x20 {
            wanted[byte] = byte != b'\t' as usize;
            byte += 1;
        }
        wanted[0x7f] = true;
        // 0xC2 is the first byte of U+0080 to U+009F, but also of other characters.
        wanted[C1 as usize] = true;
        wanted[PUNCTUATION as usize] = true;
        Self(wanted)
    }

    /// Finds the first character of the set. Searches bytes, so that most of a text is not decoded.
    pub(crate) fn find(&self, text: &str) -> Option<usize> {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            let is_wanted = self.0[byte as usize]
                && match byte {
                    C1 => matches!(bytes.get(at + 1), Some(0x80..=0x9f)),
                    PUNCTUATION => matches!(bytes.get(at + 1..at + 3), Some([0x80, 0xa8 | 0xa9])),
                    _ => true,
                };
            if is_wanted {
                return Some(at);
            }
            at += 1;
        }
        None
    }
}

const C1: u8 = 0xc2;

/// The first byte of U+2028 and U+2029, but also of other characters.
const PUNCTUATION: u8 = 0xe2;

/// Splits a text into lines at CR LF, LF or a lone CR. A text that ends with a line break has an empty last line.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = memchr::memchr2(b'\r', b'\n', text.as_bytes());
        let Some((line, after)) = end.and_then(|at| text.split_at_checked(at)) else {
            rest = None;
            return Some(text);
        };
        rest = after.strip_prefix("\r\n").or_else(|| after.get(1..));
        Some(line)
    })
}

/// Writes a line with its control characters made visible.
pub fn write_visible(line: &str, out: &mut String) {
    static CONTROLS: Wanted = Wanted::controls_and(b"");
    let mut rest = line;
    while let Some(at) = CONTROLS.find(rest) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let mut chars = from.chars();
        if let Some(c) = chars.next() {
            show_control(c, out);
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_one_line_and_short() {
        assert_eq!(one_line(" a\r\nBcc: b\u{202e}c\0d ", 99), "a Bcc: bc d");
        assert_eq!(one_line("a\u{61c}\u{200e}\u{2069}b", 99), "ab");
        assert_eq!(one_line("=?utf-8?Q?x?=", 99), "= ?utf-8?Q?x?=");
        assert_eq!(one_line("=\u{202e}?", 99), "= ?");
        assert_eq!(one_line("abc", 3), "abc");
        assert_eq!(one_line("abcd", 3), "abc…");
        assert_eq!(one_line("ab👨\u{200d}👩", 4), "ab👨…");
        assert_eq!(one_line(&"\u{202e}".repeat(9), 3), "");
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(at_most_bytes("ééé".to_owned(), 6), "ééé");
        assert_eq!(at_most_bytes("éééé".to_owned(), 6), "é…");
    }

    #[test]
    fn control_characters_are_found_and_no_others() {
        static WANTED: Wanted = Wanted::controls_and(b"&");
        for c in '\0'..=char::MAX {
            let wanted = (c.is_control() && c != '\t') || matches!(c, '&' | '\u{2028}' | '\u{2029}');
            assert_eq!(WANTED.find(&format!("é\u{a0}{c}")), wanted.then_some(4), "{c:?}");
        }
    }

    #[test]
    fn line_keeps_every_other_code_point() {
        let mut out = String::new();
        write_visible("a\t\u{200d}\u{202e}\0\u{7f}\u{85}\u{2028}\u{2029}b", &mut out);
        assert_eq!(out, "a\t\u{200d}\u{202e}␀␡[U+0085][U+2028][U+2029]b");
    }

    #[test]
    fn text_that_cannot_be_seen_is_empty() {
        for text in ["\u{3164}", "\u{200b}\u{2060}", "\u{ad}\u{fe0f}", "\u{2800} \u{feff}", "\u{115f}\u{17b4}\u{e0001}"]
        {
            assert_eq!(one_line(text, 99), "", "{text:?}");
        }
        assert_eq!(one_line("\u{3164}x", 99), "\u{3164}x");
    }
}
