//! Writes bodies and events of webhooks. All writes are idempotent: a webhook may be repeated, and may come from Meta
//! and from AWS.

use aws::s3::{Condition, Put, Store, Written};
use cloud_api::{
    Completeness, Event, EventKind, HistoryEntry, MAX_BODY_BYTES, Origin, StatusWord, StoredEvent, late_id,
};
use jiff::Timestamp;
use model::{
    ItemId, Sha256, UnrecognizedValue,
    keys::{self, ProcessedPart},
};
use serde::Serialize;

use super::{
    copies::{COPY_LIMIT, copies},
    objects::{Awaited, History, OBJECT_LIMIT, Processed, Received, SentStatus, VERSION, read, write},
};
use crate::{SourceError, inbox::unavailable};

/// Writes bodies and events of webhooks into the bucket.
#[derive(Clone)]
pub struct Capture {
    store: Store,
}

impl Capture {
    /// Creates a writer for this bucket.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Stores a raw body. Call it before parsing the body.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] or [`SourceError::Configuration`]: the webhook must not be confirmed.
    pub async fn raw(&self, body: &[u8], received: Timestamp) -> Result<Sha256, SourceError> {
        let sha256 = Sha256::of(body);
        let key = keys::webhook_body(received, &sha256);
        let bytes = bytes::Bytes::copy_from_slice(body);
        let put = Put { key: &key, bytes, content_type: "application/json", sha256: Some(sha256) };
        self.store.put(put, Condition::Absent).await.map_err(unavailable)?;
        Ok(sha256)
    }

    /// Reads a stored raw body; `None` if it has been deleted.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] or [`SourceError::Configuration`].
    pub async fn body(&self, received: Timestamp, sha256: &Sha256) -> Result<Option<bytes::Bytes>, SourceError> {
        let object =
            self.store.get(&keys::webhook_body(received, sha256), MAX_BODY_BYTES as u64).await.map_err(unavailable)?;
        Ok(object.map(|object| object.bytes))
    }

    /// Stores an event: the copy and then the entry that fetch lists, a status, or a record that a value was not recognized.
    /// Other events are in the raw body only.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] or [`SourceError::Configuration`]: the webhook's task must be retried.
    pub async fn event(&self, event: &Event, origin: &Origin) -> Result<(), SourceError> {
        match event.kind {
            EventKind::Item(completeness) => self.item(event, completeness, origin).await,
            EventKind::Status(status) => self.status(event, status, origin).await,
            EventKind::Unreadable => {
                let record = UnrecognizedValue { v: VERSION, received: origin.received, body: origin.body };
                self.create(&keys::unrecognized(origin.received, &event.id.key()), &record).await
            }
            EventKind::Account(_) | EventKind::Contact | EventKind::Unknown => Ok(()),
        }
    }

    /// Records that a chunk of the history of a phone was received, or that WhatsApp sends none. The record of the first
    /// webhook is kept.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] or [`SourceError::Configuration`]: the webhook's task must be retried.
    pub async fn history(&self, entry: &HistoryEntry, received: Timestamp, body: Sha256) -> Result<(), SourceError> {
        let HistoryEntry { phone_number_id, record } = entry;
        let object = History { v: VERSION, phone_number_id: phone_number_id.clone(), received, body };
        self.create(&keys::history(phone_number_id, record), &object).await
    }

    /// Records that the events of a part of a body are written. Without this record `archiver reconcile` reports the body.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] or [`SourceError::Configuration`]: the webhook's task must be retried.
    pub async fn processed(&self, received: Timestamp, part: &ProcessedPart) -> Result<(), SourceError> {
        self.create(&keys::processed(received, part), &Processed { v: VERSION }).await
    }

    async fn item(&self, event: &Event, completeness: Completeness, origin: &Origin) -> Result<(), SourceError> {
        let id = match completeness {
            Completeness::Complete => self.id_of_complete(&event.id, origin.written).await?,
            Completeness::Placeholder | Completeness::Unsupported => {
                let until = origin.written + completeness.wait();
                self.create(&keys::event_awaited(&event.id.key()), &Awaited { v: VERSION, until }).await?;
                event.id.clone()
            }
        };
        let copy = StoredEvent::write(&event.json, origin);
        let copy = copy
            .ok_or_else(|| SourceError::Configuration { detail: "internal error: an event is not JSON".to_owned() })?;
        let key = keys::event_copy(&id.key(), &Sha256::of(&event.json));
        if self.put(&key, copy).await? == Written::Conflict {
            // The copy was stored by an earlier attempt, which may have ended before it wrote the entry. fetch may have
            // listed that time already, so a missing entry is written with the current time.
            let first = self.store.get(&key, COPY_LIMIT).await.map_err(unavailable)?;
            let first = first.and_then(|object| StoredEvent::read(&object.bytes));
            if let Some(first) = first {
                let entry = keys::received(first.written, &id.key());
                if self.store.find_version(&entry).await.map_err(unavailable)?.is_some() {
                    return Ok(());
                }
            }
        }
        let entry = Received { v: VERSION, item: id.clone(), received: origin.written };
        self.create(&keys::received(origin.written, &id.key()), &entry).await
    }

    /// Returns the id for a complete copy: the message's id, or the late id if the message was filed without content, or
    /// may be filed before the copy is stored.
    async fn id_of_complete(&self, id: &ItemId, written: Timestamp) -> Result<ItemId, SourceError> {
        let key = keys::event_awaited(&id.key());
        let Some(awaited) = self.store.get(&key, OBJECT_LIMIT).await.map_err(unavailable)? else {
            return Ok(id.clone());
        };
        let awaited: Awaited = read(&key, &awaited.bytes)?;
        if written + Completeness::LATE_MARGIN < awaited.until {
            return Ok(id.clone());
        }
        let copies = copies(&self.store, id).await?;
        let is_filed_complete = copies.is_some_and(|copies| copies.completeness() == Completeness::Complete);
        Ok(if is_filed_complete { id.clone() } else { late_id(id) })
    }

    async fn status(&self, event: &Event, status: StatusWord, origin: &Origin) -> Result<(), SourceError> {
        let sent = SentStatus {
            v: VERSION,
            item: event.id.clone(),
            status: status.as_str().to_owned(),
            received: origin.received,
            body: origin.body,
        };
        self.create(&keys::status(origin.received, &event.id.key(), status.as_str()), &sent).await
    }

    async fn create<T: Serialize>(&self, key: &str, object: &T) -> Result<(), SourceError> {
        self.put(key, write(object)?).await.map(drop)
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<Written, SourceError> {
        let put = Put { key, bytes: bytes.into(), content_type: "application/json", sha256: None };
        self.store.put(put, Condition::Absent).await.map_err(unavailable)
    }
}
