//! Sources of items: the archiver's retrieval API, or chat exports, vendors' mails or WhatsApp's webhooks in the bucket.
//!
//! [`Source`] is the port that `fetch` and `convert` are written against. HTTP and S3 end at its adapters.

#![warn(missing_docs)]

mod archiver_api;
mod chat_export;
pub mod cloud_api;
mod eml_drop;
mod inbox;
mod settings;
mod sink;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use model::{Answer, Attachment, Captured, ItemError, ItemId, Listed, Sha256, Window};

pub use ::chat_export::Settings as ExportSettings;
pub use archiver_api::{ArchiverApi, ArchiverUrl, ArchiverUrlError, Basic, Credentials, Limits, SecretCredentials};
pub use chat_export::ChatExports;
pub use cloud_api::CloudApi;
pub use eml_drop::EmlDrop;
pub use settings::{SourceSettings, VARIABLES};
pub use sink::Sink;

/// Lists what reached the source, and gives out items and their attachments.
#[async_trait]
pub trait Source: Send + Sync {
    /// One page of what reached the source in the window, oldest first. `cursor` is the `next` of the page before,
    /// and then the window must be the same; `None` asks for the first page.
    ///
    /// # Errors
    /// Those that no item is to blame for: [`SourceError::Unavailable`], [`SourceError::Configuration`],
    /// [`SourceError::MalformedPage`].
    async fn list(&self, window: &Window, cursor: Option<&str>) -> Result<Page, SourceError>;

    /// The least overlap: the longest that the source is known to take to show what it then lists under an earlier time.
    /// The configured overlap may be longer.
    fn overlap(&self) -> SignedDuration;

    /// Whether an item or attachment that was listed and is missing may still appear: the source is fed while it is read.
    fn is_live(&self) -> bool {
        true
    }

    /// What the source answers when it is asked for one item. It is not read yet: that may take memory.
    ///
    /// # Errors
    /// [`SourceError`].
    async fn answer(&self, id: &ItemId) -> Result<Answer, SourceError>;

    /// The same, read.
    ///
    /// # Errors
    /// [`SourceError`].
    async fn item(&self, id: &ItemId) -> Result<Captured, SourceError> {
        Ok(self.answer(id).await?.read(id)?)
    }

    /// Pours an attachment's bytes into a sink, at most `limit` of them: the reading stops there whatever was declared.
    /// Returns their digest; where the item says the attachment's SHA-256, it is that one.
    ///
    /// # Errors
    /// [`SourceError`]. What the sink has got then is worth nothing.
    async fn copy_attachment(
        &self,
        id: &ItemId,
        attachment: &Attachment,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<Sha256, SourceError>;

    /// The same into memory.
    ///
    /// # Errors
    /// [`SourceError`].
    async fn attachment(&self, id: &ItemId, attachment: &Attachment, limit: u64) -> Result<Fetched, SourceError> {
        // As much as is declared: what does not come is never touched, and so is no memory.
        let declared = attachment.size.unwrap_or_default().min(limit);
        let mut bytes = Vec::with_capacity(usize::try_from(declared).unwrap_or_default());
        let sha256 = self.copy_attachment(id, attachment, limit, &mut bytes).await?;
        Ok(Fetched { bytes: bytes.into(), sha256 })
    }
}

/// A page of the source's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The entries, as the source wrote them: one that breaks the contract is passed on like the others.
    pub items: Vec<Listed>,
    /// What to ask the next page with; `None` on the last.
    pub next: Option<String>,
    /// Everything that reached the source in the window before this time is on this page or on one before it. `None`
    /// where that is not known, and on the last page, where it is everything.
    pub reached: Option<Timestamp>,
    /// The source's own clock when it wrote the page; `None` where the source has none.
    pub source_time: Option<Timestamp>,
    /// Deliveries on this page that are not what their sender says: a mail is missing, a file cannot be read. What is there
    /// is listed.
    pub incidents: u64,
}

/// An attachment's bytes and their hash, which is computed once and serves every later use.
#[derive(Clone)]
pub struct Fetched {
    /// All of them.
    pub bytes: Bytes,
    /// Of the bytes.
    pub sha256: Sha256,
}

/// Why a source did not give what was asked for. No text here holds content, an id or a secret.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The network or the source fails, throttles or takes too long.
    #[error("the source cannot be used now: {detail}")]
    Unavailable {
        /// What failed.
        detail: String,
        /// The wait that the source requests.
        retry_after: Option<Duration>,
    },
    /// The source has the item and is still capturing it.
    #[error("the source is still capturing the item")]
    StillCapturing {
        /// The wait that the source requests.
        retry_after: Option<Duration>,
    },
    /// A configuration error (the URL, the credentials, the certificates): waits until an operator fixes it.
    #[error("the source refuses us: {detail}")]
    Configuration {
        /// What to check.
        detail: String,
    },
    /// A page of the list does not have the contract's shape, so that no entry can be told in it.
    #[error("the list of items breaks the contract: {0}")]
    MalformedPage(String),
    /// The source has no such item.
    #[error("the source has no such item")]
    NotFound,
    /// The source had the item; its retention has erased it.
    #[error("the source has erased the item by retention")]
    Erased,
    /// The source has the item and not this attachment.
    #[error("the source does not have the attachment")]
    AttachmentMissing,
    /// The source had the attachment; its retention has erased it.
    #[error("the source has erased the attachment by retention")]
    AttachmentErased,
    /// The response is not an item.
    #[error(transparent)]
    Malformed(#[from] ItemError),
    /// The file that the item comes from cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// The item is encrypted with the customer's key.
    #[error("{0}")]
    Encrypted(String),
    /// More bytes than the caller takes.
    #[error("more than {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The attachment's bytes do not have the SHA-256 that the item says.
    #[error("the attachment does not have the SHA-256 that the item says")]
    Mismatch,
}

impl SourceError {
    /// The wait that the source requests.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } | Self::StillCapturing { retry_after } => *retry_after,
            Self::Configuration { .. }
            | Self::MalformedPage(_)
            | Self::NotFound
            | Self::Erased
            | Self::AttachmentMissing
            | Self::AttachmentErased
            | Self::Malformed(_)
            | Self::Unreadable(_)
            | Self::Encrypted(_)
            | Self::TooLarge { .. }
            | Self::Mismatch => None,
        }
    }
}
