//! Compares the stored webhooks with the proofs that all of their events are written, and counts the tasks and dead letters
//! of receive. An event that is not written is in no manifest, so the comparison of the items cannot see it.
//!
//! The order matters: first the bodies are listed, then the queues are read, then the proofs are listed. A task that left
//! the queue before it was read has written its proof.

use std::collections::HashMap;

use aws::s3::{Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use model::{Sha256, keys};
use serde::Serialize;

use super::{
    dead_letters::{DiscardedEvents, discarded_webhooks},
    queue_state::QueueState,
};
use crate::connection::{Connection, Target};

/// Webhooks of a period, and what receive still has to do.
#[derive(Debug, Default, Serialize)]
pub struct Webhooks {
    /// Number of bodies that were stored in the period.
    pub stored: u64,
    /// Messages on the receive queue: webhooks and files.
    pub tasks: u64,
    /// Notifications that SNS could not deliver to the receive queue. SQS deletes them after 14 days.
    pub undelivered: u64,
    /// `true` if there may be a receive queue whose messages were not counted, because the environment does not name it.
    pub tasks_unknown: bool,
    /// Dead letters of the stage receive in the queue.
    pub dead_letters: u64,
    /// Values of the period's webhooks that may contain messages and were not recognized, closed ones included: see
    /// `incidents`.
    pub unrecognized: u64,
    /// Bodies whose events are not all written and that have, or may have, a task or a dead letter.
    pub waiting: u64,
    /// Bodies whose events are not all written and whose dead letter an operator has discarded.
    pub discarded: u64,
    /// Bodies whose events are not all written and that have neither a task nor a dead letter.
    pub unprocessed: Vec<UnprocessedWebhook>,
}

/// A body whose events are not all written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnprocessedWebhook {
    /// Key of the body in the bucket.
    pub object: String,
    #[serde(skip)]
    pub(super) sha256: Sha256,
    pub received: Timestamp,
}

/// A replayed notification of AWS is stored under the day of its replay. Its proof is searched for this long after the
/// body: dead letters are kept for 14 days.
const PROOF_SLACK: SignedDuration = SignedDuration::from_hours(31 * 24);

/// The bodies of a period, listed before the queues are read.
pub(super) struct StoredWebhooks {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    bodies: HashMap<Sha256, UnprocessedWebhook>,
    stored: u64,
    /// `true` if there may be a receive queue that the connection does not know.
    is_queue_unknown: bool,
}

