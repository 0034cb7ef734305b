//! From a captured item to an RFC 5322 message.
//!
//! Pure: no clock, no randomness, no environment. The same item and the same attachments make the same bytes, so a
//! step that runs twice files the same message.
//!
//! ```text
//! multipart/mixed
//!  ├ multipart/alternative
//!  │   ├ text/plain     what was said, WhatsApp's own marks kept
//!  │   └ text/html      the same with the marks shown, nothing remote
//!  ├ each attachment and each contact card, its own bytes
//!  └ application/json   whatsapp-item.json: the item as captured, which is the evidence
//! ```

mod amounts;
mod body;
mod clean;
mod content;
mod domain;
mod evidence;
mod file;
mod file_name;
mod headers;
mod links;
mod marks;
mod message_id;
mod parts;
mod people;
mod pieces;

use bytes::Bytes;
pub use domain::DomainError;
pub use evidence::{participants, participants_in};
pub use file::{FileFacts, Utf8Probe};
pub use file_name::EVIDENCE as EVIDENCE_NAME;
use item::{Captured, Item, Sha256};
pub use pieces::{Base64Lines, Piece};

/// Turns items into messages of one archive.
#[derive(Debug, Clone)]
pub struct Renderer {
    domain: String,
}

/// What the archive answered for one of an item's attachments.
#[derive(Clone, Copy)]
pub enum Content {
    /// Its bytes, checked already against the item's declared digest.
    File(FileFacts),
    /// The archive erased it by its retention (410). The message says so in its place.
    Erased,
}

/// A message that is ready to be filed, but for its files' bytes.
#[derive(Clone)]
pub struct Rendered {
    /// Its Message-ID, in angle brackets.
    pub message_id: String,
    /// The whole message, CR LF line ends, ASCII. Every attachment that was not erased is one piece.
    pub pieces: Vec<Piece>,
}

impl Rendered {
    /// The whole message in memory; `file` gives the bytes of the item's attachment with an index.
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

    /// How many bytes the whole message has.
    pub fn length(&self) -> u64 {
        let length = |piece: &Piece| match piece {
            Piece::Written(bytes) => bytes.len() as u64,
            Piece::File { bytes, .. } => Base64Lines::length(*bytes),
        };
        self.pieces.iter().map(length).fold(0, u64::saturating_add)
    }
}

/// Why an item was not rendered. Every variant is permanent: the same input fails again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Not one content for each attachment.
    #[error("the item has {expected} attachments and {given} contents were given")]
    Attachments {
        /// How many the item has.
        expected: usize,
        /// How many were given.
        given: usize,
    },
    /// The message was written without the place of a file: rather no message than one that lacks a file.
    #[error("an attachment has no place in the message")]
    Place,
}

impl Renderer {
    /// A renderer whose Message-IDs end in `archive_domain`: `archive.example.com`. Two archives with the same domain
    /// give the same message the same Message-ID, so the domain must stay what it is.
    ///
    /// # Errors
    /// [`DomainError`] when it is not a domain name.
    pub fn new(archive_domain: &str) -> Result<Self, DomainError> {
        Ok(Self { domain: domain::parse(archive_domain)? })
    }

    /// The item's Message-ID, `<64 hex digits@archive domain>`: the hash of the chat, the sender's identity, WhatsApp's
    /// id of the message, the class and the revision.
    ///
    /// All original content is of one class, so that an answer finds what it quotes without knowing what it was; an
    /// edit, a deletion, a reaction and a vote are of their own and have their item's id as revision.
    pub fn message_id(&self, item: &Item) -> String {
        format!("<{}>", message_id::own(item, &self.domain))
    }

    /// Renders an item. `attachments` has one content for each of the item's attachments, in the same order; of their
    /// bytes nothing but the [`FileFacts`] is needed.
    ///
    /// The header X-WA-Content-SHA256 is the digest of a list of digests, one a line: of `whatsapp-item.json`, then of
    /// each attachment, in hex, or `erased`. Each line ends in LF.
    ///
    /// # Errors
    /// [`RenderError`], all of them permanent. Nothing that an item says is an error.
    pub fn render(&self, captured: &Captured, attachments: &[Content]) -> Result<Rendered, RenderError> {
        let Captured { item, evidence, .. } = captured;
        if attachments.len() != item.attachments.len() {
            return Err(RenderError::Attachments { expected: item.attachments.len(), given: attachments.len() });
        }
        let seed = Sha256::of(evidence);
        let message_id = message_id::own(item, &self.domain);
        let names: Vec<String> = (1..)
            .zip(&item.attachments)
            .map(|(number, attachment)| file_name::of_attachment(attachment, &item.kind, number))
            .collect();
        // Once for the header and the texts: to write a number as people do takes longer than all else about somebody.
        let labels: Vec<String> = item.participants().take(1 + headers::MAX_TO).map(people::label).collect();
        let body = content::compose(captured, &labels, attachments, &names);
        let mut files = Vec::with_capacity(attachments.len() + item.contacts.len());
        let mut places = Vec::with_capacity(attachments.len());
        for (index, ((attachment, content), name)) in item.attachments.iter().zip(attachments).zip(&names).enumerate() {
            if let Content::File(facts) = content {
                let media_type = file_name::media_type(attachment.content_type.as_deref());
                files.push(parts::place(name, &media_type, facts.utf8, pieces::mark(&seed, index)));
                places.push((index, facts.bytes));
            }
        }
        files.extend(content::cards(item));
        let content = content_digest(&seed, attachments);
        let message = headers::write(item, labels, &body.chat, &self.domain, &message_id, &content);
        let mut written = Vec::new();
        message.body(parts::message(body.plain(), body.html(), files, evidence, &seed)).serialize(&mut written);
        let pieces = pieces::cut(written, &seed, &places).ok_or(RenderError::Place)?;
        Ok(Rendered { message_id: format!("<{message_id}>"), pieces })
    }
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
