//! Finds the end of a sender's name, and the lines that WhatsApp wrote itself.

use std::collections::{HashMap, HashSet};

use crate::{
    content,
    marks::{folded, is_mark, trim},
};

/// Minimum number of messages of a name that must continue in the same way before the continuation counts as part of
/// the name.
const SAME_CONTINUATIONS: usize = 4;
/// Maximum number of possible ends of a name that are tried.
const MAX_ENDS: usize = 4;
/// Minimum number of words of a sentence; a name has fewer.
const SENTENCE_WORDS: usize = 5;

/// The first line of a message after its date and time, split into sender and text.
pub(crate) struct Split<'a> {
    pub(crate) name: &'a str,
    /// The number of bytes before the text.
    pub(crate) skip: usize,
}

/// Splits lines by facts about all of them.
pub(crate) struct Senders {
    /// Names from other places: the participants file, the chat's name.
    known: HashSet<String>,
    /// For each name, the number of lines that may be from it.
    counts: HashMap<String, usize>,
}

impl Senders {
    /// Counts the names at the beginnings of lines. `known` are names from other places, `lines` the first lines of all
    /// messages.
    pub(crate) fn of<'k, 'l>(known: impl Iterator<Item = &'k str>, lines: impl Iterator<Item = &'l str>) -> Self {
        let mut counts = HashMap::new();
        for line in lines {
            for (name, _) in ends(line).take(2) {
                *counts.entry(name.to_owned()).or_default() += 1;
            }
        }
        Self { known: known.map(key).filter(|name| !name.is_empty()).collect(), counts }
    }

    /// Splits a line. `None` for a line that WhatsApp itself wrote.
    pub(crate) fn split<'a>(&self, line: &'a str) -> Option<Split<'a>> {
        let ends: Vec<(&str, usize)> = ends(line).collect();
        let split = |(name, skip): &(&'a str, usize)| Split { name, skip: *skip };
        if let Some(known) = ends.iter().rev().find(|(name, _)| self.known.contains(&key(name))) {
            return Some(split(known));
        }
        let first = ends.first()?;
        if let Some(second) = ends.get(1)
            && self.count(second.0) >= SAME_CONTINUATIONS
            && self.count(second.0) == self.count(first.0)
            && first.0.len() < second.0.len()
        {
            return Some(split(second));
        }
        (!self.is_sentence(first.0, &line[first.1..])).then(|| split(first))
    }

    fn count(&self, name: &str) -> usize {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// Returns whether the text before a colon is the beginning of a notice of WhatsApp and not a name.
    fn is_sentence(&self, name: &str, rest: &str) -> bool {
        if self.count(name) > 1 {
            return false;
        }
        if closes_quotation(name, rest) || content::is_group_event(name) && name.contains(' ') {
            return true;
        }
        let words: Vec<&str> = name.split_whitespace().collect();
        let is_lower = |word: &&str| word.chars().next().is_some_and(char::is_lowercase);
        let is_upper = |word: &&str| word.chars().next().is_some_and(char::is_uppercase);
        // `Bo` writes messages elsewhere: `Bo hat dich … hinzugefügt` is about Bo.
        let about_sender = (1..words.len()).any(|length| {
            let begin = words[..length].join(" ");
            words.len() - length >= 3 && (self.count(&begin) > 0 || self.known.contains(&key(&begin)))
        });
        let lower = words.iter().filter(|word| is_lower(word)).count();
        let upper = words.iter().filter(|word| is_upper(word)).count();
        let cased = lower + upper > 0;
        (about_sender && (!cased || lower >= upper)) || (words.len() >= SENTENCE_WORDS && cased && lower > upper)
    }
}

/// Names are compared as displayed. Phones cannot use some characters in the name of a file, from which the chat's name
/// comes.
fn key(name: &str) -> String {
    folded(name).chars().map(|c| if "/\\:*?\"<>|_-".contains(c) { '_' } else { c }).collect()
}

