//! What a run of this machine came to.

use std::collections::{BTreeMap, HashSet};

use aws::s3::{Store, StoreError};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use model::{FilingResult, ItemKey, Listed, Outcome, Reason, RunId, Stage, keys};

use ledger::{
    entries::{self, CONCURRENT_READS, EntryOutcome, LedgerReadError, entry_outcome},
    totals::{Counters, ManifestEntry, Place},
};

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// The counters.
    pub counters: Counters,
    /// Each item that failed.
    pub failures: Vec<FailedItem>,
    /// Copies filed, by mailbox.
    pub mailboxes: BTreeMap<String, u64>,
}

/// An item that was not filed everywhere it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedItem {
    /// Its id, as the source wrote it.
    pub item: String,
    /// Who gave up.
    pub stage: Stage,
    /// Why.
    pub reason: Reason,
}

impl Totals {
    /// Tallies a run after the queues have come to rest. Letters are not looked for: the outcomes say that there are.
    ///
    /// # Errors
    /// [`LedgerReadError`].
    pub async fn of(store: &Store, run: &RunId) -> Result<Self, LedgerReadError> {
        Ok(Self::of_run(store, run, None).await?.0)
    }

    /// Counts what was done since `began`: the items of the run, and every copy that was filed since then of what earlier
    /// runs listed, as after a replay.
    ///
    /// # Errors
    /// [`LedgerReadError`].
    pub async fn since(store: &Store, run: &RunId, began: Timestamp) -> Result<Self, LedgerReadError> {
        let (mut tally, listed) = Self::of_run(store, run, Some(began)).await?;
        // S3 dates an object to the second.
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
            tally.add_unlisted(&outcome, began);
        }
        Ok(tally)
    }

    /// Counts the items of a run; returns the keys of those too.
    async fn of_run(
        store: &Store,
        run: &RunId,
        began: Option<Timestamp>,
    ) -> Result<(Self, HashSet<ItemKey>), LedgerReadError> {
        let mut tally = Self::default();
        let mut keys = HashSet::new();
        for page in 1.. {
            let Some(listed) = entries::page(store, run, page).await? else { break };
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
                tally.add(run, listed, &entry_outcome);
            }
        }
        Ok((tally, keys))
    }

    /// Counts the copies of an item that the run does not list.
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
                (Some(outcome), outcome.dead_letter.map(|letter| (letter.stage, letter.reason)))
            }
            EntryOutcome::Absent => (None, None),
            EntryOutcome::InvalidTask => (None, Some((Stage::Convert, Reason::TaskMalformed))),
        };
        let place = match (failed, outcome) {
            (Some((_, reason)), _) => Place::Waiting(Some(reason)),
            (None, Some(outcome)) if outcome.is_complete() => Place::Filed,
            (None, _) => Place::InFlight,
        };
        let entry = ManifestEntry { run, listed, outcome, place };
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

/// Copies that were there before are skipped by this run.
fn skip_filed_before(outcome: &mut Outcome, began: Timestamp) {
    outcome
        .mailboxes
        .iter_mut()
        .filter(|filed| filed.at < began)
        .for_each(|filed| filed.result = FilingResult::Skipped);
}
