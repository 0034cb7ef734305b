//! Reads the beginning of a line by its shape: a date, a time, their closing sign, and words of any language between
//! them.
//!
//! Words are looked up here only for the lines of old iPhones and Croatian phones, where nothing separates a day period
//! from the sender. The meaning of all other words is decided over the whole file, in `grammar`.

use phone::decimal_digit;

use crate::{
    cldr,
    marks::{is_letter, is_mark, is_space, words},
};

/// Maximum length of the beginning, in characters.
const MAX_CHARS: usize = 100;
/// Maximum length of the text between a date and a time, or after them.
const MAX_GAP_CHARS: usize = 40;
const MAX_GAP_WORDS: usize = 6;

/// The closing sign of date and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ClosingSign {
    /// iPhone: `[date, time] `.
    Bracket(char),
    /// Android: `date, time - `.
    Sign(char),
    /// iPhone before 2018: `date, time: `.
    Colon,
    /// Only a space.
    Space,
}

/// The place of the year among the date's numbers, as far as a single line shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum YearForm {
    /// `2016-04-15`.
    First,
    /// `15.04.2016`, `4/15/2016`.
    Last,
    /// Three numbers of at most two digits.
    Short,
}

/// The style of the dates and times of one export. A phone writes all of them in one style, so a line in another style
/// was pasted by a person and is not a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Style {
    pub(crate) close: ClosingSign,
    time_first: bool,
    /// The separator of the date's numbers, without letters and spaces.
    pub(crate) date_separator: String,
    time_separator: String,
    seconds: bool,
    pub(crate) month_name: bool,
    pub(crate) year: YearForm,
}

/// The words of a line's beginning, by place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Gaps {
    /// Before, between and after date and time.
    pub(crate) words: [Vec<String>; 3],
}

/// The beginning of a line that may be a message.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) style: Style,
    /// The date's numbers in the order of the line. A date with a month's name is [day, 0, year].
    pub(crate) date: [u32; 3],
    /// The number of digits of each.
    pub(crate) digits: [usize; 3],
    /// The words that may name the month.
    pub(crate) month_words: Vec<String>,
    /// The letters before the year: a Japanese era.
    pub(crate) era: String,
    /// The hour as written.
    pub(crate) hour: u8,
    pub(crate) hour_digits: usize,
    pub(crate) minute: u8,
    pub(crate) second: u8,
    pub(crate) gaps: Gaps,
    /// The characters after date and time as written: `\u{202f}PM`.
    pub(crate) written_period: String,
    /// Position of the sender and the text, in bytes.
    pub(crate) rest: usize,
}

#[derive(Debug, Clone, Copy)]
struct Number {
    value: u32,
    digits: usize,
    start: usize,
    end: usize,
}

/// The shape of a line's beginning.
pub(crate) enum Beginning {
    /// Fewer numbers than a date and a time have.
    Text,
    /// Enough numbers, but in another arrangement.
    Numbers,
    Head(Box<Head>),
}

impl Beginning {
    pub(crate) fn of(line: &str) -> Self {
        let Some(scan) = Scan::of(line) else { return Self::Text };
        match scan.arrangements().find_map(|(date, time)| scan.head(date, time)) {
            Some(head) => Self::Head(Box::new(head)),
            None => Self::Numbers,
        }
    }
}

/// The numbers at a line's beginning.
struct Scan<'a> {
    line: &'a str,
    /// Position of the line's beginning after marks and an opening bracket.
    begin: usize,
    bracket: Option<char>,
    numbers: Vec<Number>,
}

type Span = std::ops::Range<usize>;

