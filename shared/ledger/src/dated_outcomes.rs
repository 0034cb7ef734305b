//! Copies the outcomes of release 0.1, whose keys contain the date of the archived time, to the keys of this release.
//!
//! Until that is done, an item of release 0.1 that is listed again under another date has no outcome under any key that
//! the functions read, and is filed a second time.

use std::collections::BTreeMap;

use aws::s3::{Condition, Put, Store, StoreError, Written};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;
use model::{ItemKey, Outcome, keys};

use crate::stored_outcome::{OUTCOME_MAX_BYTES, ReadOutcomeError};

/// Maximum number of outcomes that are read and written concurrently.
const CONCURRENCY: usize = 16;

/// Result of the migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Migrated {
    /// Outcomes under dated keys.
    pub dated: u64,
    /// Items whose outcome is under this release's key now, written by this migration.
    pub migrated: u64,
    /// Items that had an outcome under this release's key before.
    pub kept: u64,
    /// Items with outcomes under several dates: they may have been filed more than once.
    pub several_dates: u64,
}

/// The dated keys of each item, in the order of their dates.
type DatedKeys = BTreeMap<ItemKey, Vec<String>>;

/// Copies each outcome of release 0.1. An outcome under this release's key is never changed, so the functions may run,
/// and a migration that was interrupted can be repeated. Holds about 200 bytes for each item in memory. `progress`
/// receives the number of processed items.
///
/// # Errors
/// [`ReadOutcomeError`].
pub async fn migrate_dated_outcomes(store: &Store, progress: impl Fn(u64)) -> Result<Migrated, ReadOutcomeError> {
    let dated = list(store).await?;
    let mut result = Migrated {
        dated: dated.values().map(|keys| keys.len() as u64).sum(),
        several_dates: dated.values().filter(|keys| keys.len() > 1).count() as u64,
        ..Migrated::default()
    };
    let migrate = |(key, dated): (&ItemKey, &Vec<String>)| {
        let (target, dated) = (keys::outcome(key), dated.clone());
        async move { migrate(store, &target, &dated).await }
    };
    let mut done = stream::iter(&dated).map(migrate).buffer_unordered(CONCURRENCY);
    while let Some(written) = done.try_next().await? {
        *if written { &mut result.migrated } else { &mut result.kept } += 1;
        progress(result.migrated + result.kept);
    }
    Ok(result)
}

async fn list(store: &Store) -> Result<DatedKeys, ReadOutcomeError> {
    let mut dated = DatedKeys::new();
    let keep = |page: Vec<aws::s3::Listed>| {
        for object in page {
            if let Some(item) = item_of(&object.key) {
                dated.entry(item).or_default().push(object.key);
            }
        }
        std::future::ready(Ok::<_, StoreError>(()))
    };
    store.list(keys::OUTCOMES, keep).await?;
    Ok(dated)
}

/// Returns the item of a key `outcomes/<date>/<key>.json`; `None` for a key of another form.
fn item_of(key: &str) -> Option<ItemKey> {
    let (date, name) = key.strip_prefix(keys::OUTCOMES)?.split_once('/')?;
    Date::strptime("%Y-%m-%d", date).ok()?;
    name.strip_suffix(".json")?.to_owned().try_into().ok()
}

/// Writes the outcome of one item. Returns `false` if the item has one under this release's key.
async fn migrate(store: &Store, target: &str, dated: &[String]) -> Result<bool, ReadOutcomeError> {
    let mut outcomes = Vec::new();
    for key in dated {
        let Some(object) = store.get(key, OUTCOME_MAX_BYTES).await? else { continue };
        let outcome =
            Outcome::parse(&object.bytes).map_err(|error| ReadOutcomeError::Unreadable { key: key.clone(), error })?;
        outcomes.push(outcome);
    }
    let Some(outcome) = merged(outcomes) else { return Ok(false) };
    let put = Put { key: target, bytes: outcome.to_json().into(), content_type: "application/json", sha256: None };
    Ok(matches!(store.put(put, Condition::Absent).await?, Written::Yes(_)))
}

/// Merges the outcomes of one item: the first complete one, otherwise the first, with the mailboxes of all of them.
/// import files no copy in a mailbox that is in the outcome.
fn merged(mut outcomes: Vec<Outcome>) -> Option<Outcome> {
    let first = outcomes.iter().position(Outcome::is_complete).unwrap_or_default();
    let mut merged = (first < outcomes.len()).then(|| outcomes.remove(first))?;
    for filed in outcomes.into_iter().flat_map(|outcome| outcome.mailboxes) {
        if merged.mailboxes.iter().all(|other| other.address != filed.address) {
            merged.failed.retain(|failed| failed.address != filed.address);
            merged.mailboxes.push(filed);
        }
    }
    Some(merged)
}

#[cfg(test)]
mod tests {
    use model::{FailedMailbox, FiledMailbox, FilingResult, Reason};

    use super::*;

    fn outcome(filed: &[&str], failed: &[&str]) -> Outcome {
        let mut outcome = Outcome::new("WA-1".parse().unwrap());
        outcome.mailboxes.extend(filed.iter().map(|address| FiledMailbox {
            id: None,
            primary: None,
            participants: Vec::new(),
            address: address.parse().unwrap(),
            result: FilingResult::Imported,
            message: "AAMk".to_owned(),
            at: "2026-11-22T07:00:00Z".parse().unwrap(),
        }));
        outcome.failed.extend(failed.iter().map(|address| FailedMailbox {
            address: address.parse().unwrap(),
            reason: Reason::MailboxFull,
            since: None,
            checks: 0,
            last_check: None,
        }));
        outcome
    }

    #[test]
    fn merged_outcome_has_the_mailboxes_of_every_date() {
        assert_eq!(merged(vec![]), None);
        let part = outcome(&["ada@example.com"], &["bob@example.com"]);
        assert_eq!(merged(vec![part.clone()]), Some(part.clone()));
        let other = outcome(&["bob@example.com", "ada@example.com"], &[]);
        assert_eq!(merged(vec![part.clone(), other.clone()]), Some(other.clone()), "the complete one");
        let none = outcome(&[], &["ada@example.com", "bob@example.com"]);
        let both = merged(vec![none, part]).unwrap();
        assert_eq!((both.mailboxes.len(), both.failed.len()), (1, 1), "Ada has a copy, Bob has none");
        assert_eq!(both.failed[0].address.as_str(), "bob@example.com");
    }

    #[test]
    fn only_keys_with_a_date_are_of_release_0_1() {
        let key = "0123456789abcdef0123456789abcdef";
        assert!(item_of(&format!("outcomes/2026-11-22/{key}.json")).is_some());
        for other in [
            format!("outcomes/{key}.json"),
            format!("outcomes/2026-11-32/{key}.json"),
            format!("outcomes/2026-11-22/{key}.txt"),
            "outcomes/2026-11-22/x.json".to_owned(),
            format!("mime/2026-11-22/{key}.json"),
        ] {
            assert_eq!(item_of(&other), None, "{other}");
        }
    }
}
