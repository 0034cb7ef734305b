//! The location of a file that is left out of an outline.

use std::ops::Range;

/// The location of a file's base64 that is not in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Offset in the outline.
    pub at: usize,
    /// Range in the message: lines of 76 characters, each ending with CRLF.
    pub base64: Range<u64>,
    /// Length of the decoded file.
    pub bytes: u64,
}
