//! Each version of a file of the inbox is read once, and its content is recorded: `deliveries/<hash of its key>.json`.

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use aws::s3::{Condition, Listed as Object, Put, Store, StoreError, Version};
use bytes::Bytes;
use eml_drop::{
    Entry, EntryKind, MAX_MAIL_BYTES, Manifest, Package, PackageError, Profile, digest_id, examine, item_id,
};
use futures::future::try_join_all;
use model::{DeliveredItem, Delivery, ItemId, Problem, keys};
use runtime::metrics::Metric;
use tokio::runtime::Handle;
use tracing::{error, info, warn};

use crate::{
    SourceError,
    inbox::{File, unavailable},
};

use super::{
    adapter::EmlDrop,
    captured::{Arrived, keep},
    pieces::Pieces,
};

/// Maximum number of mails that are copied concurrently.
const COPIES: usize = 16;
/// Maximum total size of mails that are copied concurrently.
const COPIES_BYTES: usize = 64 << 20;
/// The content of a file.
#[derive(Default)]
struct Found {
    items: Vec<DeliveredItem>,
    mails: u64,
    manifest_count: Option<u64>,
    problems: Vec<Problem>,
}

impl Found {
    /// Returns the delivery of a file that cannot be read: one item represents it, and its dead letter has the reason.
    fn unreadable(object: &Object, why: String) -> Self {
        let name = own_name(&object.key).to_owned();
        Self::nothing(object, Problem::Unreadable { name, why })
    }

    fn nothing(object: &Object, problem: Problem) -> Self {
        let item = DeliveredItem { item: File::from(object).key_as_id(), name: None, sha256: None };
        Self { items: vec![item], problems: vec![problem], ..Self::default() }
    }
}

/// A mail of a file.
struct Mail {
    name: Option<String>,
    id: ItemId,
    bytes: Bytes,
}

/// Returns the record of a file that was read earlier.
pub(super) async fn recorded(store: &Store, file: &str) -> Result<Option<Delivery>, SourceError> {
    let object = store.get(&keys::delivery(file), EmlDrop::RECORD_MAX_BYTES).await.map_err(unavailable)?;
    // A record of an unknown format is written again.
    Ok(object.and_then(|object| serde_json::from_slice(&object.bytes).ok()))
}

impl EmlDrop {
    /// Returns the content of a file: from its record, or read now.
    pub(super) async fn delivery(&self, object: &Object) -> Result<Delivery, SourceError> {
        let before = recorded(&self.store, &object.key).await?;
        let is_this = |before: &Delivery| before.etag == object.etag.as_str() && before.v == Delivery::VERSION;
        let before = match before {
            Some(before) if is_this(&before) => return Ok(before),
            before => before,
        };
        let extension = own_name(&object.key).rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        let found = match extension.as_deref() {
            Some("zip") => self.zip(object).await?,
            // SES stores mails without an extension.
            Some("eml") | None => self.single(object).await?,
            Some(_) => Found::unreadable(object, "the file is neither a .zip nor an .eml".to_owned()),
        };
        let delivery = Delivery {
            v: Delivery::VERSION,
            file: object.key.clone(),
            etag: object.etag.as_str().to_owned(),
            received: object.last_modified,
            manifest_count: found.manifest_count,
            mails: found.mails,
            items: found.items,
            problems: found.problems,
        };
        let key = keys::delivery(&object.key);
        // The incidents are written first: once the record exists, the file is not read again. A corrected file of the
        // same name closes the incident of the version before. Other mails under the same name do not.
        if !delivery.problems.is_empty() {
            self.write_incident(Delivery { items: Vec::new(), ..delivery.clone() }).await?;
        }
        if let Some(before) = before {
            if delivery.corrects(&before) {
                if !before.problems.is_empty() {
                    self.write_incident(Delivery { items: Vec::new(), problems: Vec::new(), ..before }).await?;
                }
            } else if before.mails > 0 {
                // The earlier version's mails that no run has listed are in no manifest: reconcile finds them by its record.
                self.write(&keys::replaced_delivery(&before.file, &before.etag), &before).await?;
                runtime::metrics::add(Metric::LossOrDouble, 1);
                warn!(
                    delivery = key,
                    "the file was replaced by other mails: a version that is replaced before fetch reads it is lost, so each file needs a new name"
                );
            }
        }
        self.write(&key, &delivery).await?;
        let (mails, problems) = (delivery.mails, delivery.problems.len());
        if problems == 0 {
            info!(delivery = key, mails, "delivery read");
        } else {
            error!(
                delivery = key,
                mails, problems, "delivery is incomplete or damaged: archiver reconcile names what is missing"
            );
        }
        Ok(delivery)
    }

