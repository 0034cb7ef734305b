//! The comparison itself.
//!
//! Work goes on while it is made, so the order matters: first each outcome; then, for those that are not filed, whether
//! the queues are empty; then the letters; then their outcomes again. What was on a queue when an outcome was read first
//! is decided when it is read again, or the queues were not seen empty.

use std::{cell::Cell, collections::BTreeMap};

use aws::s3::{Store, StoreError};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use ledger::StoredOutcome;
use model::{DeadLettered, Listed, MissingParticipant, Outcome, RunId};
use serde::Serialize;

use super::{
    coverage::Coverage,
    deep_check::{Custodian, Custody, Deep},
    duplicates::{ItemHash, RunAt, RunPlaces, Seen, Sighting},
    incidents::{Incident, incidents},
    letters::{Discards, Waiting},
    runs::{Runs, Short},
};
use crate::{
    commands::dead_letters::{Letters, LettersError, Why as LetterWhy},
    connection::Connection,
};
use ledger::{
    entries::{self, AT_ONCE, Account, AccountError, account},
    totals::{Place, Told, copies},
};

/// Which items, and how closely.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// Runs that began then or later are compared, and archived times from then on have to be fetched. By default from the
    /// first run's window on.
    pub from: Option<Timestamp>,
    /// Runs that began before, and archived times before. By default all, until now.
    pub to: Option<Timestamp>,
    /// The options that name the deployment, for the commands in the result: see [`Deployment::options`].
    ///
    /// [`Deployment::options`]: crate::connection::Deployment::options
    pub options: &'a str,
    /// Whether, and how, stored messages are read and mailboxes asked.
    pub deep: Option<&'a Deep>,
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
    /// Dead letters that are in the queue, by reason; `retries-exhausted` where SQS itself moved the
    /// task there, as it is told of letters.
    pub waiting: BTreeMap<String, u64>,
    /// Letters that an operator has discarded; the bucket has their copies.
    pub discarded: u64,
    /// Not decided yet: work goes on.
    pub undecided: u64,
    /// Of those: items that lack the copy of a participant who is expected to have a mailbox, or whose lookup is undecided.
    pub incomplete: Vec<Incomplete>,
    /// Nowhere.
    pub missing: Vec<Missing>,
    /// What became of messages and copies; empty unless that was asked for.
    #[serde(flatten)]
    pub custody: Custody,
    /// Pages that are gone from a manifest, so that nobody knows what they listed.
    pub lost_pages: Vec<String>,
    /// Runs whose manifest does not list what they say they have queued, though no page is gone.
    pub short: Vec<Short>,
    /// Whether the windows of the runs cover the period.
    pub coverage: Coverage,
    /// Deliveries of a capture vendor in the period that are not what their manifests say.
    pub incidents: Vec<Incident>,
}

/// An item that is filed for some of its participants at most, and waits for the mailboxes of others.
#[derive(Debug, Clone, Serialize)]
pub struct Incomplete {
    /// The name of the item in logs and objects.
    pub key: String,
    /// The first run that listed it.
    pub run: RunId,
    /// Copies that it has.
    pub filed: u64,
    /// The participants whose copies are missing, and why.
    pub missing: Vec<MissingParticipant>,
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

/// An item that was not filed when its outcome was read first.
struct Open {
    run: RunId,
    /// The place of that run.
    first: Option<RunAt>,
    listed: Listed,
    /// Whether `fetch` may not have queued it yet.
    recent: bool,
    /// The runs that listed it again.
    again: Vec<RunAt>,
}

impl Open {
    /// When the last of the runs began that list it.
    fn listed_last(&self, runs: &Runs) -> Timestamp {
        let all = self.again.iter().chain(&self.first).filter_map(|at| at.run(runs));
        all.map(|run| run.began).max().unwrap_or(Timestamp::MIN)
    }

