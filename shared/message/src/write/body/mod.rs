//! The content of a message as typed blocks. The plain text and the HTML are both written from the blocks, so their
//! content cannot differ.
//!
//! Each text is either a statement of the archive or the words of a participant, and a reader can distinguish the two.
//! Words of participants are on lines that begin with `| ` in plain text, and in boxes with a bar in HTML. Short ones
//! are after a key or between quotation marks. No text can end its line, its box or its quotation marks.

mod blocks;
mod html;
mod marks;
mod plain;
mod sentence;

pub(crate) use self::{
    blocks::{Block, Body, Choice, FileLine, Mention, Quote, Quoted, Row, Shown, Tone},
    sentence::Sentence,
};
pub use marks::escape as escape_html;

impl Body<'_> {
    /// Returns the text/plain part, with CR LF line breaks and without control characters, and the text/html part, one
    /// document without remote content.
    pub(crate) fn texts(&self) -> (String, String) {
        let preview = self.preview();
        (plain::write(self, preview.as_deref()), html::write(self, preview.as_deref()))
    }

    /// Returns the statements of the archive about the content, with marked words of participants and LF line breaks.
    pub(crate) fn statements(&self) -> String {
        plain::statements(self)
    }

    /// Returns the quoted message in the same form.
    pub(crate) fn quoted(&self) -> String {
        plain::quoted(self)
    }
}
