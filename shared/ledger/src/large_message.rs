//! Reads a stored message that is too large for memory: verifies its digest and reads its structure in one pass. Its
//! files are read again when they are filed.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use aws::s3::{Store, StoreError, Version};
use bytes::Bytes;
use model::{Failure, Hasher, Reason, Sha256};

use crate::error::store_failure;
use message::read::{LargeMime, Mime, Original, Outline, PIECE_BYTES, ReadError, SMALL_FILE_BYTES};

/// Reads the whole message once; `None` if it is missing.
pub(crate) async fn read(store: &Store, key: &str, sha256: Sha256, length: u64) -> Result<Option<Mime>, Failure> {
    let Some(version) = store.find_version(key).await.map_err(store_failure)? else { return Ok(None) };
    if version.bytes() != length {
        return Err(tampered());
    }
    let (mut hasher, mut outline) = (Hasher::default(), Ok(Outline::new(SMALL_FILE_BYTES)));
    let mut from = 0;
    while from < length {
        let piece = store.read_piece(&version, from..from.saturating_add(PIECE_BYTES)).await.map_err(store_failure)?;
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
    let original = Arc::new(VerifiedObject { store: store.clone(), version });
    Ok(Some(Mime::Large(Arc::new(LargeMime { original, length, outline: outline.into(), files }))))
}

/// Returns the failure of an item whose stored message has another digest.
pub(crate) fn tampered() -> Failure {
    Failure::Permanent {
        reason: Reason::ItemMalformed,
        detail: "the stored message is not the one that was rendered: its SHA-256 differs".to_owned(),
    }
}

/// The version of the object that was verified.
struct VerifiedObject {
    store: Store,
    version: Version,
}

#[async_trait]
impl Original for VerifiedObject {
    async fn read(&self, range: Range<u64>) -> Result<Bytes, ReadError> {
        self.store.read_piece(&self.version, range).await.map_err(|error| {
            let detail = error.to_string();
            match error {
                StoreError::Unavailable { .. } => ReadError::Unavailable(detail),
                StoreError::Configuration { .. } | StoreError::TooLarge { .. } => ReadError::Configuration(detail),
            }
        })
    }
}
