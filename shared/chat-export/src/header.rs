//! The beginning of a message's first line: date, time, and what stands between them and the sender.

use crate::{
    marks::{is_mark, is_space},
    words::{CONNECTORS, MERIDIEMS},
};

/// A date and time as the phone wrote them: which of the three numbers is the day is not known from one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The date's numbers in the order in which they stand.
    pub(crate) date: [u16; 3],
    /// 0 to 23.
    pub(crate) hour: u8,
    /// 0 to 59.
    pub(crate) minute: u8,
    /// 0 to 59; 0 where the phone writes none.
    pub(crate) second: u8,
}

/// What closes the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    /// iOS: `[date, time] `.
    Bracket,
    /// Android: `date, time - `.
    Dash,
    /// iOS before 2018: `date, time: `.
    Colon,
}

/// Where the year stands, and in how many digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum YearForm {
    /// `2016-04-15`.
    First,
    /// `15.04.2016`, `4/15/2016`.
    Last,
    /// Three numbers of at most two digits; the year is nearly always the last.
    Short,
}

/// How the dates of one export are written. A phone writes all of one export in one style, so a line in another style
/// is something that a person pasted, and no message of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    close: Close,
    date_first: bool,
    date_separator: char,
    time_separator: char,
    seconds: bool,
    meridiem: bool,
    pub(crate) year: YearForm,
}

/// A line that begins a message.
pub(crate) struct Header<'a> {
    pub(crate) stamp: Stamp,
    pub(crate) style: Style,
    /// What follows: sender and text, or a line of WhatsApp's own.
    pub(crate) rest: &'a str,
}

impl<'a> Header<'a> {
    /// `None` for a line that goes on with the message before it.
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        let mut reader = Reader { rest: line };
        reader.marks();
        let bracket = reader.eat('[');
        reader.marks();
        let begin = reader.rest;
        let (date, time, date_first) = match reader.date().and_then(|date| {
            reader.gap()?;
            Some((date, reader.time()?))
        }) {
            Some((date, time)) => (date, time, true),
            None => {
                reader.rest = begin;
                let time = reader.time()?;
                reader.gap()?;
                (reader.date()?, time, false)
            }
        };
        let close = reader.close(bracket)?;
        let style = Style {
            close,
            date_first,
            date_separator: date.separator,
            time_separator: time.separator,
            seconds: time.seconds.is_some(),
            meridiem: time.meridiem,
            year: date.year,
        };
        let second = time.seconds.unwrap_or(0);
        let stamp = Stamp { date: date.numbers, hour: time.hour, minute: time.minute, second };
        Some(Self { stamp, style, rest: reader.rest })
    }
}

struct Date {
    numbers: [u16; 3],
    separator: char,
    year: YearForm,
}

struct Time {
    hour: u8,
    minute: u8,
    seconds: Option<u8>,
    separator: char,
    meridiem: bool,
}