impl<'a> Scan<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let start = line.len() - line.trim_start_matches(|c| is_mark(c) || is_space(c)).len();
        let first = line[start..].chars().next()?;
        let bracket = match first {
            '[' => Some(']'),
            '(' => Some(')'),
            '{' => Some('}'),
            '【' => Some('】'),
            '［' => Some('］'),
            _ => None,
        };
        let begin = if bracket.is_some() { start + first.len_utf8() } else { start };
        let mut numbers: Vec<Number> = Vec::new();
        let mut open: Option<Number> = None;
        for (at, c) in line[begin..].char_indices().take(MAX_CHARS) {
            let at = begin + at;
            match (decimal_digit(c), &mut open) {
                (Some(digit), Some(number)) => {
                    number.value = number.value.checked_mul(10)?.checked_add(digit)?;
                    number.digits += 1;
                    number.end = at + c.len_utf8();
                    if number.digits > 4 {
                        break;
                    }
                }
                (Some(digit), None) => {
                    open = Some(Number { value: digit, digits: 1, start: at, end: at + c.len_utf8() })
                }
                (None, _) => {
                    numbers.extend(open.take());
                    // The first number is near the beginning, and date and time have at most six numbers.
                    if numbers.len() == 7 || (numbers.is_empty() && at - begin > 3 * MAX_GAP_CHARS) {
                        break;
                    }
                }
            }
        }
        numbers.extend(open);
        (numbers.len() >= 4).then_some(Self { line, begin, bracket, numbers })
    }

    /// Returns the possible places of date and time among the numbers: three numbers or a month's name, date or time
    /// first.
    fn arrangements(&self) -> impl Iterator<Item = (Span, Span)> + use<> {
        let count = self.numbers.len();
        [(0..3, 3..6), (0..3, 3..5), (3..6, 0..3), (2..5, 0..2), (0..2, 2..5), (0..2, 2..4), (3..5, 0..3), (2..4, 0..2)]
            .into_iter()
            .filter(move |(date, time)| date.end <= count && time.end <= count)
    }

    fn between(&self, number: usize) -> &'a str {
        &self.line[self.numbers[number].end..self.numbers[number + 1].start]
    }

    /// Returns the text before a number, back to the previous number or the line's beginning.
    fn before(&self, number: usize) -> &'a str {
        let from = number.checked_sub(1).map_or(self.begin, |before| self.numbers[before].end);
        &self.line[from..self.numbers[number].start]
    }

    fn head(&self, date: Span, time: Span) -> Option<Head> {
        let (hour, minute, second, time_separator) = self.time(time.clone())?;
        let Date { numbers, digits, separator, mut month_words, era, year } = self.date(date.clone())?;
        let time_first = time.start < date.start;
        let before = self.before(0);
        let gap = self.between(date.end.min(time.end) - 1);
        let last = self.numbers[date.end.max(time.end) - 1];
        if !is_gap(before, true) || !is_gap(gap, false) || !gap.contains(|c| !is_mark(c)) {
            return None;
        }
        let (close, behind, rest) = self.close(last.end)?;
        let mut gaps = Gaps { words: [words(before), words(gap), words(behind)] };
        let month_name = date.len() == 2;
        if month_name && month_words.is_empty() {
            // `Oct 8, 2015`: the name is before the day.
            month_words = std::mem::take(&mut gaps.words[usize::from(time_first)]);
            if month_words.is_empty() {
                return None;
            }
        }
        if !era.is_empty() && date.start == 0 && !month_name && year == YearForm::First {
            gaps.words[0].clear();
        }
        let style = Style {
            close,
            time_first,
            date_separator: separator,
            time_separator,
            seconds: second.is_some(),
            month_name,
            year,
        };
        let hour_number = self.numbers[time.start];
        Some(Head {
            style,
            date: numbers,
            digits,
            month_words,
            era,
            hour,
            hour_digits: hour_number.digits,
            minute,
            second: second.unwrap_or(0),
            gaps,
            written_period: behind.to_owned(),
            rest,
        })
    }

    fn time(&self, span: Span) -> Option<(u8, u8, Option<u8>, String)> {
        let numbers = &self.numbers[span.clone()];
        let part = |number: &Number, limit: u32| {
            u8::try_from(number.value).ok().filter(|_| number.digits == 2 && number.value < limit)
        };
        let hour = numbers.first().filter(|hour| hour.digits <= 2 && hour.value < 24)?;
        let minute = part(numbers.get(1)?, 60)?;
        let separators: Vec<&str> = (span.start..span.end - 1).map(|number| self.between(number)).collect();
        if !separators.iter().all(|separator| is_time_separator(separator)) {
            return None;
        }
        let signs: Vec<String> = separators.iter().map(|separator| signs(separator)).collect();
        if signs.iter().any(|sign| *sign != signs[0]) {
            return None;
        }
        let second = match numbers.get(2) {
            Some(second) => Some(part(second, 60)?),
            None => None,
        };
        Some((u8::try_from(hour.value).ok()?, minute, second, signs[0].clone()))
    }

    fn date(&self, span: Span) -> Option<Date> {
        let numbers = &self.numbers[span.clone()];
        let digits: Vec<usize> = numbers.iter().map(|number| number.digits).collect();
        if let [first, second] = numbers {
            let separator = self.between(span.start);
            let month_words = words(separator);
            let name = !month_words.is_empty();
            if !is_month_gap(separator) || month_words.len() > 5 || (!name && separator.contains(['.', '/', '-'])) {
                return None;
            }
            // The year has four digits, or comes last.
            let (day, year) = if first.digits == 4 { (second, first) } else { (first, second) };
            let form = if first.digits == 4 { YearForm::First } else { YearForm::Last };
            let fits = day.digits <= 2 && (year.digits == 4 || (year.digits == 2 && form == YearForm::Last));
            return fits.then(|| Date {
                numbers: [day.value, 0, year.value],
                digits: [day.digits, 0, year.digits],
                // The signs belong to the month's name, and differ between months: `8 Okt. 2015`, `9 März 2016`.
                separator: String::new(),
                month_words,
                era: String::new(),
                year: form,
            });
        }
        let [first, second, third] = numbers else { return None };
        let (one, two) = (self.between(span.start), self.between(span.start + 1));
        if !is_date_separator(one) || !is_date_separator(two) {
            return None;
        }
        let (separator, other) = (signs(one), signs(two));
        let units = separator.is_empty() || other.is_empty();
        if separator != other && !(units && one.contains(is_unit) && two.contains(is_unit)) {
            return None;
        }
        // The text before the year's number: `18/3/R6`, `令和6年3月18日`.
        let first_era = if span.start == 0 { trailing_letters(self.before(0)) } else { String::new() };
        let last_era = trailing_letters(two);
        let (year, era) = match (first.digits, third.digits) {
            _ if second.digits > 2 || first.digits > 4 || third.digits > 4 => return None,
            (3.., 3..) => return None,
            (3.., _) => (YearForm::First, first_era),
            (_, 3..) => (YearForm::Last, last_era),
            _ if !last_era.is_empty() => (YearForm::Last, last_era),
            _ if cldr::year_before_era(&first_era).is_some() => (YearForm::First, first_era),
            (2, 1) | (_, 2) => (YearForm::Short, String::new()),
            _ => return None,
        };
        Some(Date {
            numbers: [first.value, second.value, third.value],
            digits: [digits[0], digits[1], digits[2]],
            separator,
            month_words: Vec::new(),
            era,
            year,
        })
    }

    /// Finds the closing sign of a date and time that end here: its form, the text before it, and the position of the
    /// rest.
    fn close(&self, end: usize) -> Option<(ClosingSign, &'a str, usize)> {
        let tail = &self.line[end..];
        if let Some(closing) = self.bracket {
            let at = tail.find(closing)?;
            let rest = end + at + closing.len_utf8();
            let space = usize::from(self.line[rest..].starts_with(' '));
            return is_gap(&tail[..at], true).then(|| (ClosingSign::Bracket(closing), &tail[..at], rest + space));
        }
        if let Some((sign, at, length)) = closing_sign(tail)
            && is_gap(&tail[..at], true)
        {
            return Some((ClosingSign::Sign(sign), &tail[..at], end + at + length));
        }
        let colon = tail.find(": ").or_else(|| tail.ends_with(':').then(|| tail.len() - 1));
        if let Some(at) = colon {
            let behind = &tail[..at];
            let known = words(behind);
            let period =
                behind.chars().count() <= MAX_GAP_CHARS && (known.is_empty() || !cldr::periods(&known).is_empty());
            if period && is_gap(behind, true) {
                return Some((ClosingSign::Colon, behind, (end + at + 2).min(self.line.len())));
            }
            if tail.starts_with(|c| is_space(c) || is_mark(c)) {
                return Some(self.space(end));
            }
        }
        None
    }

    /// Closes a date and time after which there is only a space. A day period before the sender is recognized by its
    /// words alone.
    fn space(&self, end: usize) -> (ClosingSign, &'a str, usize) {
        let tail = &self.line[end..];
        let skipped = |text: &str| text.len() - text.trim_start_matches(|c| is_space(c) || is_mark(c)).len();
        let mut at = skipped(tail);
        for length in (1..=3).rev() {
            let mut ends = tail[at..].match_indices(is_space).map(|(space, _)| at + space);
            if let Some(stop) = ends.nth(length - 1)
                && !cldr::periods(&words(&tail[..stop])).is_empty()
            {
                let behind = &tail[..stop];
                at = stop + skipped(&tail[stop..]);
                return (ClosingSign::Space, behind, end + at);
            }
        }
        (ClosingSign::Space, "", end + at)
    }
}

