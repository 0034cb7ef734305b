//! Finds the words in a message that name a file of the zip: a name that the zip contains, with any words of any
//! language around it.

use std::{borrow::Cow, collections::BTreeSet};

use crate::{
    marks::{is_mark, is_space, trim},
    media,
    package::Package,
    words,
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

/// The proof that words name a file.
#[derive(Clone, Copy)]
pub(crate) enum Proof<'a> {
    /// Only words that a phone wrote: a mark before them, `<word: NAME>`, or `NAME (file attached)`.
    Form,
    /// Also the exact name alone or beside any word, as old phones of many languages write it, and as a person may,
    /// unless a message names the file in a phone's form: these files.
    NameOf(&'a BTreeSet<usize>),
}

/// Finds the file that a message names in one of the ways that phones do: `<word: NAME>` at the beginning or the end of
/// a line, `NAME (word)`, `NAME <word>` or `NAME` as a line of its own.
pub(crate) fn named(body: &str, package: &Package, proof: Proof<'_>) -> Option<Named> {
    find_in_lines(body, package, Proof::Form).or_else(|| match proof {
        Proof::Form => None,
        Proof::NameOf(_) => find_in_lines(body, package, proof),
    })
}

fn find_in_lines(body: &str, package: &Package, proof: Proof<'_>) -> Option<Named> {
    let mut begin = 0;
    for line in body.split('\n') {
        if let Some((file, from, to)) = (Finder { package, proof }).marker(line) {
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

/// Words that may name a file.
struct Words<'a> {
    name: &'a str,
    /// `true` if a phone wrote a mark before them.
    marked: bool,
    /// `true` if they have a form that only phones write.
    form: bool,
    /// `true` if another word is beside the name.
    has_word: bool,
}

struct Finder<'a> {
    package: &'a Package,
    proof: Proof<'a>,
}

impl Finder<'_> {
    fn find(&self, words: &Words<'_>) -> Option<usize> {
        let name = trim(words.name);
        // Phones replace some characters in names, but leave the extension.
        let like_a_file = words.marked || (words.has_word && media::is_file_name(name));
        let find = || if like_a_file { self.package.find(name) } else { self.package.find_displayed(name) };
        match self.proof {
            _ if words.marked || words.form => find(),
            Proof::Form => None,
            Proof::NameOf(in_form) => find().filter(|file| !in_form.contains(file)),
        }
    }

    /// Finds a file that the line names. Returns it and the positions at which the words that name it begin and end.
    fn marker(&self, line: &str) -> Option<(usize, usize, usize)> {
        let invisible = |c: char| is_mark(c) || c.is_whitespace();
        let from = line.len() - line.trim_start_matches(invisible).len();
        let to = line.trim_end_matches(invisible).len();
        let visible = line.get(from..to)?;
        let marked = line[..from].contains(is_mark);
        if let Some(file) = self.find(&Words { name: visible, marked, form: false, has_word: false }) {
            return Some((file, from, to));
        }
        // `text <word: NAME>` and `<word: NAME> text`. Arabic phones write `‹` and `>`.
        if visible.ends_with(CLOSING) {
            for (at, _) in visible.rmatch_indices(OPENING).take(MAX_TRIES) {
                if let Some(file) = self.inside(&line[..from + at], &visible[at..]) {
                    return Some((file, from + at, to));
                }
            }
        }
        if visible.starts_with(OPENING) {
            for (at, closing) in visible.match_indices(CLOSING).take(MAX_TRIES) {
                if let Some(file) = self.inside(&line[..from], &visible[..at + closing.len()]) {
                    return Some((file, from, from + at + closing.len()));
                }
            }
        }
        // `NAME (word)`, where the name may have parentheses of its own; and the word before the name.
        if visible.ends_with([')', '）', '>', '›', ']']) {
            for (at, opening) in visible.rmatch_indices(['(', '（', '<', '‹', '[']).take(MAX_TRIES) {
                let word = visible[at + opening.len()..].trim_end_matches([')', '）', '>', '›', ']']);
                let form = words::is_file_attached(word);
                if let Some(file) = self.find(&Words { name: &visible[..at], marked, form, has_word: true }) {
                    return Some((file, from, to));
                }
            }
        }
        let (at, closing) = visible.match_indices([')', '）']).next().filter(|_| visible.starts_with(['(', '（']))?;
        let file = self.find(&Words { name: &visible[at + closing.len()..], marked, form: false, has_word: true })?;
        Some((file, from, to))
    }

    /// Finds the file that words in brackets name: `<word: NAME>`, `<NAME word>`, `<NAME>`. `before` is the line before
    /// them.
    fn inside(&self, before: &str, group: &str) -> Option<usize> {
        let mut chars = group.chars();
        let brackets = (chars.next(), chars.next_back());
        let marked = before.trim_end_matches(is_space).ends_with(is_mark) || chars.as_str().starts_with(is_mark);
        // `«` and `[` are also a person's quotation marks.
        let form = brackets.0.is_some_and(|opening| "<‹＜〈《".contains(opening));
        let inner = trim(chars.as_str());
        let words = |name, form| Words { name, marked, form, has_word: true };
        let colons = inner.match_indices(COLONS);
        let colons = colons.map(|(at, colon)| words(&inner[at + colon.len()..], form));
        let after = inner.match_indices(is_space).map(|(at, space)| words(&inner[at + space.len()..], false));
        let before = inner.rmatch_indices([' ', '\u{a0}', ':', '：']).map(|(at, _)| words(&inner[..at], false));
        let mut names = std::iter::once(Words { has_word: false, ..words(inner, false) })
            .chain(colons)
            .chain(before)
            .chain(after)
            .take(40);
        names.find_map(|words| self.find(&words))
    }
}

/// Returns the positions of the numbers that iPhones put before the names of files, `\u{200e}<attached: 00000042-PHOTO-….jpg>`:
/// only in brackets beside a mark, because a person may have written other numbers. They do not depend on the files in the
/// zip.
pub(crate) fn ordinals(text: &str) -> impl Iterator<Item = usize> {
    text.match_indices(OPENING).filter_map(|(at, opening)| {
        let inner = &text[at + opening.len()..];
        let marked = text[..at].trim_end_matches(is_space).ends_with(is_mark) || inner.starts_with(is_mark);
        marked.then(|| ordinal(inner)).flatten().map(|number| at + opening.len() + number)
    })
}

/// Returns a text without its [`ordinals`].
pub(crate) fn without_ordinals(text: &str) -> Cow<'_, str> {
    let mut kept = String::new();
    let mut from = 0;
    for at in ordinals(text) {
        kept.push_str(text.get(from..at).unwrap_or_default());
        from = text.len() - media::without_ordinal(&text[at..]).len();
    }
    if from == 0 {
        return Cow::Borrowed(text);
    }
    kept.push_str(&text[from..]);
    Cow::Owned(kept)
}

