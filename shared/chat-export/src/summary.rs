//! The summary of reading an export, for the log, the run's summary and the example.

use crate::dates::DayOrder;

/// The summary of reading an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Messages, and notices of WhatsApp.
    pub messages: usize,
    /// The order in which the dates' numbers were read.
    pub day_order: DayOrder,
    /// The lines, from 1, that look like the beginning of a message and were read as part of the previous message.
    pub suspicious_lines: Vec<usize>,
    /// The first lines of messages whose time is more than an hour before that of a message above, as `DESIGN.md`
    /// defines it: they may be part of a pasted chat.
    pub out_of_order_lines: Vec<usize>,
    /// Number of messages that name a file that is not in the export.
    pub missing_files: usize,
    /// The files of the zip that no message names. Each is a separate item. These are names from a chat: they may be
    /// shown on a screen, but not logged.
    pub unnamed_files: Vec<String>,
}

impl Summary {
    /// Returns the lines that look like messages, or `None` if there are none: `lines 2, 7, 9 and 4 more`.
    pub fn suspicious(&self) -> Option<String> {
        (!self.suspicious_lines.is_empty()).then(|| lines(&self.suspicious_lines))
    }

    /// Returns the lines of messages that are out of order, in the same form.
    pub fn out_of_order(&self) -> Option<String> {
        (!self.out_of_order_lines.is_empty()).then(|| lines(&self.out_of_order_lines))
    }
}

/// Returns the first line numbers, and the number of the others.
pub(crate) fn lines(lines: &[usize]) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<String> = lines.iter().take(SHOWN).map(usize::to_string).collect();
    let word = if lines.len() == 1 { "line" } else { "lines" };
    let more = lines.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{word} {}{more}", shown.join(", "))
}