struct Date {
    numbers: [u32; 3],
    digits: [usize; 3],
    separator: String,
    month_words: Vec<String>,
    era: String,
    year: YearForm,
}

/// Finds the sign between two spaces that ends an Android phone's date and time: the sign, its position, and its length
/// with the spaces.
fn closing_sign(tail: &str) -> Option<(char, usize, usize)> {
    let visible = |c: char| !is_letter(c) && decimal_digit(c).is_none() && !is_space(c) && !is_mark(c);
    for (at, space) in tail.char_indices().filter(|(_, c)| is_space(*c)).take(MAX_GAP_WORDS + 2) {
        let from = at + space.len_utf8();
        let sign = tail[from..].trim_start_matches(is_mark);
        let skipped = tail[from..].len() - sign.len();
        let Some(first) = sign.chars().next().filter(|c| visible(*c) && !".,;()[]'\"،:".contains(*c)) else {
            continue;
        };
        // `--`, but not `-5`.
        let run = sign.len() - sign.trim_start_matches(first).len();
        let behind = &sign[run..];
        if behind.is_empty() || behind.starts_with(is_space) {
            let end = behind.chars().next().map_or(0, char::len_utf8);
            return Some((first, at, space.len_utf8() + skipped + run + end));
        }
    }
    None
}

