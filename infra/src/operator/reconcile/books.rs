//! The comparison itself.
//!
//! Work goes on while it is made, so the order matters: first each outcome; then, for those that are not filed, whether
//! the queues are empty; then the letters; then their outcomes again. What was on a queue when an outcome was read first
//! is decided when it is read again, or the queues were not seen empty.

use std::collections::{BTreeMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};
use item::{DeadLettered, ItemKey, Listed, Outcome, RunId, Sha256};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use serde::Serialize;
use serde_json::Value;
use store::{Store, StoreError, keys};

use super::letters::{Waiting, discarded};
use crate::{
    accounts::{self, AT_ONCE, Account, AccountError, account},
    operator::{
        connection::Connection,
        dead_letters::{Letters, LettersError},
    },
};

/// Which items, and how closely.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// Runs that began then or later.
    pub from: Timestamp,
    /// Runs that began before.
    pub to: Timestamp,
    /// Whether the stored messages are read and their SHA-256 compared.
    pub deep: bool,
    /// How long after a page of a manifest was written its items may not be on the queue yet: `fetch` writes first and
    /// queues then, so as long as it may run. Zero where no `fetch` can be running.
    pub queueing: SignedDuration,
}

/// What the comparison came to. Each item counts once, in however many runs it was listed.
#[derive(Debug, Default, Serialize)]
pub struct Reconciled {
    /// Runs that were looked at.
    pub runs: u64,
    /// Items that they listed.
    pub items: u64,
    /// Filed in every mailbox that they belong in.
    pub filed: u64,
    /// Dead letters that are in the queue, by reason; `none` where SQS itself moved the task there.
    pub waiting: BTreeMap<String, u64>,
    /// Letters that an operator has discarded; the bucket has their copies.
    pub discarded: u64,
    /// Not decided yet: work goes on.
    pub undecided: u64,
    /// Nowhere.
    pub missing: Vec<Missing>,
    /// Stored messages that are gone or are not what was rendered; only where asked for.
    pub damaged: Vec<Damaged>,
    /// Pages that are gone from a manifest, so that nobody knows what they listed.
    pub lost_pages: Vec<String>,
}

/// An item that is nowhere.
#[derive(Debug, Clone, Serialize)]
pub struct Missing {
    /// Its id, as the source wrote it.
    pub item: Value,
    /// What logs and objects call it.
    pub key: String,
    /// The first run that listed it.
    pub run: RunId,
    /// When the archive received it, as the source wrote it.
    pub archived_time: Value,
    /// What is known of it.
    pub why: Why,
}

/// What is known of a missing item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// It has no outcome.
    NoOutcome,
    /// Its outcome says that it is a dead letter, and there is no such letter.
    LetterGone,
    /// Its outcome says that it is not filed everywhere, and nobody works on it.
    Unfinished,
}

/// An item whose stored message is not what its outcome says.
#[derive(Debug, Clone, Serialize)]
pub struct Damaged {
    /// The message's key in the bucket.
    pub mime: String,
    /// Whether it is gone; else its SHA-256 or its length differs.
    pub gone: bool,
}

/// Why the comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Manifests and outcomes.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The bucket.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The queues.
    #[error(transparent)]
    Queue(#[from] LettersError),
}

/// 128 bits of the SHA-256 of an item's id: what its key is made of, in half the bytes and without an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ItemHash([u8; 16]);

impl ItemHash {
    /// Of an id as it stands in a manifest or a task, valid or not.
    pub(super) fn of(item: &Value) -> Self {
        let hash = match item {
            Value::String(id) => Sha256::of(id.as_bytes()),
            other => Sha256::of(other.to_string().as_bytes()),
        };
        let mut short = [0; 16];
        short.copy_from_slice(&hash.as_bytes()[..16]);
        Self(short)
    }

    /// Of a valid id, by its key.
    pub(super) fn from_key(key: &ItemKey) -> Option<Self> {
        u128::from_str_radix(key.as_str(), 16).ok().map(|bits| Self(bits.to_be_bytes()))
    }

