//! Chat exports in the bucket's inbox: what a phone's "Export chat" writes, dropped into `inbox/<owner's e-mail>/`.
//!
//! A file is in the window by when it was written to the bucket. Its messages are listed with their own times as
//! archived times: an export says no other, and the same message must have the same outcome when the chat, grown by a
//! month, is exported and dropped again.

use std::{collections::VecDeque, sync::Arc};

use ::chat_export::{AttachmentError, Export, ExportFile, file_id, locate};
use async_trait::async_trait;
use item::{Answer, Attachment, ItemId, Listed, MailboxAddress, Sha256, Window};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;
use store::{Object, Store, StoreError, keys};
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::{
    Page, Sink, Source, SourceError,
    sink::{Hashed, full},
};

/// The exports in a bucket.
pub struct ChatExports {
    store: Store,
    zone: TimeZone,
    /// The exports that were read last. An id holds a hash of its message, so an export that has the id is never stale
    /// for it.
    read: Mutex<Kept>,
}

type Kept = VecDeque<Read>;

/// An export that was read.
struct Read {
    file: File,
    export: Arc<Export>,
}

impl ChatExports {
    /// A file is held whole while its messages are worked on. WhatsApp's own exports end far below.
    const FILE_LIMIT: u64 = 256 << 20;
    const PARTICIPANTS_LIMIT: u64 = 1 << 20;
    const PAGE_ITEMS: usize = 1000;
    const KEPT: usize = 2;

    /// The exports in this bucket, from phones in this time zone.
    pub fn new(store: Store, zone: TimeZone) -> Self {
        Self { store, zone, read: Mutex::default() }
    }

    async fn files(&self, window: &Window) -> Result<Vec<File>, SourceError> {
        let mut files = Vec::new();
        let list = self.store.list(keys::INBOX, |page| {
            let exports = page.into_iter().filter(|object| {
                let aside = object.key.ends_with('/') || object.key.ends_with(keys::PARTICIPANTS);
                !aside && (window.from..window.to).contains(&object.last_modified)
            });
            files.extend(exports.map(|object| File { written: object.last_modified, key: object.key }));
            async { Ok::<_, StoreError>(()) }
        });
        list.await.map_err(unavailable)?;
        files.sort();
        Ok(files)
    }

    /// The export, read now; `kept` is locked meanwhile, so that of many messages that need it one reads it.
    async fn open(
        &self,
        kept: &mut Kept,
        key: &str,
        owner: &MailboxAddress,
        name: &str,
    ) -> Result<Arc<Export>, SourceError> {
        let read = |object: Option<Object>| object.ok_or(SourceError::NotFound);
        let object = read(self.store.get(key, Self::FILE_LIMIT).await.map_err(unavailable)?)?;
        let participants = keys::participants(key);
        let participants = self.store.get(&participants, Self::PARTICIPANTS_LIMIT).await.map_err(unavailable)?;
        let written = object.last_modified;
        let (zone, owner, name) = (self.zone.clone(), owner.clone(), name.to_owned());
        let parse = move || {
            Export::read(ExportFile {
                owner: &owner,
                file_name: &name,
                bytes: object.bytes.into(),
                participants_csv: participants.as_ref().map(|object| object.bytes.as_ref()),
                zone: &zone,
                archived_time: written,
            })
        };
        let parsed = tokio::task::spawn_blocking(parse).await;
        let export = parsed
            .map_err(|_| SourceError::Unreadable("reading the export panicked".to_owned()))?
            .map_err(|error| SourceError::Unreadable(error.to_string()))?;
        let file = File { written, key: key.to_owned() };
        let order = export.day_order();
        info!(?order, foreign_headers = export.foreign_headers(), "a chat export was read");
        let export = Arc::new(export);
        kept.retain(|other| other.file.key != key);
        kept.push_front(Read { file, export: Arc::clone(&export) });
        kept.truncate(Self::KEPT);
        Ok(export)
    }

    async fn holding(&self, id: &ItemId) -> Result<Arc<Export>, SourceError> {
        let (owner, name) = locate(id).ok_or(SourceError::NotFound)?;
        let key = format!("{}{owner}/{name}", keys::INBOX);
        let mut kept = self.read.lock().await;
        if let Some(read) = kept.iter().find(|read| read.file.key == key && read.export.item(id).is_some()) {
            return Ok(Arc::clone(&read.export));
        }
        self.open(&mut kept, &key, &owner, &name).await
    }
}

#[async_trait]
impl Source for ChatExports {
    async fn list(&self, window: &Window, cursor: Option<&str>) -> Result<Page, SourceError> {
        let files = self.files(window).await?;
        let at = match cursor {
            Some(cursor) => Place::read(cursor)?,
            None => Place::default(),
        };
        let mut page = Page { items: Vec::new(), next: None };
        for file in files.into_iter().filter(|file| *file >= at.file) {
            let skip = if file == at.file { at.done } else { 0 };
            let mut listed = 0;
            match self.entries(&file).await? {
                Entries::Messages(export) => {
                    for id in export.ids().skip(skip) {
                        if page.items.len() >= Self::PAGE_ITEMS {
                            page.next = Some(Place { done: skip + listed, file }.write());
                            return Ok(page);
                        }
                        let time = match export.item(id) {
                            Some(Ok(captured)) => captured.item.message_time,
                            // Convert asks for it again and makes the dead letter.
                            Some(Err(_)) | None => file.written,
                        };
                        page.items.push(Listed { item: json!(id), archived_time: json!(time) });
                        listed += 1;
                    }
                }
                Entries::Unreadable(id) => {
                    if page.items.len() >= Self::PAGE_ITEMS {
                        page.next = Some(Place { done: 0, file }.write());
                        return Ok(page);
                    }
                    page.items.push(Listed { item: json!(id), archived_time: json!(file.written) });
                }
            }
        }
        Ok(page)
    }

