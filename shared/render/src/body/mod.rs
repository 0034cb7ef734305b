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
    /// What it is.
    pub(crate) value: Value,
    /// Where it leads: a percent-encoded http or https link.
    pub(crate) href: Option<String>,
}

/// The value of a row, or several of them. Each keeps its own writing direction, so that no name takes another's number.
pub(crate) enum Value {
    /// One.
    One(Cow<'static, str>),
    /// Several.
    Several(Vec<String>),
}

impl Value {
    /// The values, in order.
    fn each(&self) -> impl Iterator<Item = &str> {
        let (one, several) = match self {
            Self::One(one) => (Some(one.as_ref()), &[] as &[String]),
            Self::Several(several) => (None, several.as_slice()),
        };
        one.into_iter().chain(several.iter().map(String::as_str))
    }

    /// All of them in one text.
    pub(crate) fn joined(&self) -> Cow<'_, str> {
        match self {
            Self::One(one) => Cow::Borrowed(one),
            Self::Several(several) => Cow::Owned(several.join(", ")),
        }
    }
}

impl Row {
    /// A row without a link.
    pub(crate) fn new(key: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        Self { key: key.into(), value: Value::One(value.into()), href: None }
    }

    /// A row of several values without a link.
    pub(crate) fn list(key: &'static str, values: Vec<String>) -> Self {
        Self { key: key.into(), value: Value::Several(values), href: None }
    }

    /// A row that leads somewhere.
    pub(crate) fn link(key: &'static str, value: impl Into<Cow<'static, str>>, href: Option<String>) -> Self {
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
