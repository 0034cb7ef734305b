//! What a run came to, in the words of the connector's own log: read from the manifest and the outcomes, which is what
//! a compliance officer would read, and not from what the functions said while they worked.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use item::{ConvertTask, FilingResult, Listed, Outcome, Reason, RunId, Stage, TASK_VERSION};
use jiff::Timestamp;
use serde_json::json;
use store::{Store, StoreError, keys};

/// The counters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Items that the source listed.
    pub available: u64,
    /// Copies that they make: one a mailbox, and one for an item that came to no mailbox.
    pub after_fan_out: u64,
    /// Copies that were filed in this run.
    pub imported: u64,
    /// Copies that were there already.
    pub skipped: u64,
    /// Copies that could not be filed.
    pub failed: u64,
    /// Items that are still on a queue.
    pub in_flight: u64,
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

/// Why the tally could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TallyError {
    /// The bucket.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A manifest's line or an outcome.
    #[error("{key} cannot be read")]
    Unreadable {
        /// The object's key.
        key: String,
    },
}

const LIMIT: u64 = 64 << 20;
const AT_ONCE: usize = 16;

impl Tally {
    /// Tallies a run that began at `since`: what was filed earlier counts as skipped.
    ///
    /// # Errors
    /// [`TallyError`].
    pub async fn of(store: &Store, run: &RunId, since: Timestamp) -> Result<Self, TallyError> {
        let mut tally = Self::default();
        for page in 1.. {
            let key = keys::manifest(run, page);
            let Some(object) = store.get(&key, LIMIT).await? else { break };
            let lines = object.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let listed: Vec<Listed> = lines
                .map(|line| serde_json::from_slice(line).map_err(|_| TallyError::Unreadable { key: key.clone() }))
                .collect::<Result<_, _>>()?;
            let outcomes = stream::iter(&listed).map(|listed| outcome(store, run, listed)).buffered(AT_ONCE);
            let outcomes: Vec<_> = outcomes.try_collect().await?;
            for (listed, outcome) in listed.iter().zip(outcomes) {
                tally.add(listed, outcome, since);
            }
        }
        Ok(tally)
    }

    fn add(&mut self, listed: &Listed, outcome: Found, since: Timestamp) {
        self.available += 1;
        let item = listed.item.as_str().map_or_else(|| listed.item.to_string(), str::to_owned);
        let outcome = match outcome {
            Found::Outcome(outcome) => *outcome,
            Found::Nothing => {
                self.in_flight += 1;
                return;
            }
            Found::NoTask => {
                self.after_fan_out += 1;
                self.failed += 1;
                self.failures.push(FailedItem { item, stage: Stage::Convert, reason: Reason::TaskMalformed });
                return;
            }
        };
        for filed in &outcome.mailboxes {
            *self.mailboxes.entry(filed.address.to_string()).or_default() += 1;
            if filed.result == FilingResult::Imported && filed.at >= since {
                self.imported += 1;
            } else {
                self.skipped += 1;
            }
        }
        self.after_fan_out += outcome.mailboxes.len() as u64;
        match outcome.dead_letter {
            Some(letter) => {
                let copies = outcome.failed.len().max(usize::from(outcome.mailboxes.is_empty())) as u64;
                self.after_fan_out += copies;
                self.failed += copies;
                self.failures.push(FailedItem { item, stage: letter.stage, reason: letter.reason });
            }
            None if !outcome.is_complete() => self.in_flight += 1,
            None => {}
        }
    }
}

enum Found {
    Outcome(Box<Outcome>),
    /// Nothing yet.
    Nothing,
    /// What was listed cannot even be a task, so it has no key and no outcome.
    NoTask,
}

async fn outcome(store: &Store, run: &RunId, listed: &Listed) -> Result<Found, TallyError> {
    let body = json!({"v": TASK_VERSION, "run": run, "item": listed.item, "archived_time": listed.archived_time});
    let Ok(task) = ConvertTask::parse(&body.to_string()) else { return Ok(Found::NoTask) };
    let (_, key) = keys::of_convert(&task);
    let Some(object) = store.get(&key, LIMIT).await? else { return Ok(Found::Nothing) };
    let outcome = Outcome::parse(&object.bytes).map_err(|_| TallyError::Unreadable { key })?;
    Ok(Found::Outcome(Box::new(outcome)))
}
