//! Compares the manifests with outcomes and dead letters.
//!
//! The functions may run during the comparison, so the order matters: first all outcomes are read; then, for items that
//! are not filed, the depths of the queues; then the dead letters; then their outcomes again. An item that was on a
//! queue when its outcome was read first is decided at the second read, or the queues were not empty.

use std::{cell::Cell, collections::BTreeMap};

use aws::s3::Store;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use ledger::StoredOutcome;
use model::{Listed, MissingParticipant, Outcome, RunId};
use serde::Serialize;

use super::{
    coverage::Coverage,
    deep_check::{DeepCheck, DeepFindings, DeepOptions},
    error::ReconcileError,
    incidents::{Incident, incidents},
    open_item::OpenItem,
    outside_runs::OutsideRuns,
    queue_state::QueueState,
    runs::{LostPages, Runs, ShortManifest},
    seen_items::{ItemHash, ItemState, RunIndexes, SeenItems},
    unlisted_mails::unlisted_mails,
    webhooks::{StoredWebhooks, Webhooks},
};
use crate::{commands::dead_letters::DeadLetterReason, connection::Connection};
use ledger::{
    entries::{self, CONCURRENT_READS, EntryOutcome, LedgerReadError, entry_outcome},
    totals::{EntryState, ManifestEntry, copies},
};

/// Items to compare, and checks to make.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// Start of the period: runs that began then or later are compared, archived times from then on have to be fetched,
    /// and of other runs the items with such times are compared. By default the start of the first run's window.
    pub from: Option<Timestamp>,
    /// End of the period, exclusive. By default now.
    pub to: Option<Timestamp>,
    /// The options that name the deployment, for the commands in the result: see [`Deployment::options`].
    ///
    /// [`Deployment::options`]: crate::connection::Deployment::options
    pub options: &'a str,
    /// Settings of the deep check; `None` skips it.
    pub deep: Option<&'a DeepOptions>,
    /// Time for which items of a manifest page may be missing from the queue while the run has not recorded its end:
    /// `fetch` writes a page before it queues its items. Zero if no `fetch` can be running.
    pub queueing: SignedDuration,
}

/// Maximum duration of a run: Lambda's limit.
pub const MAX_FETCH_DURATION: SignedDuration = SignedDuration::from_mins(15);

/// Result of the comparison. Each item counts once, regardless of how many runs listed it.
#[derive(Debug, Default, Serialize)]
pub struct Reconciled {
    /// Number of runs that began in the period.
    pub runs: u64,
    /// Number of compared items: those that they listed, those of [`outside`](Self::outside), and mails that fetch has copied
    /// from a vendor's file and has not listed.
    pub items: u64,
    /// Runs that began outside the period and list items of it.
    #[serde(skip_serializing_if = "OutsideRuns::is_empty")]
    pub outside: OutsideRuns,
    /// Items that are filed in all of their mailboxes.
    pub filed: u64,
    /// Dead letters in the queue, by reason; `retries-exhausted` if SQS moved the task.
    pub waiting: BTreeMap<String, u64>,
    /// Dead letters that an operator has discarded; the bucket has their copies.
    pub discarded: u64,
    /// Items that were listed so long ago that their outcome was deleted by age (`OutcomeDays`): the result is unknown.
    pub expired: u64,
    /// Items without an outcome that are older than `OutcomeDays`, but were listed later: either the outcome of an earlier
    /// listing was deleted by age, or the item was never processed.
    pub unproven: Vec<Missing>,
    /// Undecided items: a function may process them.
    pub undecided: u64,
    /// The undecided items that lack the copy of a participant who is expected to have a mailbox, or whose lookup is
    /// undecided.
    pub incomplete: Vec<Incomplete>,
    /// Items without a copy, a dead letter or a task.
    pub missing: Vec<Missing>,
    /// Findings of the deep check; empty if it was not requested.
    #[serde(flatten)]
    pub deep_findings: DeepFindings,
    /// Missing pages of manifests.
    #[serde(flatten)]
    pub lost_pages: LostPages,
    /// Runs whose manifest lists another number of items than the run has queued, though no page is missing.
    pub short: Vec<ShortManifest>,
    /// Windows of the runs, compared with the period.
    pub coverage: Coverage,
    /// Deliveries of a capture vendor in the period that do not match their manifests, and values of webhooks that were not
    /// recognized.
    pub incidents: Vec<Incident>,
    /// Webhooks of the period; `None` if the deployment never received webhooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhooks: Option<Webhooks>,
}

