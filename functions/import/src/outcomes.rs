//! The item's outcome, and the claim on it.
//!
//! Of two functions that are given the same item at once, one works on it: it holds the claim, which is put into the
//! outcome by a conditional write. A claim ends with the work, or a while after the deadline of the invocation that
//! holds it: Lambda has ended the process then, and what it asked of a mail system has been done or dropped. A filing that
//! the deadline cut off is one whose answer was lost.

use std::time::Duration;

use batch::{Failure, Invocation, Record};
use item::{Claim, ImportTask, Outcome};
use jiff::{SignedDuration, Timestamp};
use store::{Condition, ETag, Put, ReadOutcomeError, Store, StoreError, Written, keys::ItemKeys};
use uuid::Uuid;

use crate::from_store;

/// An outcome that is ours to change until the claim ends.
pub(crate) struct Claimed {
    pub(crate) outcome: Outcome,
    /// Whether nobody has ever begun to file this item.
    pub(crate) first: bool,
    key: String,
    etag: ETag,
}

/// What was found in the place of an outcome.
pub(crate) enum Found {
    /// It is ours now.
    Ours(Box<Claimed>),
    /// It was decided before, and nothing is left to be done.
    Settled(&'static str),
}

/// The outcomes in the bucket.
pub(crate) struct Outcomes<'a> {
    pub(crate) store: &'a Store,
    /// How long a request may still take effect whose sender is gone.
    pub(crate) settles: Duration,
}

impl Outcomes<'_> {
    /// How long an item may be nobody's to try that has to wait: a mail system's own wait may be hours, and an operator
    /// may have mended it before.
    const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(5);

    /// Claims an item for one delivery of its task. `settled` looks at an outcome that is there and says why nothing is
    /// left to be done, if so.
    pub(crate) async fn claim(
        &self,
        task: &ImportTask,
        keys: &ItemKeys,
        delivery: (&Invocation, &Record),
        settled: impl Fn(&Outcome) -> Option<&'static str>,
    ) -> Result<Found, Failure> {
        let (invocation, record) = delivery;
        // Unique for each record: SQS may put one message into a batch twice, and only one of the two may win the lease.
        let holder = format!("{}/{}/{}", invocation.request_id, record.message_id, Uuid::new_v4().simple());
        let claim = Claim { holder, until: invocation.ends + self.settles };
        // What release 0.1 has recorded counts: without it, a second copy would be filed.
        let found = match self.store.dated_outcome(keys).await.map_err(from_read)? {
            Some(_) => self.store.outcome(keys).await.map_err(from_read)?,
            None => {
                let mut outcome = Outcome::new(task.item.clone());
                outcome.run = Some(task.run.clone());
                outcome.claim = Some(claim.clone());
                // Most items are new: trying to write is reading and writing in one request.
                if let Written::Yes(etag) = self.put(&keys.outcome, &outcome, Condition::Absent).await? {
                    let key = keys.outcome.clone();
                    return Ok(Found::Ours(Box::new(Claimed { outcome, first: true, key, etag })));
                }
                self.store.outcome(keys).await.map_err(from_read)?
            }
        };
        let Some(stored) = found else { return Err(again("the outcome was there and is gone", None)) };
        let mut outcome = stored.outcome.clone();
        if let Some(why) = settled(&outcome) {
            return Ok(Found::Settled(why));
        }
        if let Some(other) = &outcome.claim {
            let left = other.until.duration_since(Timestamp::now());
            if left.is_positive() {
                let left = Duration::try_from(left).unwrap_or_default();
                return Err(again("another invocation works on the item", Some(left)));
            }
        }
        outcome.claim = Some(claim);
        outcome.run.get_or_insert_with(|| task.run.clone());
        match self.put(&keys.outcome, &outcome, stored.condition()).await? {
            Written::Yes(etag) => {
                let key = keys.outcome.clone();
                Ok(Found::Ours(Box::new(Claimed { outcome, first: false, key, etag })))
            }
            Written::Conflict => Err(again("another invocation has just claimed the item", None)),
        }
    }

    /// Writes what has become of the item so far, and keeps the claim.
    pub(crate) async fn save(&self, claimed: &mut Claimed) -> Result<(), Failure> {
        match self.put(&claimed.key, &claimed.outcome, Condition::Unchanged(&claimed.etag)).await? {
            Written::Yes(etag) => {
                claimed.etag = etag;
                Ok(())
            }
            Written::Conflict => Err(again("the claim on the item was lost", None)),
        }
    }

    /// Writes what has become of the item, and gives the claim up.
    pub(crate) async fn release(&self, mut claimed: Claimed) -> Result<(), Failure> {
        claimed.outcome.claim = None;
        self.save(&mut claimed).await
    }

    /// Writes what has become of the item so far, where the rest has to wait so long. Until then the claim goes on: a copy
    /// may be on its way that nobody sees yet. Then whoever comes next has it; but it stays, because without it the
    /// copies that are there would look like all of them.
    pub(crate) async fn put_off(&self, mut claimed: Claimed, wait: Duration) -> Result<(), Failure> {
        let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX).min(Self::LONGEST_WAIT);
        // A dead letter says too that the item is not done, and has to be seen as one.
        let stays = !wait.is_zero() || claimed.outcome.dead_letter.is_none();
        let until = Timestamp::now() + wait;
        claimed.outcome.claim = claimed.outcome.claim.filter(|_| stays).map(|claim| Claim { until, ..claim });
        self.save(&mut claimed).await
    }

    async fn put(&self, key: &str, outcome: &Outcome, condition: Condition<'_>) -> Result<Written, Failure> {
        let bytes = outcome.to_json();
        let put = Put { key, bytes: bytes.clone().into(), content_type: "application/json", sha256: None };
        match self.store.put(put, condition).await {
            Ok(Written::Conflict) | Err(StoreError::Unavailable { .. }) => {}
            Ok(written @ Written::Yes(_)) => return Ok(written),
            Err(error) => return Err(from_store(error)),
        }
        // The write may have taken effect although no answer came, or the SDK's own second try met the first: what is
        // there is then exactly what we wrote, our claim included.
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

fn again(detail: &str, after: Option<Duration>) -> Failure {
    Failure::Transient { detail: detail.to_owned(), after }
}
