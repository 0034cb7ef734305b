//! Mails, and zips of mails with a manifest, that a capture vendor delivers into the bucket's inbox.
//!
//! fetch reads each file once. It copies each mail to the key of its item (the copy is the evidence from then on), and
//! writes a record of the delivery: its items, and the mails that are missing according to the vendor's manifest.
//! convert reads the copy. The list of items is made from the inbox: mails of a file that is replaced or removed before a run
//! has listed them are in no manifest, and `archiver reconcile` finds them by the records of the deliveries.

mod adapter;
mod captured;
mod delivery;
mod newest;
mod pieces;

use async_trait::async_trait;
use bytes::Bytes;
use eml_drop::{Delivered, MailError};
use jiff::SignedDuration;
use model::{Attachment, ItemId, ItemJson, Listed, Problem, Sha256, Window, keys};
use serde_json::json;

use crate::{
    Page, Sink, Source, SourceError,
    inbox::{self, File, MAX_UPLOAD, PAGE_ITEMS, Place},
    sink,
};

use self::captured::{Facts, parsed_bytes};
pub use self::{adapter::EmlDrop, newest::Newest};

/// The file that SES writes when a receipt rule is created.
const SES_NOTIFICATION: &str = "AMAZON_SES_SETUP_NOTIFICATION";

impl EmlDrop {
    /// The word of `SOURCE`, also in the records of runs.
    pub const NAME: &str = "eml-drop";

    /// Maximum size of the record of a file, in bytes: that of a zip with the maximum number of entries.
    pub const RECORD_MAX_BYTES: u64 = 128 << 20;

    /// Reads the mail of an item and the facts of its delivery.
    async fn mail(&self, id: &ItemId) -> Result<(Facts, Bytes), SourceError> {
        if let Some(mail) = self.recent.lock().await.get(id) {
            return Ok(mail);
        }
        let Some(facts) = captured::facts(&self.store, id).await? else {
            return Err(self.why_missing(id).await?);
        };
        let bytes = captured::mail(&self.store, id, &facts).await?;
        self.recent.lock().await.keep(id, &facts, &bytes);
        Ok((facts, bytes))
    }

    /// Returns the reason why an item has no mail: the item represents an unreadable file.
    async fn why_missing(&self, id: &ItemId) -> Result<SourceError, SourceError> {
        if !id.as_str().starts_with(keys::INBOX) {
            return Ok(SourceError::NotFound);
        }
        let delivery = delivery::recorded(&self.store, id.as_str()).await?;
        let problems = delivery.into_iter().flat_map(|delivery| delivery.problems);
        let mut reasons = problems.filter_map(|problem| match problem {
            Problem::Unreadable { why, .. } => Some(why),
            Problem::Empty { .. } => Some("the file is empty".to_owned()),
            _ => None,
        });
        Ok(SourceError::Unreadable(reasons.next().unwrap_or_else(|| "the file could not be read".to_owned())))
    }
}

#[async_trait]
impl Source for EmlDrop {
    async fn list(&self, window: &Window, cursor: Option<&str>) -> Result<Page, SourceError> {
        let files = inbox::files(&self.store, window, SES_NOTIFICATION).await?;
        let at = Place::of(cursor)?;
        let mut page = Page::default();
        for object in &files {
            let file = File::from(object);
            if file < at.file {
                continue;
            }
            // The page that lists a file also reads it and counts its incident.
            if page.items.len() >= PAGE_ITEMS {
                return Ok(Place { done: 0, file }.end(page));
            }
            let delivery = self.delivery(object).await?;
            let skip = if file == at.file { at.done } else { 0 };
            if skip == 0 && !delivery.problems.is_empty() {
                page.incidents += 1;
            }
            let items = delivery.items.iter().skip(skip);
            let entries = items.map(|item| Listed { item: json!(item.item), archived_time: json!(file.written) });
            if let Some(end) = inbox::fill(&mut page, &file, skip, entries) {
                return Ok(end.end(page));
            }
        }
        Ok(page)
    }

    fn overlap(&self) -> SignedDuration {
        MAX_UPLOAD
    }

    /// A mail is copied before it is listed.
    fn is_live(&self) -> bool {
        false
    }

    async fn item_json(&self, id: &ItemId) -> Result<ItemJson, SourceError> {
        let (facts, bytes) = self.mail(id).await?;
        let _memory = self.memory.acquire(parsed_bytes(bytes.len())).await;
        let (profile, id) = (self.profile.clone(), id.clone());
        let read = move || {
            let delivered = Delivered {
                id: &id,
                file: &facts.file,
                name: facts.name.as_deref(),
                received: facts.received,
                sha256: facts.sha256,
            };
            eml_drop::read(&bytes, &profile, &delivered)
        };
        let item = tokio::task::spawn_blocking(read).await;
        let item = item.map_err(|_| SourceError::Unreadable("reading the mail panicked".to_owned()))?;
        let item = item.map_err(|error| match error {
            MailError::Encrypted(_) => SourceError::Encrypted(error.to_string()),
            error => SourceError::Unreadable(error.to_string()),
        })?;
        Ok(ItemJson::new(item.to_string().into_bytes())?)
    }

    async fn copy_attachment(
        &self,
        id: &ItemId,
        attachment: &Attachment,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<Sha256, SourceError> {
        let (_, mail) = self.mail(id).await?;
        let bytes = if attachment.id.as_str() == eml_drop::EVIDENCE_ID {
            mail
        } else {
            let _memory = self.memory.acquire(parsed_bytes(mail.len())).await;
            let wanted = attachment.id.clone();
            let decoded = tokio::task::spawn_blocking(move || eml_drop::attachment(&mail, &wanted)).await;
            let decoded =
                decoded.map_err(|_| SourceError::Unreadable("decoding the attachment panicked".to_owned()))?;
            decoded.ok_or(SourceError::AttachmentMissing)?.into()
        };
        if bytes.len() as u64 > limit {
            return Err(SourceError::TooLarge { limit });
        }
        sink::copy(bytes, sink, attachment.sha256).await
    }
}