/// Returns whether a text may be between date and time, or after them: a few words, or none.
fn is_gap(text: &str, may_be_empty: bool) -> bool {
    (may_be_empty || !text.is_empty())
        && text.chars().count() <= MAX_GAP_CHARS
        && !text.contains("//")
        && !text.contains(|c| "[]:<>\"“”@#".contains(c) || decimal_digit(c).is_some())
        && words(text).len() <= MAX_GAP_WORDS
}

/// Returns whether a text may be between the numbers of a time: one sign, or letters, as in `:`, `.`, `h`, `時`.
fn is_time_separator(text: &str) -> bool {
    let seen: Vec<char> = text.chars().filter(|c| !is_mark(*c) && !is_space(*c)).collect();
    let spaced = text.contains(is_space);
    match seen.as_slice() {
        [sign] if !is_letter(*sign) => !spaced && !"/,-،".contains(*sign),
        letters => (1..=3).contains(&letters.len()) && letters.iter().all(|c| is_letter(*c) || is_unit(*c)),
    }
}

fn is_date_separator(text: &str) -> bool {
    let seen: Vec<char> = text.chars().filter(|c| !is_mark(*c) && !is_space(*c)).collect();
    let (letters, signs): (Vec<char>, Vec<char>) = seen.iter().partition(|c| is_letter(**c));
    let spaced = text.contains(is_space);
    match signs.as_slice() {
        [] => false,
        // `14. 8.`, `8 - 10`, `3月 18日`.
        [sign] => {
            letters.len() <= 8 && !",:،[]()".contains(*sign) && (!spaced || ".-/–".contains(*sign) || is_unit(*sign))
        }
        _ => false,
    }
}

