//! Infers the grammar of one file: which of the lines that begin with a date and a time are messages, and their times.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::civil::{Date, DateTime};

use crate::{
    cldr::{self, Period},
    clock::{self, Clock},
    dates::{DateOrder, DateReading, DayOrder, Limits},
    error::ExportError,
    head::{ClosingSign, Gaps, Head, Style},
};

/// A line that begins with a date and a time.
pub(crate) struct Candidate {
    /// From 1.
    pub(crate) line: usize,
    /// Position of its beginning in the text.
    pub(crate) begin: usize,
    /// `true` if the line before it ends in CR LF. The file's first line follows every kind of line end.
    pub(crate) after_crlf: bool,
    pub(crate) first: bool,
    pub(crate) head: Head,
}

/// A candidate that is a message.
pub(crate) struct Start {
    pub(crate) line: usize,
    pub(crate) begin: usize,
    /// Position of the sender and the text in the text.
    pub(crate) rest: usize,
    pub(crate) time: DateTime,
    /// The time as written: the message's id is made from it.
    pub(crate) written: String,
}

/// A file's messages, and the lines that only look like the beginning of one.
pub(crate) struct Grammar {
    pub(crate) starts: Vec<Start>,
    /// By line.
    pub(crate) suspicious: Vec<usize>,
    pub(crate) day_order: DayOrder,
    /// iPhones write brackets.
    pub(crate) brackets: bool,
}

/// Facts from outside the file.
#[derive(Clone, Copy)]
pub(crate) struct ExternalFacts {
    pub(crate) limits: Limits,
    pub(crate) configured: Option<DateOrder>,
}

/// The line ends of the file.
#[derive(Clone, Copy)]
pub(crate) struct LineEnds {
    pub(crate) crlf: usize,
    pub(crate) lf: usize,
    pub(crate) last_is_crlf: bool,
}

impl Grammar {
    pub(crate) fn infer(
        candidates: Vec<Candidate>,
        ends: LineEnds,
        external: ExternalFacts,
    ) -> Result<Self, ExportError> {
        let style = style(&candidates).ok_or(ExportError::NoMessages)?;
        let brackets = matches!(style.close, ClosingSign::Bracket(_));
        let (mut matching, mut suspicious) = (Vec::new(), BTreeSet::new());
        for candidate in candidates {
            if candidate.head.style == style {
                matching.push(candidate);
            } else {
                suspicious.insert(candidate.line);
            }
        }
        separate_records(&mut matching, &mut suspicious, ends, brackets)?;
        let roles = Roles::infer(&matching)?;
        let count = matching.len();
        let unaccepted =
            matching.iter().find(|candidate| roles.period(&candidate.head).is_none()).map(|candidate| candidate.line);
        matching.retain(|candidate| roles.period(&candidate.head).is_some() || !suspicious.insert(candidate.line));
        // A few lines with other words are pasted text; many are messages that are not understood.
        if let Some(line) = unaccepted.filter(|_| matching.len() * 3 < count * 2) {
            return Err(ExportError::DayPeriod { line });
        }
        let first = matching.first().ok_or(ExportError::NoMessages)?;
        let first_line = first.line;

        let months = Months::infer(&matching);
        let heads: Vec<&Head> = matching.iter().map(|candidate| &candidate.head).collect();
        let month_numbers: Vec<Option<u8>> = heads.iter().map(|head| months.number(head)).collect();
        if style.month_name && month_numbers.iter().all(Option::is_none) {
            return Err(ExportError::Month { line: first_line });
        }
        let (reading, evidence) = DateReading::infer(&heads, &month_numbers, external.limits, external.configured);
        let days: Vec<Option<Date>> = heads
            .iter()
            .zip(&month_numbers)
            .map(|(head, month)| reading.possible(head, *month, external.limits))
            .collect();
        let possible = days.iter().flatten().count();
        if possible * 2 < days.len()
            && let Some(at) = days.iter().position(Option::is_none)
        {
            return Err(impossible_time(&matching[at], reading, month_numbers[at]));
        }

        let periods: Vec<Vec<String>> = heads.iter().map(|head| roles.period(head).unwrap_or_default()).collect();
        let readings: Vec<clock::TimeReading> = heads
            .iter()
            .zip(&periods)
            .zip(&days)
            .map(|((head, words), day)| clock::TimeReading {
                words: words.clone(),
                hour: head.hour,
                minute: head.minute,
                day: *day,
            })
            .collect();
        if let Some(at) = clock::first_step_without_day_periods(&readings) {
            return Err(ExportError::DayPeriod { line: matching[at].line });
        }
        let clock = Clock::infer(&readings).map_err(|words| {
            let at = periods.iter().position(|period| *period == words).unwrap_or_default();
            ExportError::DayPeriod { line: matching[at].line }
        })?;

        let mut starts = Vec::with_capacity(matching.len());
        for (((candidate, day), words), month) in matching.iter().zip(&days).zip(&periods).zip(&month_numbers) {
            let time = day.and_then(|day| time(day, &candidate.head, clock.hour(words, candidate.head.hour)?));
            match time {
                Some(time) => starts.push(Start {
                    line: candidate.line,
                    begin: candidate.begin,
                    rest: candidate.begin + candidate.head.rest,
                    time,
                    written: time_as_written(&candidate.head, words, *month),
                }),
                None => {
                    suspicious.insert(candidate.line);
                }
            }
        }
        let day_order = DayOrder { order: reading.order, evidence };
        Ok(Self { starts, suspicious: suspicious.into_iter().collect(), day_order, brackets })
    }
}

