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
mod file_name;
mod headers;
mod links;
mod marks;
mod message_id;
mod parts;
mod people;

pub use domain::DomainError;
pub use file_name::EVIDENCE as EVIDENCE_NAME;
use item::{Captured, Item, Sha256};

/// Turns items into messages of one archive.
#[derive(Debug, Clone)]
pub struct Renderer {
    domain: String,
}

/// What the archive answered for one of an item's attachments.
#[derive(Clone, Copy)]
pub enum Content<'a> {
    /// Its bytes, checked already against the item's declared digest.
    Bytes {
        /// All of them.
        bytes: &'a [u8],
        /// Their digest, as computed when they were read.
        sha256: Sha256,
    },
    /// The archive erased it by its retention (410). The message says so in its place.
    Erased,
}

/// A message that is ready to be filed.
#[derive(Clone)]
pub struct Rendered {
    /// Its Message-ID, in angle brackets.
    pub message_id: String,
    /// The whole message, CR LF line ends, ASCII.
    pub mime: Vec<u8>,
    /// The digest of the whole message.
    pub sha256: Sha256,
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
    /// `messageTime` is outside the years 1971 to 9999, which [`Captured::parse`] refuses.
    #[error("messageTime is not between the years 1971 and 9999")]
    Time,
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

    /// Renders an item. `attachments` has one content for each of the item's attachments, in the same order; their
    /// bytes are only borrowed, and neither changed nor hashed again.
    ///
    /// The header X-WA-Content-SHA256 is the digest of a list of digests, one a line: of `whatsapp-item.json`, then of
    /// each attachment, in hex, or `erased`. Each line ends in LF.
    ///
    /// # Errors
    /// [`RenderError`], all of them permanent. Nothing that an item says is an error.
    pub fn render(&self, captured: &Captured, attachments: &[Content<'_>]) -> Result<Rendered, RenderError> {
        let Captured { item, evidence } = captured;
        if attachments.len() != item.attachments.len() {
            return Err(RenderError::Attachments { expected: item.attachments.len(), given: attachments.len() });
        }
        // From 1971-01-01 until the last second of 9999.
        if !(31_536_000..253_402_300_800).contains(&item.message_time.as_second()) {
            return Err(RenderError::Time);
        }
        let seed = Sha256::of(evidence);
        let message_id = message_id::own(item, &self.domain);
        let names: Vec<String> = (1..)
            .zip(&item.attachments)
            .map(|(number, attachment)| file_name::of_attachment(attachment, &item.kind, number))
            .collect();
        let body = content::compose(captured, attachments, &names);
        let mut files = Vec::with_capacity(attachments.len() + item.contacts.len());
        for ((attachment, content), name) in item.attachments.iter().zip(attachments).zip(&names) {
            if let Content::Bytes { bytes, .. } = content {
                files.push(parts::file(name, &file_name::media_type(attachment.content_type.as_deref()), bytes));
            }
        }
        files.extend(content::cards(item));
        let message = headers::write(item, &self.domain, &message_id, &content_digest(&seed, attachments));
        let mut mime = Vec::new();
        message.body(parts::message(body.plain(), body.html(), files, evidence, &seed)).serialize(&mut mime);
        let sha256 = Sha256::of(&mime);
        Ok(Rendered { message_id: format!("<{message_id}>"), mime, sha256 })
    }
}

fn content_digest(evidence: &Sha256, attachments: &[Content<'_>]) -> Sha256 {
    let mut list = format!("{evidence}\n");
    for content in attachments {
        match content {
            Content::Bytes { sha256, .. } => list.push_str(&format!("{sha256}\n")),
            Content::Erased => list.push_str("erased\n"),
        }
    }
    Sha256::of(list.as_bytes())
}