/// Returns whether a character is a unit that Chinese, Japanese and Korean write after a number.
fn is_unit(c: char) -> bool {
    "年月日号號년월일時时分秒點点시분초".contains(c)
}

/// Returns whether the text between two numbers of a date may be a month's name. Any sign that is not ASCII may end an
/// abbreviation: `נוב׳`, `नव॰`.
fn is_month_gap(text: &str) -> bool {
    let mut after_letter = false;
    text.chars().all(|c| {
        let abbreviates = after_letter && !c.is_ascii();
        after_letter = is_letter(c);
        after_letter || abbreviates || is_space(c) || is_mark(c) || ".,،⹁-/'’:".contains(c)
    })
}

/// Returns the signs of a separator, without marks, spaces, letters and units.
fn signs(text: &str) -> String {
    text.chars().filter(|c| !is_mark(*c) && !is_space(*c) && !is_letter(*c) && !is_unit(*c)).collect()
}

fn trailing_letters(text: &str) -> String {
    let seen = text.trim_end_matches(|c| is_mark(c) || is_space(c) || c == '.');
    let kept = seen.trim_end_matches(is_letter);
    seen[kept.len()..].to_owned()
}

/// The shapes of the beginnings of a file's messages: the signs, and the positions of numbers between them. A line with
/// the same shape looks like a message.
pub(crate) struct HeadShapes {
    known: std::collections::HashSet<String>,
    /// The largest number of numbers in one of them.
    numbers: usize,
}

impl HeadShapes {
    /// Collects the shapes of messages. `heads` are their beginnings of messages up to the sender.
    pub(crate) fn of<'a>(heads: impl Iterator<Item = &'a str>) -> Self {
        let mut shapes = Self { known: std::collections::HashSet::new(), numbers: 0 };
        for scan in heads.filter_map(Scan::of) {
            let numbers = scan.numbers.len().min(6);
            shapes.numbers = shapes.numbers.max(numbers);
            let shape = scan.shape(numbers);
            if !shapes.known.contains(&shape) {
                shapes.known.insert(shape);
            }
        }
        shapes
    }

    /// Returns whether a line begins with the same signs and numbers as a message, or with any date and time.
    pub(crate) fn is_similar(&self, line: &str) -> bool {
        let Some(scan) = Scan::of(line) else { return false };
        let numbers = scan.numbers.len();
        let date_and_time =
            scan.arrangements().any(|(date, time)| scan.date(date).is_some() && scan.time(time).is_some());
        date_and_time || (4..=self.numbers.min(numbers)).any(|count| self.known.contains(&scan.shape(count)))
    }
}

impl Scan<'_> {
    /// Returns the beginning up to the end of a number: `0` for each number, and the signs between.
    fn shape(&self, numbers: usize) -> String {
        let mut shape = String::new();
        let mut from = self.begin;
        for number in &self.numbers[..numbers] {
            shape.push_str(&signs(&self.line[from..number.start]));
            shape.push('0');
            from = number.end;
        }
        shape.extend(self.bracket);
        shape
    }
}
