//! Splits a chat's text into messages. Every line belongs to exactly one message.

use std::{collections::HashMap, ops::Range};

use jiff::{SignedDuration, civil::DateTime};

use crate::{
    dates::DayOrder,
    error::ExportError,
    grammar::{Candidate, ExternalFacts, Grammar, LineEnds},
    head::{Beginning, HeadShapes},
    limits,
    marks::trim,
    senders::{Author, Doubt, Senders},
};

/// A message of the chat, or a line of WhatsApp's own.
pub(crate) struct Message {
    /// Number of its first line in the text, from 1.
    pub(crate) line: usize,
    /// Its time by the phone's clock. `None` for lines before the first message.
    pub(crate) time: Option<DateTime>,
    /// The time as written; the id is made from it.
    pub(crate) written: String,
    /// Index of its sender in [`Chat::senders`]. `None` for a notice of WhatsApp.
    pub(crate) sender: Option<usize>,
    /// The reason why the sender is not proven.
    pub(crate) doubt: Option<Doubt>,
    /// Sender and text, without the last line's end.
    pub(crate) whole: Range<usize>,
    /// Its text.
    pub(crate) body: Range<usize>,
    /// Lines in it, from 1, that look like the beginning of another message.
    pub(crate) suspicious: Vec<usize>,
    /// `true` if its time is more than an hour before that of a message above it, and only its shape shows that it is a
    /// message.
    pub(crate) out_of_order: bool,
}

/// A chat's messages.
pub(crate) struct Chat {
    pub(crate) text: String,
    /// In the file's order.
    pub(crate) messages: Vec<Message>,
    /// The distinct senders, as the phone writes them but without invisible marks around, in order of appearance.
    pub(crate) senders: Vec<String>,
    pub(crate) day_order: DayOrder,
    /// `true` if the export is an iPhone's.
    pub(crate) brackets: bool,
}

impl Chat {
    /// Splits a text into messages. `names` are senders' names that are known from other places.
    ///
    /// A line that does not begin as the file's messages do belongs to the message before it. Lines before the first
    /// message become an entry of their own.
    pub(crate) fn split<'a>(
        text: String,
        names: impl Iterator<Item = &'a str>,
        external: ExternalFacts,
    ) -> Result<Self, ExportError> {
        let lines = Lines::of(&text);
        if lines.candidates.len() > limits::MAX_MESSAGES {
            return Err(ExportError::TooManyMessages { limit: limits::MAX_MESSAGES });
        }
        let Grammar { starts, mut suspicious, day_order, brackets } =
            Grammar::infer(lines.candidates, lines.ends, external)?;
        let after_crlf = starts.iter().skip(1).all(|start| text[..start.begin].ends_with("\r\n"));
        let first = starts.first().ok_or(ExportError::NoMessages)?.begin;
        let shapes = HeadShapes::of(starts.iter().map(|start| &text[start.begin..start.rest]));
        suspicious.extend(
            lines.others.iter().filter(|(_, at)| shapes.is_similar(line_at(&text, *at))).map(|(line, _)| *line),
        );
        suspicious.sort_unstable();
        suspicious.dedup();

        let ends = starts.iter().skip(1).map(|next| next.begin).chain([text.len()]);
        let wholes: Vec<Range<usize>> =
            starts.iter().zip(ends).map(|(start, end)| body(&text, start.rest..end)).collect();
        let first_line = |whole: &Range<usize>| first_line(&text[whole.clone()]);
        let known = Senders::of(names, wholes.iter().map(first_line));

        let mut senders = Names::default();
        let mut messages = Vec::with_capacity(starts.len() + 1);
        let fragment = body(&text, 0..first);
        if !trim(&text[fragment.clone()]).is_empty() {
            messages.push(Message {
                line: 1,
                time: None,
                written: String::new(),
                sender: None,
                doubt: None,
                whole: fragment.clone(),
                body: fragment,
                suspicious: Vec::new(),
                out_of_order: false,
            });
        }
        for (start, whole) in starts.into_iter().zip(wholes) {
            let (sender, doubt, body) = match known.author(first_line(&whole)) {
                Author::Sender(split) => {
                    (Some(senders.place(split.name)), split.doubt, whole.start + split.skip..whole.end)
                }
                Author::WhatsApp { may_be_a_person } => {
                    (None, may_be_a_person.then_some(Doubt::MayBeName), whole.clone())
                }
            };
            let (line, time, written) = (start.line, Some(start.time), start.written);
            let suspicious = Vec::new();
            messages.push(Message { line, time, written, sender, doubt, whole, body, suspicious, out_of_order: false });
        }
        // An iPhone's export has LF within a text, so no message that begins after CR LF was pasted.
        if !(brackets && after_crlf) {
            mark_out_of_order(&mut messages);
        }
        for line in suspicious {
            let at = messages.partition_point(|message| message.line <= line);
            if let Some(message) = at.checked_sub(1).and_then(|at| messages.get_mut(at)) {
                message.suspicious.push(line);
            }
        }
        if senders.names.len() > limits::MAX_SENDERS {
            return Err(ExportError::TooManySenders { limit: limits::MAX_SENDERS });
        }
        Ok(Self { messages, senders: senders.names, day_order, brackets, text })
    }
}