    /// Tells every entry that names it: one with what became of the item, at the run that it counts at; at the others it
    /// is listed again.
    fn tell(&self, runs: &Runs, outcome: Option<&Outcome>, place: Place, tell: &mut impl FnMut(&Told<'_>)) {
        let told = Told { run: &self.run, listed: &self.listed, outcome, place };
        tell(&told);
        let mut counts_at = told.counts_elsewhere();
        for run in self.again.iter().filter_map(|at| at.run(runs)).map(|run| &run.id) {
            if counts_at == Some(run) {
                counts_at = None;
                tell(&Told { run, ..told });
            } else {
                tell(&Told { run, outcome: None, place: Place::Again(copies(outcome)), ..told });
            }
        }
    }
}

/// How many items that are not filed are decided, before their messages and copies are looked at.
const DECIDED_AT_ONCE: usize = 1_000;

impl Reconciled {
    /// Compares the manifests with outcomes and dead letters, and changes nothing. `progress` is told how many items were
    /// looked at, and how many copies were asked for. Beside the items that are not filed it keeps some 50 bytes an item
    /// in memory.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub async fn of(
        connection: &Connection,
        scope: Scope<'_>,
        progress: impl Fn(u64, u64),
    ) -> Result<Self, ReconcileError> {
        let (from, to) = (scope.from.unwrap_or(Timestamp::MIN), scope.to.unwrap_or(Timestamp::MAX));
        let runs = Runs::between(&connection.store, from, to).await?;
        Self::of_runs(connection, &runs, scope, progress, |_| {}).await
    }

    /// The same for runs that were looked up before. `tell` is told every entry of their manifests once, with its place:
    /// of the entries that name an item, the one of the run that its outcome names has what became of it. Entries of items
    /// that are not filed come last.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub async fn of_runs(
        connection: &Connection,
        runs: &Runs,
        scope: Scope<'_>,
        progress: impl Fn(u64, u64),
        mut tell: impl FnMut(&Told<'_>),
    ) -> Result<Self, ReconcileError> {
        let store = &connection.store;
        let mut books = Self {
            runs: runs.runs.len() as u64,
            lost_pages: runs.lost_pages(),
            coverage: Coverage::of_runs(runs, (scope.from, scope.to), scope.queueing, Timestamp::now(), scope.options),
            incidents: incidents(store, scope.from.unwrap_or(Timestamp::MIN), scope.to.unwrap_or(Timestamp::MAX))
                .await?,
            ..Self::default()
        };
        let (items, asked_for) = (Cell::new(0), Cell::new(0));
        let copy_asked_for = || {
            asked_for.set(asked_for.get() + 1);
            progress(items.get(), asked_for.get());
        };
        let mut custodian = scope.deep.map(|deep| Custodian::new(store, deep, &copy_asked_for));
        let places = RunPlaces::of(runs);
        let mut seen = Seen::default();
        let mut open: Vec<Open> = Vec::new();
        for run in &runs.runs {
            let (id, here) = (&run.id, places.get(&run.id));
            let mut lines = 0;
            for page in &run.pages {
                let listed = entries::page(store, id, page.number).await?.unwrap_or_default();
                lines += listed.len() as u64;
                let (first, again): (Vec<_>, Vec<_>) =
                    listed.into_iter().partition(|listed| seen.is_new(ItemHash::of(&listed.item)));
                books.items += first.len() as u64;
                let recent = !run.has_ended() && page.written + scope.queueing > Timestamp::now();
                let read =
                    |listed: Listed| async move { Ok::<_, AccountError>((account(store, id, &listed).await?, listed)) };
                let mut accounts = stream::iter(first).map(read).buffer_unordered(AT_ONCE);
                let mut filed = Vec::new();
                while let Some((account, listed)) = accounts.try_next().await? {
                    let item = ItemHash::of(&listed.item);
                    match account {
                        Account::Outcome(stored) if stored.outcome.is_complete() => {
                            let StoredOutcome { outcome, key, .. } = *stored;
                            let told = Told { run: id, listed: &listed, outcome: Some(&outcome), place: Place::Filed };
                            tell(&told);
                            let counts_at = told.counts_elsewhere().and_then(|run| places.get(run));
                            let copies = u32::try_from(copies(Some(&outcome))).unwrap_or(u32::MAX);
                            seen.note(item, Sighting::Filed { copies, counts_at });
                            books.filed += 1;
                            if custodian.is_some() {
                                filed.push((key, outcome));
                            }
                        }
                        _ => {
                            seen.note(item, Sighting::Open(u32::try_from(open.len()).unwrap_or(u32::MAX)));
                            open.push(Open { run: id.clone(), first: here, listed, recent, again: Vec::new() });
                        }
                    }
                }
                items.set(books.items);
                if let Some(custodian) = &mut custodian {
                    custodian.look(&filed).await?;
                }
                let mut counted_here = Vec::new();
                for listed in again {
                    let item = ItemHash::of(&listed.item);
                    match seen.get(item) {
                        // Told when it is decided where the item is.
                        Some(Sighting::Open(at)) => {
                            if let Some(open) = open.get_mut(at as usize) {
                                open.again.extend(here);
                            }
                        }
                        Some(Sighting::Filed { copies, counts_at }) if counts_at.is_some() && counts_at == here => {
                            seen.note(item, Sighting::Filed { copies, counts_at: None });
                            counted_here.push(listed);
                        }
                        Some(Sighting::Filed { copies, .. }) => {
                            let place = Place::Again(copies.into());
                            tell(&Told { run: id, listed: &listed, outcome: None, place });
                        }
                        None => {}
                    }
                }
                // Their outcomes were read at an earlier run, and are too many to be kept.
                let mut accounts = stream::iter(counted_here).map(read).buffer_unordered(AT_ONCE);
                while let Some((account, listed)) = accounts.try_next().await? {
                    let (outcome, place) = match account {
                        Account::Outcome(stored) => (Some(stored.outcome), Place::Filed),
                        Account::Nothing | Account::NoTask => (None, Place::Again(1)),
                    };
                    tell(&Told { run: id, listed: &listed, outcome: outcome.as_ref(), place });
                }
                progress(items.get(), asked_for.get());
            }
            books.short.extend(run.short(lines));
        }
        if !open.is_empty() {
            books.decide(connection, (runs, open), custodian.as_mut(), tell).await?;
        }
        books.custody = custodian.map(Custodian::close).unwrap_or_default();
        Ok(books)
    }