/// An item that lacks the copies of some of its participants.
#[derive(Debug, Clone, Serialize)]
pub struct Incomplete {
    /// Key of the item in logs and objects.
    pub key: String,
    pub run: RunId,
    /// Number of copies that are filed.
    pub filed: u64,
    /// The participants whose copies are missing, with reasons.
    pub missing: Vec<MissingParticipant>,
}

/// An item without a copy, a dead letter or a task.
#[derive(Debug, Clone, Serialize)]
pub struct Missing {
    /// Id and archived time as the source wrote them.
    #[serde(flatten)]
    pub listed: Listed,
    /// Key of the item in logs and objects.
    pub key: String,
    /// First run that listed the item.
    pub run: RunId,
    #[serde(rename = "why")]
    pub cause: MissingCause,
}

/// Evidence about a missing item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingCause {
    /// The item has no outcome.
    NoOutcome,
    /// The outcome records a dead letter that does not exist.
    #[serde(rename = "letter-gone")]
    DeadLetterGone,
    /// The outcome is incomplete, and no function processes the item.
    Unfinished,
    /// fetch has copied the mail from a vendor's file that was replaced or removed before the mail was listed: it is in no
    /// manifest.
    NotListed,
}

/// Number of items that are not filed and are decided together.
const DECIDE_BATCH_ITEMS: usize = 1_000;

impl Reconciled {
    /// Compares the manifests with outcomes and dead letters; changes nothing. `progress` receives the numbers of
    /// compared items and checked copies. Needs about 50 bytes of memory per filed item.
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

