//! WhatsApp's own marks, as HTML: *bold*, _italic_, ~strike~, `code`, ```mono```, lists and > quotes.
//!
//! One pass over the text, no recursion, and everything is escaped on its way out. What is no mark stays as it was
//! typed.

use std::ops::Range;

use crate::{clean, links};

/// The longest text that is formatted, in bytes; WhatsApp stops at 65,536 characters. A longer one is shown with its
/// marks as typed, so that hostile text cannot blow the HTML up to many times its size.
const MAX_FORMATTED: usize = 256 * 1024;

const CODE: &str = "<code style=\"font-family:Consolas,Menlo,monospace;background:#f0f2f5;padding:1px 3px\">";
const QUOTE: &str =
    "<blockquote style=\"margin:4px 0;padding:0 0 0 10px;border-left:3px solid #c3c9d0;color:#54606c\">";
const LIST: &str = " style=\"margin:4px 0;padding-left:24px\">";

/// Writes a text with its marks.
pub(crate) fn write_html(text: &str, out: &mut String) {
    if text.len() > MAX_FORMATTED {
        write_unmarked(text, out);
        return;
    }
    let mut writer = Writer { out, block: Block::None };
    let mut rest = text;
    let mut starts_line = true;
    while let Some((before, mono, after)) = next_mono(rest) {
        writer.segment(before, starts_line);
        writer.mono(mono);
        rest = after;
        starts_line = false;
    }
    writer.segment(rest, starts_line);
    writer.close();
}

/// Writes a text escaped, its line ends as `<br>`, nothing else.
pub(crate) fn write_unmarked(text: &str, out: &mut String) {
    for (number, line) in clean::lines(text).enumerate() {
        if number > 0 {
            out.push_str("<br>");
        }
        escape(line, out);
    }
}

/// Writes text without line ends so that it means itself in HTML, between tags and between double quotes alike.
pub(crate) fn escape(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| matches!(c, '&' | '<' | '>' | '"') || (c.is_control() && c != '\t')) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let mut chars = from.chars();
        match chars.next() {
            Some('&') => out.push_str("&amp;"),
            Some('<') => out.push_str("&lt;"),
            Some('>') => out.push_str("&gt;"),
            Some('"') => out.push_str("&quot;"),
            // A line end in a place of one line: a space does.
            Some('\r' | '\n') => out.push(' '),
            Some(c) => {
                clean::show_control(c, out);
            }
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

/// Writes a link. `href` is percent-encoded.
pub(crate) fn write_link(href: &str, shown: &str, out: &mut String) {
    out.push_str("<a style=\"color:#0b6e99\" rel=\"noopener noreferrer\" href=\"");
    escape(href, out);
    out.push_str("\">");
    escape(shown, out);
    out.push_str("</a>");
}

/// The text before a pair of triple backticks, between them and after them.
fn next_mono(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("```")?;
    let (mono, after) = rest.split_once("```")?;
    (!mono.is_empty()).then_some((before, mono, after))
}

#[derive(Clone, Copy, PartialEq)]
enum Block {
    /// Nothing was written yet.
    None,
    Lines,
    Quote,
    Bullets,
    Numbers,
}

struct Writer<'o> {
    out: &'o mut String,
    block: Block,
}

impl Writer<'_> {
    fn segment(&mut self, text: &str, starts_line: bool) {
        for (number, line) in clean::lines(text).enumerate() {
            if number > 0 || starts_line {
                let rest = self.start_line(line);
                inline(rest, self.out);
            } else {
                inline(line, self.out);
            }
        }
    }

    fn mono(&mut self, text: &str) {
        self.out.push_str(CODE);
        write_unmarked(text, self.out);
        self.out.push_str("</code>");
    }

    /// Opens and closes what the line needs, and answers what is left of it.
    fn start_line<'t>(&mut self, line: &'t str) -> &'t str {
        let (block, number, rest) = structure(line);
        if block == self.block {
            self.out.push_str(match block {
                Block::Bullets | Block::Numbers => "</li>",
                _ => "<br>",
            });
        } else {
            self.close();
            match block {
                Block::Quote => self.out.push_str(QUOTE),
                Block::Bullets => self.open("<ul"),
                Block::Numbers => self.open("<ol"),
                Block::None | Block::Lines => {}
            }
            self.block = block;
        }
        match block {
            Block::Bullets => self.out.push_str("<li>"),
            // The number as it was typed: a list that counts for itself would change what was said.
            Block::Numbers => self.out.push_str(&format!("<li value=\"{number}\">")),
            _ => {}
        }
        rest
    }

    fn open(&mut self, tag: &str) {
        self.out.push_str(tag);
        self.out.push_str(LIST);
    }

    fn close(&mut self) {
        self.out.push_str(match self.block {
            Block::None | Block::Lines => "",
            Block::Quote => "</blockquote>",
            Block::Bullets => "</li></ul>",
            Block::Numbers => "</li></ol>",
        });
        self.block = Block::None;
    }
}