    /// Whether every item is where it should be, as far as that is decided.
    pub fn is_sound(&self) -> bool {
        let custody = &self.custody;
        let whole = custody.damaged.is_empty() && custody.not_in_mailbox.is_empty() && custody.duplicates.is_empty();
        self.missing.is_empty()
            && whole
            && self.lost_pages.is_empty()
            && self.short.is_empty()
            && self.coverage.is_contiguous()
            && self.incidents.is_empty()
    }

    /// Whether nothing is left to be seen: no item is on its way, and every mailbox that was to be asked was.
    pub fn is_decided(&self) -> bool {
        self.undecided == 0 && self.custody.not_asked.is_empty() && self.coverage.is_decided()
    }

    async fn decide(
        &mut self,
        connection: &Connection,
        (runs, open): (&Runs, Vec<Open>),
        mut custodian: Option<&mut Custodian<'_>>,
        mut tell: impl FnMut(&Told<'_>),
    ) -> Result<(), ReconcileError> {
        let signs = Signs::read(connection).await?;
        let store = &connection.store;
        let again = |open: Open| async move {
            let account = account(store, &open.run, &open.listed).await?;
            Ok::<_, AccountError>((open, account))
        };
        let mut open = open.into_iter().peekable();
        while open.peek().is_some() {
            let some: Vec<_> = open.by_ref().take(DECIDED_AT_ONCE).collect();
            let mut accounts = stream::iter(some).map(again).buffered(AT_ONCE);
            let mut looked_at = Vec::new();
            while let Some((open, account)) = accounts.try_next().await? {
                let (key, outcome) = match account {
                    Account::Outcome(stored) => (Some(stored.key), Some(stored.outcome)),
                    Account::Nothing | Account::NoTask => (None, None),
                };
                let place = signs.place(store, runs, &open, outcome.as_ref()).await?;
                open.tell(runs, outcome.as_ref(), place, &mut tell);
                let Open { run, listed, .. } = open;
                self.count(place, (run, listed), outcome.as_ref());
                looked_at.extend(key.filter(|_| custodian.is_some()).zip(outcome));
            }
            if let Some(custodian) = &mut custodian {
                custodian.look(&looked_at).await?;
            }
        }
        Ok(())
    }

    /// Counts an item that was not filed when its outcome was read first.
    fn count(&mut self, place: Place, (run, listed): (RunId, Listed), outcome: Option<&Outcome>) {
        match place {
            Place::Filed | Place::Again(_) => self.filed += 1,
            Place::Waiting(reason) => {
                let reason = reason.map_or(LetterWhy::RetriesExhausted.as_str(), model::Reason::as_str);
                *self.waiting.entry(reason.to_owned()).or_default() += 1;
            }
            Place::Discarded(_) => self.discarded += 1,
            Place::InFlight => {
                self.undecided += 1;
                if let Some(outcome) = outcome.filter(|outcome| !outcome.missing.is_empty()) {
                    let (filed, missing) = (outcome.mailboxes.len() as u64, outcome.missing.clone());
                    self.incomplete.push(Incomplete { key: ItemHash::of(&listed.item).hex(), run, filed, missing });
                }
            }
            Place::Missing => {
                let why = match outcome.map(|outcome| outcome.dead_letter) {
                    None => Why::NoOutcome,
                    Some(Some(_)) => Why::LetterGone,
                    Some(None) => Why::Unfinished,
                };
                let key = ItemHash::of(&listed.item).hex();
                self.missing.push(Missing { listed, key, run, why });
            }
        }
    }
}

/// Where an item is that is not filed: what the queues and the discarded letters say.
struct Signs {
    /// Whether anything is on the two queues.
    busy: bool,
    letters: Waiting,
    discards: Discards,
}

impl Signs {
    async fn read(connection: &Connection) -> Result<Self, ReconcileError> {
        let queues = Letters::of(connection);
        // In the order of the work: what leaves the first is on the second before.
        let mut busy = false;
        for url in [&connection.queues.convert, &connection.queues.import] {
            busy |= queues.depth(url).await?.iter().any(|count| *count > 0);
        }
        let letters = Waiting::read(connection).await?;
        Ok(Self { busy, letters, discards: Discards::list(&connection.store).await? })
    }

