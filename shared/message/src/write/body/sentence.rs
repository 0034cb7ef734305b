//! A statement of the archive that names participants.

use std::borrow::Cow;

use crate::write::direction;

/// A piece of a sentence.
pub(crate) enum Segment {
    /// Words of the archive.
    Ours(Cow<'static, str>),
    /// A name or another short text of a participant, shown between quotation marks.
    Theirs(String),
}

/// A sentence of the archive. It is left to right, whatever names it contains.
#[derive(Default)]
pub(crate) struct Sentence(Vec<Segment>);

impl Sentence {
    pub(crate) fn new(words: impl Into<Cow<'static, str>>) -> Self {
        Self::default().ours(words)
    }

    /// Creates a sentence that begins with a name.
    pub(crate) fn of(name: impl Into<String>) -> Self {
        Self::default().theirs(name)
    }

    pub(crate) fn ours(mut self, words: impl Into<Cow<'static, str>>) -> Self {
        self.0.push(Segment::Ours(words.into()));
        self
    }

    pub(crate) fn theirs(mut self, name: impl Into<String>) -> Self {
        // Quotation marks in the name are replaced, so that they cannot end the sentence's.
        self.0.push(Segment::Theirs(name.into().replace(['“', '”', '„', '‟'], "\"")));
        self
    }

    /// Appends names with commas between them, and the number of further ones.
    pub(crate) fn list(mut self, names: impl IntoIterator<Item = String>, more: usize) -> Self {
        for (number, name) in names.into_iter().enumerate() {
            if number > 0 {
                self = self.ours(", ");
            }
            self = self.theirs(name);
        }
        if more > 0 { self.ours(format!(" and {} more", crate::write::amounts::thousands(more as u64))) } else { self }
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Returns the sentence as plain text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for segment in &self.0 {
            match segment {
                Segment::Ours(words) => text.push_str(words),
                Segment::Theirs(name) => text.extend(["“", &direction::isolated(name), "”"]),
            }
        }
        text
    }
}
