//! WhatsApp's webhooks. The function `receive` writes their events into the bucket; fetch and convert read them from
//! there.
//!
//! [`Capture`] and [`MediaFetcher`] are receive's side, [`CloudApi`] is the source that fetch and convert use.

mod account;
mod capture;
mod copies;
mod files;
mod histories;
mod listing;
mod media;
mod media_task;
mod objects;
mod sent;
mod webhook_task;

use async_trait::async_trait;
use aws::s3::Store;
use cloud_api::{EVIDENCE_ID, Variants, file_place, original_id};
use jiff::{SignedDuration, Timestamp};
use model::{Attachment, ItemId, ItemJson, Participant, Sha256, Window};

use self::media_task::retry_after;
pub use self::{
    account::{MetaAccount, SubscribedApp},
    capture::Capture,
    histories::{Histories, History, HistoryState, MissingChunks, histories},
    media::{
        AccessToken, AwsMedia, DEFAULT_GRAPH_URL, GraphUrl, GraphUrlError, MediaApi, MediaFetcher, MediaOutcome,
        MetaMedia, SecretToken,
    },
    media_task::{MediaTask, MediaTaskError},
    sent::{SentMessage, SentWithoutContent, sent_without_content},
    webhook_task::{WebhookPart, WebhookTask},
};
use crate::{Page, Sink, Source, SourceError, sink};

/// The source that reads the events in the bucket.
pub struct CloudApi {
    store: Store,
}

impl CloudApi {
    /// Creates the source for this bucket.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    async fn variants(&self, id: &ItemId) -> Result<Variants, SourceError> {
        copies::copies(&self.store, id).await?.ok_or(SourceError::NotFound)
    }

    /// Reads the copies of a message that was filed without its content, for the item with the content. They may contain
    /// the other party.
    async fn earlier(&self, id: &ItemId) -> Result<Option<Variants>, SourceError> {
        match original_id(id) {
            Some(original) => copies::copies(&self.store, &original).await,
            None => Ok(None),
        }
    }
}

#[async_trait]
impl Source for CloudApi {
    async fn list(&self, window: &Window, cursor: Option<&str>) -> Result<Page, SourceError> {
        listing::page(&self.store, window, cursor).await
    }

    /// receive takes the time of an event before it writes the event. Its timeout limits the delay until the event is
    /// listed.
    fn overlap(&self) -> SignedDuration {
        Window::OVERLAP
    }

    /// A business number may be connected after the item was filed for another one, and report the item then.
    async fn captured_participants(&self, id: &ItemId) -> Result<Vec<Participant>, SourceError> {
        let variants = self.variants(id).await?;
        Ok(cloud_api::captured_participants(&variants, self.earlier(id).await?.as_ref()))
    }

    async fn item_json(&self, id: &ItemId) -> Result<ItemJson, SourceError> {
        let variants = self.variants(id).await?;
        let now = Timestamp::now();
        if variants.is_waiting(now) {
            return Err(SourceError::StillCapturing {
                retry_after: retry_after(now.duration_since(variants.received())),
            });
        }
        let files = files::files(&self.store, &variants, now).await?;
        let earlier = self.earlier(id).await?;
        let item = cloud_api::item(id, &variants, &files, earlier.as_ref());
        Ok(ItemJson::new(item.to_string().into_bytes())?)
    }

    async fn copy_attachment(
        &self,
        id: &ItemId,
        attachment: &Attachment,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<Sha256, SourceError> {
        let variants = self.variants(id).await?;
        if let Some(place) = file_place(attachment.id.as_str()) {
            return files::copy(&self.store, &variants, place, attachment.sha256, limit, sink).await;
        }
        if attachment.id.as_str() != EVIDENCE_ID {
            return Err(SourceError::AttachmentMissing);
        }
        // A better copy may have arrived since the item was read.
        let is_declared = |bytes: &&[u8]| attachment.sha256.is_none_or(|sha256| Sha256::of(bytes) == sha256);
        let evidence = variants.all().iter().map(|stored| stored.evidence()).find(is_declared);
        let evidence = evidence.ok_or(SourceError::AttachmentMissing)?;
        if evidence.len() as u64 > limit {
            return Err(SourceError::TooLarge { limit });
        }
        sink::copy(evidence.to_vec().into(), sink, attachment.sha256).await
    }
}
