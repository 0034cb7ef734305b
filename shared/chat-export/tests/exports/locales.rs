//! Exports in the formats of every locale of CLDR, written here from CLDR's own patterns and read back.
//!
//! `formats.tsv` has what a phone in each locale writes: dates, times of 24 and of 12 hours, day periods, digits, months'
//! names. Each is written in both phones' styles, with a file that is marked by an invented word. The result must equal
//! what was written; a file that cannot be understood must be rejected as a whole.

use std::{
    collections::{BTreeMap, HashSet},
    io::{Cursor, Write},
};

use chat_export::{DateOrder, Export, ExportFile, Settings};
use jiff::{
    ToSpan,
    civil::{DateTime, date},
    tz::TimeZone,
};
use model::{Kind, MailboxAddress};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

struct Locale {
    name: &'static str,
    date: &'static str,
    medium_date: &'static str,
    glue: &'static str,
    /// 24 hours, with seconds; 12 hours, with seconds; by parts of the day, with seconds.
    times: [&'static str; 6],
    digits: Vec<char>,
    months: Vec<&'static str>,
    /// The words for each part of the day, by `am`, `pm` or minutes.
    periods: Vec<(&'static str, &'static str)>,
}

fn locales() -> Vec<Locale> {
    let lines = include_str!("formats.tsv").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            Locale {
                name: fields[0],
                date: fields[1],
                medium_date: fields[2],
                glue: fields[3],
                times: fields[4..10].try_into().unwrap(),
                digits: fields[10].chars().collect(),
                months: fields[11].split('|').collect(),
                periods: fields[12].split('|').filter_map(|word| word.split_once('=')).collect(),
            }
        })
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Clock {
    TwentyFourHours,
    TwelveHours,
    PartsOfDay,
}

impl Locale {
    fn number(&self, value: i16, width: usize) -> String {
        let ascii = format!("{value:0width$}");
        ascii.chars().map(|c| self.digits[c.to_digit(10).unwrap() as usize]).collect()
    }

    fn period(&self, time: DateTime, clock: Clock) -> &'static str {
        let minutes = u16::try_from(time.hour()).unwrap() * 60 + u16::try_from(time.minute()).unwrap();
        let half = if time.hour() < 12 { "am" } else { "pm" };
        let holds = |span: &str| match span.split_once('-') {
            Some((from, to)) => {
                let (from, to): (u16, u16) = (from.parse().unwrap(), to.parse().unwrap());
                if from < to { (from..to).contains(&minutes) } else { from != to && (minutes >= from || minutes < to) }
            }
            None => false,
        };
        let part = self.periods.iter().find(|(span, _)| clock == Clock::PartsOfDay && holds(span));
        let half = self.periods.iter().find(|(span, _)| *span == half);
        part.or(half).map_or("", |(_, word)| word)
    }

    /// Writes a time in a pattern of CLDR.
    fn write(&self, pattern: &str, time: DateTime, clock: Clock) -> String {
        let mut out = String::new();
        let mut chars = pattern.chars().peekable();
        let mut quoted = false;
        while let Some(c) = chars.next() {
            if c == '\'' {
                quoted = !quoted;
                continue;
            }
            if quoted || !c.is_ascii_alphabetic() {
                out.push(c);
                continue;
            }
            let mut width = 1;
            while chars.next_if_eq(&c).is_some() {
                width += 1;
            }
            let hour12 = if time.hour() % 12 == 0 { 12 } else { time.hour() % 12 };
            match c {
                'y' if width == 2 => out.push_str(&self.number(time.year() % 100, 2)),
                'y' => out.push_str(&self.number(time.year(), 4)),
                'M' | 'L' if width > 2 => out.push_str(self.months[usize::try_from(time.month()).unwrap() - 1]),
                'M' | 'L' => out.push_str(&self.number(time.month().into(), width)),
                'd' => out.push_str(&self.number(time.day().into(), width)),
                'H' => out.push_str(&self.number(time.hour().into(), width)),
                'h' => out.push_str(&self.number(hour12.into(), width)),
                'K' => out.push_str(&self.number((time.hour() % 12).into(), width)),
                'm' => out.push_str(&self.number(time.minute().into(), width.max(2))),
                's' => out.push_str(&self.number(time.second().into(), width.max(2))),
                'a' | 'B' => out.push_str(self.period(time, clock)),
                'G' => out.push_str("AD"),
                other => panic!("{}: {other} in {pattern}", self.name),
            }
        }
        out
    }
}

/// The times of the messages of a chat.
#[derive(Debug, Clone, Copy)]
enum Span {
    /// Every second hour of three days, so that each part of the day comes, and a day above 12.
    Days,
    /// Each month of more than a year, at another hour each.
    Year,
}

impl Span {
    fn times(self, seconds: bool) -> Vec<DateTime> {
        let second = if seconds { 7 } else { 0 };
        match self {
            Self::Days => {
                let start = date(2024, 3, 8).at(0, 5, second, 0);
                (0..24).map(|step| start + (step * 173).minutes() + (step / 9 * 2).days()).collect()
            }
            Self::Year => {
                let start = date(2023, 11, 28).at(0, 10, second, 0);
                (0..40).map(|step| start + (step * 11).days() + (step * 7 % 24).hours()).collect()
            }
        }
    }
}

struct Written {
    text: String,
    times: Vec<DateTime>,
}

