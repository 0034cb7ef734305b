//! Converts WhatsApp's formatting marks to HTML: *bold*, _italic_, ~strike~, `code`, ```mono```, lists and > quotes.
//!
//! The text is read in one pass without recursion, and everything is escaped when it is written. Characters that are
//! not marks are kept. Every paragraph has the direction of its first strong character.

use std::ops::Range;

use memchr::{memchr, memmem};

use super::blocks::Mention;
use crate::write::{
    clean::{self, Wanted},
    direction::{self, WritingDirection},
    links,
};

/// Maximum length of a text that is formatted, in bytes. WhatsApp's limit is 65,536 characters. A longer text is shown
/// unformatted, so that hostile text cannot grow to many times its size.
const MAX_FORMATTED: usize = 256 * 1024;

/// Maximum number of quotes and lists that are formatted. Later ones are shown unformatted, because each takes hundreds
/// of bytes.
const MAX_BLOCKS: usize = 500;

const CODE: &str = "<code style=\"font-family:Consolas,Menlo,monospace;background:#e6e9ed\">";
/// A table, because Word applies padding only to table cells.
const QUOTE: &str = "<table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" \
    style=\"table-layout:fixed\"><tr><td style=\"padding:0 0 0 10px;border-left:2px solid #c3c9d0;color:#54606c;\
    font-size:15px\">";
const QUOTE_END: &str = "</td></tr></table>";
/// Ends a name that is right to left. Without the `span`, LibreOffice takes the name's direction for the paragraph's.
pub(super) const LEFT_TO_RIGHT: &str = "<span dir=\"ltr\">&lrm;</span>";
const LIST: &str = " style=\"margin:4px 0 4px 24px;padding:0\">";

/// Writes a formatted text. A mention of one of these participants is followed by the name.
pub(super) fn write_html(text: &str, mentions: &[Mention], out: &mut String) {
    if text.len() > MAX_FORMATTED {
        out.push_str(div(WritingDirection::of(text)));
        write_unmarked(text, out);
        out.push_str("</div>");
        return;
    }
    let mut writer = Writer { out, block: Block::None, blocks: 0, div: None, line: Line::default(), mentions };
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

/// Returns the tag that opens a paragraph. Word needs `align`; browsers accept `align` and `dir`.
fn div(direction: Option<WritingDirection>) -> &'static str {
    match direction {
        Some(WritingDirection::RightToLeft) => "<div dir=\"rtl\" align=\"right\">",
        Some(WritingDirection::LeftToRight) | None => "<div dir=\"ltr\">",
    }
}

/// Writes a text escaped and unformatted, with `<br>` for line breaks.
fn write_unmarked(text: &str, out: &mut String) {
    for (number, line) in clean::lines(text).enumerate() {
        if number > 0 {
            out.push_str("<br>");
        }
        escape(line, out);
    }
}

/// Writes text of a line escaped, with its spaces preserved, because HTML collapses them.
fn write_spaced(text: &str, starts_line: bool, out: &mut String) {
    let mut rest = text;
    if starts_line && let Some(after) = rest.strip_prefix(' ') {
        out.push_str("&nbsp;");
        rest = after;
    }
    while let Some(at) = memmem::find(rest.as_bytes(), b"  ") {
        let (before, after) = rest.split_at(at);
        escape(before, out);
        out.push_str("&nbsp;");
        rest = after.get(1..).unwrap_or_default();
    }
    escape(rest, out);
}

