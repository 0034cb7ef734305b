//! Writing direction. Sentences of the archive are always left to right; a name or a paragraph has the direction of its
//! first strong character.
//!
//! A right-to-left name would reorder the digits and brackets after it. In HTML a `span` with `dir` isolates it. Mail
//! headers and plain text have no tags, and old mail programs ignore Unicode's isolates, so implicit marks (U+200E and
//! U+200F) are used there: every implementation of the bidirectional algorithm supports them.

use std::borrow::Cow;

use icu_properties::{CodePointMapData, CodePointMapDataBorrowed, props::BidiClass};

const CLASSES: CodePointMapDataBorrowed<'static, BidiClass> = CodePointMapData::<BidiClass>::new();

/// Left-to-right mark.
pub(crate) const LRM: char = '\u{200e}';
/// Right-to-left mark.
const RLM: char = '\u{200f}';

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WritingDirection {
    LeftToRight,
    RightToLeft,
}

impl WritingDirection {
    /// Returns the direction of a paragraph: that of its first strong character. `None` if it has none.
    pub(crate) fn of(text: &str) -> Option<Self> {
        // Most texts begin with an ASCII letter, which needs no lookup in the table.
        text.chars().find_map(strong)
    }

    /// Returns the value of the attribute `dir`.
    pub(crate) fn dir(self) -> &'static str {
        match self {
            Self::LeftToRight => "ltr",
            Self::RightToLeft => "rtl",
        }
    }
}

fn strong(c: char) -> Option<WritingDirection> {
    if c.is_ascii() {
        return c.is_ascii_alphabetic().then_some(WritingDirection::LeftToRight);
    }
    match CLASSES.get(c) {
        BidiClass::LeftToRight => Some(WritingDirection::LeftToRight),
        BidiClass::RightToLeft | BidiClass::ArabicLetter => Some(WritingDirection::RightToLeft),
        _ => None,
    }
}

/// Returns whether a text can reorder the text next to it: it contains a right-to-left character or an Arabic digit.
pub(crate) fn reorders(text: &str) -> bool {
    // All right-to-left scripts are at or above U+0590.
    !text.is_ascii()
        && text.chars().filter(|c| *c >= '\u{590}').any(|c| {
            matches!(CLASSES.get(c), BidiClass::RightToLeft | BidiClass::ArabicLetter | BidiClass::ArabicNumber)
        })
}

/// Returns a name between marks that isolate its direction. A name that cannot reorder text is returned unchanged.
pub(crate) fn isolated(name: &str) -> Cow<'_, str> {
    if !reorders(name) {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len() + 12);
    out.push(LRM);
    if WritingDirection::of(name) == Some(WritingDirection::RightToLeft) {
        // Punctuation at both ends of the name gets the name's direction.
        let rtl = |c: Option<char>| c.and_then(strong) == Some(WritingDirection::RightToLeft);
        if !rtl(name.chars().next()) {
            out.push(RLM);
        }
        out.push_str(name);
        if !rtl(name.chars().next_back()) {
            out.push(RLM);
        }
    } else {
        out.push_str(name);
    }
    out.push(LRM);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direction_is_that_of_the_first_strong_character() {
        use WritingDirection::{LeftToRight, RightToLeft};
        for (text, expected) in [
            ("Ada שלום", Some(LeftToRight)),
            ("(שלום) Ada", Some(RightToLeft)),
            ("12:30 – فاطمة", Some(RightToLeft)),
            ("👍🏽 12", None),
            ("", None),
            ("Ж", Some(LeftToRight)),
        ] {
            assert_eq!(WritingDirection::of(text), expected, "{text}");
        }
    }

    #[test]
    fn only_names_that_reorder_get_marks() {
        for (name, expected) in [
            ("Søren 李", "Søren 李"),
            ("דנה לוי", "\u{200e}דנה לוי\u{200e}"),
            ("(דנה) 7!", "\u{200e}\u{200f}(דנה) 7!\u{200f}\u{200e}"),
            ("Bo דנה", "\u{200e}Bo דנה\u{200e}"),
            ("٣", "\u{200e}٣\u{200e}"),
        ] {
            assert_eq!(isolated(name), expected, "{name}");
        }
    }
}