/// Maximum time by which a message may be earlier than one above it without being marked: phones' clocks differ by
/// minutes.
const MAX_STEP_BACK: SignedDuration = SignedDuration::from_hours(1);
/// Maximum length of a pasted part, in messages. It also bounds the work if time goes back at every message.
const MAX_PASTED: usize = 200;

/// Marks the messages that a person may have pasted from another chat in the style of this one: time goes back, and
/// returns after them. If it does not return, as after a clock was corrected, only the first is marked. Nothing in the
/// file decides whether they were pasted, so they stay messages.
fn mark_out_of_order(messages: &mut [Message]) {
    let times: Vec<Option<DateTime>> = messages.iter().map(|message| message.time).collect();
    let mut at = 1;
    while at < times.len() {
        let (Some(above), Some(time)) = (times[at - 1], times[at]) else {
            at += 1;
            continue;
        };
        let is_back = |time: DateTime| above.duration_since(time) > MAX_STEP_BACK;
        if !is_back(time) {
            at += 1;
            continue;
        }
        let ahead = times[at..].iter().take(MAX_PASTED);
        let length = ahead.take_while(|time| time.is_some_and(is_back)).count();
        let returns = times.get(at + length).is_some_and(|time| time.is_some_and(|time| !is_back(time)));
        let end = if returns { at + length } else { at + 1 };
        for message in &mut messages[at..end] {
            message.out_of_order = true;
        }
        at = end;
    }
}

/// The lines of a text: those that begin with a date and a time, and those that at least begin with numbers.
struct Lines {
    candidates: Vec<Candidate>,
    /// Line and place.
    others: Vec<(usize, usize)>,
    ends: LineEnds,
}

impl Lines {
    fn of(text: &str) -> Self {
        let mut ends = LineEnds { crlf: 0, lf: 0, last_is_crlf: false };
        let (mut candidates, mut others) = (Vec::new(), Vec::new());
        let (mut begin, mut after_crlf, mut blank) = (0, false, true);
        for (line, with_end) in (1..).zip(text.split_inclusive('\n')) {
            let content = with_end.trim_end_matches(['\r', '\n']);
            match Beginning::of(content) {
                Beginning::Head(head) => {
                    candidates.push(Candidate { line, begin, after_crlf, first: blank, head: *head });
                }
                Beginning::Numbers => others.push((line, begin)),
                Beginning::Text => {}
            }
            blank &= trim(content).is_empty();
            begin += with_end.len();
            after_crlf = with_end.ends_with("\r\n");
            ends.crlf += usize::from(after_crlf);
            ends.lf += usize::from(!after_crlf && with_end.ends_with('\n'));
            ends.last_is_crlf = after_crlf;
        }
        Self { candidates, others, ends }
    }
}

fn line_at(text: &str, begin: usize) -> &str {
    text[begin..].lines().next().unwrap_or_default()
}

pub(crate) fn first_line(text: &str) -> &str {
    text.split('\n').next().unwrap_or_default()
}

/// Returns the range without the one line end at its end.
fn body(text: &str, range: Range<usize>) -> Range<usize> {
    let whole = &text[range.clone()];
    let without = whole.strip_suffix("\r\n").or_else(|| whole.strip_suffix('\n')).unwrap_or(whole);
    range.start..range.start + without.len()
}

#[derive(Default)]
struct Names {
    names: Vec<String>,
    places: HashMap<String, usize>,
}

