//! Reads the fetched files of messages.

use aws::s3::{Store, Version};
use cloud_api::{CapturedFile, MediaReference, MissingFile, Variants};
use jiff::Timestamp;
use model::{Sha256, keys};

use super::{
    media::{Facts, facts},
    media_task::{FILE_WAIT, retry_after},
};
use crate::{
    Sink, SourceError,
    inbox::unavailable,
    sink::{Hashed, full},
};

/// Size of the pieces in which a file is read.
const PIECE_BYTES: u64 = 4 << 20;

fn key_of(media: &MediaReference) -> String {
    keys::media(media.phone_number_id.as_deref().unwrap_or_default(), &media.id)
}

/// Returns the state of a message's file. Each copy of the message may name the file by another id; any of them is
/// accepted. `None` if the message has no file.
///
/// # Errors
/// [`SourceError::StillCapturing`] while the file is being fetched.
pub(super) async fn file(
    store: &Store,
    variants: &Variants,
    now: Timestamp,
) -> Result<Option<CapturedFile>, SourceError> {
    let (mut missing, mut youngest) = (None, None);
    for (received, media) in variants.media() {
        match facts(store, &key_of(&media)).await? {
            // Under an id that another message has, too.
            Some(Facts::There { sha256, .. }) if media.sha256.is_some_and(|declared| declared != sha256) => {
                missing = missing.or(Some(MissingFile::Mismatch));
            }
            Some(Facts::There { bytes, sha256, other, .. }) => {
                return Ok(Some(CapturedFile::Stored { bytes, sha256, other }));
            }
            Some(Facts::Lost { why, .. }) => missing = missing.or(Some(why)),
            None => {
                youngest = youngest.max(Some(received));
                missing = missing.or(Some(MissingFile::NotFetched));
            }
        }
    }
    let age = youngest.map(|received| now.duration_since(received));
    if let Some(age) = age.filter(|age| *age < FILE_WAIT) {
        return Err(SourceError::StillCapturing { retry_after: retry_after(age) });
    }
    Ok(missing.map(CapturedFile::Missing))
}

/// Copies the bytes of the file with the wanted digest into a sink.
pub(super) async fn copy(
    store: &Store,
    variants: &Variants,
    wanted: Option<Sha256>,
    limit: u64,
    sink: &mut dyn Sink,
) -> Result<Sha256, SourceError> {
    for (_, media) in variants.media() {
        let Some(Facts::There { key, bytes, sha256, .. }) = facts(store, &key_of(&media)).await? else { continue };
        if wanted.is_some_and(|wanted| wanted != sha256) {
            continue;
        }
        if bytes > limit {
            return Err(SourceError::TooLarge { limit });
        }
        let version = store.find_version(&key).await.map_err(unavailable)?.ok_or(SourceError::AttachmentMissing)?;
        return pieces(store, &version, sha256, sink).await;
    }
    Err(SourceError::AttachmentMissing)
}

async fn pieces(store: &Store, version: &Version, sha256: Sha256, sink: &mut dyn Sink) -> Result<Sha256, SourceError> {
    let mut hashed = Hashed::new(sink);
    hashed.restart().await.map_err(|error| full(&error))?;
    let mut at = 0;
    while at < version.bytes() {
        let piece = store.read_piece(version, at..at + PIECE_BYTES).await.map_err(unavailable)?;
        at += PIECE_BYTES;
        hashed.take(piece).await.map_err(|error| full(&error))?;
    }
    hashed.finish(Some(sha256))
}