/// Escapes text without line breaks for HTML, both between tags and inside double quotes.
pub fn escape(text: &str, out: &mut String) {
    static MEANING: Wanted = Wanted::controls_and(b"&<>\"");
    let mut rest = text;
    while let Some(at) = MEANING.find(rest) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let mut chars = from.chars();
        match chars.next() {
            Some('&') => out.push_str("&amp;"),
            Some('<') => out.push_str("&lt;"),
            Some('>') => out.push_str("&gt;"),
            Some('"') => out.push_str("&quot;"),
            // A line break where only one line is expected becomes a space.
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
pub(super) fn write_link(href: &str, shown: &str, out: &mut String) {
    out.push_str("<a rel=\"noreferrer\" href=\"");
    escape(href, out);
    out.push_str("\">");
    escape(shown, out);
    out.push_str("</a>");
}

const MONO: &[u8] = b"```";

/// Splits a text at a pair of triple backticks: before, between and after them.
fn next_mono(text: &str) -> Option<(&str, &str, &str)> {
    // Few texts contain backticks.
    let from = memchr(b'`', text.as_bytes())?;
    let begin = from + memmem::find(text.as_bytes().get(from..)?, MONO)?;
    let (before, rest) = (text.get(..begin)?, text.get(begin + MONO.len()..)?);
    let end = memmem::find(rest.as_bytes(), MONO)?;
    (end > 0).then_some((before, rest.get(..end)?, rest.get(end + MONO.len()..)?))
}

#[derive(Clone, Copy, PartialEq)]
enum Block {
    /// No block was written yet.
    None,
    Lines,
    Quote,
    Bullets,
    Numbers,
}

struct Writer<'o> {
    out: &'o mut String,
    block: Block,
    /// Number of quotes and lists that were opened.
    blocks: usize,
    /// The direction of the open paragraph, in a block of paragraphs.
    div: Option<WritingDirection>,
    /// The current line; its buffers are reused for every line.
    line: Line,
    mentions: &'o [Mention],
}

impl Writer<'_> {
    fn segment(&mut self, text: &str, starts_line: bool) {
        for (number, line) in clean::lines(text).enumerate() {
            let starts = number > 0 || starts_line;
            let rest = if starts { self.start_line(line) } else { line };
            self.line.read(rest, self.mentions);
            self.line.write(rest, starts, self.mentions, self.out);
        }
    }

    fn mono(&mut self, text: &str) {
        self.out.push_str(CODE);
        write_unmarked(text, self.out);
        self.out.push_str("</code>");
    }

    /// Opens and closes the elements that the line needs. Returns the rest of the line.
    fn start_line<'t>(&mut self, line: &'t str) -> &'t str {
        let (block, number, rest) = if self.blocks < MAX_BLOCKS { structure(line) } else { (Block::Lines, 0, line) };
        let found = WritingDirection::of(rest);
        let direction = found.unwrap_or(WritingDirection::LeftToRight);
        if block != self.block {
            self.close();
            self.blocks += usize::from(block != Block::Lines);
            match block {
                Block::Quote => self.out.push_str(QUOTE),
                Block::Bullets => self.open("<ul"),
                Block::Numbers => self.open("<ol"),
                Block::None | Block::Lines => {}
            }
            self.block = block;
        } else if matches!(block, Block::Bullets | Block::Numbers) {
            self.out.push_str("</li>");
        }
        let dir = direction.dir();
        match block {
            Block::Bullets => self.out.extend(["<li dir=\"", dir, "\">"]),
            // The typed number is kept: a list with automatic numbers would change the text.
            Block::Numbers => self.out.push_str(&format!("<li dir=\"{dir}\" value=\"{number}\">")),
            Block::None | Block::Lines | Block::Quote => match self.div {
                // A line without a strong character, such as an empty line, belongs to the paragraph around it.
                Some(open) if open == direction || found.is_none() => self.out.push_str("<br>"),
                open => {
                    self.out.push_str(if open.is_some() { "</div>" } else { "" });
                    self.out.push_str(div(Some(direction)));
                    self.div = Some(direction);
                }
            },
        }
        rest
    }

    fn open(&mut self, tag: &str) {
        self.out.push_str(tag);
        self.out.push_str(LIST);
    }

    fn close(&mut self) {
        if self.div.take().is_some() {
            self.out.push_str("</div>");
        }
        self.out.push_str(match self.block {
            Block::None | Block::Lines => "",
            Block::Quote => QUOTE_END,
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

/// A piece of a line. The ranges are byte ranges of the line.
enum Piece {
    Text(Range<usize>),
    Open(Mark),
    Close(Mark),
    Code(Range<usize>),
    /// The range and the index in the list of mentions.
    Mention(Range<usize>, usize),
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

/// A mark whose end has not been found yet.
struct Opener {
    mark: Mark,
    /// Index of the piece, which stays text until its end is found.
    piece: usize,
}

/// Characters that may have a meaning in a line: marks, the colon of a link, the `@` of a mention.
static MARKS: Wanted = Wanted::of(b"`*_~:@");

/// Finds the mention of the digits after an `@`, and their length.
fn mention(text: &str, mentions: &[Mention]) -> Option<(usize, usize)> {
    let length = text.bytes().take(32).take_while(u8::is_ascii_digit).count();
    let token = text.get(..length)?;
    mentions.iter().position(|mention| mention.token == token).map(|index| (index, length))
}

/// Writes a mention. A participant cannot imitate it, because text has no colour.
fn write_mention(token: &str, name: &str, out: &mut String) {
    out.push_str("<span style=\"background:#e3f4f0;color:#0d5f50\">");
    escape(token, out);
    out.push_str(" (");
    let dir = WritingDirection::of(name).unwrap_or(WritingDirection::LeftToRight).dir();
    let (before, after) = if direction::reorders(name) { ("&lrm;", LEFT_TO_RIGHT) } else { ("", "") };
    out.extend([before, "<span dir=\"", dir, "\">"]);
    escape(name, out);
    out.extend(["</span>", after, ")</span>"]);
}

/// Returns the last character before an offset in a line.
fn last(line: &str, at: usize) -> Option<char> {
    line.get(..at)?.chars().next_back()
}

fn word(c: Option<char>) -> bool {
    c.is_some_and(char::is_alphanumeric)
}

fn blank(c: Option<char>) -> bool {
    c.is_none_or(char::is_whitespace)
}

/// A line, split into pieces.
#[derive(Default)]
struct Line {
    pieces: Vec<Piece>,
    /// The open marks, at most one of each kind, so that closing one takes at most three steps.
    open: Vec<Opener>,
}

impl Line {
    fn read(&mut self, line: &str, mentions: &[Mention]) {
        self.pieces.clear();
        self.open.clear();
        let mut text_from = 0;
        let mut more_code = true;
        let mut at = 0;
        while let Some(found) = line.get(at..).and_then(|rest| MARKS.find(rest)) {
            at += found;
            let byte = line.as_bytes().get(at).copied().unwrap_or_default();
            let end = at + 1;
            let special = match byte {
                b'`' if more_code => {
                    let length = line.as_bytes().get(end..).and_then(|rest| memchr(b'`', rest));
                    more_code = length.is_some();
                    length
                        .filter(|length| *length > 0)
                        .map(|length| (at, Piece::Code(end..end + length), end + length + 1))
                }
                b':' => line.get(text_from..at).and_then(links::scheme).and_then(|scheme| {
                    let begin = at - scheme;
                    let link = links::at_start(line.get(begin..)?).filter(|_| !word(last(line, begin)))?;
                    Some((begin, Piece::Link(begin..begin + link.len, link.href), begin + link.len))
                }),
                b'@' if !mentions.is_empty() => mention(line.get(end..).unwrap_or_default(), mentions)
                    .map(|(index, length)| (at, Piece::Mention(at..end + length, index), end + length)),
                _ => None,
            };
            if let Some((begin, piece, after)) = special {
                self.push_text(text_from..begin);
                self.pieces.push(piece);
                at = after;
                text_from = after;
                continue;
            }
            if let Some(mark) = Mark::of(byte) {
                let previous = last(line, at);
                let next = line.get(end..).and_then(|rest| rest.chars().next());
                let opened = self.open.iter().position(|opener| opener.mark == mark);
                match opened.and_then(|depth| self.open.get(depth).map(|opener| (depth, opener.piece))) {
                    Some((depth, piece)) if !blank(previous) && !word(next) => {
                        self.push_text(text_from..at);
                        if let Some(opener) = self.pieces.get_mut(piece) {
                            *opener = Piece::Open(mark);
                        }
                        self.pieces.push(Piece::Close(mark));
                        self.open.truncate(depth);
                        text_from = end;
                    }
                    None if !blank(next) && next != Some(char::from(byte)) && !word(previous) => {
                        self.push_text(text_from..at);
                        self.open.push(Opener { mark, piece: self.pieces.len() });
                        self.pieces.push(Piece::Text(at..end));
                        text_from = end;
                    }
                    _ => {}
                }
            }
            at = end;
        }
        self.push_text(text_from..line.len());
    }

    fn push_text(&mut self, range: Range<usize>) {
        if !range.is_empty() {
            self.pieces.push(Piece::Text(range));
        }
    }

    fn write(&self, line: &str, starts: bool, mentions: &[Mention], out: &mut String) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(range) => {
                    write_spaced(line.get(range.clone()).unwrap_or_default(), starts && range.start == 0, out);
                }
                Piece::Mention(range, index) => {
                    let name = mentions.get(*index).map(|mention| mention.name.as_str()).unwrap_or_default();
                    write_mention(line.get(range.clone()).unwrap_or_default(), name, out);
                }
                Piece::Open(mark) => out.extend(["<", mark.tag(), ">"]),
                Piece::Close(mark) => out.extend(["</", mark.tag(), ">"]),
                Piece::Code(range) => {
                    out.push_str(CODE);
                    escape(line.get(range.clone()).unwrap_or_default(), out);
                    out.push_str("</code>");
                }
                Piece::Link(range, href) => write_link(href, line.get(range.clone()).unwrap_or_default(), out),
            }
        }
    }
}

#[cfg(test)]
mod tests;