/// Returns the position of the number with which a file's name begins: at the beginning, or after the words before the name.
fn ordinal(inner: &str) -> Option<usize> {
    let mut begins = true;
    for (at, c) in inner.char_indices().take(MAX_WORDS_CHARS) {
        if c == '\n' || CLOSING.contains(&c) {
            return None;
        }
        if begins && media::without_ordinal(&inner[at..]).len() < inner.len() - at {
            return Some(at);
        }
        begins = is_mark(c) || is_space(c) || COLONS.contains(&c);
    }
    None
}

/// Maximum number of characters before a file's name in brackets. It bounds the work for a text of many brackets.
const MAX_WORDS_CHARS: usize = 64;
const COLONS: [char; 4] = [':', '：', '﹕', '︰'];
const OPENING: [char; 7] = ['<', '‹', '＜', '〈', '《', '«', '['];
const CLOSING: [char; 7] = ['>', '›', '＞', '〉', '》', '»', ']'];
/// Maximum number of brackets of a line that are tried.
const MAX_TRIES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ordinal_of_a_marked_name_is_removed() {
        for (text, without) in [
            ("\u{200e}<attached: 00000042-PHOTO-1.jpg>", "\u{200e}<attached: PHOTO-1.jpg>"),
            ("hi\n\u{200e} <\u{200e}附件：00000042-a.pdf>", "hi\n\u{200e} <\u{200e}附件：a.pdf>"),
            ("\u{200f}‹المُرفق: 00000035-PHOTO.jpg>", "\u{200f}‹المُرفق: PHOTO.jpg>"),
            ("\u{200e}<00000042-a.jpg zork>", "\u{200e}<a.jpg zork>"),
            ("\u{200e}<attached: 00000042-20240713-a.pdf> 1", "\u{200e}<attached: 20240713-a.pdf> 1"),
            ("\u{200e}<x: 00000001-a>\u{200e}<x: 00000002-b>", "\u{200e}<x: a>\u{200e}<x: b>"),
        ] {
            assert_eq!(without_ordinals(text), without);
        }
        for text in [
            "<attached: 00000042-PHOTO-1.jpg>",
            "\u{200e}attached: 00000042-PHOTO-1.jpg",
            "\u{200e}<attached: 0000042-PHOTO-1.jpg>",
            "\u{200e}<attached: 000000042-PHOTO-1.jpg>",
            "\u{200e}<attached: x00000042-PHOTO-1.jpg>",
            "\u{200e}<attached> 00000042-PHOTO-1.jpg",
            "\u{200e}<attached:\n00000042-PHOTO-1.jpg",
            "\u{200e}<é",
        ] {
            assert!(matches!(without_ordinals(text), Cow::Borrowed(kept) if kept == text), "{text}");
        }
    }
}
