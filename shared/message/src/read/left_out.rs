//! The place of a file that is left out of an outline.

use std::ops::Range;

/// The base64 of a file that is not in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its place in the outline.
    pub at: usize,
    /// Its place in the message: lines of 76 characters with CRLF, the last one too.
    pub base64: Range<u64>,
    /// The length of the decoded file.
    pub bytes: u64,
}
