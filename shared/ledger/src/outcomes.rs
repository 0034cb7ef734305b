//! Reads and writes the item's outcome in the bucket, and the lease on it.
//!
//! If two functions receive the same item at the same time, one processes it: the one whose conditional write put the
//! lease into the outcome. The lease ends when the work is done, or some time after the deadline of the invocation that
//! holds it. By that time Lambda has ended the process, and its last request to the mail system has taken effect or was
//! dropped. A filing that the deadline interrupts is treated like one whose response was lost. `model::LeaseState` has
//! the states and transitions.

use std::time::Duration;

use aws::s3::{Condition, ETag, Put, Store, StoreError, Written};
use jiff::{SignedDuration, Timestamp};
use model::{
    ConvertTask, DeadLetterSource, Failure, ImportTask, LeaseState, MissingReason, Outcome, Reason, Stage,
    keys::ItemKeys,
};
use uuid::Uuid;

use crate::{
    error::store_failure,
    stored_outcome::{OUTCOME_MAX_BYTES, StoredOutcome, read_dated_outcome, read_outcome},
};

/// One delivery of a task to a function.
#[derive(Clone, Copy)]
pub struct Delivery<'a> {
    /// Lambda's request id of the invocation.
    pub request_id: &'a str,
    /// End of the invocation: Lambda ends the process then.
    pub ends: Timestamp,
    /// The queue's id of the message.
    pub message_id: &'a str,
    /// Returns whether the dead letter of an outcome also covers this message.
    pub is_covered_by_dead_letter: &'a (dyn Fn(&Outcome) -> bool + Sync),
}

/// An outcome on which this record holds the lease.
pub struct Leased {
    /// The outcome; no other function changes it while the lease is held.
    pub outcome: Outcome,
    /// `true` if the bucket had no outcome: no attempt was made to file the item, or its outcome was deleted by age.
    pub is_new: bool,
    key: String,
    etag: ETag,
}

/// The result of acquiring a lease.
pub enum Acquired {
    /// The lease is held.
    Leased(Box<Leased>),
    /// Nothing is left to do; the text is the reason, for the log.
    Settled(&'static str),
}

/// The outcomes in the bucket.
pub struct Outcomes<'a> {
    /// The bucket.
    pub store: &'a Store,
    /// Maximum time for which a request may still take effect after the process that sent it has ended.
    pub settle_time: Duration,
}

/// Upper bound on how long a lease is kept while waiting to retry: a mail system may request hours, and an operator may
/// fix the cause earlier. Not shorter than the longest settle time.
const MAX_HOLD: SignedDuration = SignedDuration::from_mins(5);

impl Outcomes<'_> {
    /// Acquires the lease for one delivery of a task.
    ///
    /// # Errors
    /// [`Failure::Transient`] or [`Failure::Configuration`].
    pub async fn acquire(
        &self,
        task: &ImportTask,
        keys: &ItemKeys,
        delivery: Delivery<'_>,
    ) -> Result<Acquired, Failure> {
        // Unique for each record: SQS may put one message into a batch twice, and only one of the two may win the lease.
        let holder = format!("{}/{}/{}", delivery.request_id, delivery.message_id, Uuid::new_v4().simple());
        let until = delivery.ends + self.settle_time;
        let key = keys.outcome.clone();
        // An outcome of release 0.1 counts, too: without it, a second copy would be filed.
        if read_dated_outcome(self.store, keys).await.map_err(Failure::from)?.is_none() {
            let mut outcome = Outcome::new(task.item.clone());
            outcome.run = Some(task.run.clone());
            outcome.acquire(holder.clone(), until);
            // Most items are new: a conditional write reads and writes in one request.
            if let Written::Yes(etag) = self.put(&key, &outcome, Condition::Absent).await? {
                return Ok(Acquired::Leased(Box::new(Leased { outcome, is_new: true, key, etag })));
            }
        }
        let stored = read_outcome(self.store, keys).await.map_err(Failure::from)?;
        let Some(stored) = stored else { return Err(retry("the outcome existed and has been deleted", None)) };
        let mut outcome = stored.outcome.clone();
        let now = Timestamp::now();
        match outcome.state(now) {
            LeaseState::Leased { until } | LeaseState::Waiting { until } => return Err(lease_held(until, now)),
            LeaseState::Complete => return Ok(Acquired::Settled("filed already")),
            // The item was queued again by a later run's overlap or a repeated convert; one dead letter is enough.
            LeaseState::DeadLettered(dead)
                if dead.stage == Stage::Import && (delivery.is_covered_by_dead_letter)(&outcome) =>
            {
                return Ok(Acquired::Settled("a dead letter already"));
            }
            LeaseState::Unleased | LeaseState::DeadLettered(_) => {}
        }
        // A replay, or a backfill after the dead letter has expired, gets all retries again.
        outcome.begin_replay(delivery.message_id);
        outcome.acquire(holder, until);
        outcome.run.get_or_insert_with(|| task.run.clone());
        match self.put(&key, &outcome, stored.condition()).await? {
            Written::Yes(etag) => Ok(Acquired::Leased(Box::new(Leased { outcome, is_new: false, key, etag }))),
            Written::Conflict => Err(retry("another invocation has just acquired the lease on the item", None)),
        }
    }

    /// Writes the outcome so far, and keeps the lease.
    ///
    /// # Errors
    /// [`Failure::Transient`] or [`Failure::Configuration`].
    pub async fn save(&self, leased: &mut Leased) -> Result<(), Failure> {
        match self.put(&leased.key, &leased.outcome, Condition::Unchanged(&leased.etag)).await? {
            Written::Yes(etag) => {
                leased.etag = etag;
                Ok(())
            }
            Written::Conflict => Err(retry("the lease on the item was lost", None)),
        }
    }

    /// Writes that the item is complete, and releases the lease.
    ///
    /// # Errors
    /// [`Failure::Transient`] or [`Failure::Configuration`].
    pub async fn complete(&self, mut leased: Leased) -> Result<(), Failure> {
        leased.outcome.complete();
        self.save(&mut leased).await
    }

    /// Writes that the item becomes a dead letter, and releases the lease after `hold`, up to `MAX_HOLD`: a copy whose
    /// outcome is unknown may still appear, and a replay must not begin before that.
    ///
    /// # Errors
    /// [`Failure::Transient`] or [`Failure::Configuration`].
    pub async fn dead_letter(
        &self,
        mut leased: Leased,
        reason: Reason,
        source: DeadLetterSource,
        hold: Duration,
    ) -> Result<(), Failure> {
        if !hold.is_zero() {
            leased.outcome.wait(source.at + capped(hold));
        }
        leased.outcome.dead_letter(Stage::Import, reason, source);
        self.save(&mut leased).await
    }

    /// Writes the outcome so far. No other attempt begins before `hold` is over, up to `MAX_HOLD`.
    ///
    /// # Errors
    /// [`Failure::Transient`] or [`Failure::Configuration`].
    pub async fn wait(&self, mut leased: Leased, hold: Duration) -> Result<(), Failure> {
        leased.outcome.wait(Timestamp::now() + capped(hold));
        self.save(&mut leased).await
    }

    async fn put(&self, key: &str, outcome: &Outcome, condition: Condition<'_>) -> Result<Written, Failure> {
        let bytes = outcome.to_json();
        let put = Put { key, bytes: bytes.clone().into(), content_type: "application/json", sha256: None };
        match self.store.put(put, condition).await {
            Ok(Written::Conflict) | Err(StoreError::Unavailable { .. }) => {}
            Ok(written @ Written::Yes(_)) => return Ok(written),
            Err(error) => return Err(store_failure(error)),
        }
        // The write may have taken effect although the response was lost, or the SDK's own retry met its first attempt:
        // then the object is exactly what was written, with this record's holder.
        match self.store.get(key, OUTCOME_MAX_BYTES).await.map_err(store_failure)? {
            Some(object) if object.bytes == bytes => Ok(Written::Yes(object.etag)),
            _ => Ok(Written::Conflict),
        }
    }
}