fn structure(line: &str) -> (Block, u32, &str) {
    if let Some(rest) = line.strip_prefix("> ") {
        return (Block::Quote, 0, rest);
    }
    if let Some(rest) = line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")).filter(|rest| !rest.is_empty()) {
        return (Block::Bullets, 0, rest);
    }
    let digits = line.bytes().take(7).take_while(u8::is_ascii_digit).count();
    let numbered = (1..=6).contains(&digits) && !line.starts_with('0');
    match line.split_at_checked(digits).and_then(|(number, rest)| Some((number, rest.strip_prefix(". ")?))) {
        Some((number, rest)) if numbered => (Block::Numbers, number.parse().unwrap_or_default(), rest),
        _ => (Block::Lines, 0, line),
    }
}

/// A piece of a line: ranges are of the line.
enum Piece {
    Text(Range<usize>),
    Open(Mark),
    Close(Mark),
    Code(Range<usize>),
    Link(Range<usize>, String),
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Bold,
    Italic,
    Strike,
}

impl Mark {
    fn of(byte: u8) -> Option<Self> {
        match byte {
            b'*' => Some(Self::Bold),
            b'_' => Some(Self::Italic),
            b'~' => Some(Self::Strike),
            _ => None,
        }
    }

    fn tag(self) -> &'static str {
        match self {
            Self::Bold => "b",
            Self::Italic => "i",
            Self::Strike => "s",
        }
    }
}

fn inline(line: &str, out: &mut String) {
    for piece in pieces(line) {
        match piece {
            Piece::Text(range) => escape(line.get(range).unwrap_or_default(), out),
            Piece::Open(mark) => out.extend(["<", mark.tag(), ">"]),
            Piece::Close(mark) => out.extend(["</", mark.tag(), ">"]),
            Piece::Code(range) => {
                out.push_str(CODE);
                escape(line.get(range).unwrap_or_default(), out);
                out.push_str("</code>");
            }
            Piece::Link(range, href) => write_link(&href, line.get(range).unwrap_or_default(), out),
        }
    }
}

/// A mark that may yet find its end.
struct Opener {
    mark: Mark,
    /// Where it stands in the line.
    at: usize,
    /// Which piece it is, written as text until its end is found.
    piece: usize,
}

fn pieces(line: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    // At most one of each mark, so closing one is never more than three steps.
    let mut open: Vec<Opener> = Vec::new();
    let mut text_from = 0;
    let mut previous: Option<char> = None;
    let mut more_code = true;
    let mut at = 0;
    while let Some(c) = line.get(at..).and_then(|rest| rest.chars().next()) {
        let end = at + c.len_utf8();
        let special = match c {
            '`' if more_code => {
                let length = line.get(end..).and_then(|rest| rest.find('`'));
                more_code = length.is_some();
                length.filter(|length| *length > 0).map(|length| (Piece::Code(end..end + length), end + length + 1))
            }
            'h' | 'H' | 'm' | 'M' | 't' | 'T' if !previous.is_some_and(char::is_alphanumeric) => line
                .get(at..)
                .and_then(links::at_start)
                .map(|link| (Piece::Link(at..at + link.len, link.href), at + link.len)),
            _ => None,
        };
        if let Some((piece, after)) = special {
            push_text(&mut pieces, text_from..at);
            pieces.push(piece);
            previous = line.get(..after).and_then(|before| before.chars().next_back());
            at = after;
            text_from = after;
            continue;
        }
        if let Some(mark) = u8::try_from(c).ok().and_then(Mark::of) {
            let next = line.get(end..).and_then(|rest| rest.chars().next());
            let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            let blank = |c: Option<char>| c.is_none_or(char::is_whitespace);
            let opened = open.iter().position(|opener| opener.mark == mark);
            match opened.and_then(|depth| open.get(depth).map(|opener| (depth, opener.at, opener.piece))) {
                Some((depth, from, piece)) if !blank(previous) && !word(next) && at > from + 1 => {
                    push_text(&mut pieces, text_from..at);
                    if let Some(opener) = pieces.get_mut(piece) {
                        *opener = Piece::Open(mark);
                    }
                    pieces.push(Piece::Close(mark));
                    open.truncate(depth);
                    text_from = end;
                }
                None if !blank(next) && next != Some(c) && !word(previous) => {
                    push_text(&mut pieces, text_from..at);
                    open.push(Opener { mark, at, piece: pieces.len() });
                    pieces.push(Piece::Text(at..end));
                    text_from = end;
                }
                _ => {}
            }
        }
        previous = Some(c);
        at = end;
    }
    push_text(&mut pieces, text_from..line.len());
    pieces
}

