//! Totals of a one-machine run.

use std::collections::{BTreeMap, HashSet};

use aws::s3::{Store, StoreError};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use model::{FilingResult, ItemKey, Listed, Outcome, Reason, RunId, Stage, keys};

use ledger::{
    entries::{self, CONCURRENT_READS, EntryOutcome, LedgerReadError, entry_outcome},
    totals::{Counters, EntryState, ManifestEntry},
};

/// Totals of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    pub counters: Counters,
    pub failures: Vec<FailedItem>,
    /// Filed copies by mailbox.
    pub mailboxes: BTreeMap<String, u64>,
}

/// An item with a missing copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedItem {
    /// Id as the source wrote it.
    pub item: String,
    /// The stage that failed.
    pub stage: Stage,
    pub reason: Reason,
}

impl Totals {
    /// Counts a run after the queues are empty. The outcomes contain the dead letters, so their queue is not read.
    ///
    /// # Errors
    /// [`LedgerReadError`].
    pub async fn of(store: &Store, run: &RunId) -> Result<Self, LedgerReadError> {
        Ok(Self::of_run(store, run, None).await?.0)
    }

    /// Counts the items of the run and every copy filed since `began` for items of earlier runs, as after a replay.
    ///
    /// # Errors
    /// [`LedgerReadError`].
    pub async fn since(store: &Store, run: &RunId, began: Timestamp) -> Result<Self, LedgerReadError> {
        let (mut totals, listed) = Self::of_run(store, run, Some(began)).await?;
        // S3 stores modification times in whole seconds.
        let from = began - SignedDuration::from_secs(1);
        let mut written = Vec::new();
        let keep = |page: Vec<aws::s3::Listed>| {
            written.extend(page.into_iter().filter(|object| object.last_modified >= from).map(|object| object.key));
            std::future::ready(Ok::<_, StoreError>(()))
        };
        store.list(keys::OUTCOMES, keep).await?;
        let outcomes = stream::iter(written).map(|key| read(store, key)).buffered(CONCURRENT_READS);
        let outcomes: Vec<_> = outcomes.try_collect().await?;
        for outcome in outcomes.into_iter().flatten().filter(|outcome| !listed.contains(&outcome.item.key())) {
            totals.add_unlisted(&outcome, began);
        }
        Ok(totals)
    }

    /// Counts the items of a run. Also returns their keys.
    async fn of_run(
        store: &Store,
        run: &RunId,
        began: Option<Timestamp>,
    ) -> Result<(Self, HashSet<ItemKey>), LedgerReadError> {
        let mut totals = Self::default();
        let mut keys = HashSet::new();
        for page in 1.. {
            let Some(listed) = entries::read_page(store, run, page).await? else { break };
            let outcomes =
                stream::iter(&listed).map(|listed| entry_outcome(store, run, listed)).buffered(CONCURRENT_READS);
            let outcomes: Vec<_> = outcomes.try_collect().await?;
            for (listed, mut entry_outcome) in listed.iter().zip(outcomes) {
                if let (EntryOutcome::Found(stored), Some(began)) = (&mut entry_outcome, began) {
                    let outcome = &mut stored.outcome;
                    keys.insert(outcome.item.key());
                    if is_filed_since(outcome, began) {
                        outcome.run = Some(run.clone());
                        skip_filed_before(outcome, began);
                    }
                }
                totals.add(run, listed, &entry_outcome);
            }
        }
        Ok((totals, keys))
    }

    /// Counts the copies of an item that is not in the run's manifest.
    fn add_unlisted(&mut self, outcome: &Outcome, began: Timestamp) {
        for filed in outcome.mailboxes.iter().filter(|filed| filed.at >= began) {
            let imported = u64::from(filed.result == FilingResult::Imported);
            self.counters += Counters { after_fan_out: 1, imported, skipped: 1 - imported, ..Counters::default() };
            *self.mailboxes.entry(filed.address.to_string()).or_default() += 1;
        }
    }

    fn add(&mut self, run: &RunId, listed: &Listed, entry_outcome: &EntryOutcome) {
        let (outcome, failed) = match entry_outcome {
            EntryOutcome::Found(stored) => {
                let outcome = &stored.outcome;
                (Some(outcome), outcome.dead_letter.map(|dead_letter| (dead_letter.stage, dead_letter.reason)))
            }
            EntryOutcome::Absent => (None, None),
            EntryOutcome::InvalidTask => (None, Some((Stage::Convert, Reason::TaskMalformed))),
        };
        let state = match (failed, outcome) {
            (Some((_, reason)), _) => EntryState::InDeadLetterQueue(Some(reason)),
            (None, Some(outcome)) if outcome.is_complete() => EntryState::Filed,
            (None, _) => EntryState::InFlight,
        };
        let entry = ManifestEntry { run, listed, outcome, state };
        self.counters.add(&entry);
        for filed in outcome.iter().flat_map(|outcome| &outcome.mailboxes) {
            *self.mailboxes.entry(filed.address.to_string()).or_default() += 1;
        }
        if let (Some((stage, reason)), false) = (failed, entry.is_duplicate()) {
            self.failures.push(FailedItem { item: listed.name(), stage, reason });
        }
    }
}

async fn read(store: &Store, key: String) -> Result<Option<Outcome>, LedgerReadError> {
    let Some(object) = store.get(&key, ledger::OUTCOME_MAX_BYTES).await? else { return Ok(None) };
    Outcome::parse(&object.bytes).map(Some).map_err(|_| LedgerReadError::Unreadable { key })
}

fn is_filed_since(outcome: &Outcome, began: Timestamp) -> bool {
    outcome.mailboxes.iter().any(|filed| filed.at >= began)
}

/// Marks the copies that existed before as skipped by this run.
fn skip_filed_before(outcome: &mut Outcome, began: Timestamp) {
    outcome
        .mailboxes
        .iter_mut()
        .filter(|filed| filed.at < began)
        .for_each(|filed| filed.result = FilingResult::Skipped);
}
