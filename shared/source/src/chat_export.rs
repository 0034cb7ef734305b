//! Chat exports in the bucket's inbox: what a phone's "Export chat" writes, dropped into `inbox/<owner's e-mail>/`.
//!
//! A file is in the window by when it was written to the bucket. Its messages are listed with their own times as
//! archived times: an export says no other, and the same message must have the same outcome when the chat, grown by a
//! month, is exported and dropped again.

mod file;

use std::{collections::VecDeque, sync::Arc};

use ::chat_export::{AttachmentError, Export, ExportError, ExportFile, Settings, Summary, file_id, locate};
use async_trait::async_trait;
use aws::s3::{Changed, ETag, Store, StoreError};
use jiff::SignedDuration;
use model::{Answer, Attachment, ItemId, Listed, MailboxAddress, Sha256, Window, keys};
use serde_json::json;
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::{
    Page, Sink, Source, SourceError,
    inbox::{File, LONGEST_UPLOAD, PAGE_ITEMS, Place},
    sink::{Hashed, full},
};

use self::file::{key, owner_and_name};

/// The exports in a bucket.
pub struct ChatExports {
    store: Store,
    settings: Settings,
    /// The exports that were read last.
    read: Mutex<Kept>,
}

type Kept = VecDeque<Read>;

/// An export that was read, and by which versions it says what it says.
struct Read {
    file: File,
    etag: ETag,
    participants: Option<ETag>,
    export: Arc<Export>,
}

/// Why there is no export.
enum Unread {
    /// The file, or the table beside it, is not what it should be.
    Rejected(ExportError),
    Other(SourceError),
}

impl From<StoreError> for Unread {
    fn from(error: StoreError) -> Self {
        Self::Other(unavailable(error))
    }
}

impl ChatExports {
    /// A file is held whole while its messages are worked on. WhatsApp's own exports end far below.
    const FILE_LIMIT: u64 = 256 << 20;
    const PARTICIPANTS_LIMIT: u64 = 1 << 20;
    const KEPT: usize = 2;

    /// The exports in this bucket, read with these settings.
    pub fn new(store: Store, settings: Settings) -> Self {
        Self { store, settings, read: Mutex::default() }
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
    ) -> Result<Arc<Export>, Unread> {
        let object = self.store.get(key, Self::FILE_LIMIT).await?.ok_or(Unread::Other(SourceError::NotFound))?;
        let participants = self.store.get(&keys::participants(key), Self::PARTICIPANTS_LIMIT).await?;
        let (written, etag) = (object.last_modified, object.etag);
        let (table, participants) = participants.map(|object| (object.bytes, object.etag)).unzip();
        let (settings, owner, name) = (self.settings.clone(), owner.clone(), name.to_owned());
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
        kept.retain(|other| other.file.key != key);
        kept.push_front(Read { file, etag, participants, export: Arc::clone(&export) });
        kept.truncate(Self::KEPT);
        Ok(export)
    }

    /// Whether the export and the table of its participants still are what was read.
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

    /// The export that an item is from, as it is in the bucket now: who took part, and so whose mailboxes are meant, is
    /// asked of the bucket again for each item.
    async fn now(&self, id: &ItemId) -> Result<Arc<Export>, SourceError> {
        let (owner, name) = located(id)?;
        let key = key(&owner, &name);
        let mut kept = self.read.lock().await;
        if let Some(read) = kept.iter().find(|read| read.file.key == key)
            && self.is_current(read).await?
        {
            return Ok(Arc::clone(&read.export));
        }
        self.open(&mut kept, &key, &owner, &name).await.map_err(|unread| match unread {
            // Not a property of a message; all messages of the chat would become dead letters, so they wait until the table is fixed.
            Unread::Rejected(error @ ExportError::Participants { .. })
                if file_id(&owner, &name).as_ref() != Some(id) =>
            {
                SourceError::Configuration { detail: error.to_string() }
            }
            Unread::Rejected(error) => SourceError::Unreadable(error.to_string()),
            Unread::Other(error) => error,
        })
    }

    /// The export that has an item, as it was read: the id holds a hash of the message, and with it of the name of its
    /// file.
    async fn holding(&self, id: &ItemId) -> Result<Arc<Export>, SourceError> {
        let kept = self.read.lock().await;
        if let Some(read) = kept.iter().find(|read| read.export.item(id).is_some()) {
            return Ok(Arc::clone(&read.export));
        }
        drop(kept);
        self.now(id).await
    }
}

/// The file that an item is from.
fn located(id: &ItemId) -> Result<(MailboxAddress, String), SourceError> {
    if let Some(located) = locate(id) {
        return Ok(located);
    }
    if !id.as_str().starts_with(keys::INBOX) {
        return Err(SourceError::NotFound);
    }
    // A file whose messages have no ids.
    let advice = match owner_and_name(id.as_str()) {
        Ok(_) => "the file's name is too long: upload it under a shorter one, and remove it here",
        Err(advice) => advice,
    };
    Err(SourceError::Unreadable(advice.to_owned()))
}