/// A place in a line. A method that does not find what it looks for may leave the place anywhere.
struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn eat(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn marks(&mut self) {
        self.rest = self.rest.trim_start_matches(is_mark);
    }

    /// Skips white space and invisible marks, and says whether there was any white space.
    fn spaces(&mut self) -> bool {
        let before = self.rest;
        self.rest = before.trim_start_matches(|c| is_space(c) || is_mark(c));
        before[..before.len() - self.rest.len()].contains(is_space)
    }

    /// A number of 1 to `most` digits, and how many they are. Digits of any script that phones write dates in.
    fn number(&mut self, most: usize) -> Option<(u16, usize)> {
        let mut value = 0;
        let mut digits = 0;
        while let Some(c) = self.rest.chars().next() {
            let Some(digit) = decimal(c) else { break };
            digits += 1;
            if digits > most {
                return None;
            }
            value = value * 10 + digit;
            self.rest = &self.rest[c.len_utf8()..];
        }
        (digits > 0).then_some((value, digits))
    }

    fn date(&mut self) -> Option<Date> {
        let (first, first_digits) = self.number(4)?;
        self.marks();
        let separator = self.rest.chars().next().filter(|c| matches!(c, '/' | '.' | '-'))?;
        let mut part = |most| {
            self.marks();
            if !self.eat(separator) {
                return None;
            }
            self.marks();
            // Czech, Hungarian and Korean phones put a space after each dot.
            if separator == '.' {
                self.spaces();
            }
            self.number(most)
        };
        let (second, _) = part(2)?;
        let (third, third_digits) = part(4)?;
        let year = match (first_digits, third_digits) {
            (4, 1 | 2) => YearForm::First,
            (1 | 2, 4) => YearForm::Last,
            (1 | 2, 2) => YearForm::Short,
            _ => return None,
        };
        if separator == '.' {
            self.eat('.');
        }
        Some(Date { numbers: [first, second, third], separator, year })
    }

    /// What stands between date and time.
    fn gap(&mut self) -> Option<()> {
        self.marks();
        let comma = self.eat(',') || self.eat('،');
        let space = self.spaces();
        for word in CONNECTORS {
            if let Some(rest) = self.rest.strip_prefix(word)
                && rest.starts_with(is_space)
            {
                self.rest = rest;
                self.spaces();
                break;
            }
        }
        (comma || space).then_some(())
    }

    fn time(&mut self) -> Option<Time> {
        let mut afternoon = self.meridiem();
        self.spaces();
        let (hour, _) = self.number(2)?;
        let separator = self.rest.chars().next().filter(|c| matches!(c, ':' | '.'))?;
        self.eat(separator);
        let minute = self.two_digits()?;
        // `11:50:00: Name` has a third colon, and `11:50: Name` a second one: only two digits make it seconds.
        let before = self.rest;
        let seconds = if self.eat(separator) { self.two_digits() } else { None };
        if seconds.is_none() {
            self.rest = before;
        }
        if afternoon.is_none() {
            let before = self.rest;
            self.spaces();
            afternoon = self.meridiem();
            if afternoon.is_none() {
                self.rest = before;
            }
        }
        let hour = match (afternoon, hour) {
            // Some phones count 0 to 11, some 1 to 12, and some write 24 hours and the word as well.
            (Some(false), 12) => 0,
            (Some(true), 0..=11) => hour + 12,
            _ => hour,
        };
        let hour = u8::try_from(hour).ok().filter(|hour| *hour < 24)?;
        Some(Time { hour, minute, seconds, separator, meridiem: afternoon.is_some() })
    }

    fn two_digits(&mut self) -> Option<u8> {
        let (value, digits) = self.number(2)?;
        u8::try_from(value).ok().filter(|value| digits == 2 && *value < 60)
    }

    /// The half of the day, where one is named here: whether it is the second.
    fn meridiem(&mut self) -> Option<bool> {
        for (word, afternoon) in MERIDIEMS {
            if let Some(rest) = strip_word(self.rest, word)
                && !rest.starts_with(char::is_alphabetic)
            {
                self.rest = rest;
                return Some(*afternoon);
            }
        }
        None
    }

    fn close(&mut self, bracket: bool) -> Option<Close> {
        if bracket {
            self.spaces();
            return self.eat(']').then(|| {
                self.eat(' ');
                Close::Bracket
            });
        }
        self.marks();
        if self.rest.starts_with(": ") {
            self.rest = &self.rest[2..];
            return Some(Close::Colon);
        }
        let dash = self.spaces() && (self.eat('-') || self.eat('–') || self.eat('—'));
        (dash && (self.eat(' ') || self.rest.is_empty())).then_some(Close::Dash)
    }
}

/// The word at the beginning, in upper or lower case and with a space of any width: what follows it.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let mut rest = text.chars();
    for wanted in word.chars() {
        let found = rest.next()?;
        let found = if is_space(found) { ' ' } else { found.to_ascii_lowercase() };
        if found != wanted {
            return None;
        }
    }
    Some(rest.as_str())
}

