//! The typed blocks of a body.

use std::borrow::Cow;

use model::Sha256;

use super::sentence::Sentence;
use crate::write::{amounts, clean::one_line, direction::isolated, people::Label};

/// The emphasis of the title.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    /// Noteworthy: an edit, a missed call, an unknown kind.
    Notable,
    /// Content is missing: deleted, erased, not captured.
    Gone,
}

/// The content of a message, in the order of the text.
pub(crate) struct Body<'a> {
    /// The kind of message: `Voice message`.
    pub(crate) title: Cow<'static, str>,
    pub(crate) tone: Tone,
    pub(crate) sender: Label,
    /// The chat's name.
    pub(crate) chat: String,
    /// UTC, and local time if a zone is configured.
    pub(crate) time: String,
    /// The message that this one replies to.
    pub(crate) reply: Option<Quote<'a>>,
    /// The item's own text, with WhatsApp's formatting marks.
    pub(crate) text: Option<&'a str>,
    /// The participants that the text mentions.
    pub(crate) mentions: Vec<Mention>,
    pub(crate) blocks: Vec<Block<'a>>,
    pub(crate) files: Vec<FileLine>,
    /// The facts of the capture.
    pub(crate) details: Vec<Row>,
}

/// A participant in a text: `@4520123456`.
pub(crate) struct Mention {
    /// The text after the `@`.
    pub(crate) token: String,
    pub(crate) name: String,
}

/// A piece of a body.
pub(crate) enum Block<'a> {
    /// A statement of the archive.
    Notice(Sentence),
    /// Keys and values.
    Rows(Vec<Row>),
    /// Words of a participant under a heading.
    Quote(Quote<'a>),
    /// Members of captured JSON. Neither keys nor values are words of the archive.
    Captured(Vec<Row>),
    /// The options of a poll.
    Options(Vec<Choice>),
}

/// Words of a participant under a heading of the archive.
pub(crate) struct Quote<'a> {
    pub(crate) heading: Sentence,
    pub(crate) text: Quoted<'a>,
}

/// The text of a quoted message.
pub(crate) enum Quoted<'a> {
    /// With WhatsApp's formatting marks.
    Words(Cow<'a, str>),
    /// The archive's words for a message without a text: `a picture`.
    Described(&'static str),
}

/// One option of a poll.
pub(crate) struct Choice {
    pub(crate) chosen: bool,
    pub(crate) option: String,
}

/// A key and its value on one line.
pub(crate) struct Row {
    pub(crate) key: Cow<'static, str>,
    pub(crate) value: Value,
    /// A percent-encoded http or https link.
    pub(crate) href: Option<String>,
}

/// The value of a row.
pub(crate) enum Value {
    Text(Cow<'static, str>),
    /// People, and the number of further ones. Each has its own writing direction, so that no name is displayed with
    /// another's number.
    People(Vec<Label>, usize),
}

impl Value {
    /// Returns the value as plain text.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => isolated(text),
            Self::People(people, more) => {
                let mut text = people.iter().map(Label::text).collect::<Vec<_>>().join(", ");
                if *more > 0 {
                    text.push_str(&format!(" and {} more", amounts::thousands(*more as u64)));
                }
                text.into()
            }
        }
    }
}

impl Row {
    pub(crate) fn new(key: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        Self { key: key.into(), value: Value::Text(value.into()), href: None }
    }

    pub(crate) fn people(key: &'static str, people: Vec<Label>, more: usize) -> Self {
        Self { key: key.into(), value: Value::People(people, more), href: None }
    }

    pub(crate) fn link(key: &'static str, value: impl Into<Cow<'static, str>>, href: Option<String>) -> Self {
        Self { href, ..Self::new(key, value) }
    }
}

/// A file that belongs to the item.
pub(crate) struct FileLine {
    /// Name of the attachment.
    pub(crate) name: String,
    /// Type, size, duration: `image/jpeg, 12,345 bytes`.
    pub(crate) facts: String,
    /// Digest of the bytes; `None` if the source erased the file.
    pub(crate) sha256: Option<Sha256>,
    /// Names a program that opens the file, if usual mail programs do not.
    pub(crate) hint: Option<&'static str>,
    pub(crate) picture: Option<Shown>,
}

/// A picture that the HTML shows in place.
#[derive(Clone)]
pub(crate) struct Shown {
    /// Without angle brackets.
    pub(crate) content_id: String,
    /// In CSS pixels.
    pub(crate) width: usize,
}

/// Maximum length of the preview, in characters.
const MAX_PREVIEW: usize = 90;

impl Body<'_> {
    /// Returns the beginning of the text, which mail programs show in their lists; `None` if there is no visible text.
    pub(super) fn preview(&self) -> Option<String> {
        // A text of 65,536 characters need not be read to its end.
        let text = self.text?;
        let head = text.get(..text.floor_char_boundary(16 * MAX_PREVIEW)).unwrap_or_default();
        Some(one_line(head, MAX_PREVIEW)).filter(|preview| !preview.is_empty())
    }

    /// Returns the replacement of the preview if there is no text.
    pub(super) fn summary(&self) -> String {
        let more = self.blocks.iter().find_map(|block| match block {
            Block::Notice(sentence) => Some(sentence.text().into()),
            Block::Rows(rows) => rows.first().map(|row| row.value.text()),
            Block::Quote(_) | Block::Captured(_) | Block::Options(_) => None,
        });
        more.map_or_else(|| self.title.clone().into_owned(), |more| format!("{}: {more}", self.title))
    }

    /// Returns whether any words of a participant are marked as such.
    pub(super) fn has_marked_words(&self) -> bool {
        let marked = |block: &Block<'_>| match block {
            Block::Quote(quote) => matches!(quote.text, Quoted::Words(_)),
            Block::Captured(rows) => !rows.is_empty(),
            Block::Notice(_) | Block::Rows(_) | Block::Options(_) => false,
        };
        self.text.is_some()
            || self.reply.as_ref().is_some_and(|reply| matches!(reply.text, Quoted::Words(_)))
            || self.blocks.iter().any(marked)
    }
}

/// The text in place of a file that the archive has erased.
pub(super) const ERASED: &str = "erased by the archive's retention, not available";
/// The heading of the item's own text.
pub(super) const TEXT: &str = "Text";
