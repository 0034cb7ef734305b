//! The comparison itself.
//!
//! Work goes on while it is made, so the order matters: first each outcome; then, for those that are not filed, whether
//! the queues are empty; then the letters; then their outcomes again. What was on a queue when an outcome was read first
//! is decided when it is read again, or the queues were not seen empty.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use futures::{StreamExt, TryStreamExt, stream};
use item::{DeadLettered, ItemKey, Listed, Outcome, RunId, Sha256};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;
use store::{Store, StoreError};

use super::{
    letters::{Waiting, discarded},
    runs::Runs,
};
use crate::{
    accounts::{self, AT_ONCE, Account, AccountError, account},
    operator::{
        connection::Connection,
        dead_letters::{Letters, LettersError},
    },
    tally::{Place, Told, copies},
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
    /// How long after a page of a manifest was written its items may not be on the queue yet, where the run does not say
    /// that it has ended: `fetch` writes first and queues then, so as long as it may run. Zero where no `fetch` can be
    /// running.
    pub queueing: SignedDuration,
}

/// The longest that `fetch` runs, Lambda's own limit.
pub const FETCH: SignedDuration = SignedDuration::from_mins(15);

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
    /// Runs whose manifest does not list what they say they have queued, though no page is gone.
    pub short: Vec<Short>,
}

/// A run whose manifest is not what it wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Short {
    /// Which.
    pub run: RunId,
    /// How many items it says that it has queued.
    pub queued: u64,
    /// How many its manifest lists.
    pub listed: u64,
}

/// An item that is nowhere.
#[derive(Debug, Clone, Serialize)]
pub struct Missing {
    /// Its id and its archived time, as the source wrote them.
    #[serde(flatten)]
    pub listed: Listed,
    /// What logs and objects call it.
    pub key: String,
    /// The first run that listed it.
    pub run: RunId,
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

/// How many stored messages are read at once; each may have some 14 MB.
const MESSAGES_AT_ONCE: usize = 3;

/// The largest message that is read.
const MESSAGE_LIMIT: u64 = 256 << 20;

impl Reconciled {
    /// Compares the manifests with outcomes and dead letters, and changes nothing. `progress` is told how many items were
    /// looked at. Beside the items that are not filed it keeps some 40 bytes an item in memory.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub async fn of(connection: &Connection, scope: Scope, progress: impl Fn(u64)) -> Result<Self, ReconcileError> {
        let runs = Runs::between(&connection.store, scope.from, scope.to).await?;
        Self::of_runs(connection, &runs, scope, progress, |_| {}).await
    }

    /// The same for runs that were looked up before. `tell` is told every entry of their manifests once, with its place;
    /// entries that are not filed come last.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub async fn of_runs(
        connection: &Connection,
        runs: &Runs,
        scope: Scope,
        progress: impl Fn(u64),
        mut tell: impl FnMut(&Told<'_>),
    ) -> Result<Self, ReconcileError> {
        let store = &connection.store;
        let mut books = Self { runs: runs.runs.len() as u64, lost_pages: runs.lost_pages(), ..Self::default() };
        let mut seen = Seen::default();
        let mut open = Vec::new();
        for run in &runs.runs {
            let id = &run.id;
            let mut lines = 0;
            for page in &run.pages {
                let listed = accounts::page(store, id, page.number).await?.unwrap_or_default();
                lines += listed.len() as u64;
                let (first, again): (Vec<_>, Vec<_>) = listed.into_iter().partition(|listed| seen.is_new(listed));
                books.items += first.len() as u64;
                let recent = !run.has_ended() && page.written + scope.queueing > Timestamp::now();
                let read =
                    |listed: Listed| async move { Ok::<_, AccountError>((account(store, id, &listed).await?, listed)) };
                let mut accounts = stream::iter(first).map(read).buffer_unordered(AT_ONCE);
                let mut filed = Vec::new();
                while let Some((account, listed)) = accounts.try_next().await? {
                    match account {
                        Account::Outcome(outcome) if outcome.is_complete() => {
                            seen.count(&listed, copies(Some(&outcome)));
                            tell(&Told { run: id, listed: &listed, outcome: Some(&outcome), place: Place::Filed });
                            filed.push(*outcome);
                        }
                        _ => open.push(Open { run: id.clone(), listed, recent }),
                    }
                }
                books.file(store, filed, scope.deep).await?;
                for listed in &again {
                    let place = Place::Again(seen.copies(listed));
                    tell(&Told { run: id, listed, outcome: None, place });
                }
                progress(books.items);
            }
            books.short.extend(run.short(lines));
        }
        if !open.is_empty() {
            books.decide(connection, open, scope.deep, tell).await?;
        }
        Ok(books)
    }

