//! A chat's text, cut into messages. Every line of it belongs to exactly one.

use std::{collections::HashMap, ops::Range};

use jiff::civil::Date;

use crate::{
    Export,
    dates::DayOrder,
    error::ExportError,
    header::{Header, Stamp, Style},
    marks::{is_mark, trim},
};

/// A message of the chat, or a line of WhatsApp's own.
pub(crate) struct Message {
    /// Where it begins in the text's lines, from 1.
    pub(crate) line: usize,
    /// `None` for lines that stand before the first message.
    pub(crate) stamp: Option<Stamp>,
    /// Who wrote it, as a place in [`Chat::senders`]. `None` for a line of WhatsApp's own.
    pub(crate) sender: Option<usize>,
    /// What it says, as a place in the text, without the last line's end.
    pub(crate) body: Range<usize>,
}

/// A chat's messages.
pub(crate) struct Chat {
    pub(crate) text: String,
    /// In the file's order.
    pub(crate) messages: Vec<Message>,
    /// The distinct senders, as the phone writes them but without invisible marks around, in order of appearance.
    pub(crate) senders: Vec<String>,
    pub(crate) day_order: DayOrder,
    pub(crate) foreign_headers: usize,
}

/// A line that may begin a message.
struct Candidate {
    line: usize,
    begin: usize,
    /// Where what follows date and time begins.
    rest: usize,
    stamp: Stamp,
    style: Style,
}

impl Chat {
    /// Cuts a text into messages. `newest` is a day after which no message can be.
    ///
    /// The first line that begins as a message does gives the style for the whole file. A line of the same style whose
    /// date is none, in the order that the file's dates have, belongs to the message before it, as does any line of
    /// another style. Lines before the first message become an entry of their own.
    pub(crate) fn cut(text: String, newest: Date) -> Result<Self, ExportError> {
        let mut candidates = candidates(&text);
        let style = candidates.first().ok_or(ExportError::NoMessages)?.style;
        let found = candidates.len();
        candidates.retain(|candidate| candidate.style == style);
        let stamps: Vec<Stamp> = candidates.iter().map(|candidate| candidate.stamp).collect();
        let day_order = DayOrder::infer(style, &stamps, newest);
        candidates.retain(|candidate| day_order.order.date_time(candidate.stamp).is_some());
        let foreign_headers = found - candidates.len();
        let first = candidates.first().ok_or(ExportError::NoMessages)?.begin;
        if candidates.len() > Export::MAX_MESSAGES {
            return Err(ExportError::TooManyMessages { limit: Export::MAX_MESSAGES });
        }

        let mut senders = Senders::default();
        let mut messages = Vec::with_capacity(candidates.len() + 1);
        let fragment = body(&text, 0..first);
        if !trim(&text[fragment.clone()]).is_empty() {
            messages.push(Message { line: 1, stamp: None, sender: None, body: fragment });
        }
        let ends = candidates.iter().skip(1).map(|next| next.begin).chain([text.len()]);
        for (candidate, end) in candidates.iter().zip(ends) {
            let whole = body(&text, candidate.rest..end);
            let first_line = text[whole.clone()].find('\n').map_or(whole.end, |at| whole.start + at);
            let (sender, body) = match split_sender(&text[whole.start..first_line]) {
                Some((name, skip)) => (Some(senders.place(name)), whole.start + skip..whole.end),
                None => (None, whole),
            };
            messages.push(Message { line: candidate.line, stamp: Some(candidate.stamp), sender, body });
        }
        if senders.names.len() > Export::MAX_SENDERS {
            return Err(ExportError::TooManySenders { limit: Export::MAX_SENDERS });
        }
        Ok(Self { messages, senders: senders.names, day_order, foreign_headers, text })
    }
}

/// The lines that may begin a message, in any style.
fn candidates(text: &str) -> Vec<Candidate> {
    let mut begin = 0;
    let mut found = Vec::new();
    for (line, with_end) in (1..).zip(text.split_inclusive('\n')) {
        let content = with_end.trim_end_matches(['\r', '\n']);
        if let Some(Header { stamp, style, rest }) = Header::parse(content) {
            found.push(Candidate { line, begin, rest: begin + content.len() - rest.len(), stamp, style });
        }
        begin += with_end.len();
    }
    found
}

/// The range without the one line end that stands at its end.
fn body(text: &str, range: Range<usize>) -> Range<usize> {
    let whole = &text[range.clone()];
    let without = whole.strip_suffix("\r\n").or_else(|| whole.strip_suffix('\n')).unwrap_or(whole);
    range.start..range.start + without.len()
}

