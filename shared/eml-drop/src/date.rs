//! The date of a mail, and its time zone.

use jiff::{
    Timestamp,
    civil::{Date, Time},
    tz::Offset,
};
use mail_parser::{DateTime, Message};

use crate::parse::value;

/// The names of zones with a defined meaning (RFC 5322, 4.3), and UTC. mail-parser reads them exactly so.
const NAMES: [&str; 12] = ["GMT", "UT", "UTC", "Z", "EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT"];

/// The names of months in a date.
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Returns the time of the date; `None` if it is not a date of RFC 5322 or does not exist. Its value is parsed alone: in a
/// header, mail-parser 0.11.9 reads a zone of one letter, such as Z, as three characters, and skips the next field.
pub(crate) fn of(mail: &Message<'_>) -> Option<Timestamp> {
    let written = written(mail)?;
    if !has_known_form(&without_comments(&written)) {
        return None;
    }
    let DateTime { year, month, day, hour, minute, second, tz_before_gmt, tz_hour, tz_minute } =
        DateTime::parse_rfc822(&written).filter(DateTime::is_valid)?;
    let number = |number: u8| i8::try_from(number).ok();
    let date = Date::new(i16::try_from(year).ok()?, number(month)?, number(day)?).ok()?;
    let time = Time::new(number(hour)?, number(minute)?, number(second)?, 0).ok()?;
    let east = i32::from(tz_hour) * 3_600 + i32::from(tz_minute) * 60;
    let offset = Offset::from_seconds(if tz_before_gmt { -east } else { east }).ok()?;
    offset.to_timestamp(date.to_datetime(time)).ok()
}

/// Returns whether a date without comments has the form of RFC 5322: `Fri, 20 Nov 2026 09:14:03 +0000`, also without the
/// day of the week or the seconds, or with a year of two digits. mail-parser ignores what it does not expect, so it reads
/// other forms, such as `Fri Nov 20 09:14:03 +0000 2026`, as another date.
fn has_known_form(date: &str) -> bool {
    let is_number =
        |word: &str, digits: &[usize]| digits.contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit());
    // The day of the week comes before the first digit, in any language.
    let mut words = date.trim_start_matches(|c: char| !c.is_ascii_digit()).split_ascii_whitespace();
    let (Some(day), Some(month), Some(year), Some(time)) = (words.next(), words.next(), words.next(), words.next())
    else {
        return false;
    };
    let clock = time.split(['+', '-']).next().unwrap_or_default();
    is_number(day, &[1, 2])
        && MONTHS.iter().any(|name| month.eq_ignore_ascii_case(name))
        && is_number(year, &[2, 4])
        && (2..=3).contains(&clock.split(':').count())
        && clock.split(':').all(|part| is_number(part, &[1, 2]))
}

fn written(mail: &Message<'_>) -> Option<String> {
    let date = mail.headers().iter().rev().find(|header| header.name().eq_ignore_ascii_case("Date"))?;
    value(mail, date)
}

/// Returns the note for a date whose zone is neither a number nor one of [`NAMES`]: it was read as UTC. A name such as CET
/// is not interpreted, because several zones may have it, and programs write it in summer, too.
pub(crate) fn note(mail: &Message<'_>) -> Option<&'static str> {
    let date = without_comments(&written(mail)?);
    // The zone comes after the time, the only word with a colon before it.
    let mut words = date.split_whitespace().skip_while(|word| !word.contains(':')).skip(1);
    let is_known = match (words.next(), words.next()) {
        (Some(zone), None) => NAMES.contains(&zone) || is_offset(zone),
        _ => false,
    };
    (!is_known).then_some(UNKNOWN_ZONE)
}

const UNKNOWN_ZONE: &str =
    "the time zone of the mail's date is not an offset such as +0100: the time may differ by hours";

/// Returns whether a zone is an offset of four digits: hours and minutes.
fn is_offset(zone: &str) -> bool {
    let digits = zone.strip_prefix(['+', '-']).filter(|digits| digits.len() == 4);
    let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse::<u16>().ok()).is_some_and(|offset| offset / 100 < 24 && offset % 100 < 60)
}

/// Returns a header's value without comments in parentheses, which may be nested.
fn without_comments(value: &str) -> String {
    let mut depth = 0_usize;
    let keep = |c: &char| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => return depth == 0,
        }
        false
    };
    value.chars().filter(keep).collect()
}
