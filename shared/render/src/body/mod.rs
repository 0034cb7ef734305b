//! What a message says, before it is written: typed blocks, which the plain text and the HTML are both written from, so
//! that the two never drift apart.

mod html;
mod plain;

use std::borrow::Cow;

use item::Sha256;

/// How much a reader should notice the title.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As most are.
    #[default]
    Plain,
    /// Something to look at: an edit, a missed call, an unknown kind.
    Notable,
    /// Something is gone: deleted, erased, not captured.
    Gone,
}

/// What a message says. Its parts are in the order of the plain text; the HTML shows the reply above the text, as
/// WhatsApp does.
pub(crate) struct Body<'a> {
    /// What it is: `Voice message`.
    pub(crate) title: Cow<'static, str>,
    /// How much to notice it.
    pub(crate) tone: Tone,
    /// Who did it.
    pub(crate) sender: String,
    /// Where: the chat's name.
    pub(crate) chat: String,
    /// When, in UTC.
    pub(crate) time: String,
    /// The item's own text, in WhatsApp's marks.
    pub(crate) text: Option<&'a str>,
    /// The message that it answers.
    pub(crate) reply: Option<Quote<'a>>,
    /// The rest.
    pub(crate) blocks: Vec<Block<'a>>,
    /// Its files.
    pub(crate) files: Vec<FileLine>,
    /// The small print.
    pub(crate) details: Vec<Row>,
}

/// A piece of a body.
pub(crate) enum Block<'a> {
    /// A sentence of ours.
    Notice(String),
    /// Keys and values.
    Rows(Vec<Row>),
    /// What somebody said at another time.
    Quote(Quote<'a>),
    /// The options of a poll, chosen or not.
    Options(Vec<Choice>),
}

/// What somebody said at another time.
pub(crate) struct Quote<'a> {
    /// Who and when, in a sentence of ours.
    pub(crate) heading: String,
    /// What, in WhatsApp's marks. `None`: the archive does not know.
    pub(crate) text: Option<&'a str>,
}

/// One option of a poll.
pub(crate) struct Choice {
    /// Somebody voted for it.
    pub(crate) chosen: bool,
    /// What it says.
    pub(crate) option: String,
}

/// A key and its value, one line each.
pub(crate) struct Row {
    /// The key.
    pub(crate) key: Cow<'static, str>,
    /// The value, or several of them. Each keeps its own writing direction, so that no name takes another's number.
    pub(crate) values: Vec<String>,
    /// Where the values lead: a percent-encoded http or https link.
    pub(crate) href: Option<String>,
}

impl Row {
    /// A row without a link.
    pub(crate) fn new(key: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        Self::list(key, vec![value.into()])
    }

    /// A row of several values without a link.
    pub(crate) fn list(key: impl Into<Cow<'static, str>>, values: Vec<String>) -> Self {
        Self { key: key.into(), values, href: None }
    }

    /// A row that leads somewhere.
    pub(crate) fn link(key: &'static str, value: impl Into<String>, href: Option<String>) -> Self {
        Self { href, ..Self::new(key, value) }
    }
}

/// A file that belongs to the item.
pub(crate) struct FileLine {
    /// The name that it is attached under.
    pub(crate) name: String,
    /// Type, size, duration: `image/jpeg, 12,345 bytes`.
    pub(crate) facts: String,
    /// The digest of its bytes. `None`: the archive erased it.
    pub(crate) sha256: Option<Sha256>,
}

impl Body<'_> {
    /// The text/plain part: CR LF line ends, no control characters.
    pub(crate) fn plain(&self) -> String {
        plain::write(self)
    }

    /// The text/html part: one document, styles inline, nothing remote.
    pub(crate) fn html(&self) -> String {
        html::write(self)
    }
}

/// What stands for a text that the archive does not have.
const NOT_KNOWN: &str = "(its text was not captured)";
/// What stands for a file that the archive does not have any more.
const ERASED: &str = "erased by the archive's retention, not available";