/// The sender's name, and how many bytes of the line stand before the text. `None` for a line that WhatsApp itself
/// wrote: it has no colon, or only within a quotation (`Ada changed the subject to “Plans: Friday”`).
fn split_sender(line: &str) -> Option<(&str, usize)> {
    let (name, skip) = match line.find(": ") {
        Some(at) => (&line[..at], at + 2),
        None => {
            let visible = line.trim_end_matches(|c: char| is_mark(c) || c == '\r');
            (visible.strip_suffix(':')?, line.len())
        }
    };
    let name = trim(name);
    (!name.is_empty() && !opens_quotation(name)).then_some((name, skip))
}

/// Whether a quotation begins in the text that does not end in it.
fn opens_quotation(text: &str) -> bool {
    let mut closing = None;
    for c in text.chars() {
        if closing == Some(c) {
            closing = None;
        } else if closing.is_none() {
            closing = match c {
                '"' => Some('"'),
                '“' => Some('”'),
                '„' => Some('“'),
                '«' => Some('»'),
                '「' => Some('」'),
                _ => None,
            };
        }
    }
    closing.is_some()
}

#[derive(Default)]
struct Senders {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Senders {
    fn place(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = self.names.len();
        self.names.push(name.to_owned());
        self.places.insert(name.to_owned(), place);
        place
    }
}

/// The bytes as text.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<String, ExportError> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let lines = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count();
        ExportError::Encoding { line: lines + 1 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Chat {
        Chat::cut(text.to_owned(), jiff::civil::date(2026, 11, 23)).unwrap()
    }

    fn bodies(text: &str) -> Vec<(usize, Option<String>, String)> {
        let chat = cut(text);
        let shown = |message: &Message| {
            let sender = message.sender.map(|place| chat.senders[place].clone());
            (message.line, sender, chat.text[message.body.clone()].to_owned())
        };
        chat.messages.iter().map(shown).collect()
    }

    fn message(line: usize, sender: &str, body: &str) -> (usize, Option<String>, String) {
        (line, (!sender.is_empty()).then(|| sender.to_owned()), body.to_owned())
    }

    #[test]
    fn lines_without_a_header_go_on_with_the_message_before() {
        assert_eq!(
            bodies(
                "\u{feff}13/07/2017, 09:12 - Test: one\r\ntwo\r\n\r\n13/07/2017, 09:16 - Ada: \n13/07/2017, 09:17 - Ada:"
            ),
            [message(1, "Test", "one\r\ntwo\r\n"), message(4, "Ada", ""), message(5, "Ada", "")]
        );
    }

    #[test]
    fn what_a_person_pasted_from_another_phone_stays_in_the_message() {
        let text = "13/07/2017, 09:12 - Test: look\n[12/07/17, 22:35:10] Eve: I owe you\n7/12/17, 10:35 PM - Eve: me too\n31/31/2017, 22:35 - x: y\n";
        let chat = cut(text);
        assert_eq!(chat.messages.len(), 1);
        assert_eq!(chat.foreign_headers, 3);
    }

    #[test]
    fn lines_before_the_first_message_are_kept() {
        let text = "end of something\n\n13/07/2017, 09:12 - Test: one\n";
        assert_eq!(bodies(text), [message(1, "", "end of something\n"), message(3, "Test", "one")]);
        assert_eq!(bodies("\n\r\n13/07/2017, 09:12 - Test: one"), [message(3, "Test", "one")]);
    }

    #[test]
    fn a_colon_in_a_quotation_makes_no_sender() {
        for line in [
            "Ada changed the subject to “Plans: Friday”",
            "Ada changed the subject from \"A\" to \"B: C\"",
            "Ada hat den Betreff zu „Pläne: Freitag“ geändert",
            "Ada a changé le sujet en « Projet: A »",
            "You created group \"Tes\"",
        ] {
            assert_eq!(bodies(&format!("13/07/2017, 09:12 - {line}")), [message(1, "", line)], "{line}");
        }
        for (name, line) in [
            ("John \"Johnny\" Doe", "John \"Johnny\" Doe: x"),
            ("Ada “Countess” King", "Ada “Countess” King: x"),
            ("„Ada“", "„Ada“: x"),
            ("O'Brien", "O'Brien: x"),
            ("+45 20 12 34 56", "\u{202a}+45 20 12 34 56\u{202c}: x"),
            ("Prof. Oak", "Prof. Oak: x"),
        ] {
            assert_eq!(bodies(&format!("13/07/2017, 09:12 - {line}")), [message(1, name, "x")], "{line}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_found_by_line() {
        assert_eq!(decode(b"one\ntwo\xff".to_vec()), Err(ExportError::Encoding { line: 2 }));
        assert_eq!(decode(b"\xff\xfeo\0".to_vec()), Err(ExportError::Encoding { line: 1 }));
        assert_eq!(Chat::cut("nothing\nhere".into(), Date::MAX).err(), Some(ExportError::NoMessages));
        assert_eq!(Chat::cut(String::new(), Date::MAX).err(), Some(ExportError::NoMessages));
    }
}
