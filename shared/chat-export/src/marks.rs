//! Characters: invisible marks, spaces, letters of all scripts, and the words that they form.

use icu_properties::{
    CodePointMapData,
    props::{GeneralCategory, GeneralCategoryGroup},
};

/// Returns whether the character is a mark that directs or isolates text, or begins a file. WhatsApp puts such marks
/// around its own words.
pub(crate) fn is_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}' | '\u{feff}')
}

/// Returns whether a character is a space of any width, but not a line end.
pub(crate) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{a0}' | '\u{2007}' | '\u{2009}' | '\u{202f}')
}

/// Returns the text between marks and spaces.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c| is_mark(c) || c.is_whitespace())
}

/// Returns the text without any mark, each space a plain one: as it is seen.
pub(crate) fn plain(text: &str) -> String {
    trim(text).chars().filter(|c| !is_mark(*c)).map(|c| if is_space(c) { ' ' } else { c }).collect()
}

/// Returns the [`plain`] text in lower case: the form in which phrases are compared, but never stored.
pub(crate) fn folded(text: &str) -> String {
    plain(text).chars().flat_map(char::to_lowercase).collect()
}

/// Returns the text without the words inside quotation marks of any script. The marks stay. A mark that is not closed
/// quotes nothing.
pub(crate) fn outside_quotations(text: &str) -> String {
    let mut outside = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        outside.push(c);
        rest = &rest[c.len_utf8()..];
        let closings = QUOTATION_MARKS.iter().find(|(opening, _)| *opening == c).map(|(_, closings)| *closings);
        if let Some((end, closing)) = closings.and_then(|closings| rest.match_indices(closings).next()) {
            outside.push_str(closing);
            rest = &rest[end + closing.len()..];
        }
    }
    outside
}

/// Quotation marks, and those that close them. An apostrophe may be part of a word.
const QUOTATION_MARKS: [(char, &[char]); 12] = [
    ('"', &['"']),
    ('“', &['”', '“']),
    ('”', &['”']),
    ('„', &['“', '”']),
    ('«', &['»']),
    ('»', &['«', '»']),
    ('「', &['」']),
    ('『', &['』']),
    ('《', &['》']),
    ('〈', &['〉']),
    ('＂', &['＂']),
    ('〝', &['〞', '〟']),
];

/// Returns whether the character is part of a word: a letter of any script, or a sign that combines with one. The units
/// that Chinese, Japanese and Korean dates have behind their numbers are separators here.
pub(crate) fn is_letter(c: char) -> bool {
    const UNITS: &str = "年月日号號년월일";
    if c.is_ascii() {
        return c.is_ascii_alphabetic();
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    let letter = GeneralCategoryGroup::Letter.union(GeneralCategoryGroup::Mark).contains(category);
    letter && !UNITS.contains(c)
}

/// Returns the words of a text, in lower case and without the dots and marks in them.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if is_letter(c) {
            word.extend(c.to_lowercase());
        } else if !(is_mark(c) || matches!(c, '\u{200b}'..='\u{200d}') || word.is_empty()) {
            words.push(std::mem::take(&mut word));
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_words_are_left_out_in_every_script() {
        for (text, outside) in [
            ("to “who removed bob” now", "to “” now"),
            ("„a“ und „b” und \"c\"", "„“ und „” und \"\""),
            ("« a » »b« ”c” 「d」『e』《f》", "«» »« ”” 「」『』《》"),
            ("24\" tv", "24\" tv"),
            ("bob’s “plan", "bob’s “plan"),
            ("", ""),
        ] {
            assert_eq!(outside_quotations(text), outside);
        }
    }

    #[test]
    fn words_lose_dots_and_marks_and_keep_combining_signs() {
        assert_eq!(words("p.\u{a0}m."), ["p", "m"]);
        assert_eq!(words(", दुपारी "), ["दुपारी"]);
        assert_eq!(words("日 下午"), ["下午"]);
        assert_eq!(words("ÖS\u{200f}"), ["ös"]);
    }
}
