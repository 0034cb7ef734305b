//! State of the queues while items are decided.

use aws::s3::{Store, StoreError};
use jiff::Timestamp;
use ledger::{entries, totals::EntryState};
use model::{DeadLettered, Listed, Outcome, RunId};

use super::{
    age::state_without_outcome,
    dead_letters::{DiscardedCopies, QueuedDeadLetters},
    error::ReconcileError,
    open_item::OpenItem,
    runs::Runs,
    seen_items::ItemHash,
};
use crate::{
    commands::dead_letters::DeadLetterQueue,
    connection::{Connection, Part},
};

/// State of the queues and of the discarded dead letters.
pub(super) struct QueueState {
    /// `true` if a task may be on one of the two queues.
    busy: bool,
    /// Number of notifications that SNS could not deliver to the receive queue.
    pub(super) undelivered: u64,
    /// Number of messages on the receive queue.
    pub(super) receiving: u64,
    pub(super) dead_letters: QueuedDeadLetters,
    discards: DiscardedCopies,
    /// Time since which the bucket has every outcome.
    kept_since: Option<Timestamp>,
}

impl QueueState {
    pub(super) async fn read(connection: &Connection) -> Result<Self, ReconcileError> {
        let queues = DeadLetterQueue::of(connection);
        // Before the receive queue: an operator moves the notifications there.
        let undelivered = match connection.part(Part::ReceiveUndelivered) {
            Ok(url) => queues.depth(url).await?.iter().sum(),
            Err(_) => 0,
        };
        let receiving = match &connection.queues.receive {
            Some(url) => queues.depth(url).await?.iter().sum(),
            None => 0,
        };
        // In the order of processing: a task is on the import queue before it leaves the convert queue.
        let is_busy = async || -> Result<bool, ReconcileError> {
            let mut busy = false;
            for url in [&connection.queues.convert, &connection.queues.import] {
                busy |= queues.depth(url).await?.iter().any(|count| *count > 0);
            }
            Ok(busy)
        };
        let was_busy = is_busy().await?;
        let dead_letters = QueuedDeadLetters::read(connection).await?;
        // Again: a replay moves a dead letter back to one of the two queues.
        let busy = was_busy || is_busy().await?;
        let kept_since = connection.outcomes_kept_since(Timestamp::now());
        Ok(Self {
            busy,
            undelivered,
            receiving,
            dead_letters,
            discards: DiscardedCopies::list(&connection.store).await?,
            kept_since,
        })
    }

    /// Returns the state of an entry, by its outcome as read after this state.
    pub(super) async fn entry_state(
        &self,
        store: &Store,
        runs: &Runs,
        open: &OpenItem,
        outcome: Option<&Outcome>,
    ) -> Result<EntryState, StoreError> {
        let hash = ItemHash::of(&open.listed.item);
        let reason = || {
            let dead_letter = outcome.and_then(|outcome| outcome.dead_letter);
            reason(dead_letter, &open.run, &open.listed)
        };
        let is_leased = outcome.is_some_and(|outcome| outcome.held_until(Timestamp::now()).is_some());
        Ok(if outcome.is_some_and(Outcome::is_complete) {
            EntryState::Filed
        } else if self.dead_letters.items.contains(&hash) {
            EntryState::InDeadLetterQueue(reason())
        } else if self.busy || is_leased || open.recent || !self.dead_letters.complete {
            EntryState::InFlight
        } else if self.discards.cover(store, hash, outcome, (open.last_listed(runs), open.newest)).await? {
            EntryState::Discarded(reason())
        } else if outcome.is_none() {
            state_without_outcome(open.last_listed(runs), open.listed.archived_at(), self.kept_since)
        } else {
            EntryState::Missing
        })
    }
}

/// Returns the reason of a dead letter. An entry that is not a valid task has no outcome that records one; a message
/// that SQS moved has no reason.
fn reason(dead_letter: Option<DeadLettered>, run: &RunId, listed: &Listed) -> Option<model::Reason> {
    match dead_letter {
        Some(dead_letter) => Some(dead_letter.reason),
        None => entries::item_keys(run, listed).is_none().then_some(model::Reason::TaskMalformed),
    }
}
