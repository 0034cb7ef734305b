//! Finds the end of a sender's name, and the lines that WhatsApp wrote itself.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
};

use crate::{
    content,
    marks::{folded, is_mark, trim},
};

/// Minimum number of messages of a name that must continue in the same way before the continuation may be part of the
/// name.
const SAME_CONTINUATIONS: usize = 4;
/// Maximum number of possible ends of a name that are tried.
const MAX_ENDS: usize = 4;
/// Maximum length of a name, in bytes. WhatsApp limits the name of a profile to 25 characters and that of a group to
/// 100; names in a phone's address book are longer, but not sentences. The limit also bounds the work for one line.
const MAX_NAME_BYTES: usize = 1024;
/// Minimum number of words of a sentence; a name has fewer.
const SENTENCE_WORDS: usize = 5;
/// Maximum number of words of another sender's name with which a sentence may begin.
const MAX_SUBJECT_WORDS: usize = 8;

/// The author of a line.
pub(crate) enum Author<'a> {
    /// A person.
    Sender(Split<'a>),
    /// WhatsApp itself. `may_be_a_person` if only words that a person's name may contain show that.
    WhatsApp { may_be_a_person: bool },
}

/// The first line of a message after its date and time, split into sender and text.
pub(crate) struct Split<'a> {
    pub(crate) name: &'a str,
    /// The number of bytes before the text.
    pub(crate) skip: usize,
    pub(crate) doubt: Option<Doubt>,
}

/// The reason why a sender is not proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// The text before the colon may be the beginning of a line that WhatsApp wrote itself.
    Sentence,
    /// The line is taken for one of WhatsApp's own. The text before the colon may be a person's name.
    MayBeName,
    /// All messages of the sender begin with the same words and a colon, which may be part of the name.
    Continuation,
}

/// Splits lines by facts about all of them.
pub(crate) struct Senders {
    /// Names from other places: the participants file, the chat's name.
    known: HashSet<String>,
    /// The lines that may be from each name.
    lines: HashMap<String, Lines>,
}

/// The lines that may be from one name.
#[derive(Default, Clone)]
struct Lines {
    count: usize,
    /// The text of the first of them, as a hash: a chat may have a hundred thousand names.
    first_text: u64,
    /// `true` if not all of them have the same text.
    varied: bool,
    /// Those in which a quotation begins in the name and ends in the text.
    quotations: usize,
    /// Those whose text is one that only WhatsApp writes, directly after a sender's name.
    own_words: usize,
}

impl Senders {
    /// Counts the names at the beginnings of lines. `known` are names from other places, `lines` the first lines of all
    /// messages.
    pub(crate) fn of<'k, 'l>(known: impl Iterator<Item = &'k str>, lines: impl Iterator<Item = &'l str>) -> Self {
        let mut by_name: HashMap<String, Lines> = HashMap::new();
        let hashes = RandomState::new();
        for line in lines {
            for (name, skip) in name_ends(line).take(2) {
                let rest = &line[skip..];
                let text = hashes.hash_one(rest);
                let lines = by_name.entry(name.to_owned()).or_insert(Lines { first_text: text, ..Lines::default() });
                lines.count += 1;
                lines.varied |= lines.first_text != text;
                lines.quotations += usize::from(closes_quotation(name, rest));
                lines.own_words += usize::from(content::is_own_words(rest));
            }
        }
        Self { known: known.map(key).filter(|name| !name.is_empty()).collect(), lines: by_name }
    }

