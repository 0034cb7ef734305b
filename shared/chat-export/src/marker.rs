//! Finds the words in a message that name a file of the zip: a name that the zip contains, with any words of any
//! language around it.

use crate::{
    marks::{is_mark, is_space, trim},
    package::Package,
};

/// A file that a message names.
#[derive(Debug, PartialEq)]
pub(crate) struct Named {
    /// Its place in the package.
    pub(crate) file: usize,
    /// The words that name it, as written in the export.
    pub(crate) marker: String,
    /// The text without them.
    pub(crate) caption: String,
}

/// Finds the file that a message names in one of the ways that phones do: `<word: NAME>` at the beginning or the end of
/// a line, `NAME (word)`, `NAME <word>` or `NAME` as a line of its own.
pub(crate) fn named(body: &str, package: &Package) -> Option<Named> {
    let mut begin = 0;
    for line in body.split('\n') {
        if let Some((file, from, to)) = marker(line, package) {
            let (from, to) = (begin + from, begin + to);
            let head = body[..from].trim_end_matches(|c| is_mark(c) || is_space(c));
            let tail = body[to..].trim_start_matches(|c| is_mark(c) || is_space(c));
            let (head, tail) = match (head.strip_suffix('\n'), tail.strip_prefix('\n')) {
                // The marker was on a separate line: that line is removed, too.
                (Some(head), None) if tail.is_empty() => (head, tail),
                (_, Some(tail)) if trim(head).is_empty() => ("", tail),
                _ => (head, tail),
            };
            return Some(Named { file, marker: body[from..to].to_owned(), caption: format!("{head}{tail}") });
        }
        begin += line.len() + 1;
    }
    None
}

/// Finds a file that the line names. Returns it and the positions at which the words that name it begin and end.
fn marker(line: &str, package: &Package) -> Option<(usize, usize, usize)> {
    let invisible = |c: char| is_mark(c) || c.is_whitespace();
    let from = line.len() - line.trim_start_matches(invisible).len();
    let to = line.trim_end_matches(invisible).len();
    let visible = line.get(from..to)?;
    if let Some(file) = package.find(visible) {
        return Some((file, from, to));
    }
    // `text <word: NAME>` and `<word: NAME> text`. Arabic phones write `‹` and `>`.
    if visible.ends_with(CLOSING) {
        for (at, _) in visible.rmatch_indices(OPENING).take(MAX_TRIES) {
            if let Some(file) = inside(&visible[at..], package) {
                return Some((file, from + at, to));
            }
        }
    }
    if visible.starts_with(OPENING) {
        for (at, closing) in visible.match_indices(CLOSING).take(MAX_TRIES) {
            if let Some(file) = inside(&visible[..at + closing.len()], package) {
                return Some((file, from, from + at + closing.len()));
            }
        }
    }
    // `NAME (word)`, where the name may have parentheses of its own; and the word before the name.
    let openings = visible.rmatch_indices(['(', '（', '<', '‹', '[']).take(MAX_TRIES);
    for (at, _) in openings {
        if visible.ends_with([')', '）', '>', '›', ']'])
            && let Some(file) = package.find(trim(&visible[..at]))
        {
            return Some((file, from, to));
        }
    }
    let (at, closing) = visible.match_indices([')', '）']).next()?;
    let file =
        visible.starts_with(['(', '（']).then(|| package.find(trim(&visible[at + closing.len()..]))).flatten()?;
    Some((file, from, to))
}

/// Finds the file that words in brackets name: `<word: NAME>`, `<NAME word>`, `<NAME>`.
fn inside(group: &str, package: &Package) -> Option<usize> {
    let mut chars = group.chars();
    let _brackets = (chars.next(), chars.next_back());
    let inner = trim(chars.as_str());
    let colons = inner.match_indices([':', '：', '﹕', '︰']).map(|(at, colon)| &inner[at + colon.len()..]);
    let after = inner.match_indices(is_space).map(|(at, space)| &inner[at + space.len()..]);
    let before = inner.rmatch_indices([' ', '\u{a0}', ':', '：']).map(|(at, _)| &inner[..at]);
    let mut names = std::iter::once(inner).chain(colons).chain(before).chain(after).take(40);
    names.find_map(|name| package.find(trim(name)))
}

const OPENING: [char; 7] = ['<', '‹', '＜', '〈', '《', '«', '['];
const CLOSING: [char; 7] = ['>', '›', '＞', '〉', '》', '»', ']'];
/// Maximum number of brackets of a line that are tried.
const MAX_TRIES: usize = 4;
