//! The copies of vendors' mails: `captured/<key>.eml`, and with each one `captured/<key>.json`, which describes its
//! delivery.

use std::collections::VecDeque;

use aws::s3::{Condition, Put, Store, Written};
use bytes::Bytes;
use eml_drop::{MAX_MAIL_BYTES, Profile, digest_id};
use jiff::Timestamp;
use model::{ItemId, Sha256, keys};
use runtime::MemoryBudget;
use serde::{Deserialize, Serialize};

use crate::{SourceError, inbox::unavailable};

/// The first delivery of a mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    /// Version of the format: 1.
    v: u32,
    /// The item's id.
    item: String,
    /// The file in the inbox.
    pub(super) file: String,
    /// The name of the mail in the zip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// Time of the upload of the file.
    pub(super) received: Timestamp,
    /// The digest of the copy.
    pub(super) sha256: Sha256,
}

/// A mail that was delivered.
pub(super) struct Arrived<'a> {
    pub(super) file: &'a str,
    pub(super) name: Option<&'a str>,
    pub(super) received: Timestamp,
    pub(super) id: ItemId,
    pub(super) bytes: Bytes,
}

/// The result of a delivered mail.
pub(super) struct Kept {
    pub(super) id: ItemId,
    pub(super) sha256: Sha256,
    /// Another message had its id already.
    pub(super) id_was_taken: bool,
}

const FACTS_LIMIT: u64 = 64 << 10;

/// Copies a mail unless a copy exists. The first copy is kept: it is the evidence. A mail with the id of another
/// message gets its digest as its id, so that neither is lost.
pub(super) async fn keep(
    store: &Store,
    profile: &Profile,
    memory: &MemoryBudget,
    mail: &Arrived<'_>,
) -> Result<Kept, SourceError> {
    let sha256 = Sha256::of(&mail.bytes);
    let own = digest_id(&mail.bytes);
    for (id, id_was_taken) in [(&mail.id, false), (&own, true)] {
        let Some(kept) = copy(store, profile, memory, id, mail, sha256).await? else { continue };
        let facts = Facts {
            v: 1,
            item: id.to_string(),
            file: mail.file.to_owned(),
            name: mail.name.map(str::to_owned),
            received: mail.received,
            sha256: kept,
        };
        let bytes = serde_json::to_vec(&facts).map_err(|_| unwritable())?;
        let key = keys::captured_facts(&id.key());
        let put = Put { key: &key, bytes: bytes.into(), content_type: "application/json", sha256: None };
        store.put(put, Condition::Absent).await.map_err(unavailable)?;
        return Ok(Kept { id: id.clone(), sha256, id_was_taken });
    }
    let detail =
        format!("{} is not the mail with that digest: restore an earlier version", keys::captured_mail(&own.key()));
    Err(SourceError::Configuration { detail })
}

/// Returns the digest of the copy under an id; `None` if the copy is another message.
async fn copy(
    store: &Store,
    profile: &Profile,
    memory: &MemoryBudget,
    id: &ItemId,
    mail: &Arrived<'_>,
    sha256: Sha256,
) -> Result<Option<Sha256>, SourceError> {
    let key = keys::captured_mail(&id.key());
    let put = Put { key: &key, bytes: mail.bytes.clone(), content_type: "message/rfc822", sha256: Some(sha256) };
    if let Written::Yes(_) = store.put(put, Condition::Absent).await.map_err(unavailable)? {
        return Ok(Some(sha256));
    }
    let kept = store.read_digest(&key).await.map_err(unavailable)?;
    if kept.is_some_and(|(kept, _)| kept == sha256) {
        return Ok(Some(sha256));
    }
    // Both are parsed, one after the other. A copy of unknown length counts as one of the largest.
    let kept_bytes = kept.and_then(|(_, bytes)| usize::try_from(bytes).ok()).unwrap_or(MAX_MAIL_BYTES as usize);
    let _memory = memory.acquire(parsed_bytes(mail.bytes.len().saturating_add(kept_bytes))).await;
    let there = store.get(&key, MAX_MAIL_BYTES).await.map_err(unavailable)?;
    let there = there.ok_or_else(|| SourceError::Unavailable {
        detail: format!("{key} existed and has been deleted"),
        retry_after: None,
    })?;
    let (profile, bytes, other) = (profile.clone(), mail.bytes.clone(), there.bytes.clone());
    let same = tokio::task::spawn_blocking(move || eml_drop::has_same_content(&bytes, &other, &profile)).await;
    Ok(same.unwrap_or(false).then(|| Sha256::of(&there.bytes)))
}

fn unwritable() -> SourceError {
    SourceError::Configuration { detail: "the record of a mail could not be serialized".to_owned() }
}

/// Returns the delivery of an item's mail; `None` if there was none.
pub(super) async fn facts(store: &Store, id: &ItemId) -> Result<Option<Facts>, SourceError> {
    let key = keys::captured_facts(&id.key());
    let Some(object) = store.get(&key, FACTS_LIMIT).await.map_err(unavailable)? else { return Ok(None) };
    let facts = serde_json::from_slice(&object.bytes);
    facts.map(Some).map_err(|_| SourceError::Configuration {
        detail: format!("{key} was not written by fetch: restore an earlier version of the object"),
    })
}

/// Returns the copy, checked against its digest.
pub(super) async fn mail(store: &Store, id: &ItemId, facts: &Facts) -> Result<Bytes, SourceError> {
    let key = keys::captured_mail(&id.key());
    let object = store.get(&key, MAX_MAIL_BYTES).await.map_err(unavailable)?.ok_or(SourceError::NotFound)?;
    if Sha256::of(&object.bytes) == facts.sha256 {
        Ok(object.bytes)
    } else {
        let detail = format!("{key} is not the mail that was delivered: restore an earlier version of the object");
        Err(SourceError::Unreadable(detail))
    }
}

/// The mails that were read last: after an item, each of its files is requested.
#[derive(Default)]
pub(super) struct RecentMails(VecDeque<(ItemId, Facts, Bytes)>);

impl RecentMails {
    const MAX_BYTES: usize = 128 << 20;
    const MAX_MAILS: usize = 32;

    pub(super) fn get(&self, id: &ItemId) -> Option<(Facts, Bytes)> {
        let (_, facts, bytes) = self.0.iter().find(|(known, ..)| known == id)?;
        Some((facts.clone(), bytes.clone()))
    }

    pub(super) fn keep(&mut self, id: &ItemId, facts: &Facts, bytes: &Bytes) {
        self.0.retain(|(known, ..)| known != id);
        self.0.push_front((id.clone(), facts.clone(), bytes.clone()));
        self.0.truncate(Self::MAX_MAILS);
        let mut total = 0;
        // The last one is kept, whatever its size.
        self.0.retain(|(known, _, bytes)| {
            total += bytes.len();
            total <= Self::MAX_BYTES || known == id
        });
    }
}

/// Memory for mails that are parsed at the same time: a third of the function's.
pub(super) const MEMORY_KIB: u32 = 1 << 20;

/// Returns the memory of a parsed mail of this size and one of its files.
pub(super) fn parsed_bytes(mail: usize) -> u64 {
    (mail as u64).saturating_mul(3)
}
