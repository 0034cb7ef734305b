//! Renders a captured item as an RFC 5322 message.
//!
//! Pure: no clock, no randomness, no environment. The same item and attachments result in the same bytes, so a repeated
//! step produces the same message. `DESIGN.md` explains the layout.
//!
//! ```text
//! multipart/mixed
//!  ├ multipart/alternative
//!  │   ├ text/plain     facts and texts, WhatsApp's own marks kept
//!  │   └ text/html      the same with the marks shown; pictures of the message, nothing remote
//!  ├ each attachment and each contact card, its own bytes; the last is whatsapp-item.eml, the vendor's mail, if there is one
//!  └ application/json   whatsapp-item.json: the item as captured, which is the evidence
//! ```

mod amounts;
mod body;
mod clean;
mod content;
mod description;
mod direction;
mod domain;
mod encoded_word;
mod file;
mod file_name;
mod headers;
mod links;
mod message_id;
mod parts;
mod people;
mod picture;
mod pieces;
mod vcard;

pub use body::escape_html;
use bytes::Bytes;
pub use clean::{lines, one_line, write_visible};
pub use description::{Description, describe};
pub use domain::DomainError;
pub use encoded_word::{phrase, unstructured};
pub use file::{Content, FileFacts, Utf8Probe};
pub use file_name::EVIDENCE as EVIDENCE_NAME;
pub(crate) use headers::MAX_NAMED;
use jiff::tz::TimeZone;
pub use message_id::{identity, referred};
use model::{Captured, Item, Sha256};
use people::Label;
pub use people::{address, name as display_name};
pub use picture::Picture;
pub use pieces::{Base64Lines, Piece};

/// Renders items as messages of one archive.
#[derive(Debug, Clone)]
pub struct Renderer {
    domain: String,
    zone: Option<TimeZone>,
}

/// A message that is ready to be filed, except for its files' bytes.
#[derive(Clone)]
pub struct Rendered {
    /// Message-ID, in angle brackets.
    pub message_id: String,
    /// The whole message, in ASCII with CR LF line breaks. Every attachment that was not erased is one piece.
    pub pieces: Vec<Piece>,
}

impl Rendered {
    /// Builds the whole message in memory. `file` returns the bytes of the attachment with an index.
    pub fn mime<'a>(&self, file: impl Fn(usize) -> &'a [u8]) -> Bytes {
        if let [Piece::Written(all)] = self.pieces.as_slice() {
            return all.clone();
        }
        let mut mime = Vec::with_capacity(usize::try_from(self.length()).unwrap_or_default());
        for piece in &self.pieces {
            match piece {
                Piece::Written(bytes) => mime.extend_from_slice(bytes),
                Piece::File { index, .. } => {
                    let mut lines = Base64Lines::default();
                    lines.push(file(*index), &mut mime);
                    lines.finish(&mut mime);
                }
            }
        }
        mime.into()
    }

    /// Returns the length of the whole message in bytes.
    pub fn length(&self) -> u64 {
        let length = |piece: &Piece| match piece {
            Piece::Written(bytes) => bytes.len() as u64,
            Piece::File { bytes, .. } => Base64Lines::length(*bytes),
        };
        self.pieces.iter().map(length).fold(0, u64::saturating_add)
    }
}

/// Error of rendering an item. Every variant is permanent: the same input fails again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The number of contents is not the number of attachments.
    #[error("expected the contents of {expected} attachments, got {given}")]
    Attachments {
        /// The number of attachments of the item.
        expected: usize,
        /// The number of contents.
        given: usize,
    },
    /// The placeholder of a file is missing in the message. No message is better than a message that lacks a file.
    #[error("internal error: the placeholder of an attachment is missing in the message")]
    Place,
}

impl Renderer {
    /// Creates a renderer whose Message-IDs end in `archive_domain`, such as `archive.example.com`. The Message-ID of
    /// an item depends on the domain, so the domain must not change.
    ///
    /// # Errors
    /// [`DomainError`] if it is not a domain name.
    pub fn new(archive_domain: &str) -> Result<Self, DomainError> {
        Ok(Self { domain: domain::parse(archive_domain)?, zone: None })
    }