    /// Compares runs that were listed before. `report` is called once for every entry of their manifests. If several
    /// entries name an item, only the entry of the run that the outcome names carries the outcome. Entries of items
    /// that are not filed come last.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub async fn of_runs(
        connection: &Connection,
        runs: &Runs,
        scope: Scope<'_>,
        progress: impl Fn(u64, u64),
        mut report: impl FnMut(&ManifestEntry<'_>),
    ) -> Result<Self, ReconcileError> {
        let store = &connection.store;
        let kept_since = connection.outcomes_kept_since(Timestamp::now());
        let webhooks = StoredWebhooks::list(connection, scope.from, scope.to).await?;
        let mut reconciled = Self {
            runs: runs.runs.len() as u64,
            outside: OutsideRuns::of(runs, scope.queueing, Timestamp::now()),
            lost_pages: runs.lost_pages(kept_since),
            coverage: Coverage::of_runs(
                runs,
                (scope.from, scope.to),
                scope.queueing,
                (Timestamp::now(), kept_since),
                scope.options,
            ),
            incidents: incidents(store, scope.from.unwrap_or(Timestamp::MIN), scope.to.unwrap_or(Timestamp::MAX))
                .await?,
            ..Self::default()
        };
        let (items, copies_checked) = (Cell::new(0), Cell::new(0));
        let copy_checked = || {
            copies_checked.set(copies_checked.get() + 1);
            progress(items.get(), copies_checked.get());
        };
        let mut deep_check = scope.deep.map(|deep| DeepCheck::new(store, deep, &copy_checked));
        let places = RunIndexes::of(runs);
        let mut seen = SeenItems::default();
        let mut open: Vec<OpenItem> = Vec::new();
        for run in runs.compared() {
            let (id, here) = (&run.id, places.get(&run.id));
            // A page may be deleted after it was listed.
            let (mut lines, mut whole) = (0, true);
            for page in &run.pages {
                let Some(mut listed) = entries::read_page(store, id, page.number).await? else {
                    reconciled.lost_pages.add(run, page.number, kept_since);
                    whole = false;
                    continue;
                };
                lines += if run.counts(page.number) { listed.len() as u64 } else { 0 };
                listed.retain(|listed| runs.concerns(run, listed));
                let (first, again): (Vec<_>, Vec<_>) =
                    listed.into_iter().partition(|listed| seen.is_new(ItemHash::of(&listed.item)));
                reconciled.items += first.len() as u64;
                reconciled.outside.items += if runs.began_in_period(run) { 0 } else { first.len() as u64 };
                let recent = !run.has_ended() && page.written + scope.queueing > Timestamp::now();
                let read = |listed: Listed| async move {
                    Ok::<_, LedgerReadError>((entry_outcome(store, id, &listed).await?, listed))
                };
                let mut outcomes = stream::iter(first).map(read).buffer_unordered(CONCURRENT_READS);
                let mut filed = Vec::new();
                while let Some((entry_outcome, listed)) = outcomes.try_next().await? {
                    let item = ItemHash::of(&listed.item);
                    match entry_outcome {
                        EntryOutcome::Found(stored) if stored.outcome.is_complete() => {
                            let StoredOutcome { outcome, key, .. } = *stored;
                            let entry = ManifestEntry {
                                run: id,
                                listed: &listed,
                                outcome: Some(&outcome),
                                state: EntryState::Filed,
                            };
                            report(&entry);
                            let counts_at = entry.counted_at_other_run().and_then(|run| places.get(run));
                            let copies = u32::try_from(copies(Some(&outcome))).unwrap_or(u32::MAX);
                            seen.record(item, ItemState::Filed { copies, counts_at });
                            reconciled.filed += 1;
                            if deep_check.is_some() {
                                filed.push((key, outcome));
                            }
                        }
                        _ => {
                            seen.record(item, ItemState::Open(u32::try_from(open.len()).unwrap_or(u32::MAX)));
                            let newest = listed.archived_at();
                            open.push(OpenItem {
                                run: id.clone(),
                                first: here,
                                listed,
                                is_in_manifest: true,
                                recent,
                                newest,
                                again: Vec::new(),
                            });
                        }
                    }
                }
                items.set(reconciled.items);
                if let Some(deep_check) = &mut deep_check {
                    deep_check.check(&filed).await?;
                }
                let mut counted_here = Vec::new();
                for listed in again {
                    let item = ItemHash::of(&listed.item);
                    match seen.get(item) {
                        // Reported when the item is decided.
                        Some(ItemState::Open(at)) => {
                            if let Some(open) = open.get_mut(at as usize) {
                                open.again.extend(here);
                                open.newest = open.newest.max(listed.archived_at());
                                open.recent |= recent;
                            }
                        }
                        Some(ItemState::Filed { copies, counts_at }) if counts_at.is_some() && counts_at == here => {
                            seen.record(item, ItemState::Filed { copies, counts_at: None });
                            counted_here.push(listed);
                        }
                        Some(ItemState::Filed { copies, .. }) => {
                            let state = EntryState::ListedAgain(copies.into());
                            report(&ManifestEntry { run: id, listed: &listed, outcome: None, state });
                        }
                        None => {}
                    }
                }
                // The outcomes of an earlier run are too many to be kept in memory.
                let mut outcomes = stream::iter(counted_here).map(read).buffer_unordered(CONCURRENT_READS);
                while let Some((entry_outcome, listed)) = outcomes.try_next().await? {
                    let (outcome, state) = match entry_outcome {
                        EntryOutcome::Found(stored) => (Some(stored.outcome), EntryState::Filed),
                        EntryOutcome::Absent | EntryOutcome::InvalidTask => (None, EntryState::ListedAgain(1)),
                    };
                    report(&ManifestEntry { run: id, listed: &listed, outcome: outcome.as_ref(), state });
                }
                progress(items.get(), copies_checked.get());
            }
            reconciled.short.extend(run.short(lines).filter(|_| whole));
        }
        let period = (scope.from.unwrap_or(Timestamp::MIN), scope.to.unwrap_or(Timestamp::MAX));
        let unlisted = unlisted_mails(store, runs, &mut seen, period).await?;
        reconciled.items += unlisted.len() as u64;
        open.extend(unlisted);
        if !open.is_empty() || webhooks.is_some() {
            let queue_state = QueueState::read(connection).await?;
            if let Some(webhooks) = webhooks {
                let mut webhooks = webhooks.compare(store, &queue_state, scope.queueing).await?;
                let unrecognized = reconciled.incidents.iter().filter(|incident| incident.is_unrecognized_value());
                webhooks.unrecognized = unrecognized.count() as u64;
                reconciled.webhooks = Some(webhooks);
            }
            reconciled.decide(store, &queue_state, (runs, open), deep_check.as_mut(), report).await?;
        }
        reconciled.deep_findings = deep_check.map(DeepCheck::close).unwrap_or_default();
        Ok(reconciled)
    }

    /// Returns the webhooks of a period; `None` if the deployment never received webhooks.
    ///
    /// # Errors
    /// [`ReconcileError`].
    pub async fn webhooks(
        connection: &Connection,
        (from, to): (Timestamp, Timestamp),
        queueing: SignedDuration,
    ) -> Result<Option<Webhooks>, ReconcileError> {
        let Some(webhooks) = StoredWebhooks::list(connection, Some(from), Some(to)).await? else { return Ok(None) };
        let queue_state = QueueState::read(connection).await?;
        Ok(Some(webhooks.compare(&connection.store, &queue_state, queueing).await?))
    }