/// Returns the possible ends of the sender's name: the name, and the number of bytes of the line before the text.
fn ends(line: &str) -> impl Iterator<Item = (&str, usize)> {
    let colons = line.match_indices(": ").map(|(at, _)| (&line[..at], at + 2)).take(MAX_ENDS);
    let visible = line.trim_end_matches(|c: char| is_mark(c) || c == '\r');
    let last = visible.strip_suffix(':').map(|name| (name, line.len()));
    colons.chain(last).map(|(name, skip)| (trim(name), skip)).filter(|(name, _)| !name.is_empty())
}

/// Returns whether a quotation begins in the name and ends at the end of the line: `changed the subject to “Plans:
/// Friday”`.
fn closes_quotation(name: &str, rest: &str) -> bool {
    let Some(closing) = open_quotation(name) else { return false };
    let end = trim(rest).trim_end_matches(['.', '。', '!', ' ']);
    // A straight quotation mark that was opened again in the rest does not close the first.
    end.ends_with(closing) && (closing != '"' || rest.matches('"').count() % 2 == 1)
        || (closing != '"' && rest.contains(closing))
}

/// Returns the mark that would close the quotation in which the text ends.
fn open_quotation(text: &str) -> Option<char> {
    let mut closing = None;
    for c in text.chars() {
        if closing == Some(c) {
            closing = None;
        } else if closing.is_none() {
            closing = match c {
                '"' => Some('"'),
                '“' => Some('”'),
                '„' => Some('“'),
                '«' => Some('»'),
                '「' => Some('」'),
                _ => None,
            };
        }
    }
    closing
}

/// Splits a line at the first colon that is in no quotation. Ids are made from it, so that later knowledge about names
/// never changes an id.
pub(crate) fn first_split(line: &str) -> Option<Split<'_>> {
    let (name, skip) = ends(line).next()?;
    let first = line.find(": ").is_none_or(|at| at + 2 == skip);
    (first && open_quotation(name).is_none()).then_some(Split { name, skip })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split<'a>(known: &[&'a str], lines: &[&'a str]) -> Vec<Option<&'a str>> {
        let senders = Senders::of(known.iter().copied(), lines.iter().copied());
        lines.iter().map(|line| senders.split(line).map(|split| split.name)).collect()
    }

    #[test]
    fn line_of_whatsapp_itself_has_no_sender() {
        for line in [
            "Ada changed the subject to “Plans: Friday”",
            "Ada changed the subject from \"A\" to \"B: C\"",
            "Ada hat den Betreff zu „Pläne: Freitag“ geändert",
            "Ada a changé le sujet en « Projet: A »",
            "You created group \"Tes\"",
            "You created group \"Team: A\"",
            "Bo added you to a group in the community: Garden",
            "Bo hat dich zu einer Gruppe in der Community hinzugefügt: Garten",
        ] {
            assert_eq!(split(&[], &[line]), [None], "{line}");
            assert_eq!(split(&[], &["Ada: x", "Bo: y", line])[2], None, "{line}");
        }
    }

    #[test]
    fn names_may_contain_quotation_marks_and_colons() {
        for (name, line) in [
            ("John \"Johnny\" Doe", "John \"Johnny\" Doe: x"),
            ("Ada “Countess” King", "Ada “Countess” King: x"),
            ("„Ada“", "„Ada“: x"),
            ("Tom 24\" TV", "Tom 24\" TV: a"),
            ("Tom 24\" TV", "Tom 24\" TV: he said \"no\""),
            ("Prof. Oak", "Prof. Oak: x"),
            ("Ada", "Ada:"),
        ] {
            assert_eq!(split(&[], &[line]), [Some(name)], "{line}");
        }
        assert_eq!(split(&["Ada: Work"], &["Ada: Work: a", "Ada: b"]), [Some("Ada: Work"), Some("Ada")]);
        assert_eq!(split(&["Ada_ Work"], &["Ada: Work: a"]), [Some("Ada: Work")]);
        assert_eq!(split(&[], &["Ada: Work: a"; 4]), [Some("Ada: Work"); 4]);
        assert_eq!(split(&[], &["Ada: Work: a"; 3]), [Some("Ada"); 3]);
        assert_eq!(split(&[], &["Tom: x", "Tom Smith: y"]), [Some("Tom"), Some("Tom Smith")]);
    }
}