    fn hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// An item that was not filed when its outcome was read first.
struct Open {
    run: RunId,
    listed: Listed,
    /// Whether `fetch` may not have queued it yet.
    recent: bool,
}

/// A page of a manifest.
struct Page {
    run: RunId,
    number: u32,
    written: Timestamp,
}

/// How many stored messages are read at once; each may have some 14 MB.
const MESSAGES_AT_ONCE: usize = 3;

/// The largest message that is read.
const MESSAGE_LIMIT: u64 = 256 << 20;

impl Reconciled {
    /// Compares the manifests with outcomes and dead letters, and changes nothing. `progress` is told how many items were
    /// looked at. Beside the items that are not filed it keeps 16 bytes an item in memory.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub async fn of(connection: &Connection, scope: Scope, progress: impl Fn(u64)) -> Result<Self, ReconcileError> {
        let store = &connection.store;
        let mut books = Self::default();
        let mut seen = HashSet::new();
        let mut open = Vec::new();
        for page in books.pages(store, scope).await? {
            let mut listed = accounts::page(store, &page.run, page.number).await?.unwrap_or_default();
            listed.retain(|listed| seen.insert(ItemHash::of(&listed.item)));
            books.items += listed.len() as u64;
            let recent = page.written + scope.queueing > Timestamp::now();
            let run = &page.run;
            let read =
                |listed: Listed| async move { Ok::<_, AccountError>((account(store, run, &listed).await?, listed)) };
            let mut accounts = stream::iter(listed).map(read).buffer_unordered(AT_ONCE);
            let mut filed = Vec::new();
            while let Some((account, listed)) = accounts.try_next().await? {
                match account {
                    Account::Outcome(outcome) if outcome.is_complete() => filed.push(*outcome),
                    _ => open.push(Open { run: run.clone(), listed, recent }),
                }
            }
            books.file(store, filed, scope.deep).await?;
            progress(books.items);
        }
        if !open.is_empty() {
            books.decide(connection, open, scope.deep).await?;
        }
        Ok(books)
    }

    /// Whether every item is where it should be, as far as that is decided.
    pub fn is_sound(&self) -> bool {
        self.missing.is_empty() && self.damaged.is_empty() && self.lost_pages.is_empty()
    }

    /// The pages of the runs in question, in order, gaps noted.
    async fn pages(&mut self, store: &Store, scope: Scope) -> Result<Vec<Page>, StoreError> {
        let mut pages: Vec<Page> = Vec::new();
        let keep = |listed: Vec<store::Listed>| {
            let page = |listed: store::Listed| page_of(&listed.key, listed.last_modified);
            let within = |page: &Page| began(&page.run).is_none_or(|at| scope.from <= at && at < scope.to);
            pages.extend(listed.into_iter().filter_map(page).filter(within));
            std::future::ready(Ok::<_, StoreError>(()))
        };
        store.list(keys::RUNS, keep).await?;
        for (index, page) in pages.iter().enumerate() {
            let before =
                index.checked_sub(1).and_then(|index| pages.get(index)).filter(|before| before.run == page.run);
            self.runs += u64::from(before.is_none());
            let expected = before.map_or(1, |before| before.number + 1);
            self.lost_pages.extend((expected..page.number).map(|number| keys::manifest(&page.run, number)));
        }
        Ok(pages)
    }

    /// Counts filed items, and looks at their messages where that is asked for.
    async fn file(&mut self, store: &Store, filed: Vec<Outcome>, deep: bool) -> Result<(), StoreError> {
        self.filed += filed.len() as u64;
        if !deep {
            return Ok(());
        }
        let mut looked = stream::iter(filed).map(|outcome| damage(store, outcome)).buffer_unordered(MESSAGES_AT_ONCE);
        while let Some(damage) = looked.try_next().await? {
            self.damaged.extend(damage);
        }
        Ok(())
    }