fn capped(hold: Duration) -> SignedDuration {
    SignedDuration::try_from(hold).unwrap_or(SignedDuration::MAX).min(MAX_HOLD)
}

/// Returns the failure of an attempt that finds the lease held by another.
fn lease_held(until: Timestamp, now: Timestamp) -> Failure {
    let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
    retry("another invocation works on the item, or a copy may still appear", Some(left))
}

fn retry(detail: &str, after: Option<Duration>) -> Failure {
    Failure::Transient { detail: detail.to_owned(), after }
}

/// Records in the outcome of an item that unmapped participants are looked up again: the item is not complete until import has
/// done that. `places` selects them. Returns the written outcome; `None` if none is selected.
///
/// # Errors
/// [`Failure::Transient`], also while import holds the lease, or [`Failure::Configuration`].
pub async fn look_up_again(
    store: &Store,
    key: &str,
    before: &StoredOutcome,
    places: impl Fn(usize) -> bool,
) -> Result<Option<StoredOutcome>, Failure> {
    let mut outcome = before.outcome.clone();
    let now = Timestamp::now();
    if !outcome.look_up_again(places, MissingReason::LookupFailed, now) {
        return Ok(None);
    }
    if let Some(until) = outcome.held_until(now) {
        return Err(lease_held(until, now));
    }
    let put = Put { key, bytes: outcome.to_json().into(), content_type: "application/json", sha256: None };
    match store.put(put, before.condition()).await.map_err(store_failure)? {
        Written::Yes(etag) => Ok(Some(StoredOutcome { outcome, key: key.to_owned(), version: Some(etag) })),
        Written::Conflict => Err(retry("another invocation has changed the item's outcome", None)),
    }
}

/// Records convert's dead letter in an item's outcome, before the dead letter is sent: writing twice changes nothing,
/// sending twice makes a second dead letter.
///
/// Fails while import holds the lease for another task of the item: otherwise a replay of the dead letter could begin
/// while a copy is being filed.
///
/// # Errors
/// [`Failure::Transient`] or [`Failure::Configuration`].
pub async fn record_dead_letter(
    store: &Store,
    task: &ConvertTask,
    key: &str,
    before: Option<StoredOutcome>,
    (reason, source): (Reason, DeadLetterSource),
) -> Result<(), Failure> {
    let condition = before.as_ref().map_or(Condition::Absent, StoredOutcome::condition);
    let mut outcome = before.as_ref().map_or_else(|| Outcome::new(task.item.clone()), |before| before.outcome.clone());
    let now = Timestamp::now();
    if let Some(until) = outcome.held_until(now) {
        return Err(lease_held(until, now));
    }
    outcome.run.get_or_insert_with(|| task.run.clone());
    outcome.dead_letter(Stage::Convert, reason, source);
    let put = Put { key, bytes: outcome.to_json().into(), content_type: "application/json", sha256: None };
    match store.put(put, condition).await.map_err(store_failure)? {
        Written::Yes(_) => Ok(()),
        Written::Conflict => Err(retry("another invocation has changed the item's outcome", None)),
    }
}