fn export(locale: &Locale, date: &str, clock: Clock, iphone: bool, span: Span) -> Written {
    let times = span.times(iphone);
    let pattern = locale.times[clock as usize * 2 + usize::from(iphone)];
    let mut text = String::new();
    for (place, time) in times.iter().enumerate() {
        let (day, hour) = (locale.write(date, *time, clock), locale.write(pattern, *time, clock));
        let stamp = locale.glue.replace("{1}", &day).replace("{0}", &hour);
        let sender = ["Ada", "Bo"][place % 2];
        let (before, after, end) = if iphone { ("[", "] ", "\r\n") } else { ("", " - ", "\n") };
        let body = match place % 5 {
            0 if iphone => format!("see \u{200e}<zork: {place}-PHOTO.jpg>"),
            0 => format!("\u{200e}{place}-PHOTO.jpg (zork)\nsee"),
            1 => "two\nlines: of text".to_owned(),
            _ => format!("message {place}"),
        };
        text.push_str(&format!("{before}{stamp}{after}{sender}: {body}{end}"));
    }
    Written { text, times }
}

fn read(written: &Written) -> Result<Export, String> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    zip.start_file("_chat.txt", stored).unwrap();
    zip.write_all(written.text.as_bytes()).unwrap();
    for place in (0..written.times.len()).step_by(5) {
        zip.start_file(format!("{place}-PHOTO.jpg"), stored).unwrap();
        zip.write_all(b"picture").unwrap();
    }
    let owner: MailboxAddress = "owner@example.com".parse().unwrap();
    let export = Export::read(ExportFile {
        owner: &owner,
        file_name: "WhatsApp Chat with Team.zip",
        bytes: zip.finish().unwrap().into_inner(),
        participants_csv: None,
        settings: &Settings::in_zone(TimeZone::UTC),
        archived_time: "2026-11-22T10:00:00Z".parse().unwrap(),
    });
    export.map_err(|error| error.to_string())
}

/// Returns the first difference between the written and the read messages.
fn difference(written: &Written, export: &Export) -> Option<String> {
    let ids: Vec<_> = export.ids().collect();
    if ids.len() != written.times.len() {
        return Some(format!("{} items of {}", ids.len(), written.times.len()));
    }
    for (place, (id, time)) in ids.iter().zip(&written.times).enumerate() {
        let item = export.item(id).unwrap().unwrap_or_else(|error| panic!("{error}")).item;
        let found = item.message_time.to_zoned(TimeZone::UTC).datetime();
        if found != *time {
            return Some(format!("message {place}: {found} instead of {time}"));
        }
        let (kind, text) = match place % 5 {
            0 => (Kind::Image, "see".to_owned()),
            1 => (Kind::Text, "two\nlines: of text".to_owned()),
            _ => (Kind::Text, format!("message {place}")),
        };
        let found = (item.from.name.as_deref(), &item.kind, item.text.as_deref(), item.attachments.len());
        if found != (Some(["Ada", "Bo"][place % 2]), &kind, Some(&text), usize::from(place % 5 == 0)) {
            return Some(format!("message {place}: {:?}", (found.0, found.1, found.2)));
        }
    }
    let summary = export.summary();
    let has_no_notes = summary.suspicious_lines.is_empty() && summary.unnamed_files.is_empty();
    (!has_no_notes || summary.day_order.order == DateOrder::YearDayMonth).then(|| format!("{summary:?}"))
}

#[test]
fn exports_of_every_locale_are_read_as_they_were_written() {
    let (mut rejected, mut wrong, mut total) = (BTreeMap::new(), Vec::new(), 0);
    // Many locales write the same export, for example those of the countries of one language.
    let mut texts = HashSet::new();
    for locale in locales() {
        for (form, pattern) in [("short", locale.date), ("medium", locale.medium_date)] {
            // A month's narrow name, and a year that is not there, are no date that a phone writes into an export.
            if pattern.contains("MMMMM") || !pattern.contains('y') {
                continue;
            }
            for clock in [Clock::TwentyFourHours, Clock::TwelveHours, Clock::PartsOfDay] {
                for iphone in [false, true] {
                    // Some of CLDR's patterns of twelve hours have no place for the half of the day.
                    let time = locale.times[clock as usize * 2 + usize::from(iphone)];
                    if !time.contains(['H', 'a', 'B']) {
                        continue;
                    }
                    for span in [Span::Days, Span::Year] {
                        // WhatsApp writes no medium dates, so one clock and one span are enough for them.
                        if form == "medium" && (clock as usize, span as usize) != (0, 0) {
                            continue;
                        }
                        let written = export(&locale, pattern, clock, iphone, span);
                        if !texts.insert(written.text.clone()) {
                            continue;
                        }
                        total += 1;
                        let phone = if iphone { "iPhone" } else { "Android" };
                        let what = format!("{} {form} {clock:?} {phone} {span:?}", locale.name);
                        let line = written.text.lines().next().unwrap_or_default();
                        match read(&written) {
                            Ok(export) => wrong
                                .extend(difference(&written, &export).map(|found| format!("{what}: {found}: {line}"))),
                            Err(error) => {
                                rejected.insert(what, format!("{error}: {line}"));
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {total} are read incorrectly:\n{}", wrong.len(), wrong.join("\n"));
    let share = rejected.len() * 1000 / total;
    let list: Vec<String> = rejected.iter().map(|(what, error)| format!("{what}: {error}")).collect();
    assert!(share <= MAX_REJECTED_PER_MILLE, "{} of {total} are rejected:\n{}", rejected.len(), list.join("\n"));
}

/// The share of exports that are rejected, in thousandths: 49 of 2,059 different ones. All but 15 of them have the medium date,
/// which WhatsApp does not write; the 15 are of Ewe, Anii, Gaelic, Low German and Occitan.
const MAX_REJECTED_PER_MILLE: usize = 23;
