//! Text for a terminal: tables, and words of others that may do no harm there.

use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};

/// A table with this header and no row yet.
pub(crate) fn table_of(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
    table
}

/// An id that may not move the cursor, turn the direction of what stands beside it or fill the screen.
pub(crate) fn shown(id: &str) -> String {
    shown_up_to(id, 160)
}

/// The same with at most so many characters.
pub(crate) fn shown_up_to(text: &str, longest: usize) -> String {
    let turns =
        |char| matches!(char, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let safe = |char: char| if char.is_control() || turns(char) { '\u{FFFD}' } else { char };
    let mut shown: String = text.chars().take(longest).map(safe).collect();
    if text.chars().nth(longest).is_some() {
        shown.push('…');
    }
    shown
}