    async fn decide(&mut self, connection: &Connection, open: Vec<Open>, deep: bool) -> Result<(), ReconcileError> {
        let queues = Letters::of(connection);
        // In the order of the work: what leaves the first is on the second before.
        let mut busy = false;
        for url in [&connection.queues.convert, &connection.queues.import] {
            busy |= queues.depth(url).await?.iter().any(|count| *count > 0);
        }
        let letters = Waiting::read(connection).await?;
        let store = &connection.store;
        let discarded = discarded(store).await?;
        let again = |open: Open| async move {
            let account = account(store, &open.run, &open.listed).await?;
            Ok::<_, AccountError>((open, account))
        };
        let mut accounts = stream::iter(open).map(again).buffered(AT_ONCE);
        while let Some((open, account)) = accounts.try_next().await? {
            let outcome = match account {
                Account::Outcome(outcome) if outcome.is_complete() => {
                    self.file(store, vec![*outcome], deep).await?;
                    continue;
                }
                Account::Outcome(outcome) => Some(outcome),
                Account::Nothing | Account::NoTask => None,
            };
            let hash = ItemHash::of(&open.listed.item);
            let letter = outcome.as_ref().and_then(|outcome| outcome.dead_letter);
            if letters.items.contains(&hash) {
                *self.waiting.entry(reason(letter, &open)).or_default() += 1;
                continue;
            }
            let claimed = outcome.as_ref().and_then(|outcome| outcome.claim.as_ref());
            let worked_on = claimed.is_some_and(|claim| claim.until > Timestamp::now());
            if busy || worked_on || open.recent || !letters.whole {
                self.undecided += 1;
                continue;
            }
            if discarded.contains(&hash) {
                self.discarded += 1;
                continue;
            }
            let why = match (outcome, letter) {
                (None, _) => Why::NoOutcome,
                (Some(_), Some(_)) => Why::LetterGone,
                (Some(_), None) => Why::Unfinished,
            };
            let Open { run, listed, .. } = open;
            let key = hash.hex();
            self.missing.push(Missing { item: listed.item, key, run, archived_time: listed.archived_time, why });
        }
        Ok(())
    }
}

/// Why a letter waits. An entry that is no task has no outcome that could say so.
fn reason(letter: Option<DeadLettered>, open: &Open) -> String {
    match letter {
        Some(letter) => letter.reason.to_string(),
        None if accounts::outcome_key(&open.run, &open.listed).is_none() => item::Reason::TaskMalformed.to_string(),
        None => "none".to_owned(),
    }
}

/// `runs/<run>/items-<n>.ndjson`; what else lies there is not ours.
fn page_of(key: &str, written: Timestamp) -> Option<Page> {
    let (run, page) = key.strip_prefix(keys::RUNS)?.split_once('/')?;
    let run: RunId = run.parse().ok()?;
    let number = page.strip_prefix("items-")?.strip_suffix(".ndjson")?.parse().ok()?;
    (keys::manifest(&run, number) == key).then_some(Page { run, number, written })
}

/// When a run began, which its id begins with.
fn began(run: &RunId) -> Option<Timestamp> {
    let (second, _) = run.as_str().split_once('-')?;
    DateTime::strptime("%Y%m%dT%H%M%SZ", second).ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// What is wrong with the stored message of a filed item, if anything is.
async fn damage(store: &Store, outcome: Outcome) -> Result<Option<Damaged>, StoreError> {
    let (Some(mime), Some(sha256)) = (outcome.mime, outcome.sha256) else { return Ok(None) };
    match store.get(&mime, outcome.bytes.unwrap_or(MESSAGE_LIMIT)).await {
        Ok(Some(object)) if Sha256::of(&object.bytes) == sha256 => Ok(None),
        Ok(Some(_)) | Err(StoreError::TooLarge { .. }) => Ok(Some(Damaged { mime, gone: false })),
        Ok(None) => Ok(Some(Damaged { mime, gone: true })),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_placed_by_its_id_and_foreign_objects_are_not_pages() {
        let at: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        let page = page_of("runs/20261122T070000Z-daily-0badcafe/items-000012.ndjson", at).unwrap();
        assert_eq!((page.number, began(&page.run)), (12, Some(at)));
        for key in
            ["runs/readme.txt", "runs/r/items-1.ndjson", "runs/r/items-000001.ndjson.bak", "runs//items-000001.ndjson"]
        {
            assert!(page_of(key, at).is_none(), "{key}");
        }
        assert_eq!(began(&"r".parse().unwrap()), None);
    }

    #[test]
    fn an_items_hash_is_its_key() {
        let id: item::ItemId = "WA-1/ø".parse().unwrap();
        let hash = ItemHash::of(&Value::from("WA-1/ø"));
        assert_eq!(hash.hex(), id.key().as_str());
        assert_eq!(ItemHash::from_key(&id.key()), Some(hash));
    }
}