/// Returns the style of the file: the style of its first line, which is a message in every export. If the file does not
/// begin with a message, the style of most lines.
fn style(candidates: &[Candidate]) -> Option<Style> {
    let first = candidates.first()?;
    if first.first {
        return Some(first.head.style.clone());
    }
    let mut counts: HashMap<&Style, usize> = HashMap::new();
    for candidate in candidates {
        *counts.entry(&candidate.head.style).or_default() += 1;
    }
    let most = counts.values().max().copied()?;
    candidates.iter().map(|candidate| &candidate.head.style).find(|style| counts[style] == most).cloned()
}

/// Maximum number of pasted lines for each message of an iPhone's export: with more, the line ends were changed after the export.
const MAX_PASTED_PER_MESSAGE: usize = 10;

/// Separates the messages of a file with both kinds of line ends. There only CR LF ends a message: iPhones write LF
/// inside a message.
///
/// # Errors
/// In an Android phone's file CR LF may be part of a text, and then it separates no messages. If most messages would be
/// lost with CR LF as the separator, the line ends contradict the shape of the lines: a program has changed them.
fn separate_records(
    matching: &mut Vec<Candidate>,
    suspicious: &mut BTreeSet<usize>,
    ends: LineEnds,
    brackets: bool,
) -> Result<(), ExportError> {
    if ends.crlf == 0 || ends.lf == 0 {
        return Ok(());
    }
    let after_crlf = matching.iter().filter(|candidate| candidate.after_crlf && !candidate.first).count();
    let after_lf = matching.iter().filter(|candidate| !candidate.after_crlf && !candidate.first).count();
    // Every CR LF ends a record: each is followed by a message or the end of the file.
    let all_end_records = after_crlf + usize::from(ends.last_is_crlf) == ends.crlf;
    let separates = if brackets { after_crlf > 0 || ends.last_is_crlf } else { all_end_records && ends.last_is_crlf };
    if !separates {
        return Ok(());
    }
    // A message of an iPhone may contain a chat, which may be longer than this one.
    let most_lf = if brackets { after_crlf * MAX_PASTED_PER_MESSAGE } else { after_crlf + 1 };
    if after_lf > most_lf {
        return Err(ExportError::LineEnds { lf: after_lf, crlf: after_crlf });
    }
    matching.retain(|candidate| candidate.first || candidate.after_crlf || !suspicious.insert(candidate.line));
    Ok(())
}

/// The roles of the words before, between and after date and time.
struct Roles {
    /// The place of the day period, if the clock has twelve hours.
    period: Option<usize>,
    /// For each place, the words that are allowed there and have no meaning, apart from a day period.
    allowed: [BTreeSet<Vec<String>>; 3],
    /// The day periods, if any.
    periods: BTreeSet<Vec<String>>,
}