    /// By when the files were written; the entries say when the messages were, and that only as well as the configured
    /// time zone is right.
    fn lists_by_archived_time(&self) -> bool {
        false
    }

    async fn answer(&self, id: &ItemId) -> Result<Answer, SourceError> {
        let export = self.holding(id).await?;
        let captured = export.item(id).ok_or(SourceError::NotFound)??;
        Ok(Answer::new(captured.evidence)?)
    }

    async fn pour(
        &self,
        id: &ItemId,
        attachment: &Attachment,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<Sha256, SourceError> {
        let export = self.holding(id).await?;
        let (id, attachment_id) = (id.clone(), attachment.id.clone());
        // Whole: the zip that it comes from is in memory too, and the function has room for both.
        let inflated = tokio::task::spawn_blocking(move || export.attachment(&id, &attachment_id, limit)).await;
        let bytes = match inflated {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(AttachmentError::Missing)) => return Err(SourceError::AttachmentMissing),
            Ok(Err(AttachmentError::TooLarge { .. })) => return Err(SourceError::TooLarge { limit }),
            Ok(Err(error @ AttachmentError::Damaged)) => return Err(SourceError::Unreadable(error.to_string())),
            Err(_) => return Err(SourceError::Unreadable("inflating the attachment panicked".to_owned())),
        };
        let mut hashed = Hashed::new(sink);
        hashed.restart().await.map_err(|error| full(&error))?;
        hashed.take(bytes.into()).await.map_err(|error| full(&error))?;
        hashed.finish(attachment.sha256)
    }
}

enum Entries {
    Messages(Arc<Export>),
    /// No export, or one that cannot be read: one entry stands for the file, and its dead letter says why.
    Unreadable(String),
}

impl ChatExports {
    async fn entries(&self, file: &File) -> Result<Entries, SourceError> {
        let path = file.key.strip_prefix(keys::INBOX).unwrap_or(&file.key);
        let located =
            path.split_once('/').and_then(|(owner, name)| Some((owner.parse::<MailboxAddress>().ok()?, name)));
        let Some((owner, name)) = located else {
            warn!("a file in the inbox does not lie in a folder that is named by an e-mail address");
            return Ok(Entries::Unreadable(file.key_as_id()));
        };
        let mut kept = self.read.lock().await;
        if let Some(read) = kept.iter().find(|read| read.file == *file) {
            return Ok(Entries::Messages(Arc::clone(&read.export)));
        }
        match self.open(&mut kept, &file.key, &owner, name).await {
            Ok(export) => Ok(Entries::Messages(export)),
            Err(SourceError::Unreadable(detail)) => {
                warn!(detail, "a chat export cannot be read");
                Ok(Entries::Unreadable(file.id(&owner, name)))
            }
            // It was taken away between the listing and the reading.
            Err(SourceError::NotFound) => Ok(Entries::Unreadable(file.id(&owner, name))),
            Err(error) => Err(error),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct File {
    written: Timestamp,
    key: String,
}

impl File {
    /// What stands for the file where its messages cannot be read.
    fn id(&self, owner: &MailboxAddress, name: &str) -> String {
        file_id(owner, name).map_or_else(|| self.key_as_id(), String::from)
    }

    /// No such item will be found, and the dead letter says which file it was.
    fn key_as_id(&self) -> String {
        self.key.chars().take(ItemId::MAX_CHARS).collect()
    }
}

/// Where a page ended.
struct Place {
    file: File,
    /// How many of the file's messages were listed.
    done: usize,
}

impl Default for Place {
    fn default() -> Self {
        Self { file: File { written: Timestamp::MIN, key: String::new() }, done: 0 }
    }
}

impl Place {
    fn write(&self) -> String {
        format!("{} {} {}", self.file.written.as_second(), self.done, self.file.key)
    }

    fn read(cursor: &str) -> Result<Self, SourceError> {
        let mut parts = cursor.splitn(3, ' ');
        let mut part = || parts.next().ok_or_else(|| SourceError::MalformedPage("the cursor is not ours".to_owned()));
        let bad = |_| SourceError::MalformedPage("the cursor is not ours".to_owned());
        let written = part()?.parse().map_err(bad)?;
        let done = part()?.parse().map_err(bad)?;
        let key = part()?.to_owned();
        let written = Timestamp::from_second(written)
            .map_err(|_| SourceError::MalformedPage("the cursor is not ours".to_owned()))?;
        Ok(Self { file: File { written, key }, done })
    }
}

fn unavailable(error: StoreError) -> SourceError {
    match error {
        StoreError::Unavailable { .. } => SourceError::Unavailable { detail: error.to_string(), retry_after: None },
        StoreError::Refused { .. } => SourceError::Setup { detail: error.to_string() },
        StoreError::TooLarge { .. } => SourceError::Unreadable(error.to_string()),
    }
}
