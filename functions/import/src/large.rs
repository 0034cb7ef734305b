//! A stored message that is too large for memory: checked and told apart in one reading, and read again by whoever files
//! it.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use batch::Failure;
use bytes::Bytes;
use item::{Hasher, Reason, Sha256};
use store::{Store, StoreError, Version};

use crate::{
    failure::{from_store, permanent},
    mailbox::{LargeMime, MailboxError, Mime, Original, Outline, PIECE, SMALL},
};

/// A message up to this length is held in memory: an item of 10 MB and its evidence.
pub(crate) const WHOLE: u64 = 16 << 20;

/// Reads it through once. `None`: it is not there.
pub(crate) async fn read(store: &Store, key: &str, sha256: Sha256, length: u64) -> Result<Option<Mime>, Failure> {
    let Some(version) = store.version(key).await.map_err(from_store)? else { return Ok(None) };
    if version.bytes() != length {
        return Err(tampered());
    }
    let (mut hasher, mut outline) = (Hasher::default(), Ok(Outline::new(SMALL)));
    let mut from = 0;
    while from < length {
        let piece = store.piece(&version, from..from.saturating_add(PIECE)).await.map_err(from_store)?;
        from += piece.len() as u64;
        hasher.update(&piece);
        outline = outline.and_then(|mut outline| outline.push(&piece).map(|()| outline));
    }
    if hasher.finish() != sha256 {
        return Err(tampered());
    }
    let (outline, files) = outline
        .and_then(Outline::finish)
        .map_err(|error| Failure::Permanent { reason: Reason::ItemMalformed, detail: error.to_string() })?;
    let original = Arc::new(Stored { store: store.clone(), version });
    Ok(Some(Mime::Large(Arc::new(LargeMime { original, length, outline: outline.into(), files }))))
}

pub(crate) fn tampered() -> Failure {
    permanent(Reason::ItemMalformed, "the stored message is not the one that was rendered: its SHA-256 differs")
}

/// The version of the object that was checked.
struct Stored {
    store: Store,
    version: Version,
}

#[async_trait]
impl Original for Stored {
    async fn read(&self, range: Range<u64>) -> Result<Bytes, MailboxError> {
        self.store.piece(&self.version, range).await.map_err(|error| {
            let detail = error.to_string();
            match error {
                StoreError::Unavailable { .. } => MailboxError::Unavailable { detail, retry_after: None },
                StoreError::Refused { .. } | StoreError::TooLarge { .. } => MailboxError::Setup { detail },
            }
        })
    }
}
