//! The date of a mail, and its time zone.

use mail_parser::{DateTime, Message};

use crate::parse::value;

/// The names of zones with a defined meaning (RFC 5322, 4.3), and UTC. mail-parser reads them exactly so.
const NAMES: [&str; 12] = ["GMT", "UT", "UTC", "Z", "EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT"];

/// Returns the date. Its value is parsed alone: in a header, mail-parser 0.11.9 reads a zone of one letter, such as Z, as three
/// characters, and skips the next field.
pub(crate) fn of(mail: &Message<'_>) -> Option<DateTime> {
    DateTime::parse_rfc822(&written(mail)?)
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

/// Returns whether a zone is an offset of four digits.
fn is_offset(zone: &str) -> bool {
    let digits = zone.strip_prefix(['+', '-']);
    digits.is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()))
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