/// Reason to end a listing.
enum Stop {
    AfterPeriod,
    Failed(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// Lists the keys of one kind by day: from the day of `from` to that of `to`, both included.
async fn list_days(
    store: &Store,
    prefix: &str,
    days: (Option<String>, Option<String>),
    mut each: impl FnMut(aws::s3::Listed),
) -> Result<(), StoreError> {
    let (first, last) = days;
    // Sorts after every key of the last day.
    let end = last.map(|last| format!("{last}~"));
    let listed = store.list_after(prefix, first.as_deref(), |page| {
        let mut is_over = false;
        for object in page {
            is_over = end.as_ref().is_some_and(|end| object.key > *end);
            if is_over {
                break;
            }
            each(object);
        }
        async move { if is_over { Err(Stop::AfterPeriod) } else { Ok(()) } }
    });
    match listed.await {
        Ok(()) | Err(Stop::AfterPeriod) => Ok(()),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// Returns whether the bucket has a body of a webhook.
async fn has_bodies(store: &Store) -> Result<bool, StoreError> {
    let mut found = false;
    let listed = store.list_after(keys::WEBHOOKS, None, |page| {
        found |= !page.is_empty();
        std::future::ready(if found { Err(Stop::AfterPeriod) } else { Ok(()) })
    });
    match listed.await {
        Ok(()) | Err(Stop::AfterPeriod) => Ok(found),
        Err(Stop::Failed(error)) => Err(error),
    }
}

impl StoredWebhooks {
    /// Lists the bodies of a period. `None` if the deployment never received webhooks: it has no receive queue, and the bucket
    /// has no body. After a change of the source, the queue is deleted and the bodies are kept.
    pub(super) async fn list(
        connection: &Connection,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<Option<Self>, StoreError> {
        let has_queue = connection.queues.receive.is_some();
        if !has_queue && !has_bodies(&connection.store).await? {
            return Ok(None);
        }
        // A stack and a one-machine run name each queue that they have.
        let is_queue_unknown = !has_queue && connection.target == Target::Environment;
        // Proofs are kept as long as outcomes.
        let from = from.max(connection.outcomes_kept_since(Timestamp::now()));
        let mut listed = Self { from, to, bodies: HashMap::new(), stored: 0, is_queue_unknown };
        let days = (from.map(keys::webhooks_day), to.map(keys::webhooks_day));
        list_days(&connection.store, keys::WEBHOOKS, days, |object| {
            let Some(sha256) = keys::webhook_of_body(&object.key) else { return };
            let Received { first, last, task: received } = Received::of(&object.key, &sha256, object.last_modified);
            if from.is_some_and(|from| last < from) || to.is_some_and(|to| first >= to) {
                return;
            }
            listed.stored += 1;
            listed.bodies.entry(sha256).or_insert(UnprocessedWebhook { object: object.key, sha256, received });
        })
        .await?;
        Ok(Some(listed))
    }

    /// Compares the bodies with the proofs, after the queues were read. A body younger than `queueing` may not have a task yet.
    pub(super) async fn compare(
        mut self,
        store: &Store,
        queue_state: &QueueState,
        queueing: SignedDuration,
    ) -> Result<Webhooks, StoreError> {
        let (tasks, dead_letters) = (queue_state.receiving, &queue_state.dead_letters);
        let mut proofs: HashMap<Sha256, Vec<keys::ProcessedPart>> = HashMap::new();
        let to = self.to.map(|to| to.saturating_add(PROOF_SLACK).unwrap_or(Timestamp::MAX));
        let days = (self.from.map(keys::processed_day), to.map(keys::processed_day));
        list_days(store, keys::PROCESSED, days, |object| {
            let Some(part) = keys::processed_part(&object.key) else { return };
            if self.bodies.contains_key(&part.webhook) {
                proofs.entry(part.webhook).or_default().push(part);
            }
        })
        .await?;
        self.bodies.retain(|sha256, _| !proofs.get(sha256).is_some_and(|parts| is_complete(parts, &[])));
        let mut webhooks = Webhooks {
            stored: self.stored,
            tasks,
            undelivered: queue_state.undelivered,
            tasks_unknown: self.is_queue_unknown && (self.stored > 0 || dead_letters.of_receive > 0),
            dead_letters: dead_letters.of_receive,
            ..Webhooks::default()
        };
        let now = Timestamp::now();
        let is_busy = tasks > 0 || self.is_queue_unknown || !dead_letters.complete;
        let may_have_task = |body: &UnprocessedWebhook| {
            is_busy || dead_letters.webhooks.contains(&body.sha256) || body.received + queueing > now
        };
        let (waiting, open): (Vec<_>, Vec<_>) = self.bodies.into_values().partition(may_have_task);
        webhooks.waiting = waiting.len() as u64;
        if !open.is_empty() {
            let discarded = discarded_webhooks(store).await?;
            let is_decided = |body: &UnprocessedWebhook| {
                let parts = proofs.get(&body.sha256).map(Vec::as_slice).unwrap_or_default();
                discarded.get(&body.sha256).is_some_and(|discarded| is_complete(parts, discarded))
            };
            let (discarded, unprocessed): (Vec<_>, Vec<_>) = open.into_iter().partition(is_decided);
            (webhooks.discarded, webhooks.unprocessed) = (discarded.len() as u64, unprocessed);
        }
        webhooks.unprocessed.sort_by(|one, other| one.object.cmp(&other.object));
        Ok(webhooks)
    }
}

/// Time of receipt of a body.
#[derive(Debug, PartialEq, Eq)]
struct Received {
    first: Timestamp,
    last: Timestamp,
    /// A time under which the body has its key: a task with it leads to the body.
    task: Timestamp,
}

impl Received {
    /// Determines the time from the body's key and S3's time of writing. S3's clock may show another day than the function's. A
    /// body that was copied or restored has the time of that; only its day of receipt is known, so it is in every period that has
    /// a part of this day.
    fn of(key: &str, sha256: &Sha256, written: Timestamp) -> Self {
        const NEXT_DAY: SignedDuration = SignedDuration::from_hours(1);
        let earlier = written.saturating_sub(NEXT_DAY).unwrap_or(written);
        let later = written.saturating_add(NEXT_DAY).unwrap_or(written);
        let has_key = |at: &Timestamp| keys::webhook_body(*at, sha256) == key;
        if let Some(task) = [written, earlier, later].into_iter().find(has_key) {
            return Self { first: written, last: written, task };
        }
        let day = key.strip_prefix(keys::WEBHOOKS).and_then(|key| key.split_once('/'));
        let start = day.and_then(|(day, _)| format!("{day}T00:00:00Z").parse::<Timestamp>().ok());
        let Some(start) = start else { return Self { first: written, last: written, task: written } };
        let end = start.saturating_add(SignedDuration::from_secs(86_399)).unwrap_or(start);
        Self { first: start, last: end, task: start }
    }
}

/// Returns whether the parts and the events of discarded dead letters are all of a body's events, by the number of events that
/// any of them states.
fn is_complete(parts: &[keys::ProcessedPart], discarded: &[DiscardedEvents]) -> bool {
    if discarded.contains(&DiscardedEvents::All) {
        return true;
    }
    // First event, end, and total of each; a discarded task of an earlier build states no total.
    let discarded = discarded.iter().filter_map(|events| match *events {
        DiscardedEvents::All => None,
        DiscardedEvents::Part { first, end, total } => Some((first, end, total)),
    });
    let mut ranges: Vec<_> =
        parts.iter().map(|part| (part.first, part.end, Some(part.total))).chain(discarded).collect();
    ranges.sort_unstable();
    ranges.iter().filter_map(|(_, _, total)| *total).any(|total| {
        let same = ranges.iter().filter(|(_, _, stated)| stated.is_none_or(|stated| stated == total));
        same.fold(0, |reached, (first, end, _)| if *first <= reached { reached.max(*end) } else { reached }) >= total
    })
}

impl Webhooks {
    /// Returns whether no undelivered notification, no task and no dead letter of receive is left, and every stored body is decided.
    pub fn is_decided(&self) -> bool {
        self.tasks == 0 && self.undelivered == 0 && !self.tasks_unknown && self.dead_letters == 0 && self.waiting == 0
    }

    /// Describes what is left to do, one sentence each.
    pub fn pending(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if self.tasks_unknown {
            sentences.push(
                "the receive queue is not named, so the tasks on it are not counted: set RECEIVE_QUEUE_URL, or use --stack".to_owned(),
            );
        }
        if self.tasks > 0 {
            sentences.push(format!(
                "{} tasks are on the receive queue (webhooks and files): items may be missing until receive has processed them",
                self.tasks
            ));
        }
        if self.undelivered > 0 {
            sentences.push(format!(
                "SNS could not deliver {} webhooks of AWS to the receive queue: their items are in no manifest, and SQS deletes them after \
                 14 days (runbook, alarm receive-undelivered)",
                self.undelivered
            ));
        }
        if self.dead_letters > 0 {
            sentences.push(format!(
                "{} dead letters of receive are in the queue, and their items are in no manifest: archiver dead-letters list --stage receive",
                self.dead_letters
            ));
        }
        if self.waiting > 0 {
            sentences.push(format!("the events of {} stored webhooks are not all written yet", self.waiting));
        }
        sentences
    }

    /// Describes the webhooks that nothing processes any more.
    pub fn problem(&self) -> Option<String> {
        (!self.unprocessed.is_empty()).then(|| {
            format!(
                "{} stored webhooks were not processed and have neither a task nor a dead letter (expired after 14 days, or deleted), \
                 so their messages are not filed: archiver reconcile --requeue",
                self.unprocessed.len()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(first: usize, end: usize, total: usize) -> keys::ProcessedPart {
        keys::ProcessedPart { webhook: Sha256::of(b""), first, end, total }
    }

    #[test]
    fn copied_body_is_received_on_the_day_of_its_key() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (sha256, received) = (Sha256::of(b"body"), at("2026-10-05T23:40:00Z"));
        let key = keys::webhook_body(received, &sha256);
        let original = Received::of(&key, &sha256, received);
        assert_eq!(original, Received { first: received, last: received, task: received });
        // S3 wrote it after midnight.
        let later = Received::of(&key, &sha256, at("2026-10-06T00:10:00Z"));
        assert_eq!((later.first, keys::webhook_body(later.task, &sha256)), (at("2026-10-06T00:10:00Z"), key.clone()));
        let copied = Received::of(&key, &sha256, at("2026-11-28T10:00:00Z"));
        assert!(copied.first <= received && received <= copied.last && copied.last < at("2026-10-06T00:00:00Z"));
        assert_eq!(keys::webhook_body(copied.task, &sha256), key);
    }

    #[test]
    fn body_is_processed_when_its_parts_have_all_events() {
        assert!(is_complete(&[part(0, 3, 3)], &[]));
        assert!(is_complete(&[part(0, 0, 0)], &[]));
        assert!(is_complete(&[part(250, 500, 600), part(500, 600, 600), part(0, 250, 600)], &[]));
        // The task was split twice, by two releases.
        assert!(is_complete(&[part(0, 250, 600), part(200, 600, 600)], &[]));
        assert!(!is_complete(&[], &[]));
        assert!(!is_complete(&[part(0, 250, 600), part(500, 600, 600)], &[]));
        assert!(!is_complete(&[part(250, 600, 600)], &[]));
        // A release that finds more events has not processed them by an earlier proof of fewer.
        assert!(!is_complete(&[part(0, 250, 600), part(250, 500, 601)], &[]));
    }

    #[test]
    fn discarded_part_decides_only_its_own_events() {
        let discarded = |first, end, total| DiscardedEvents::Part { first, end, total };
        let proofs = [part(0, 250, 700), part(500, 700, 700)];
        assert!(is_complete(&proofs, &[discarded(250, 500, Some(700))]));
        assert!(is_complete(&proofs, &[discarded(250, 500, None)]));
        assert!(is_complete(&proofs, &[DiscardedEvents::All]));
        // The dead letter of another part was lost.
        assert!(!is_complete(&proofs[..1], &[discarded(250, 500, Some(700))]));
        assert!(!is_complete(&proofs[1..], &[discarded(250, 500, None)]));
        // All parts were discarded, the last one is longer than its events.
        let all = [discarded(0, 250, Some(300)), discarded(250, 500, Some(300))];
        assert!(is_complete(&[], &all) && !is_complete(&[], &all[..1]));
        // The task of another release, which finds another number of events.
        assert!(!is_complete(&proofs, &[discarded(250, 500, Some(701))]));
        assert!(!is_complete(&[], &[discarded(0, 250, None)]));
    }

    #[test]
    fn webhooks_are_undecided_when_the_queue_is_not_named() {
        let webhooks = Webhooks { stored: 1, tasks_unknown: true, ..Webhooks::default() };
        assert!(!webhooks.is_decided() && webhooks.pending().concat().contains("RECEIVE_QUEUE_URL"));
        assert!(Webhooks { stored: 1, ..Webhooks::default() }.is_decided());
    }
}
