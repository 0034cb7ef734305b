//! Sources of items: a retrieval API, or chat exports, vendors' mails or WhatsApp's webhooks in the bucket.
//!
//! [`Source`] is the port that `fetch` and `convert` use. HTTP and S3 end at its adapters.

#![warn(missing_docs)]

mod archiver_api;
mod chat_export;
pub mod cloud_api;
mod eml_drop;
mod inbox;
mod settings;
mod sink;

use std::{collections::BTreeMap, ops::Range, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use model::{Attachment, Captured, ItemError, ItemId, ItemJson, Listed, Participant, Sha256, Window};

pub use ::chat_export::Settings as ExportSettings;
pub use archiver_api::{ArchiverApi, ArchiverUrl, ArchiverUrlError, Basic, Credentials, Limits, SecretCredentials};
pub use chat_export::ChatExports;
pub use cloud_api::CloudApi;
pub use eml_drop::{EmlDrop, Newest};
pub use settings::{SourceSettings, VARIABLES};
pub use sink::Sink;

/// Lists the items that reached the source, and returns items and attachments.
#[async_trait]
pub trait Source: Send + Sync {
    /// Returns one page of the items that reached the source in the window, oldest first. `cursor` is the `next` of the
    /// previous page of the same window; `None` requests the first page.
    ///
    /// # Errors
    /// Only errors that do not concern a single item: [`SourceError::Unavailable`], [`SourceError::Configuration`],
    /// [`SourceError::MalformedPage`].
    async fn list(&self, window: &Window, cursor: Option<&str>) -> Result<Page, SourceError>;

    /// Returns the minimum overlap of windows: the longest known delay after which the source lists an item under an
    /// earlier time. The configured overlap may be longer.
    fn overlap(&self) -> SignedDuration;

    /// Returns whether a listed item or attachment that is missing may still appear, because the source receives items
    /// while it is read.
    fn is_live(&self) -> bool {
        true
    }

    /// Returns the participants for whom the item was captured. A participant may be captured later than another one: then an
    /// item that is complete without a copy for the former is listed again, and the former is looked up again. Empty if the
    /// source captures an item for all of them at once.
    ///
    /// # Errors
    /// [`SourceError`].
    async fn captured_participants(&self, _id: &ItemId) -> Result<Vec<Participant>, SourceError> {
        Ok(Vec::new())
    }

    /// Returns the source's response for one item, not parsed yet: parsing may take memory.
    ///
    /// # Errors
    /// [`SourceError`].
    async fn item_json(&self, id: &ItemId) -> Result<ItemJson, SourceError>;

    /// Returns one item, parsed.
    ///
    /// # Errors
    /// [`SourceError`].
    async fn item(&self, id: &ItemId) -> Result<Captured, SourceError> {
        Ok(self.item_json(id).await?.read(id)?)
    }

    /// Copies an attachment into a sink, up to `limit` bytes whatever size was declared. Returns the digest of the
    /// bytes; it equals the SHA-256 of the item if the item has one.
    ///
    /// # Errors
    /// [`SourceError`]. The sink's content must not be used then.
    async fn copy_attachment(
        &self,
        id: &ItemId,
        attachment: &Attachment,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<Sha256, SourceError>;

    /// Reads an attachment into memory.
    ///
    /// # Errors
    /// [`SourceError`].
    async fn attachment(&self, id: &ItemId, attachment: &Attachment, limit: u64) -> Result<Fetched, SourceError> {
        // Reserves the declared size. The system provides memory only for pages that are written, so an exaggerated
        // size costs nothing.
        let declared = attachment.size.unwrap_or_default().min(limit);
        let mut bytes = Vec::with_capacity(usize::try_from(declared).unwrap_or_default());
        let sha256 = self.copy_attachment(id, attachment, limit, &mut bytes).await?;
        Ok(Fetched { bytes: bytes.into(), sha256 })
    }
}

/// A page of the source's list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries as the source wrote them: an entry that breaks the contract is passed on like the others.
    pub items: Vec<Listed>,
    /// The cursor of the next page; `None` on the last page.
    pub next: Option<String>,
    /// Everything that reached the source in the window before this time is on this page or an earlier one. `None` if
    /// that is unknown, and on the last page, which completes the window.
    pub reached: Option<Timestamp>,
    /// The source's clock when it wrote the page; `None` if the source has no clock.
    pub source_time: Option<Timestamp>,
    /// Number of deliveries on this page that differ from what their sender declares: a mail is missing, or a file
    /// cannot be read. Everything readable is listed.
    pub incidents: u64,
    /// The ids that items had in earlier releases, by the entry's index in `items`. The caller uses such an id if the item
    /// was listed under it before, so that the item is not filed twice.
    pub earlier_ids: BTreeMap<usize, ItemId>,
    /// The oldest messages of each chat that begins on this page and is recognized by its messages, as a range of `items`.
    /// If only some of them were listed before, the source may identify the others in another way than then.
    pub oldest: Vec<Range<usize>>,
}

/// An attachment's bytes and their hash, which is computed once and used several times.
#[derive(Clone)]
pub struct Fetched {
    /// The complete content.
    pub bytes: Bytes,
    /// The digest of `bytes`.
    pub sha256: Sha256,
}

/// Error of a source. No text contains content, an id or a secret.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The network or the source fails, throttles or takes too long: transient.
    #[error("the source is unavailable: {detail}")]
    Unavailable {
        /// The failure.
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
    #[error("the source rejected the request: {detail}")]
    Configuration {
        /// The thing to check.
        detail: String,
    },
    /// A page of the list has another shape than the contract's, so its entries cannot be separated.
    #[error("the list of items breaks the contract: {0}")]
    MalformedPage(String),
    /// The source does not have the item.
    #[error("the source does not have the item")]
    NotFound,
    /// The source had the item and has erased it by retention.
    #[error("the source has erased the item by retention")]
    Erased,
    /// The source has the item, but not this attachment.
    #[error("the source does not have the attachment")]
    AttachmentMissing,
    /// The source had the attachment and has erased it by retention.
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
    /// The content exceeds the caller's limit.
    #[error("exceeds the limit of {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The attachment's bytes do not have the SHA-256 of the item.
    #[error("the SHA-256 of the attachment differs from the item's")]
    Mismatch,
}

impl SourceError {
    /// Returns the wait that the source requests.
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
