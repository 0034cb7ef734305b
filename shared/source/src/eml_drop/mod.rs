//! What a capture vendor delivers into the bucket's inbox: mails, and zips of mails with a manifest.
//!
//! fetch reads a file once. It keeps a copy of each mail under the key of its item, which is the evidence from then on, and
//! writes a record of the delivery: the items, and what is missing by the vendor's own manifest. convert reads the copy, so
//! what happens to the inbox afterwards changes nothing.

mod adapter;
mod captured;
mod delivery;
mod pieces;

use async_trait::async_trait;
use aws::s3::{Listed as Object, StoreError};
use bytes::Bytes;
use eml_drop::{Delivered, MailError};
use jiff::SignedDuration;
use model::{Answer, Attachment, ItemId, Listed, Problem, Sha256, Window, keys};
use serde_json::json;

use crate::{
    Page, Sink, Source, SourceError,
    chat_export::unavailable,
    inbox::{File, LONGEST_UPLOAD, PAGE_ITEMS, Place},
    sink::{Hashed, full},
};

pub use self::adapter::EmlDrop;
use self::captured::Facts;

/// A file in the inbox.
struct Dropped {
    file: File,
    object: Object,
}

/// What SES writes when a receipt rule is made.
const SES_NOTIFICATION: &str = "AMAZON_SES_SETUP_NOTIFICATION";

impl EmlDrop {
    async fn files(&self, window: &Window) -> Result<Vec<Dropped>, SourceError> {
        let mut files = Vec::new();
        let list = self.store.list(keys::INBOX, |page| {
            let dropped = page.into_iter().filter(|object| {
                let aside = object.key.ends_with('/') || object.key.ends_with(SES_NOTIFICATION);
                !aside && (window.from..window.to).contains(&object.last_modified)
            });
            files.extend(dropped.map(|object| {
                let file = File { written: object.last_modified, key: object.key.clone() };
                Dropped { file, object }
            }));
            async { Ok::<_, StoreError>(()) }
        });
        list.await.map_err(unavailable)?;
        files.sort_by(|one, other| one.file.cmp(&other.file));
        Ok(files)
    }

    /// The mail of an item, and how it was delivered.
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

    /// Why an item has no mail: it stands for a file that could not be read.
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
        let files = self.files(window).await?;
        let at = match cursor {
            Some(cursor) => Place::read(cursor)?,
            None => Place::default(),
        };
        let mut page = Page { items: Vec::new(), next: None, reached: None, source_time: None, incidents: 0 };
        for Dropped { file, object } in files.into_iter().filter(|dropped| dropped.file >= at.file) {
            let left = PAGE_ITEMS.saturating_sub(page.items.len());
            if left == 0 {
                return Ok(ends_at(page, Place { done: 0, file }));
            }
            let delivery = self.delivery(&object).await?;
            let skip = if file == at.file { at.done } else { 0 };
            if skip == 0 && !delivery.problems.is_empty() {
                page.incidents += 1;
            }
            let items = delivery.items.iter().skip(skip).take(left);
            page.items.extend(items.map(|item| Listed { item: json!(item.item), archived_time: json!(file.written) }));
            if delivery.items.len().saturating_sub(skip) > left {
                return Ok(ends_at(page, Place { done: skip + left, file }));
            }
        }
        Ok(page)
    }

    fn overlap(&self) -> SignedDuration {
        LONGEST_UPLOAD
    }

    /// What is listed was copied before.
    fn is_live(&self) -> bool {
        false
    }

    async fn answer(&self, id: &ItemId) -> Result<Answer, SourceError> {
        let (facts, bytes) = self.mail(id).await?;
        let _memory = self.memory.acquire(bytes.len()).await;
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
        Ok(Answer::new(item.to_string().into_bytes())?)
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
            let _memory = self.memory.acquire(mail.len()).await;
            let wanted = attachment.id.clone();
            let decoded = tokio::task::spawn_blocking(move || eml_drop::attachment(&mail, &wanted)).await;
            let decoded =
                decoded.map_err(|_| SourceError::Unreadable("decoding the attachment panicked".to_owned()))?;
            decoded.ok_or(SourceError::AttachmentMissing)?.into()
        };
        if bytes.len() as u64 > limit {
            return Err(SourceError::TooLarge { limit });
        }
        let mut hashed = Hashed::new(sink);
        hashed.restart().await.map_err(|error| full(&error))?;
        hashed.take(bytes).await.map_err(|error| full(&error))?;
        hashed.finish(attachment.sha256)
    }
}

/// The page, which goes on at a place. The files come in the order in which they were written, so all that are older than
/// that place's are listed.
fn ends_at(mut page: Page, place: Place) -> Page {
    page.reached = Some(place.file.written);
    page.next = Some(place.write());
    page
}