impl Roles {
    /// Infers the roles of words. A word is a day period if some language has it for a part of the day, or if it changes from line to line while
    /// the hours stay below 13. All other words are accepted only if they are constant, or known to connect dates and
    /// times.
    fn infer(matching: &[Candidate]) -> Result<Self, ExportError> {
        let mut roles = Self { period: None, allowed: Default::default(), periods: BTreeSet::new() };
        let total = matching.len();
        let mut counts: [BTreeMap<&Vec<String>, usize>; 3] = Default::default();
        for candidate in matching {
            for (place, words) in candidate.head.gaps.words.iter().enumerate() {
                *counts[place].entry(words).or_default() += 1;
            }
        }
        // The place where most lines have a known day period.
        let known = |place: usize| -> usize {
            counts[place]
                .iter()
                .filter(|(words, _)| longest_known_period(words).is_some())
                .map(|(_, count)| count)
                .sum()
        };
        // A word for the first half of the day beside an hour above 12 is a connecting word: `am 21:25`.
        let contradicts = |place: usize| {
            matching.iter().any(|candidate| {
                let words = &candidate.head.gaps.words[place];
                let meanings = longest_known_period(words).map(|words| cldr::periods(&words)).unwrap_or_default();
                candidate.head.hour > 12
                    && !meanings.is_empty()
                    && meanings.iter().all(|(_, period)| *period == Period::Am)
            })
        };
        let best =
            (0..3).max_by_key(|place| known(*place)).filter(|place| known(*place) * 2 > total && !contradicts(*place));
        let above_12 = matching.iter().any(|candidate| candidate.head.hour > 12 || candidate.head.hour == 0);
        let padded = matching.iter().any(|candidate| candidate.head.hour < 10 && candidate.head.hour_digits == 2);
        roles.period = best.or_else(|| {
            // Words that change, in a place where most lines have words.
            let varied = |place: usize| {
                let worded: usize =
                    counts[place].iter().filter(|(words, _)| !words.is_empty()).map(|(_, count)| count).sum();
                let distinct = counts[place].keys().filter(|words| !words.is_empty()).count();
                !above_12 && distinct > 1 && worded * 2 > total
            };
            (0..3).rev().find(|place| varied(*place))
        });
        for (place, counts) in counts.iter().enumerate() {
            let Some(most) = counts.iter().max_by_key(|(_, count)| **count).map(|(words, _)| *words) else { continue };
            let connects = |words: &Vec<String>| words.is_empty() || cldr::is_connector(words);
            for (words, count) in counts {
                let usual = *count * 20 >= total && *count > 2;
                let varied = connects(words) && (usual || (!words.is_empty() && !most.is_empty() && connects(most)));
                if *words == most || varied {
                    roles.allowed[place].insert((*words).clone());
                }
            }
        }
        if let Some(place) = roles.period {
            let common = common_prefix(&counts[place]);
            for (words, count) in &counts[place] {
                let Some(period) = longest_known_period(words).or_else(|| without_prefix(words, &common)) else {
                    continue;
                };
                let likely = *count * 20 >= total && (*count > 1 || period.len() == 1);
                if longest_known_period(words).is_some() || likely {
                    roles.periods.insert(period);
                }
            }
        } else if !above_12 && !padded {
            // A word that never changes, on a clock that shows neither 0 nor 13: it may mean half of the day.
            let unclear = |candidate: &&Candidate| {
                let Gaps { words } = &candidate.head.gaps;
                words.iter().any(|words| !words.is_empty() && !cldr::is_connector(words))
            };
            if let Some(candidate) = matching.iter().find(unclear) {
                return Err(ExportError::DayPeriod { line: candidate.line });
            }
        }
        Ok(roles)
    }

    /// Returns the day period of a line: empty on a 24-hour clock. `None` for a line with words that are not allowed in
    /// their place.
    fn period(&self, head: &Head) -> Option<Vec<String>> {
        let mut period = Vec::new();
        for (place, words) in head.gaps.words.iter().enumerate() {
            if self.period == Some(place) {
                let known = longest_known_period(words).filter(|period| self.periods.contains(period));
                let found = known.or_else(|| {
                    self.periods
                        .iter()
                        .filter(|period| words.windows(period.len()).any(|window| window == period.as_slice()))
                        .max_by_key(|period| period.len())
                        .cloned()
                });
                period = match found {
                    Some(found) => found,
                    // Some phones write the half of the day only if the hour is ambiguous.
                    None if head.hour > 12 && self.allowed[place].contains(words) => Vec::new(),
                    None => return None,
                };
            } else if !self.allowed[place].contains(words) {
                return None;
            }
        }
        Some(period)
    }
}

/// Returns the longest sequence of words that some language has for a part of the day.
fn longest_known_period(words: &[String]) -> Option<Vec<String>> {
    (1..=words.len())
        .rev()
        .flat_map(|length| words.windows(length))
        .find(|window| !cldr::periods(window).is_empty())
        .map(<[String]>::to_vec)
}