    /// Adds the local time of a time zone to times in UTC.
    #[must_use]
    pub fn with_time_zone(self, zone: Option<TimeZone>) -> Self {
        Self { zone, ..self }
    }

    /// Returns the item's Message-ID, `<64 hex digits@archive domain>`: the hash of the chat, the sender's identity,
    /// WhatsApp's id of the message, the class and the revision.
    ///
    /// All original content has the same class, so that a reply can refer to the quoted message without knowing its
    /// kind. An edit, a deletion, a reaction and a vote have separate classes, with the item's id as revision.
    pub fn message_id(&self, item: &Item) -> String {
        format!("<{}>", message_id::own(item, &self.domain))
    }

    /// Renders an item. `attachments` has one content for each of the item's attachments, in the same order. Only the
    /// [`FileFacts`] of their bytes are needed.
    ///
    /// The header X-WA-Content-SHA256 is the digest of a list with one digest per line: of `whatsapp-item.json`, then
    /// of each attachment, in hex, or `erased`. Each line ends with LF. An item that was delivered as a mail also has
    /// X-WA-Evidence-SHA256, the digest of that mail, which is the last attachment.
    ///
    /// # Errors
    /// [`RenderError`], always permanent. The content of an item never causes an error.
    pub fn render(&self, captured: &Captured, attachments: &[Content]) -> Result<Rendered, RenderError> {
        let Captured { item, evidence, .. } = captured;
        if attachments.len() != item.attachments.len() {
            return Err(RenderError::Attachments { expected: item.attachments.len(), given: attachments.len() });
        }
        let seed = Sha256::of(evidence);
        let message_id = message_id::own(item, &self.domain);
        let content_id = |number: usize| format!("picture-{number}.{}@{}", seed.short_hex(), self.domain);
        let mut files = parts::files(item, attachments, content_id);
        let mut names: Vec<String> =
            files.iter().map(|file| file.name.clone()).chain(content::card_names(item)).collect();
        // The evidence keeps its name, whatever the names of the files.
        let last = item.evidence().map(|_| files.len() - 1);
        last.into_iter().for_each(|last| names.swap(0, last));
        file_name::make_distinct(&mut names);
        last.into_iter().for_each(|last| names.swap(0, last));
        let card_names = names.split_off(files.len());
        for (file, name) in files.iter_mut().zip(names) {
            file.name = name;
        }
        // Labels are computed once for the header and the texts, because formatting a number is expensive.
        let labels: Vec<Label> = item.participants().take(MAX_NAMED).map(Label::of).collect();
        let body = content::compose(captured, &labels, &files, self.zone.as_ref());
        let mut parts = Vec::with_capacity(files.len() + item.contacts.len());
        let mut places = Vec::with_capacity(files.len());
        for (index, file) in files.iter().enumerate() {
            if let Content::File(facts) = file.content {
                parts.push(parts::place(file, facts.utf8, pieces::mark(&seed, index)));
                places.push((index, facts.bytes));
            }
        }
        parts.extend(content::cards(item, &card_names));
        let content = content_digest(&seed, attachments);
        let message = headers::write(item, &labels, &body.chat, &self.domain, &message_id, &content);
        let mut written = Vec::new();
        message.body(parts::message(body.texts(), parts, evidence, &seed)).serialize(&mut written);
        let written = parts::quote_from_lines(written);
        let pieces = pieces::cut(written, &seed, &places).ok_or(RenderError::Place)?;
        Ok(Rendered { message_id: format!("<{message_id}>"), pieces })
    }
}

/// Returns the number of an item's contact cards that are files of its message. They come after its attachments.
pub fn attached_cards(item: &Item) -> usize {
    content::card_names(item).count()
}

fn content_digest(evidence: &Sha256, attachments: &[Content]) -> Sha256 {
    let mut list = format!("{evidence}\n");
    for content in attachments {
        match content {
            Content::File(facts) => list.push_str(&format!("{}\n", facts.sha256)),
            Content::Erased => list.push_str("erased\n"),
        }
    }
    Sha256::of(list.as_bytes())
}
