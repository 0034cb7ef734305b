//! Lists the items whose events were written in a window.

use aws::s3::{Store, StoreError};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use model::{Listed, Window, keys};
use serde_json::json;

use super::objects::{OBJECT_LIMIT, Received, read};
use crate::{Page, SourceError, inbox::PAGE_ITEMS, inbox::unavailable};

const CONCURRENT_READS: usize = 32;

/// Reason to end a listing.
enum Stop {
    /// The page is full, or the window ends.
    Enough,
    Failed(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// Returns one page of the window. The cursor is the last key of the previous page.
pub(super) async fn page(store: &Store, window: &Window, cursor: Option<&str>) -> Result<Page, SourceError> {
    let after = match cursor {
        Some(cursor) if cursor.starts_with(keys::RECEIVED) => cursor.to_owned(),
        Some(_) => return Err(SourceError::MalformedPage("the cursor was not written by this adapter".to_owned())),
        None => keys::received_minute(window.from),
    };
    let found = entries(store, window, &after).await?;
    let next = (found.len() == PAGE_ITEMS).then(|| found.last().cloned()).flatten();
    let reached = next.as_deref().and_then(minute);
    let read = stream::iter(found).map(|key| entry(store, window, key)).buffered(CONCURRENT_READS);
    let read: Vec<_> = read.try_collect().await?;
    Ok(Page { items: read.into_iter().flatten().collect(), next, reached, ..Page::default() })
}

/// Returns the keys of a page. Lists day by day, because the bucket contains years of keys.
async fn entries(store: &Store, window: &Window, after: &str) -> Result<Vec<String>, SourceError> {
    let mut found: Vec<String> = Vec::new();
    // The last minute may be in the window only in part: each of its entries is checked when it is read.
    let end = format!("{}/~", keys::received_minute(window.to));
    let first = minute(after).unwrap_or(window.from).max(window.from);
    for day in days(first, window.to) {
        let prefix = keys::received_day(day);
        let listed = store.list_after(&prefix, Some(after), |page| {
            let in_window = page.into_iter().map(|object| object.key).take_while(|key| *key < end);
            let before = found.len();
            found.extend(in_window);
            let stop = found.len() == before || found.len() >= PAGE_ITEMS;
            found.truncate(PAGE_ITEMS);
            async move { if stop { Err(Stop::Enough) } else { Ok(()) } }
        });
        match listed.await {
            Ok(()) | Err(Stop::Enough) => {}
            Err(Stop::Failed(error)) => return Err(unavailable(error)),
        }
        if found.len() == PAGE_ITEMS {
            break;
        }
    }
    Ok(found)
}

/// Returns a time on each day of a window.
pub(super) fn days(from: Timestamp, to: Timestamp) -> impl Iterator<Item = Timestamp> {
    std::iter::successors(Some(from), |day| Some(next_day(*day))).take_while(move |day| *day < to)
}

fn next_day(at: Timestamp) -> Timestamp {
    let date = at.to_zoned(TimeZone::UTC).date();
    let next = date.checked_add(1.day()).and_then(|next| next.to_zoned(TimeZone::UTC));
    next.map_or(Timestamp::MAX, |next| next.timestamp())
}

/// Returns the minute in a key. Everything before it was listed.
fn minute(key: &str) -> Option<Timestamp> {
    let mut parts = key.strip_prefix(keys::RECEIVED)?.split('/');
    let (day, minute) = (parts.next()?, parts.next()?);
    let (hour, minute) = minute.split_at_checked(2)?;
    format!("{day}T{hour}:{minute}:00Z").parse().ok()
}

async fn entry(store: &Store, window: &Window, key: String) -> Result<Option<Listed>, SourceError> {
    let Some(object) = store.get(&key, OBJECT_LIMIT).await.map_err(unavailable)? else { return Ok(None) };
    let received: Received = read(&key, &object.bytes)?;
    let is_in_window = (window.from..window.to).contains(&received.received);
    Ok(is_in_window.then(|| Listed { item: json!(received.item), archived_time: json!(received.received) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minute_of_a_key_is_read_as_it_was_written() {
        let at: Timestamp = "2026-11-27T23:59:58Z".parse().unwrap();
        let key = format!("{}/abc.json", keys::received_minute(at));
        assert_eq!(minute(&key), "2026-11-27T23:59:00Z".parse().ok());
        assert_eq!(next_day(at), "2026-11-28T00:00:00Z".parse().unwrap());
        for foreign in ["", "received/", "received/x/y", "inbox/2026-11-27/2359"] {
            assert_eq!(minute(foreign), None, "{foreign}");
        }
    }
}