#[async_trait]
impl Source for ChatExports {
    async fn list(&self, window: &Window, cursor: Option<&str>) -> Result<Page, SourceError> {
        let files = self.files(window).await?;
        let at = match cursor {
            Some(cursor) => Place::read(cursor)?,
            None => Place::default(),
        };
        let mut page = Page { items: Vec::new(), next: None, reached: None, source_time: None, incidents: 0 };
        for file in files.into_iter().filter(|file| *file >= at.file) {
            let skip = if file == at.file { at.done } else { 0 };
            let mut listed = 0;
            match self.entries(&file).await? {
                Entries::Messages(export) => {
                    for id in export.ids().skip(skip) {
                        if page.items.len() >= PAGE_ITEMS {
                            return Ok(ends_at(page, Place { done: skip + listed, file }));
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
                    if page.items.len() >= PAGE_ITEMS {
                        return Ok(ends_at(page, Place { done: 0, file }));
                    }
                    page.items.push(Listed { item: json!(id), archived_time: json!(file.written) });
                }
            }
        }
        Ok(page)
    }

    fn overlap(&self) -> SignedDuration {
        LONGEST_UPLOAD
    }

    /// An export never gets files that it does not have.
    fn is_live(&self) -> bool {
        false
    }

    async fn answer(&self, id: &ItemId) -> Result<Answer, SourceError> {
        let export = self.now(id).await?;
        let captured = export.item(id).ok_or(SourceError::NotFound)??;
        Ok(Answer::new(captured.evidence)?)
    }

    async fn copy_attachment(
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

/// Logs how an export was read, without its names: whose key it is, the log of the listing says.
fn report(summary: &Summary) {
    let (messages, order) = (summary.messages, summary.day_order);
    info!(messages, ?order, "chat export read");
    if order.is_ambiguous() {
        warn!(order = %order.order, "date order assumed: set EXPORT_DATE_ORDER if it is another");
    }
    if let Some(lines) = summary.suspicious() {
        let count = summary.suspicious_lines.len();
        warn!(count, lines, "lines look like the beginning of a message and were read as part of the message before");
    }
    if let Some(lines) = summary.out_of_order() {
        let count = summary.out_of_order_lines.len();
        warn!(count, lines, "messages are earlier than a message above them: they may be part of a pasted chat");
    }
    if !summary.unnamed_files.is_empty() {
        let count = summary.unnamed_files.len();
        warn!(count, "files in the zip are named by no message: each is filed as an item of its own");
    }
}

enum Entries {
    Messages(Arc<Export>),
    /// No export, or one that cannot be read: one entry stands for the file, and its dead letter says why.
    Unreadable(String),
}

impl ChatExports {
    async fn entries(&self, file: &File) -> Result<Entries, SourceError> {
        let (owner, name) = match owner_and_name(&file.key) {
            Ok(located) => located,
            Err(detail) => {
                warn!(detail, "a chat export cannot be read");
                return Ok(Entries::Unreadable(file.key_as_id()));
            }
        };
        let unreadable = || file_id(&owner, name).map_or_else(|| file.key_as_id(), String::from);
        let mut kept = self.read.lock().await;
        if let Some(read) = kept.iter().find(|read| read.file == *file) {
            return Ok(Entries::Messages(Arc::clone(&read.export)));
        }
        let detail = match self.open(&mut kept, &file.key, &owner, name).await {
            Ok(export) => return Ok(Entries::Messages(export)),
            Err(Unread::Rejected(error)) => error.to_string(),
            Err(Unread::Other(SourceError::Unreadable(detail))) => detail,
            Err(Unread::Other(SourceError::NotFound)) => "it was taken away after it was listed".to_owned(),
            Err(Unread::Other(error)) => return Err(error),
        };
        warn!(detail, "a chat export cannot be read");
        Ok(Entries::Unreadable(unreadable()))
    }
}

/// The page, which goes on at a place. The files come in the order in which they were written, so all that are older than
/// that place's are listed. The entries' own times say when the messages were, and that only as well as the configured
/// time zone is right.
fn ends_at(mut page: Page, place: Place) -> Page {
    page.reached = Some(place.file.written);
    page.next = Some(place.write());
    page
}

pub(crate) fn unavailable(error: StoreError) -> SourceError {
    match error {
        StoreError::Unavailable { .. } => SourceError::Unavailable { detail: error.to_string(), retry_after: None },
        StoreError::Configuration { .. } => SourceError::Configuration { detail: error.to_string() },
        StoreError::TooLarge { .. } => SourceError::Unreadable(error.to_string()),
    }
}
