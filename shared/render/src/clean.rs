//! Other people's text made fit for a place of ours. What is taken away here is still whole in the evidence.

/// The form of a text that goes into a header, a file name or a table: one line, no control characters, no marks that
/// turn the writing direction, at most `max` characters and then an ellipsis.
pub(crate) fn one_line(text: &str, max: usize) -> String {
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
        // Readers take `=?` for the start of an encoded word wherever it stands, quoted or not.
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
    line
}

/// Cuts a text to at most `max` bytes, an ellipsis included.
pub(crate) fn at_most_bytes(mut text: String, max: usize) -> String {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max.saturating_sub('…'.len_utf8())));
        end_in_ellipsis(&mut text);
    }
    text
}

fn end_in_ellipsis(text: &mut String) {
    // A joiner without what it joined to would join to the ellipsis.
    while text.ends_with(['\u{200d}', ' ']) {
        text.pop();
    }
    text.push('…');
}

/// Marks and overrides of the writing direction: they let one name look like another.
pub(crate) fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Shows a control character as something that can be seen; `false` for everything else, tab and line ends included.
pub(crate) fn show_control(c: char, out: &mut String) -> bool {
    let picture = match c {
        '\t' | '\r' | '\n' => None,
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)),
        '\u{7f}' => Some('\u{2421}'),
        '\u{80}'..='\u{9f}' => {
            out.push_str(&format!("[U+{:04X}]", u32::from(c)));
            return true;
        }
        _ => None,
    };
    out.extend(picture);
    picture.is_some()
}

/// Which bytes a text is looked through for.
pub(crate) struct Wanted([bool; 256]);

impl Wanted {
    /// Control characters but tab, which a writer shows, and these ASCII characters.
    pub(crate) const fn controls_and(ascii: &[u8]) -> Self {
        let mut wanted = [false; 256];
        let mut byte = 0;
        while byte < 0x20 {
            wanted[byte] = byte != b'\t' as usize;
            byte += 1;
        }
        wanted[0x7f] = true;
        // What begins U+0080 to U+009F, and others.
        wanted[C1 as usize] = true;
        let mut at = 0;
        while at < ascii.len() {
            wanted[ascii[at] as usize] = true;
            at += 1;
        }
        Self(wanted)
    }

    /// Where the first of them is. By bytes: most of a text is passed over without being decoded.
    pub(crate) fn find(&self, text: &str) -> Option<usize> {
        let bytes = text.as_bytes();
        let mut at = 0;
        loop {
            let rest = bytes.get(at..)?;
            at += rest.iter().position(|byte| self.0[usize::from(*byte)])?;
            if bytes.get(at) != Some(&C1) || matches!(bytes.get(at + 1), Some(0x80..=0x9f)) {
                return Some(at);
            }
            at += 1;
        }
    }
}

const C1: u8 = 0xc2;

/// A text's lines, at CR LF, LF or a CR of its own. A text that ends with a line end has an empty last line.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = &str> {
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

/// Writes a text as it is, but for line ends, which become CR LF, and control characters, which become visible.
pub(crate) fn write_plain(text: &str, out: &mut String) {
    for (number, line) in lines(text).enumerate() {
        if number > 0 {
            out.push_str("\r\n");
        }
        write_visible(line, out);
    }
}

/// The same for text that has no line ends.
pub(crate) fn write_visible(line: &str, out: &mut String) {
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
    fn a_line_is_one_line_and_short() {
        assert_eq!(one_line(" a\r\nBcc: b\u{202e}c\0d ", 99), "a Bcc: bc d");
        assert_eq!(one_line("=?utf-8?Q?x?=", 99), "= ?utf-8?Q?x?=");
        assert_eq!(one_line("=\u{202e}?", 99), "= ?");
        assert_eq!(one_line("abc", 3), "abc");
        assert_eq!(one_line("abcd", 3), "abc…");
        assert_eq!(one_line("ab👨\u{200d}👩", 4), "ab👨…");
        assert_eq!(one_line(&"\u{202e}".repeat(9), 3), "");
    }

    #[test]
    fn bytes_are_cut_between_characters() {
        assert_eq!(at_most_bytes("ééé".to_owned(), 6), "ééé");
        assert_eq!(at_most_bytes("éééé".to_owned(), 6), "é…");
    }

    #[test]
    fn every_control_character_is_found_and_no_other() {
        static WANTED: Wanted = Wanted::controls_and(b"&");
        for c in '\0'..=char::MAX {
            let wanted = (c.is_control() && c != '\t') || c == '&';
            assert_eq!(WANTED.find(&format!("é\u{a0}{c}")), wanted.then_some(4), "{c:?}");
        }
    }

    #[test]
    fn plain_text_keeps_every_code_point() {
        let mut out = String::new();
        write_plain("a\nb\r\nc\rd\t\u{200d}\u{202e}\0\u{7f}\u{85}\n", &mut out);
        assert_eq!(out, "a\r\nb\r\nc\r\nd\t\u{200d}\u{202e}␀␡[U+0085]\r\n");
    }
}
