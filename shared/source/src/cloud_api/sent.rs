//! Lists messages that were sent through the API and whose content was not received: the API does not echo them.

use std::collections::{BTreeMap, BTreeSet};

use aws::s3::{Store, StoreError};
use cloud_api::StatusWord;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use model::{ItemId, ItemKey, Window, keys};

use super::{
    listing::days,
    objects::{OBJECT_LIMIT, SentStatus, read},
};
use crate::{SourceError, inbox::unavailable};

const CONCURRENT_READS: usize = 16;

/// Maximum number of messages that are named.
const MAX_NAMED: usize = 1_000;

/// Messages that were sent and whose content was not received.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SentWithoutContent {
    /// The first 1,000 of them, ordered by key.
    pub messages: Vec<SentMessage>,
    /// Number of all such messages.
    pub count: u64,
}

/// A message that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMessage {
    /// WhatsApp's id. It contains a phone number and must not be logged.
    pub item: ItemId,
    /// Time at which the first status was received.
    pub received: Timestamp,
    /// `sent`, `delivered`, `read` …
    pub statuses: Vec<String>,
}

/// Lists messages that have a status on the days of a window, and neither an event nor an outcome in the bucket: an event
/// expires by `MimeDays` before a status that was received later, its outcome is kept longer. Failed messages were not sent
/// and are left out, and so are calls, which have events.
///
/// # Errors
/// [`SourceError::Unavailable`] and [`SourceError::Configuration`].
pub async fn sent_without_content(store: &Store, window: &Window) -> Result<SentWithoutContent, SourceError> {
    let mut sent: BTreeMap<ItemKey, BTreeSet<(String, String)>> = BTreeMap::new();
    for day in days(window.from, window.to) {
        let prefix = keys::statuses_day(day);
        let listed = store.list(&prefix, |page| {
            for object in page {
                if let Some((key, status)) = parsed(&object.key) {
                    sent.entry(key).or_default().insert((status, object.key));
                }
            }
            async { Ok::<_, StoreError>(()) }
        });
        listed.await.map_err(unavailable)?;
    }
    let was_sent = |statuses: &BTreeSet<(String, String)>| {
        statuses.iter().any(|(status, _)| status != StatusWord::Failed.as_str() && status != StatusWord::Call.as_str())
    };
    sent.retain(|_, statuses| was_sent(statuses));
    let without = stream::iter(sent).map(|(key, statuses)| async move {
        Ok::<_, SourceError>((!was_captured(store, &key).await?).then_some(statuses))
    });
    let without: Vec<_> =
        without.buffered(CONCURRENT_READS).try_filter_map(async |found| Ok(found)).try_collect().await?;
    let count = without.len() as u64;
    let named = stream::iter(without.into_iter().take(MAX_NAMED)).map(|statuses| named(store, statuses));
    let named: Vec<_> = named.buffered(CONCURRENT_READS).try_collect().await?;
    Ok(SentWithoutContent { messages: named.into_iter().flatten().collect(), count })
}

/// Splits a key into message and status.
fn parsed(key: &str) -> Option<(ItemKey, String)> {
    let (key, status) = key.rsplit('/').next()?.strip_suffix(".json")?.split_once('-')?;
    Some((key.to_owned().try_into().ok()?, status.to_owned()))
}

async fn was_captured(store: &Store, key: &ItemKey) -> Result<bool, SourceError> {
    let mut found = false;
    let prefix = keys::event_copies(key);
    let listed = store.list(&prefix, |page| {
        found |= !page.is_empty();
        async { Ok::<_, StoreError>(()) }
    });
    listed.await.map_err(unavailable)?;
    Ok(found || store.find_version(&keys::outcome(key)).await.map_err(unavailable)?.is_some())
}

async fn named(store: &Store, statuses: BTreeSet<(String, String)>) -> Result<Option<SentMessage>, SourceError> {
    let mut message: Option<SentMessage> = None;
    for (status, key) in statuses {
        let Some(object) = store.get(&key, OBJECT_LIMIT).await.map_err(unavailable)? else { continue };
        let SentStatus { item, received, .. } = read(&key, &object.bytes)?;
        let message = message.get_or_insert_with(|| SentMessage { item, received, statuses: Vec::new() });
        message.received = message.received.min(received);
        message.statuses.push(status);
    }
    Ok(message)
}