/// The value of a decimal digit: Latin, Arabic, Persian, Devanagari, Bengali.
fn decimal(c: char) -> Option<u16> {
    let zero = match c {
        '0'..='9' => '0',
        '\u{660}'..='\u{669}' => '\u{660}',
        '\u{6f0}'..='\u{6f9}' => '\u{6f0}',
        '\u{966}'..='\u{96f}' => '\u{966}',
        '\u{9e6}'..='\u{9ef}' => '\u{9e6}',
        _ => return None,
    };
    u16::try_from(u32::from(c) - u32::from(zero)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_way_of_writing_date_and_time_is_read() {
        // (line, date, hour, minute, second, rest)
        for (line, date, time, rest) in [
            ("15.04.2016, 15:04 - Ada: x", [15, 4, 2016], (15, 4, 0), "Ada: x"),
            ("15.04.16, 15:04 - Ada: x", [15, 4, 16], (15, 4, 0), "Ada: x"),
            ("4/15/16, 3:04 PM - Ada: x", [4, 15, 16], (15, 4, 0), "Ada: x"),
            ("4/15/16, 3:04\u{202f}PM - Ada: x", [4, 15, 16], (15, 4, 0), "Ada: x"),
            ("15/4/2016, 3:04 p.\u{a0}m. - Ada: x", [15, 4, 2016], (15, 4, 0), "Ada: x"),
            ("15/4/2016, 12:04 a.m. - Ada: x", [15, 4, 2016], (0, 4, 0), "Ada: x"),
            ("15/4/2016 12:04 pm - Ada: x", [15, 4, 2016], (12, 4, 0), "Ada: x"),
            ("2016-04-15, 15.04 - Ada: x", [2016, 4, 15], (15, 4, 0), "Ada: x"),
            ("2016/4/15 15:04 - Ada: x", [2016, 4, 15], (15, 4, 0), "Ada: x"),
            ("[15-01-20 02:22:56] Ada: x", [15, 1, 20], (2, 22, 56), "Ada: x"),
            ("\u{200e}[15/01/2020, 02:22:56] Ada: x", [15, 1, 2020], (2, 22, 56), "Ada: x"),
            ("[1/15/20, 2:22:56 AM] Ada: x", [1, 15, 20], (2, 22, 56), "Ada: x"),
            ("[15.01.20, 02.22.56] Ada: x", [15, 1, 20], (2, 22, 56), "Ada: x"),
            ("[15.01.20 kl. 02.22.56] Ada: x", [15, 1, 20], (2, 22, 56), "Ada: x"),
            ("[2020/1/15 下午2:22:56] Ada: x", [2020, 1, 15], (14, 22, 56), "Ada: x"),
            ("2020. 1. 15. 오후 2:22 - Ada: x", [2020, 1, 15], (14, 22, 0), "Ada: x"),
            ("15. 1. 2020 14:22 - Ada: x", [15, 1, 2020], (14, 22, 0), "Ada: x"),
            ("[14:22, 15/1/2020] Ada: x", [15, 1, 2020], (14, 22, 0), "Ada: x"),
            ("28-09-16 11:20:19: Ada: x", [28, 9, 16], (11, 20, 19), "Ada: x"),
            ("28-09-16 11:20: Ada: x", [28, 9, 16], (11, 20, 0), "Ada: x"),
            ("\u{200f}١٥\u{200f}/٠١\u{200f}/٢٠٢٠، ٢:٢٢ م - Ada: x", [15, 1, 2020], (14, 22, 0), "Ada: x"),
            ("12/07/2017, 22:35 –  two", [12, 7, 2017], (22, 35, 0), " two"),
            ("12/07/2017, 22:35 -", [12, 7, 2017], (22, 35, 0), ""),
        ] {
            let header = Header::parse(line).unwrap_or_else(|| panic!("{line}"));
            let Stamp { hour, minute, second, .. } = header.stamp;
            assert_eq!((header.stamp.date, (hour, minute, second), header.rest), (date, time, rest), "{line}");
        }
    }

    #[test]
    fn what_only_resembles_a_header_is_none() {
        for line in [
            "",
            "isn't it?",
            "12/07/2017",
            "12/07/2017, 22:35",
            "12/07/2017, 22:35 hello - there",
            "12/07/2017, 24:35 - Ada: x",
            "12/07/2017, 22:61 - Ada: x",
            "12/07/2017, 22:5 - Ada: x",
            "[12/07, 22:35] Ada: x",
            "[12/07/2017, 22:35 Ada: x",
            "12/07-2017, 22:35 - Ada: x",
            "123/07/2017, 22:35 - Ada: x",
            "1/2/3, 22:35 - Ada: x",
            "2017/07/2017, 22:35 - Ada: x",
            "99999999999999999999/1/1, 1:11 - x",
            "call me at 12/07/2017, 22:35 - ok",
        ] {
            assert!(Header::parse(line).is_none(), "{line}");
        }
    }
}
