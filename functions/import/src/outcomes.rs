//! The item's outcome in the bucket, and the lease on it.
//!
//! Of two functions that are given the same item at once, one works on it: it holds the lease, which is put into the outcome by
//! a conditional write. A lease ends with the work, or a while after the deadline of the invocation that holds it: Lambda has
//! ended the process then, and its last request to a mail system has taken effect or was dropped. A filing that the deadline
//! cuts off is one whose response was lost. The states and transitions are in `item::LeaseState`.

use std::time::Duration;

use batch::{Failure, Invocation, Record};
use item::{ImportTask, LeaseState, LetterOf, Outcome, Reason, Stage};
use jiff::{SignedDuration, Timestamp};
use store::{Condition, ETag, Put, ReadOutcomeError, Store, StoreError, Written, keys::ItemKeys};
use uuid::Uuid;

use crate::failure::from_store;

/// An outcome on which this record holds the lease.
pub(crate) struct Leased {
    pub(crate) outcome: Outcome,
    /// Whether no attempt to file this item has ever begun.
    pub(crate) first: bool,
    key: String,
    etag: ETag,
}

/// What was found when the lease was requested.
pub(crate) enum Acquired {
    /// The lease is held.
    Leased(Box<Leased>),
    /// Nothing is left to be done, and why.
    Settled(&'static str),
}

/// The outcomes in the bucket.
pub(crate) struct Outcomes<'a> {
    pub(crate) store: &'a Store,
    /// How long a request may still take effect after the process that sent it has ended.
    pub(crate) settles: Duration,
}

impl Outcomes<'_> {
    /// Upper bound on how long a lease is kept while waiting to retry: a mail system may ask for hours, and an operator may have
    /// fixed the cause before.
    const MAX_HOLD: SignedDuration = SignedDuration::from_mins(5);

    /// Acquires the lease for one delivery of a task.
    pub(crate) async fn acquire(
        &self,
        task: &ImportTask,
        keys: &ItemKeys,
        (invocation, record): (&Invocation, &Record),
    ) -> Result<Acquired, Failure> {
        // Unique for each record: SQS may put one message into a batch twice, and only one of the two may win the lease.
        let holder = format!("{}/{}/{}", invocation.request_id, record.message_id, Uuid::new_v4().simple());
        let until = invocation.ends + self.settles;
        let key = keys.outcome.clone();
        // What release 0.1 has recorded counts: without it, a second copy would be filed.
        if self.store.dated_outcome(keys).await.map_err(from_read)?.is_none() {
            let mut outcome = Outcome::new(task.item.clone());
            outcome.run = Some(task.run.clone());
            outcome.acquire(holder.clone(), until);
            // Most items are new: a conditional write reads and writes in one request.
            if let Written::Yes(etag) = self.put(&key, &outcome, Condition::Absent).await? {
                return Ok(Acquired::Leased(Box::new(Leased { outcome, first: true, key, etag })));
            }
        }
        let stored = self.store.outcome(keys).await.map_err(from_read)?;
        let Some(stored) = stored else { return Err(retry("the outcome existed and has been deleted", None)) };
        let mut outcome = stored.outcome.clone();
        let now = Timestamp::now();
        match outcome.state(now) {
            LeaseState::Complete => return Ok(Acquired::Settled("filed already")),
            // Queued again by a later run's overlap or a repeated convert: one dead letter is enough.
            LeaseState::DeadLettered(dead) if dead.stage == Stage::Import && record.needs_no_letter(&outcome) => {
                return Ok(Acquired::Settled("a dead letter already"));
            }
            LeaseState::Leased { until } | LeaseState::Waiting { until } => {
                let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
                return Err(retry("another invocation works on the item", Some(left)));
            }
            LeaseState::Unleased | LeaseState::DeadLettered(_) => {}
        }
        // A replay, or a backfill after the dead letter has expired, gets all the retries once more. The message that became
        // the dead letter does not: it comes back only because its dead letter may not have been sent.
        if let Some(letter) = outcome.letter_of.as_ref().filter(|letter| letter.message != record.message_id) {
            let noted = letter.at;
            outcome.restart_retries(noted);
        }
        outcome.acquire(holder, until);
        outcome.run.get_or_insert_with(|| task.run.clone());
        match self.put(&key, &outcome, stored.condition()).await? {
            Written::Yes(etag) => Ok(Acquired::Leased(Box::new(Leased { outcome, first: false, key, etag }))),
            Written::Conflict => Err(retry("another invocation has just acquired the lease on the item", None)),
        }
    }

    /// Writes what has become of the item so far, and keeps the lease.
    pub(crate) async fn save(&self, leased: &mut Leased) -> Result<(), Failure> {
        match self.put(&leased.key, &leased.outcome, Condition::Unchanged(&leased.etag)).await? {
            Written::Yes(etag) => {
                leased.etag = etag;
                Ok(())
            }
            Written::Conflict => Err(retry("the lease on the item was lost", None)),
        }
    }

    /// Writes that the item is filed wherever it belongs, and releases the lease.
    pub(crate) async fn complete(&self, mut leased: Leased) -> Result<(), Failure> {
        leased.outcome.complete();
        self.save(&mut leased).await
    }

    /// Writes that the item becomes a dead letter, and releases the lease.
    pub(crate) async fn dead_letter(
        &self,
        mut leased: Leased,
        reason: Reason,
        source: LetterOf,
    ) -> Result<(), Failure> {
        leased.outcome.dead_letter(Stage::Import, reason, source);
        self.save(&mut leased).await
    }

    /// Writes what has become of the item so far. No other attempt begins before `hold` is over, up to `MAX_HOLD`.
    pub(crate) async fn wait(&self, mut leased: Leased, hold: Duration) -> Result<(), Failure> {
        let hold = SignedDuration::try_from(hold).unwrap_or(SignedDuration::MAX).min(Self::MAX_HOLD);
        let now = Timestamp::now();
        leased.outcome.wait(now + hold, now);
        self.save(&mut leased).await
    }

    async fn put(&self, key: &str, outcome: &Outcome, condition: Condition<'_>) -> Result<Written, Failure> {
        let bytes = outcome.to_json();
        let put = Put { key, bytes: bytes.clone().into(), content_type: "application/json", sha256: None };
        match self.store.put(put, condition).await {
            Ok(Written::Conflict) | Err(StoreError::Unavailable { .. }) => {}
            Ok(written @ Written::Yes(_)) => return Ok(written),
            Err(error) => return Err(from_store(error)),
        }
        // The write may have taken effect although the response was lost, or the SDK's own retry met its first attempt: then
        // the object is exactly what was written, with this record's holder.
        match self.store.get(key, Store::OUTCOME_MAX_BYTES).await.map_err(from_store)? {
            Some(object) if object.bytes == bytes => Ok(Written::Yes(object.etag)),
            _ => Ok(Written::Conflict),
        }
    }
}

fn from_read(error: ReadOutcomeError) -> Failure {
    match error {
        ReadOutcomeError::Store(error) => from_store(error),
        ReadOutcomeError::Unreadable { .. } => Failure::Setup { detail: error.to_string(), after: None },
    }
}

fn retry(detail: &str, after: Option<Duration>) -> Failure {
    Failure::Transient { detail: detail.to_owned(), after }
}
