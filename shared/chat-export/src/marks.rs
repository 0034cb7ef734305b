//! Characters that are not seen.

/// A mark that directs or isolates text, or begins a file: WhatsApp puts them around what it writes itself.
pub(crate) fn is_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}' | '\u{feff}')
}

/// A space of any width; a line's end is none.
pub(crate) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{a0}' | '\u{2007}' | '\u{2009}' | '\u{202f}')
}

/// The text between marks and spaces.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c| is_mark(c) || c.is_whitespace())
}

/// The text without any mark, each space a plain one: as it is seen.
pub(crate) fn plain(text: &str) -> String {
    trim(text).chars().filter(|c| !is_mark(*c)).map(|c| if is_space(c) { ' ' } else { c }).collect()
}

/// The same in lower case: how phrases are compared, never how they are kept.
pub(crate) fn folded(text: &str) -> String {
    plain(text).chars().flat_map(char::to_lowercase).collect()
}