    async fn write_incident(&self, incident: Delivery) -> Result<(), SourceError> {
        self.write(&keys::incident(&incident.file, &incident.etag), &incident).await
    }

    /// Writes the record. Two runs that read the same version of a file write the same record.
    async fn write(&self, key: &str, delivery: &Delivery) -> Result<(), SourceError> {
        let bytes = serde_json::to_vec(delivery).map_err(|_| SourceError::Configuration {
            detail: "the record of a delivery could not be serialized".to_owned(),
        })?;
        let put = Put { key, bytes: bytes.into(), content_type: "application/json", sha256: None };
        self.store.put(put, Condition::Always).await.map(drop).map_err(unavailable)
    }

    async fn single(&self, object: &Object) -> Result<Found, SourceError> {
        let read = match self.store.get(&object.key, MAX_MAIL_BYTES).await {
            Ok(Some(read)) => read,
            Ok(None) => return Ok(Found::unreadable(object, "the file was removed after it was listed".to_owned())),
            Err(StoreError::TooLarge { .. }) => {
                let why = format!("the mail has more than {MAX_MAIL_BYTES} bytes");
                return Ok(Found::unreadable(object, why));
            }
            Err(error) => return Err(unavailable(error)),
        };
        if read.bytes.is_empty() {
            return Ok(Found::nothing(object, Problem::Empty { name: own_name(&object.key).to_owned() }));
        }
        let (profile, bytes) = (self.profile.clone(), read.bytes.clone());
        let id = blocking(move || id_of(&bytes, &profile)).await?;
        let mut found = Found { mails: 1, ..Found::default() };
        self.keep(object, vec![Mail { name: None, id, bytes: read.bytes }], &mut found).await?;
        Ok(found)
    }

