//! Reads the copies of an event.

use aws::s3::{Store, StoreError};
use cloud_api::{MAX_BODY_BYTES, StoredEvent, Variants};
use futures::{StreamExt, TryStreamExt, stream};
use model::{ItemId, keys};

use super::objects::read;
use crate::{SourceError, inbox::unavailable};

/// Maximum size of a copy: an event is part of a body, and the copy repeats some of its members.
pub(super) const COPY_LIMIT: u64 = 2 * MAX_BODY_BYTES as u64;

/// Maximum number of copies that are read. Meta, AWS and the history together write fewer.
const MAX_COPIES: usize = 32;
const CONCURRENT_READS: usize = 8;

/// Reads all copies of an event; `None` if there are none.
pub(super) async fn copies(store: &Store, id: &ItemId) -> Result<Option<Variants>, SourceError> {
    let mut keys = Vec::new();
    let prefix = keys::event_copies(&id.key());
    let listed = store.list(&prefix, |page| {
        keys.extend(page.into_iter().map(|object| object.key).take(MAX_COPIES.saturating_sub(keys.len())));
        async { Ok::<_, StoreError>(()) }
    });
    listed.await.map_err(unavailable)?;
    let copies = stream::iter(keys).map(|key| async move {
        let Some(object) = store.get(&key, COPY_LIMIT).await.map_err(unavailable)? else { return Ok(None) };
        read::<StoredEvent>(&key, &object.bytes).map(Some)
    });
    let copies: Vec<_> = copies.buffered(CONCURRENT_READS).try_collect().await?;
    Ok(Variants::new(copies.into_iter().flatten().collect()))
}
