//! Chat exports in the bucket's inbox: the files that a phone's "Export chat" writes, uploaded to `inbox/<owner's
//! e-mail>/`.
//!
//! A file belongs to a window by the time of its upload to the bucket. Its messages are listed with their own times as
//! archived times: an export has no other time, and a message must have the same outcome if the chat, grown by a month,
//! is exported and uploaded again.

mod file;

use std::{collections::VecDeque, sync::Arc};

use ::chat_export::{AttachmentError, Export, ExportError, ExportFile, Settings, Summary, composed, file_id, locate};
use async_trait::async_trait;
use aws::s3::{Changed, ETag, Store, StoreError};
use jiff::SignedDuration;
use model::{Attachment, ItemId, ItemJson, Listed, MailboxAddress, Sha256, Window, keys};
use serde_json::json;
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::{
    Page, Sink, Source, SourceError,
    inbox::{self, File, MAX_UPLOAD, Place, unavailable},
    sink,
};

use self::file::{Upload, key};

/// Reads the exports in a bucket.
pub struct ChatExports {
    store: Store,
    settings: Settings,
    /// The exports that were read last.
    cache: Mutex<Cache>,
}

type Cache = VecDeque<Read>;

/// Number of a chat's oldest messages that show whether it was read before.
const OLDEST: usize = 20;

/// Maximum number of forms of a name that are tried. Computers write two.
const MAX_FORMS: usize = 4;

/// An export that was read, and the versions of the objects that it was read from.
struct Read {
    file: File,
    etag: ETag,
    participants: Option<ETag>,
    export: Arc<Export>,
}

/// Error of reading an export.
enum Unread {
    /// The file, or the table beside it, is invalid.
    Rejected(ExportError),
    Other(SourceError),
}

impl From<StoreError> for Unread {
    fn from(error: StoreError) -> Self {
        Self::Other(unavailable(error))
    }
}

impl ChatExports {
    /// Maximum size of a file, which is in memory while its messages are processed. WhatsApp's own exports are far
    /// smaller.
    const FILE_LIMIT: u64 = 256 << 20;
    const PARTICIPANTS_LIMIT: u64 = 1 << 20;
    const MAX_CACHED: usize = 2;

    /// Creates the adapter for this bucket and these settings.
    pub fn new(store: Store, settings: Settings) -> Self {
        Self { store, settings, cache: Mutex::default() }
    }

    /// Reads an export. `cache` is locked meanwhile, so that concurrent requests read it once.
    async fn open(&self, cache: &mut Cache, upload: &Upload<'_>) -> Result<Arc<Export>, Unread> {
        let key = upload.key;
        let object = self.store.get(key, Self::FILE_LIMIT).await?.ok_or(Unread::Other(SourceError::NotFound))?;
        let participants = self.store.get(&keys::participants(key), Self::PARTICIPANTS_LIMIT).await?;
        let (written, etag) = (object.last_modified, object.etag);
        let (table, participants) = participants.map(|object| (object.bytes, object.etag)).unzip();
        let (settings, owner, name) = (self.settings.clone(), upload.owner.clone(), upload.name.to_owned());
        let parse = move || {
            Export::read(ExportFile {
                owner: &owner,
                file_name: &name,
                bytes: object.bytes.into(),
                participants_csv: table.as_deref(),
                settings: &settings,
                archived_time: written,
            })
        };
        let parsed = tokio::task::spawn_blocking(parse).await;
        let export = parsed
            .map_err(|_| Unread::Other(SourceError::Unreadable("reading the export panicked".to_owned())))?
            .map_err(Unread::Rejected)?;
        let file = File { written, key: key.to_owned() };
        report(&export.summary());
        let export = Arc::new(export);
        cache.retain(|other| other.file.key != key);
        cache.push_front(Read { file, etag, participants, export: Arc::clone(&export) });
        cache.truncate(Self::MAX_CACHED);
        Ok(export)
    }

    /// Returns whether the export and its participants file are still the versions that were read.
    async fn is_current(&self, read: &Read) -> Result<bool, SourceError> {
        let participants = keys::participants(&read.file.key);
        let (export, participants) = tokio::try_join!(
            self.store.get_if_changed(&read.file.key, Some(&read.etag), Self::FILE_LIMIT),
            self.store.get_if_changed(&participants, read.participants.as_ref(), Self::PARTICIPANTS_LIMIT),
        )
        .map_err(unavailable)?;
        let same_people = match participants {
            Changed::No => true,
            Changed::Missing => read.participants.is_none(),
            Changed::Yes(_) => false,
        };
        Ok(same_people && matches!(export, Changed::No))
    }