    /// Whether every item is where it should be, as far as that is decided.
    pub fn is_sound(&self) -> bool {
        self.missing.is_empty() && self.damaged.is_empty() && self.lost_pages.is_empty() && self.short.is_empty()
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

    async fn decide(
        &mut self,
        connection: &Connection,
        open: Vec<Open>,
        deep: bool,
        mut tell: impl FnMut(&Told<'_>),
    ) -> Result<(), ReconcileError> {
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
                Account::Outcome(outcome) => Some(*outcome),
                Account::Nothing | Account::NoTask => None,
            };
            let hash = ItemHash::of(&open.listed.item);
            let letter = outcome.as_ref().and_then(|outcome| outcome.dead_letter);
            let claimed = outcome.as_ref().and_then(|outcome| outcome.claim.as_ref());
            let worked_on = claimed.is_some_and(|claim| claim.until > Timestamp::now());
            let Open { run, listed, recent } = open;
            let place = if outcome.as_ref().is_some_and(Outcome::is_complete) {
                Place::Filed
            } else if letters.items.contains(&hash) {
                Place::Waiting(reason(letter, &run, &listed))
            } else if busy || worked_on || recent || !letters.whole {
                Place::InFlight
            } else if discarded.contains(&hash) {
                Place::Discarded(reason(letter, &run, &listed))
            } else {
                Place::Missing
            };
            tell(&Told { run: &run, listed: &listed, outcome: outcome.as_ref(), place });
            match place {
                Place::Filed | Place::Again(_) => self.file(store, outcome.into_iter().collect(), deep).await?,
                Place::Waiting(reason) => {
                    let reason = reason.map_or("none", item::Reason::as_str);
                    *self.waiting.entry(reason.to_owned()).or_default() += 1;
                }
                Place::Discarded(_) => self.discarded += 1,
                Place::InFlight => self.undecided += 1,
                Place::Missing => {
                    let why = match (outcome, letter) {
                        (None, _) => Why::NoOutcome,
                        (Some(_), Some(_)) => Why::LetterGone,
                        (Some(_), None) => Why::Unfinished,
                    };
                    self.missing.push(Missing { listed, key: hash.hex(), run, why });
                }
            }
        }
        Ok(())
    }
}

/// The items that were looked at, and how many copies each makes: as they are found, one until then.
#[derive(Default)]
struct Seen(HashMap<ItemHash, u32>);

impl Seen {
    fn is_new(&mut self, listed: &Listed) -> bool {
        match self.0.entry(ItemHash::of(&listed.item)) {
            Entry::Vacant(entry) => {
                entry.insert(1);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    fn count(&mut self, listed: &Listed, copies: u64) {
        self.0.insert(ItemHash::of(&listed.item), u32::try_from(copies).unwrap_or(u32::MAX));
    }

    fn copies(&self, listed: &Listed) -> u64 {
        self.0.get(&ItemHash::of(&listed.item)).map_or(1, |copies| u64::from(*copies))
    }
}

/// Why a letter waits. An entry that is no task has no outcome that could say so; what SQS moved has no reason.
fn reason(letter: Option<DeadLettered>, run: &RunId, listed: &Listed) -> Option<item::Reason> {
    match letter {
        Some(letter) => Some(letter.reason),
        None => accounts::outcome_key(run, listed).is_none().then_some(item::Reason::TaskMalformed),
    }
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
    fn an_items_hash_is_its_key() {
        let id: item::ItemId = "WA-1/ø".parse().unwrap();
        let hash = ItemHash::of(&Value::from("WA-1/ø"));
        assert_eq!(hash.hex(), id.key().as_str());
        assert_eq!(ItemHash::from_key(&id.key()), Some(hash));
    }
}