    async fn zip(&self, object: &Object) -> Result<Found, SourceError> {
        let reader = Pieces::new(self.store.clone(), Version::from(object), Handle::current());
        let opened = blocking(move || unless_panicked(|| Package::open(reader)).unwrap_or(Err(PackageError::Damaged)));
        let mut package = match opened.await? {
            Ok(package) => package,
            Err(PackageError::Io(detail)) => return Err(SourceError::Unavailable { detail, retry_after: None }),
            Err(error) => return Ok(Found::unreadable(object, error.to_string())),
        };
        let files: Vec<_> = package.names().map(|(name, kind)| (name.to_owned(), kind)).collect();
        let mut found = Found::default();
        let mut manifest: Option<Manifest> = None;
        let (mut entries, mut waiting, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (at, (name, kind)) in files.into_iter().enumerate() {
            let limit = match kind {
                EntryKind::Mail => MAX_MAIL_BYTES,
                EntryKind::Manifest => Manifest::MAX_BYTES,
                EntryKind::Other => {
                    others.push(Problem::Unreadable { name, why: "it is neither a mail nor a manifest".to_owned() });
                    continue;
                }
            };
            let profile = self.profile.clone();
            let read = move || {
                let read = unless_panicked(|| package.read(at, limit)).unwrap_or(Err(PackageError::DamagedEntry));
                let read = read.map(|bytes| {
                    let is_mail = kind == EntryKind::Mail && !bytes.is_empty();
                    let id = is_mail.then(|| id_of(&bytes, &profile));
                    (bytes, id)
                });
                (package, read)
            };
            let (back, read) = blocking(read).await?;
            package = back;
            match (kind, read) {
                (_, Err(PackageError::Io(detail))) => {
                    return Err(SourceError::Unavailable { detail, retry_after: None });
                }
                (EntryKind::Manifest, Ok((bytes, _))) => add(&mut manifest, Manifest::parse(&bytes)),
                (EntryKind::Manifest, Err(why)) => others.push(Problem::Unreadable { name, why: why.to_string() }),
                (_, Ok((bytes, Some(id)))) => {
                    entries.push(Entry::Read(name.clone()));
                    waiting.push(Mail { name: Some(name), id, bytes: bytes.into() });
                }
                (_, Ok((_, None))) => entries.push(Entry::Empty(name)),
                (_, Err(why)) => entries.push(Entry::Unreadable(name, why.to_string())),
            }
            let bytes: usize = waiting.iter().map(|mail| mail.bytes.len()).sum();
            if waiting.len() >= COPIES || bytes >= COPIES_BYTES {
                self.keep(object, std::mem::take(&mut waiting), &mut found).await?;
            }
        }
        self.keep(object, waiting, &mut found).await?;
        found.mails = entries.len() as u64;
        found.manifest_count = manifest.as_ref().and_then(|manifest| manifest.count);
        let taken = std::mem::take(&mut found.problems);
        found.problems = examine(manifest.as_ref(), self.profile.requires_manifest(), &entries);
        found.problems.extend(others.into_iter().chain(taken));
        Ok(found)
    }

    /// Copies mails and adds them to the found ones. Mails with the same id are copied one after the other, so that the
    /// network does not decide which of them keeps the id.
    async fn keep(&self, object: &Object, mut mails: Vec<Mail>, found: &mut Found) -> Result<(), SourceError> {
        while !mails.is_empty() {
            let mut ids = HashSet::new();
            let (now, later): (Vec<_>, Vec<_>) = mails.into_iter().partition(|mail| ids.insert(mail.id.clone()));
            mails = later;
            let copies = now.into_iter().map(|Mail { name, id, bytes }| async move {
                let (file, received) = (object.key.as_str(), object.last_modified);
                let arrived = Arrived { file, name: name.as_deref(), received, id, bytes };
                let kept = keep(&self.store, &self.profile, &self.memory, &arrived).await?;
                Ok::<_, SourceError>((name, kept))
            });
            for (name, kept) in try_join_all(copies).await? {
                if kept.id_was_taken {
                    let name = name.clone().unwrap_or_else(|| own_name(&object.key).to_owned());
                    found.problems.push(Problem::IdTaken { name });
                }
                found.items.push(DeliveredItem { item: kept.id.to_string(), name, sha256: Some(kept.sha256) });
            }
        }
        Ok(())
    }
}

/// Adds a manifest. A zip usually has one; if it has several, all count.
fn add(all: &mut Option<Manifest>, one: Manifest) {
    match all {
        None => *all = Some(one),
        Some(all) => {
            all.count = match (all.count, one.count) {
                (Some(all), Some(one)) => Some(all.saturating_add(one)),
                (all, one) => all.or(one),
            };
            all.names.extend(one.names);
        }
    }
}

fn own_name(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

/// Returns the id of a mail. A mail that makes its reader panic gets its digest as id, and convert makes a dead letter
/// of it, so that it does not stop the other mails.
fn id_of(bytes: &[u8], profile: &Profile) -> ItemId {
    unless_panicked(|| item_id(bytes, profile)).unwrap_or_else(|| digest_id(bytes))
}

fn unless_panicked<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, SourceError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| SourceError::Unavailable { detail: "reading a delivery panicked".to_owned(), retry_after: None })
}