    /// Where it is, as its outcome stands after these signs were read.
    async fn place(
        &self,
        store: &Store,
        runs: &Runs,
        open: &Open,
        outcome: Option<&Outcome>,
    ) -> Result<Place, StoreError> {
        let hash = ItemHash::of(&open.listed.item);
        let reason = || {
            let letter = outcome.and_then(|outcome| outcome.dead_letter);
            reason(letter, &open.run, &open.listed)
        };
        let claimed = outcome.and_then(|outcome| outcome.claim.as_ref());
        let worked_on = claimed.is_some_and(|claim| claim.until > Timestamp::now());
        Ok(if outcome.is_some_and(Outcome::is_complete) {
            Place::Filed
        } else if self.letters.items.contains(&hash) {
            Place::Waiting(reason())
        } else if self.busy || worked_on || open.recent || !self.letters.whole {
            Place::InFlight
        } else if self.discards.cover(store, hash, outcome, open.listed_last(runs)).await? {
            Place::Discarded(reason())
        } else {
            Place::Missing
        })
    }
}

/// Why a letter waits. An entry that is no task has no outcome that could say so; what SQS moved has no reason.
fn reason(letter: Option<DeadLettered>, run: &RunId, listed: &Listed) -> Option<model::Reason> {
    match letter {
        Some(letter) => Some(letter.reason),
        None => entries::item_keys(run, listed).is_none().then_some(model::Reason::TaskMalformed),
    }
}