impl Names {
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

/// Returns the bytes as text: UTF-8, or UTF-16 with a byte order mark.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<String, ExportError> {
    let wide = |read: fn([u8; 2]) -> u16| {
        let (units, rest) = bytes[2..].as_chunks::<2>();
        let units = units.iter().map(|unit| read(*unit));
        let mut text = String::with_capacity(bytes.len());
        let damaged = |text: &str| ExportError::Encoding { line: text.matches('\n').count() + 1 };
        for unit in char::decode_utf16(units) {
            match unit {
                Ok(c) => text.push(c),
                Err(_) => return Err(damaged(&text)),
            }
        }
        if rest.is_empty() { Ok(text) } else { Err(damaged(&text)) }
    };
    match bytes.get(..2) {
        Some([0xff, 0xfe]) => return wide(u16::from_le_bytes),
        Some([0xfe, 0xff]) => return wide(u16::from_be_bytes),
        _ => {}
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let lines = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count();
        ExportError::Encoding { line: lines + 1 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dates::Limits;

    fn split(text: &str) -> Result<Chat, ExportError> {
        let external = ExternalFacts { limits: Limits::until(jiff::civil::date(2026, 11, 23)), configured: None };
        Chat::split(text.to_owned(), std::iter::empty(), external)
    }

    fn bodies(text: &str) -> Vec<(usize, Option<String>, String)> {
        let chat = split(text).unwrap();
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
    fn lines_without_a_header_continue_the_message_before() {
        assert_eq!(
            bodies(
                "\u{feff}13/07/2017, 09:12 - Test: one\r\ntwo\r\n\r\n13/07/2017, 09:16 - Ada: \n13/07/2017, 09:17 - Ada:"
            ),
            [message(1, "Test", "one\r\ntwo\r\n"), message(4, "Ada", ""), message(5, "Ada", "")]
        );
    }

    #[test]
    fn pasted_lines_stay_in_the_message_and_are_counted() {
        let text = "13/07/2017, 09:12 - Test: look\n[12/07/17, 22:35:10] Eve: I owe you\n7/12/17, 10:35 PM - Eve: me too\n\
                    31/31/2017, 22:35 - x: y\n12/07/2017, 24:35 - x: y\n12/07/2017, 22:35 hello there - ok\n12/07/2017 at ten\n";
        let chat = split(text).unwrap();
        assert_eq!(chat.messages.len(), 1);
        assert_eq!(chat.messages[0].suspicious, [2, 3, 4, 5, 6]);
    }

    #[test]
    fn lines_before_the_first_message_are_kept() {
        let text = "end of something\n\n13/07/2017, 09:12 - Test: one\n";
        assert_eq!(bodies(text), [message(1, "", "end of something\n"), message(3, "Test", "one")]);
        assert_eq!(bodies("\n\r\n13/07/2017, 09:12 - Test: one"), [message(3, "Test", "one")]);
    }

    #[test]
    fn only_crlf_ends_a_message_in_an_iphones_file() {
        let chat = split("[13/07/24, 10:00:00] Ada: as you wrote\n[12/07/24, 09:00:00] Bo: I accept\r\n[13/07/24, 10:01:00] Bo: no\r\n").unwrap();
        assert_eq!((chat.messages.len(), &chat.messages[0].suspicious), (2, &vec![2]));
        // One kind of line end proves nothing.
        for end in ["\n", "\r\n"] {
            let chat = split(&["[13/07/24, 10:00:00] Ada: a", "[13/07/24, 10:00:00] Bo: b", ""].join(end)).unwrap();
            assert_eq!(chat.messages.len(), 2);
        }
        // In an Android phone's file CR LF comes from a text.
        let chat = split("13/07/24, 10:00 - Ada: a\r\nb\n13/07/24, 10:01 - Bo: c\n").unwrap();
        assert_eq!(chat.messages.len(), 2);
        // A text whose lines all look like messages must not hide the messages below.
        let hiding =
            "13/07/24, 10:00 - A: a\n13/07/24, 10:01 - B: b\n13/07/24, 10:02 - A: c\n13/07/24, 10:03 - B: d\r\n";
        assert_eq!(split(hiding).err(), Some(ExportError::LineEnds { lf: 3, crlf: 0 }));
        // Of an iPhone's file whose line ends were changed, none is lost either.
        let changed = "[13/07/24, 10:00:00] Ada: a\n[13/07/24, 10:01:00] Bo: b\n[13/07/24, 10:02:00] Ada: c\r\n";
        assert_eq!(split(changed).err(), Some(ExportError::LineEnds { lf: 2, crlf: 0 }));
        let line = |minute: usize, end: &str| format!("[13/07/24, 10:{minute:02}:00] Ada: a{end}");
        let with_lf = |count| {
            (0..count).map(|minute| line(minute, "\n")).chain([line(40, "\r\n"), line(41, "\r\n")]).collect::<String>()
        };
        assert_eq!(split(&with_lf(10)).unwrap().messages.len(), 2);
        assert_eq!(split(&with_lf(11)).err(), Some(ExportError::LineEnds { lf: 11, crlf: 1 }));
    }

    #[test]
    fn bytes_that_are_not_text_are_found_by_line() {
        assert_eq!(decode(b"one\ntwo\xff".to_vec()), Err(ExportError::Encoding { line: 2 }));
        assert_eq!(decode(b"\xff\xfeo\0\n\0\0\xd8".to_vec()), Err(ExportError::Encoding { line: 2 }));
        assert_eq!(decode(b"\xff\xfeo\0".to_vec()).as_deref(), Ok("o"));
        assert_eq!(decode(b"\xfe\xff\0o".to_vec()).as_deref(), Ok("o"));
        assert_eq!(split("nothing\nhere").err(), Some(ExportError::NoMessages));
        assert_eq!(split("").err(), Some(ExportError::NoMessages));
    }
}
