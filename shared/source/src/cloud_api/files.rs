//! Reads the fetched files of messages.

use aws::s3::{Store, Version};
use cloud_api::{CapturedFile, MediaReference, MissingFile, Variants};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use model::{Sha256, keys};

use super::{
    media::{Facts, facts},
    media_task::{FILE_WAIT, retry_after, wait_begins},
};
use crate::{
    Sink, SourceError,
    inbox::unavailable,
    sink::{Hashed, full},
};

/// Size of the pieces in which a file is read.
const PIECE_BYTES: u64 = 4 << 20;
const CONCURRENT_READS: usize = 8;

fn key_of(media: &MediaReference) -> String {
    keys::media(media.phone_number_id.as_deref().unwrap_or_default(), &media.id)
}

/// Returns the states of a message's files.
///
/// # Errors
/// [`SourceError::StillCapturing`] while a file is being fetched.
pub(super) async fn files(
    store: &Store,
    variants: &Variants,
    now: Timestamp,
) -> Result<Vec<CapturedFile>, SourceError> {
    let begin = wait_begins(variants.all().iter().map(|stored| stored.received).collect());
    let age = begin.map_or(SignedDuration::MAX, |begin| now.duration_since(begin));
    let state = |copies: Vec<_>| async move { file(store, &copies, age).await };
    stream::iter(variants.media()).map(state).buffered(CONCURRENT_READS).try_collect().await
}

/// Returns the state of one file. Each copy of the message may name the file by another id; any of them is accepted. `age` is
/// the time for which the item has waited.
async fn file(store: &Store, copies: &[MediaReference], age: SignedDuration) -> Result<CapturedFile, SourceError> {
    let (mut missing, mut is_pending) = (None, false);
    for media in copies {
        match facts(store, &key_of(media)).await? {
            // Under an id that another message has, too.
            Some(Facts::There { sha256, .. }) if media.sha256.is_some_and(|declared| declared != sha256) => {
                missing = missing.or(Some(MissingFile::Mismatch));
            }
            Some(Facts::There { bytes, sha256, other, .. }) => {
                return Ok(CapturedFile::Stored { bytes, sha256, other });
            }
            Some(Facts::Lost { why, .. }) => missing = missing.or(Some(why)),
            None => {
                is_pending = true;
                missing = missing.or(Some(MissingFile::NotFetched));
            }
        }
    }
    if is_pending && age < FILE_WAIT {
        return Err(SourceError::StillCapturing { retry_after: retry_after(age) });
    }
    Ok(CapturedFile::Missing(missing.unwrap_or(MissingFile::NotFetched)))
}

/// Copies the bytes of the file at this place, with the wanted digest, into a sink.
pub(super) async fn copy(
    store: &Store,
    variants: &Variants,
    place: usize,
    wanted: Option<Sha256>,
    limit: u64,
    sink: &mut dyn Sink,
) -> Result<Sha256, SourceError> {
    for media in variants.media().get(place).into_iter().flatten() {
        let Some(Facts::There { key, bytes, sha256, .. }) = facts(store, &key_of(media)).await? else { continue };
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
