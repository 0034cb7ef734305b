//! Blocks that several kinds of items share.

use std::{borrow::Cow, fmt::Display};

use model::Quoted;

use super::media;
use crate::write::{
    body::{self, Quote, Row, Sentence},
    clean::{is_invisible, one_line},
    file_name::EVIDENCE,
    headers, people,
};

/// Maximum length of a row's value, in characters.
pub(super) const MAX_VALUE: usize = 500;
/// Maximum number of people that a row names; the others are counted.
pub(super) const MAX_PEOPLE: usize = 10;

pub(super) fn in_the_evidence(what: impl Display) -> Sentence {
    let verb = if what.to_string().ends_with('s') { "are" } else { "is" };
    Sentence::new(format!("{what} {verb} in {EVIDENCE}."))
}

/// Quotes a quoted or target message: a heading with its sender and id, and its text.
pub(super) fn quote<'a>(what: &'static str, quoted: &'a Quoted) -> Quote<'a> {
    let mut heading = Sentence::new(what);
    if let Some(from) = &quoted.from {
        heading = heading.ours(" by ").theirs(people::name(from));
    }
    if let Some(id) = quoted.message_id.as_deref().filter(|id| !id.is_empty()) {
        heading = heading.ours(format!(", WhatsApp id {}", headers::token(id)));
    }
    let text = quoted.text.as_deref().filter(|text| !text.chars().all(is_invisible));
    let text = match text {
        Some(text) => body::Quoted::Words(Cow::Borrowed(text)),
        None => body::Quoted::Described(media::describe(quoted.kind.as_ref())),
    };
    Quote { heading, text }
}

/// Returns a row with a participant's short text, if there is one.
pub(super) fn row(key: &'static str, value: Option<&str>) -> Option<Row> {
    let value = one_line(value?, MAX_VALUE);
    (!value.is_empty()).then(|| Row::new(key, value))
}