    /// Returns whether no problem was found, as far as items are decided.
    pub fn is_sound(&self) -> bool {
        let deep_findings = &self.deep_findings;
        let deep_check_passed = deep_findings.damaged.is_empty()
            && deep_findings.not_in_mailbox.is_empty()
            && deep_findings.duplicates.is_empty();
        self.missing.is_empty()
            && deep_check_passed
            && self.lost_pages.missing.is_empty()
            && self.short.is_empty()
            && self.coverage.is_contiguous()
            && self.incidents.iter().all(|incident| incident.closed.is_some())
            && self.webhooks.as_ref().is_none_or(|webhooks| webhooks.unprocessed.is_empty())
    }

    /// Returns the items to put on the convert queue again. An unproven item that is filed already stays so: a requeued
    /// item is looked up in each mailbox first.
    pub fn to_requeue(&self) -> Vec<Missing> {
        self.missing.iter().chain(&self.unproven).cloned().collect()
    }

    /// Returns whether all items are decided and all mailboxes were checked.
    pub fn is_decided(&self) -> bool {
        self.undecided == 0
            && self.unproven.is_empty()
            && self.deep_findings.unchecked_mailboxes.is_empty()
            && self.coverage.is_decided()
            && self.outside.is_decided()
            && self.webhooks.as_ref().is_none_or(Webhooks::is_decided)
    }

    async fn decide(
        &mut self,
        store: &Store,
        queue_state: &QueueState,
        (runs, open): (&Runs, Vec<OpenItem>),
        mut deep_check: Option<&mut DeepCheck<'_>>,
        mut report: impl FnMut(&ManifestEntry<'_>),
    ) -> Result<(), ReconcileError> {
        let again = |open: OpenItem| async move {
            let entry_outcome = entry_outcome(store, &open.run, &open.listed).await?;
            Ok::<_, LedgerReadError>((open, entry_outcome))
        };
        let mut open = open.into_iter().peekable();
        while open.peek().is_some() {
            let some: Vec<_> = open.by_ref().take(DECIDE_BATCH_ITEMS).collect();
            let mut outcomes = stream::iter(some).map(again).buffered(CONCURRENT_READS);
            let mut processed = Vec::new();
            while let Some((open, entry_outcome)) = outcomes.try_next().await? {
                let (key, outcome) = match entry_outcome {
                    EntryOutcome::Found(stored) => (Some(stored.key), Some(stored.outcome)),
                    EntryOutcome::Absent | EntryOutcome::InvalidTask => (None, None),
                };
                let state = queue_state.entry_state(store, runs, &open, outcome.as_ref()).await?;
                open.report_entries(runs, outcome.as_ref(), state, &mut report);
                let is_in_manifest = open.is_in_manifest;
                self.count(state, open.into_newest(), is_in_manifest, outcome.as_ref());
                processed.extend(key.filter(|_| deep_check.is_some()).zip(outcome));
            }
            if let Some(deep_check) = &mut deep_check {
                deep_check.check(&processed).await?;
            }
        }
        Ok(())
    }

    /// Counts an item that was not filed at the first read of its outcome.
    fn count(
        &mut self,
        state: EntryState,
        (run, listed): (RunId, Listed),
        is_in_manifest: bool,
        outcome: Option<&Outcome>,
    ) {
        match state {
            EntryState::Filed | EntryState::ListedAgain(_) => self.filed += 1,
            EntryState::InDeadLetterQueue(reason) => {
                let reason = reason.map_or(DeadLetterReason::RetriesExhausted.as_str(), model::Reason::as_str);
                *self.waiting.entry(reason.to_owned()).or_default() += 1;
            }
            EntryState::Discarded(_) => self.discarded += 1,
            EntryState::Expired => self.expired += 1,
            EntryState::Unproven => {
                let key = ItemHash::of(&listed.item).hex();
                self.unproven.push(Missing { listed, key, run, cause: MissingCause::NoOutcome });
            }
            EntryState::InFlight => {
                self.undecided += 1;
                if let Some(outcome) = outcome.filter(|outcome| !outcome.missing.is_empty()) {
                    let (filed, missing) = (outcome.mailboxes.len() as u64, outcome.missing.clone());
                    self.incomplete.push(Incomplete { key: ItemHash::of(&listed.item).hex(), run, filed, missing });
                }
            }
            EntryState::Missing => {
                let cause = match outcome.map(|outcome| outcome.dead_letter) {
                    None if !is_in_manifest => MissingCause::NotListed,
                    None => MissingCause::NoOutcome,
                    Some(Some(_)) => MissingCause::DeadLetterGone,
                    Some(None) => MissingCause::Unfinished,
                };
                let key = ItemHash::of(&listed.item).hex();
                self.missing.push(Missing { listed, key, run, cause });
            }
        }
    }
}
