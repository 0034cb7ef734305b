//! The content of a message as typed blocks. The plain text and the HTML are both written from them, so that
//! they cannot differ.
//!
//! Everything is either a statement of the archive or the words of a participant, and the reader can distinguish the two: words of
//! participants are on lines that begin with `| ` in plain text and in boxes with a bar in HTML, or, if they are short,
//! behind a key or between quotation marks. No text can end its line, its box or its quotation marks.

mod blocks;
mod html;
mod marks;
mod plain;
mod sentence;

pub(crate) use self::{
    blocks::{Block, Body, Choice, FileLine, Mention, Quote, Quoted, Row, Shown, Tone},
    sentence::Sentence,
};

impl Body<'_> {
    /// The text/plain part: CR LF line ends, no control characters.
    pub(crate) fn plain(&self) -> String {
        plain::write(self)
    }

    /// The statements of the archive about the content, with the words of participants in them marked; LF line ends.
    pub(crate) fn statements(&self) -> String {
        plain::statements(self)
    }

    /// The quoted message, in the same way.
    pub(crate) fn quoted(&self) -> String {
        plain::quoted(self)
    }

    /// The text/html part: one document, styles inline, nothing remote.
    pub(crate) fn html(&self) -> String {
        html::write(self)
    }
}