fn push_text(pieces: &mut Vec<Piece>, range: Range<usize>) {
    if !range.is_empty() {
        pieces.push(Piece::Text(range));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(text: &str) -> String {
        let mut out = String::new();
        write_html(text, &mut out);
        out.replace(CODE, "<code>").replace(QUOTE, "<quote>").replace(LIST, ">").replace("</blockquote>", "</quote>")
    }

    #[test]
    fn marks_are_what_whatsapp_shows() {
        for (text, expected) in [
            ("*bold* _italic_ ~strike~ `code`", "<b>bold</b> <i>italic</i> <s>strike</s> <code>code</code>"),
            ("*_both_*", "<b><i>both</i></b>"),
            ("*a _b* c_", "<b>a _b</b> c_"),
            ("2*3*4 snake_case_name", "2*3*4 snake_case_name"),
            ("* not*", "<ul><li>not*</li></ul>"),
            ("*not * but* this", "<b>not * but</b> this"),
            ("** ~~ __ *", "** ~~ __ *"),
            ("(*x*), *y*.", "(<b>x</b>), <b>y</b>."),
            ("*ב* 👨\u{200d}👩\u{200d}👧", "<b>ב</b> 👨\u{200d}👩\u{200d}👧"),
            ("`*raw*` ```_a_\n<b>```!", "<code>*raw*</code> <code>_a_<br>&lt;b&gt;</code>!"),
            ("``` unclosed *b*", "``` unclosed <b>b</b>"),
            ("> a\n> *b*\nc", "<quote>a<br><b>b</b></quote>c"),
            (
                "- a\n* b\n3. c\n7. d\ne",
                "<ul><li>a</li><li>b</li></ul><ol><li value=\"3\">c</li><li value=\"7\">d</li></ol>e",
            ),
            ("a\r\nb\rc\n", "a<br>b<br>c<br>"),
            ("<script>\"&\0", "&lt;script&gt;&quot;&amp;␀"),
        ] {
            assert_eq!(html(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_link_cannot_break_out() {
        let out = html("*https://example.com/a_b_c?x=1&y=2* see (https://example.com/\"><script>)");
        assert!(out.starts_with("<b><a "), "{out}");
        assert!(out.contains("href=\"https://example.com/a_b_c?x=1&amp;y=2\""), "{out}");
        assert!(
            out.contains("href=\"https://example.com/\">https://example.com/</a>&quot;&gt;&lt;script&gt;"),
            "{out}"
        );
        assert_eq!(html("xhttps://example.com"), "xhttps://example.com");
    }

    /// Not timed: what is not linear does not come back.
    #[test]
    fn hostile_text_is_read_in_one_pass() {
        for pattern in ["*", "_*~", "*a ", "`", "```", "`a", "- a\n1. a\n> a\n", "http://", "http://é/", "*a _b ~c "] {
            let text = pattern.repeat(MAX_FORMATTED / pattern.len());
            let mut out = String::new();
            write_html(&text, &mut out);
            assert!(out.len() >= text.len() / 8, "{pattern:?}");
        }
        assert!(!pieces(&"*".repeat(5_000_000)).is_empty());
        assert!(pieces(&"*a _b ~c `".repeat(100_000)).len() > 100_000);
    }

    #[test]
    fn text_that_nobody_could_have_typed_is_shown_as_it_is() {
        let text = "> *a*\nb\n".repeat(1_000_000);
        let mut out = String::new();
        write_html(&text, &mut out);
        assert!(!out.contains("<b>") && out.len() < 3 * text.len());
    }
}