    /// Returns the current export of an item. It is read again if the file or its participants file has changed,
    /// because the participants determine the mailboxes.
    async fn current(&self, id: &ItemId) -> Result<Arc<Export>, SourceError> {
        let (owner, name) = located(id)?;
        let key = key(&owner, &name);
        let mut cache = self.cache.lock().await;
        let upload = Upload { key: &key, owner, name: &name };
        let mut read = self.cached_or_open(&mut cache, &upload).await;
        let is_elsewhere = match &read {
            Ok(export) => export.item(id).is_none(),
            Err(Unread::Other(error)) => matches!(error, SourceError::NotFound),
            Err(Unread::Rejected(_)) => false,
        };
        if is_elsewhere {
            for other in self.other_forms(&key).await? {
                let Ok(other) = Upload::of(&other) else { continue };
                let found = self.cached_or_open(&mut cache, &other).await;
                let has_item = !matches!(&found, Ok(export) if export.item(id).is_none());
                if has_item || read.is_err() {
                    read = found;
                }
                if has_item {
                    break;
                }
            }
        }
        read.map_err(|unread| match unread {
            // Not an error of one message: all messages of the chat would become dead letters, so they wait until the
            // table is fixed.
            Unread::Rejected(error @ ExportError::Participants { .. })
                if file_id(&upload.owner, &name).as_ref() != Some(id) =>
            {
                SourceError::Configuration { detail: error.to_string() }
            }
            Unread::Rejected(error) => SourceError::Unreadable(error.to_string()),
            Unread::Other(error) => error,
        })
    }

    async fn cached_or_open(&self, cache: &mut Cache, upload: &Upload<'_>) -> Result<Arc<Export>, Unread> {
        if let Some(read) = cache.iter().find(|read| read.file.key == upload.key)
            && self.is_current(read).await.map_err(Unread::Other)?
        {
            return Ok(Arc::clone(&read.export));
        }
        self.open(cache, upload).await
    }

    /// Returns the other keys that are the same in Unicode's composed form: ids contain only that form.
    async fn other_forms(&self, key: &str) -> Result<Vec<String>, SourceError> {
        let same = composed(key);
        // The name of a folder below the owner's may be in another form, too.
        let owner = key.match_indices('/').nth(1).and_then(|(at, _)| key.get(..=at)).unwrap_or(keys::INBOX);
        let mut found = Vec::new();
        let list = self.store.list(owner, |page| {
            let others = page.into_iter().map(|object| object.key);
            found.extend(others.filter(|other| other != key && composed(other) == same).take(MAX_FORMS));
            async { Ok::<_, StoreError>(()) }
        });
        list.await.map_err(unavailable)?;
        found.truncate(MAX_FORMS);
        Ok(found)
    }

    /// Returns the cached export that contains an item, without a check for changes: the id contains a hash of the
    /// message.
    async fn cached(&self, id: &ItemId) -> Result<Arc<Export>, SourceError> {
        let cache = self.cache.lock().await;
        if let Some(read) = cache.iter().find(|read| read.export.item(id).is_some()) {
            return Ok(Arc::clone(&read.export));
        }
        drop(cache);
        self.current(id).await
    }
}

/// Returns the file that an item comes from.
fn located(id: &ItemId) -> Result<(MailboxAddress, String), SourceError> {
    if let Some(located) = locate(id) {
        return Ok(located);
    }
    if !id.as_str().starts_with(keys::INBOX) {
        return Err(SourceError::NotFound);
    }
    // A file whose messages have no ids.
    let advice = match Upload::of(id.as_str()) {
        Ok(_) => "the file's name is too long: upload it under a shorter name, and remove this one",
        Err(advice) => advice,
    };
    Err(SourceError::Unreadable(advice.to_owned()))
}