/// Returns the words that all lines have in common at the beginning of one place.
fn common_prefix(counts: &BTreeMap<&Vec<String>, usize>) -> Vec<String> {
    let mut all = counts.keys().filter(|words| !words.is_empty());
    let mut common = all.next().map(|words| (*words).clone()).unwrap_or_default();
    for words in all {
        let same = common.iter().zip(words.iter()).take_while(|(one, other)| one == other).count();
        common.truncate(same);
    }
    common
}

fn without_prefix(words: &[String], common: &[String]) -> Option<Vec<String>> {
    let rest = words.strip_prefix(common).unwrap_or(words);
    (!rest.is_empty()).then(|| rest.to_vec())
}

/// The meanings of month names in this file.
struct Months(HashMap<String, u8>);

impl Months {
    /// Infers the months of names. The names are those of the language that has most of them: `listopad` is October or
    /// November.
    fn infer(matching: &[Candidate]) -> Self {
        let names: BTreeSet<String> =
            matching.iter().flat_map(|candidate| names(&candidate.head.month_words)).collect();
        let mut languages: BTreeMap<&str, usize> = BTreeMap::new();
        for name in &names {
            for language in cldr::months(name).iter().map(|(language, _)| *language).collect::<BTreeSet<_>>() {
                *languages.entry(language).or_default() += 1;
            }
        }
        let most = languages.values().max().copied().unwrap_or_default();
        let number = |name: &str| {
            let known = cldr::months(name);
            let best: BTreeSet<u8> = known
                .iter()
                .filter(|(language, _)| languages.get(language) == Some(&most))
                .map(|(_, month)| *month)
                .collect();
            let all: BTreeSet<u8> = known.iter().map(|(_, month)| *month).collect();
            let meant = if best.is_empty() { all } else { best };
            let mut meant = meant.into_iter();
            meant.next().filter(|_| meant.next().is_none())
        };
        Self(
            names
                .into_iter()
                .filter_map(|name| Some((number(&name)?, name)))
                .map(|(month, name)| (name, month))
                .collect(),
        )
    }

    fn number(&self, head: &Head) -> Option<u8> {
        let mut numbers = names(&head.month_words).filter_map(|name| Some((self.0.get(&name).copied()?, name)));
        // A name may contain another: November is "ten, one month" in Buryat, January "one month".
        let (first, longest) = numbers.next()?;
        numbers.all(|(other, name)| other == first || longest.contains(&name)).then_some(first)
    }
}

/// Returns the sequences of words that may be a month's name, the longest first: `มี.ค.` is two words. Hebrew puts a
/// letter before it.
fn names(words: &[String]) -> impl Iterator<Item = String> {
    let runs = (1..=words.len()).rev().flat_map(|length| words.windows(length)).map(<[String]>::concat);
    runs.flat_map(|run| {
        let without_prefix = run.strip_prefix('ב').filter(|rest| !cldr::months(rest).is_empty()).map(str::to_owned);
        without_prefix.into_iter().chain((!cldr::months(&run).is_empty()).then_some(run))
    })
}

fn time(day: Date, head: &Head, hour: u8) -> Option<DateTime> {
    let part = |value: u8| i8::try_from(value).ok();
    Some(day.at(part(hour)?, part(head.minute)?, part(head.second)?, 0))
}

/// Returns the time for the message's id: the numbers of the date in their written order, so that a longer export that
/// reveals another order gives the same id. The hour is converted to 24 hours if all languages that have the words
/// agree on it, and otherwise kept as written.
fn time_as_written(head: &Head, words: &[String], month: Option<u8>) -> String {
    let [a, b, c] = head.date;
    let b = month.map_or(b, u32::from);
    let meant: BTreeSet<u8> = cldr::periods(words).iter().map(|(_, period)| period.hour(head.hour)).collect();
    let mut meant = meant.into_iter();
    let hour = match (meant.next(), meant.next()) {
        _ if words.is_empty() => format!("{:02}", head.hour),
        (Some(only), None) => format!("{only:02}"),
        _ => format!("{:02} {}", head.hour, words.concat()),
    };
    format!("{a}.{b}.{c} {hour}:{:02}:{:02}", head.minute, head.second)
}

/// Returns the error for a file whose dates match no order, with the first such date as it was read.
fn impossible_time(candidate: &Candidate, reading: DateReading, month: Option<u8>) -> ExportError {
    let Head { date: [a, b, c], era, .. } = &candidate.head;
    let tried = match reading.date(&candidate.head, month) {
        Some(date) => date.to_string(),
        None if era.is_empty() => format!("{a}, {b}, {c}"),
        None => format!("{a}, {b}, {c} of an unknown era"),
    };
    ExportError::ImpossibleTime { line: candidate.line, tried }
}