    /// Finds the author of a line.
    pub(crate) fn author<'a>(&self, line: &'a str) -> Author<'a> {
        let ends: Vec<(&str, usize)> = name_ends(line).collect();
        let sender = |(name, skip): (&'a str, usize), doubt| Author::Sender(Split { name, skip, doubt });
        const WHATSAPP: Author<'_> = Author::WhatsApp { may_be_a_person: false };
        if let Some(known) = ends.iter().rev().find(|(name, _)| self.known.contains(&key(name))) {
            return sender(*known, None);
        }
        let Some(first) = ends.first().copied() else { return WHATSAPP };
        let lines = self.lines(first.0);
        // A person whose name has a quotation mark also writes lines that do not close it.
        if lines.quotations == lines.count && closes_quotation(first.0, &line[first.1..]) {
            return WHATSAPP;
        }
        if let Some(second) = ends.get(1)
            && lines.count >= SAME_CONTINUATIONS
            && self.lines(second.0).count == lines.count
            && first.0.len() < second.0.len()
        {
            let proven = self.lines(second.0).own_words > 0;
            return if proven { sender(*second, None) } else { sender(first, Some(Doubt::Continuation)) };
        }
        // A person writes different texts under a name, WhatsApp may write the same line again.
        if lines.varied {
            return sender(first, None);
        }
        if content::is_group_event(first.0) && first.0.contains(' ') {
            return Author::WhatsApp { may_be_a_person: true };
        }
        match self.is_sentence(first.0) {
            true if line.starts_with('\u{200e}') => WHATSAPP,
            true => sender(first, Some(Doubt::Sentence)),
            false => sender(first, None),
        }
    }

    fn lines(&self, name: &str) -> Lines {
        self.lines.get(name).cloned().unwrap_or_default()
    }

    /// Returns whether the text before a colon may be the beginning of a notice of WhatsApp. Its shape does not prove
    /// that: a person's name may begin with another person's name.
    fn is_sentence(&self, name: &str) -> bool {
        let words: Vec<&str> = name.split_whitespace().collect();
        let is_lower = |word: &&str| word.chars().next().is_some_and(char::is_lowercase);
        let is_upper = |word: &&str| word.chars().next().is_some_and(char::is_uppercase);
        // `Bo` writes messages elsewhere: `Bo hat dich … hinzugefügt` is about Bo.
        let about_sender = (1..=words.len().saturating_sub(3).min(MAX_SUBJECT_WORDS)).any(|length| {
            let begin = words[..length].join(" ");
            self.lines(&begin).count > 0 || self.known.contains(&key(&begin))
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

/// Returns the possible ends of a name that is not too long for a name.
fn name_ends(line: &str) -> impl Iterator<Item = (&str, usize)> {
    ends(line).take_while(|(name, _)| name.len() <= MAX_NAME_BYTES)
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

/// Returns the text before the first colon that is in no quotation, and the number of bytes before the text. Ids
/// are made from it, so that later knowledge about names never changes an id.
pub(crate) fn first_split(line: &str) -> Option<(&str, usize)> {
    let (name, skip) = ends(line).next()?;
    let first = line.find(": ").is_none_or(|at| at + 2 == skip);
    (first && open_quotation(name).is_none()).then_some((name, skip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender<'a>(senders: &Senders, line: &'a str) -> Option<Split<'a>> {
        match senders.author(line) {
            Author::Sender(split) => Some(split),
            Author::WhatsApp { .. } => None,
        }
    }

    fn split<'a>(known: &[&'a str], lines: &[&'a str]) -> Vec<Option<&'a str>> {
        let senders = Senders::of(known.iter().copied(), lines.iter().copied());
        lines.iter().map(|line| sender(&senders, line).map(|split| split.name)).collect()
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
    fn line_of_whatsapp_that_comes_twice_is_no_person() {
        let line = "Bo hat dich zu einer Gruppe in der Community hinzugefügt: Garten";
        assert_eq!(split(&[], &[line, "Ada: x", line]), [None, Some("Ada"), None]);
        // A person writes different texts, whatever the name is.
        let lines = ["Karl (entfernt verwandt): yes", "Karl (entfernt verwandt): no", "Karl (entfernt verwandt): no"];
        assert_eq!(split(&[], &lines), [Some("Karl (entfernt verwandt)"); 3]);
        let twice = ["the zork blip of that group: Garden"; 2];
        let senders = Senders::of(std::iter::empty(), twice.into_iter());
        assert_eq!(sender(&senders, twice[0]).unwrap().doubt, Some(Doubt::Sentence));
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
        assert_eq!(split(&[], &["Ada: Work: a"; 3]), [Some("Ada"); 3]);
        assert_eq!(split(&[], &["Tom: x", "Tom Smith: y"]), [Some("Tom"), Some("Tom Smith")]);
    }

    #[test]
    fn words_that_all_messages_begin_with_stay_in_the_text() {
        let lines = ["Bo: Order: 100 AAPL", "Bo: Order: 200 MSFT", "Bo: Order: 300", "Bo: Order: <Media omitted> soon"];
        let senders = Senders::of(std::iter::empty(), lines.into_iter());
        for line in lines {
            let split = sender(&senders, line).unwrap();
            assert_eq!((split.name, &line[split.skip..]), ("Bo", &line[4..]));
            assert_eq!(split.doubt, Some(Doubt::Continuation));
        }
        // A file, a deletion or a call follows the sender's whole name.
        for own in [
            "<Media omitted>",
            "\u{200e}IMG-1.jpg (zork)",
            "IMG-1.jpg (file attached)",
            "This message was deleted",
            "Missed voice call",
        ] {
            let own = format!("Ada: Work: {own}");
            let lines = ["Ada: Work: a", "Ada: Work: b", "Ada: Work: c", own.as_str()];
            assert_eq!(split(&[], &lines), [Some("Ada: Work"); 4], "{own}");
        }
        // On an iPhone a person's words may be before a file.
        for own in [
            "Bo: Order: \u{200e}<attached: 1.jpg>",
            "Bo: Order: \u{200e}image omitted",
            "Bo: Order: null",
            "Bo: Order:",
        ] {
            let lines = ["Bo: Order: a", "Bo: Order: b", "Bo: Order: c", own];
            assert_eq!(split(&[], &lines), [Some("Bo"); 4], "{own}");
        }
    }

    #[test]
    fn name_that_begins_with_another_name_is_a_sender() {
        for (one, other) in [
            ("Tom", "Tom plumber from work"),
            ("محمد", "محمد عبد الله العتيبي"),
            ("राम", "राम प्रसाद शर्मा जी"),
            ("สม", "สม ชาย ใจ ดี"),
            ("Bo", "the man who fixed our roof last year"),
        ] {
            let lines = [format!("{one}: x"), format!("{one}: y"), format!("{other}: I accept the price")];
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let senders = Senders::of(std::iter::empty(), lines.iter().copied());
            let split = sender(&senders, lines[2]).unwrap();
            assert_eq!(
                (split.name, &lines[2][split.skip..], split.doubt),
                (other, "I accept the price", Some(Doubt::Sentence))
            );
            assert_eq!(sender(&senders, lines[0]).unwrap().doubt, None);
            // On an iPhone a mark shows that the line is WhatsApp's.
            assert!(sender(&senders, &format!("\u{200e}{}", lines[2])).is_none());
        }
    }

    #[test]
    fn repeated_notice_has_no_sender() {
        let notice = "Ada changed the zork from \"A\" to \"Plans: X\"";
        assert_eq!(split(&[], &["Ada: hi", notice, notice, notice]), [Some("Ada"), None, None, None]);
        let name = "Tom 24\" TV";
        let lines = ["Tom 24\" TV: a", "Tom 24\" TV: I have 27\""];
        assert_eq!(split(&[], &lines), [Some(name), Some(name)]);
    }

    #[test]
    fn sender_of_a_long_line_is_found_in_linear_time() {
        // Quadratic work on this line would take days.
        let words = "a ".repeat(2 << 20);
        let line = format!("{words}: x");
        assert_eq!(split(&[], &["a: x", &line]), [Some("a"), None]);
        let line = format!("Ada: {words}: x");
        assert_eq!(split(&[], &["Bo: x", &line]), [Some("Bo"), Some("Ada")]);
        let longest = "a".repeat(MAX_NAME_BYTES);
        assert_eq!(split(&[], &[&format!("{longest}: x"), &format!("{longest}a: x")]), [Some(longest.as_str()), None]);
    }
}