#[async_trait]
impl Source for ChatExports {
    async fn list(&self, window: &Window, cursor: Option<&str>) -> Result<Page, SourceError> {
        let files = inbox::files(&self.store, window, keys::PARTICIPANTS_SUFFIX).await?;
        let at = Place::of(cursor)?;
        let mut page = Page::default();
        for file in files.iter().map(File::from).filter(|file| *file >= at.file) {
            let skip = if file == at.file { at.done } else { 0 };
            let end = match self.entries(&file).await? {
                Entries::Messages(export) => {
                    let entries = export.ids().skip(skip).map(|id| {
                        let time = match export.item(id) {
                            Some(Ok(captured)) => captured.item.message_time,
                            // Convert requests it again and makes the dead letter.
                            Some(Err(_)) | None => file.written,
                        };
                        Listed { item: json!(id), archived_time: json!(time) }
                    });
                    let first = page.items.len();
                    let end = inbox::fill(&mut page, &file, skip, entries);
                    let listed = export.ids().skip(skip).zip(first..page.items.len());
                    let earlier = listed.filter_map(|(id, place)| Some((place, export.earlier_id(id)?)));
                    page.earlier_ids.extend(earlier);
                    if skip == 0 {
                        page.oldest.push(first..page.items.len().min(first + OLDEST));
                    }
                    end
                }
                Entries::Unreadable(id) => {
                    let entry = Listed { item: json!(id), archived_time: json!(file.written) };
                    inbox::fill(&mut page, &file, 0, std::iter::once(entry))
                }
            };
            if let Some(end) = end {
                return Ok(end.end(page));
            }
        }
        Ok(page)
    }

    fn overlap(&self) -> SignedDuration {
        MAX_UPLOAD
    }

    /// An export never changes after its upload.
    fn is_live(&self) -> bool {
        false
    }

    async fn item_json(&self, id: &ItemId) -> Result<ItemJson, SourceError> {
        let export = self.current(id).await?;
        let captured = export.item(id).ok_or(SourceError::NotFound)??;
        Ok(ItemJson::new(captured.evidence)?)
    }

    async fn copy_attachment(
        &self,
        id: &ItemId,
        attachment: &Attachment,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<Sha256, SourceError> {
        let export = self.cached(id).await?;
        let (id, attachment_id) = (id.clone(), attachment.id.clone());
        // Decompressed as a whole: its zip is in memory, too, and the memory limit allows for both.
        let inflated = tokio::task::spawn_blocking(move || export.attachment(&id, &attachment_id, limit)).await;
        let bytes = match inflated {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(AttachmentError::Missing)) => return Err(SourceError::AttachmentMissing),
            Ok(Err(AttachmentError::TooLarge { .. })) => return Err(SourceError::TooLarge { limit }),
            Ok(Err(error @ AttachmentError::Damaged)) => return Err(SourceError::Unreadable(error.to_string())),
            Err(_) => return Err(SourceError::Unreadable("inflating the attachment panicked".to_owned())),
        };
        sink::copy(bytes.into(), sink, attachment.sha256).await
    }
}

/// Logs how an export was read, without names. The log of the listing has its key.
fn report(summary: &Summary) {
    let (messages, order) = (summary.messages, summary.day_order);
    info!(messages, ?order, "chat export read");
    if order.is_ambiguous() {
        warn!(order = %order.order, "date order assumed: set EXPORT_DATE_ORDER if it is another");
    }
    if let Some(lines) = summary.suspicious() {
        let count = summary.suspicious_lines.len();
        warn!(
            count,
            lines, "lines that look like the beginning of a message were read as part of the previous message"
        );
    }
    if let Some(lines) = summary.out_of_order() {
        let count = summary.out_of_order_lines.len();
        warn!(count, lines, "messages are earlier than a message above them: they may be part of a pasted chat");
    }
    if !summary.unnamed_files.is_empty() {
        let count = summary.unnamed_files.len();
        warn!(count, "files in the zip are not named by any message: each is filed as a separate item");
    }
}

enum Entries {
    Messages(Arc<Export>),
    /// A missing or unreadable export: one entry represents the file, and its dead letter has the reason.
    Unreadable(String),
}

impl ChatExports {
    async fn entries(&self, file: &File) -> Result<Entries, SourceError> {
        let upload = match Upload::of(&file.key) {
            Ok(upload) => upload,
            Err(detail) => {
                warn!(detail, "unreadable chat export");
                return Ok(Entries::Unreadable(file.key_as_id()));
            }
        };
        let unreadable = || file_id(&upload.owner, upload.name).map_or_else(|| file.key_as_id(), String::from);
        let mut cache = self.cache.lock().await;
        if let Some(read) = cache.iter().find(|read| read.file == *file) {
            return Ok(Entries::Messages(Arc::clone(&read.export)));
        }
        let detail = match self.open(&mut cache, &upload).await {
            Ok(export) => return Ok(Entries::Messages(export)),
            Err(Unread::Rejected(error)) => error.to_string(),
            Err(Unread::Other(SourceError::Unreadable(detail))) => detail,
            Err(Unread::Other(SourceError::NotFound)) => "the file was removed after it was listed".to_owned(),
            Err(Unread::Other(error)) => return Err(error),
        };
        warn!(detail, "unreadable chat export");
        Ok(Entries::Unreadable(unreadable()))
    }
}
