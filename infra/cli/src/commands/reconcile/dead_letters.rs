//! Reads the dead letters in the queue, and the copies of those that an operator has discarded.

use std::collections::{HashMap, HashSet};

use aws::s3::{Store, StoreError};
use jiff::Timestamp;
use model::{ItemKey, Outcome, Sha256, Stage, keys};
use serde::Deserialize;
use serde_json::Value;
use source::cloud_api::WebhookPart;

use super::seen_items::ItemHash;
use crate::{
    commands::dead_letters::{DeadLetterMessage, DeadLetterQueue, DeadLetterQueueError, HOLD},
    connection::Connection,
};

/// Items that have a dead letter in the queue.
pub(super) struct QueuedDeadLetters {
    pub(super) items: HashSet<ItemHash>,
    /// Number of dead letters of the stage receive.
    pub(super) of_receive: u64,
    /// The digests of the bodies that those of webhooks name.
    pub(super) webhooks: HashSet<Sha256>,
    /// `true` if all dead letters were read; others may be in flight to other consumers.
    pub(super) complete: bool,
}

impl QueuedDeadLetters {
    /// Reads all dead letters; they stay in the queue.
    pub(super) async fn read(connection: &Connection) -> Result<Self, DeadLetterQueueError> {
        let queue = DeadLetterQueue::of(connection);
        let mut scan = queue.scan(HOLD);
        let mut waiting = Self { items: HashSet::new(), of_receive: 0, webhooks: HashSet::new(), complete: false };
        let read = async {
            loop {
                let page = scan.next().await?;
                if page.is_empty() {
                    return Ok(());
                }
                waiting.items.extend(page.iter().filter_map(item_of));
                for dead_letter in page.iter().filter(|dead_letter| dead_letter.stage == Some(Stage::Receive)) {
                    waiting.of_receive += 1;
                    waiting.webhooks.insert(webhook_of(&dead_letter.body));
                }
            }
        }
        .await;
        let complete = scan.is_complete().await;
        scan.release().await?;
        read?;
        waiting.complete = complete?;
        Ok(waiting)
    }
}

/// Returns the item of a dead letter: the tasks of both stages name it in the same member, valid or not.
fn item_of(dead_letter: &DeadLetterMessage) -> Option<ItemHash> {
    let body: Value = serde_json::from_str(&dead_letter.body).ok()?;
    Some(ItemHash::of(body.get("item")?))
}

/// Returns the digest of the body that a task of receive names. Any other message is a notification, which is stored
/// unchanged, or names no body.
fn webhook_of(task: &str) -> Sha256 {
    let named = serde_json::from_str::<Value>(task).ok();
    let named = named.and_then(|task| task.get("webhook")?.as_str()?.parse().ok());
    named.unwrap_or_else(|| Sha256::of(task.as_bytes()))
}

/// The events of a body for which an operator has discarded a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DiscardedEvents {
    /// The dead letter was of the whole body.
    All,
    /// The dead letter was of a part: the number of events before it and up to its end, and of the body if the task states it.
    Part { first: usize, end: usize, total: Option<usize> },
}

/// Returns the events that a task of receive names.
fn events_of(task: &str) -> DiscardedEvents {
    let part = serde_json::from_str::<Value>(task).ok().and_then(|mut task| {
        let part = task.get_mut("part").filter(|part| !part.is_null())?.take();
        Some(serde_json::from_value::<WebhookPart>(part))
    });
    match part {
        None => DiscardedEvents::All,
        Some(Ok(WebhookPart { first, count, total })) => {
            DiscardedEvents::Part { first, end: first.saturating_add(count), total }
        }
        // An unreadable part decides nothing.
        Some(Err(_)) => DiscardedEvents::Part { first: 0, end: 0, total: None },
    }
}

/// Returns the bodies whose dead letters an operator has discarded, with the events of each dead letter.
pub(super) async fn discarded_webhooks(store: &Store) -> Result<HashMap<Sha256, Vec<DiscardedEvents>>, StoreError> {
    #[derive(Deserialize)]
    struct Copy {
        #[serde(default)]
        stage: Option<Stage>,
        body: String,
    }
    let mut copies = Vec::new();
    let keep = |listed: Vec<aws::s3::Listed>| {
        copies.extend(listed.into_iter().map(|listed| listed.key).filter(|key| item_of_copy(key).is_none()));
        std::future::ready(Ok::<_, StoreError>(()))
    };
    store.list(keys::DISCARDED, keep).await?;
    let mut webhooks: HashMap<_, Vec<_>> = HashMap::new();
    for key in copies {
        let Some(object) = store.get(&key, COPY_MAX_BYTES).await? else { continue };
        let Ok(copy) = serde_json::from_slice::<Copy>(&object.bytes) else { continue };
        if copy.stage == Some(Stage::Receive) {
            webhooks.entry(webhook_of(&copy.body)).or_default().push(events_of(&copy.body));
        }
    }
    Ok(webhooks)
}

/// Returns the item whose key the name of a copy begins with.
fn item_of_copy(key: &str) -> Option<ItemHash> {
    let name = key.rsplit('/').next().and_then(|name| name.get(..32));
    let key: Option<ItemKey> = name.and_then(|name| name.to_owned().try_into().ok());
    key.as_ref().and_then(ItemHash::from_key)
}

/// Keys of the copies that `archiver dead-letters discard` has written, by item.
pub(super) struct DiscardedCopies(HashMap<ItemHash, Vec<String>>);

/// Limit for a copy: the body of an SQS message has at most 1 MiB, which JSON may escape.
const COPY_MAX_BYTES: u64 = 8 << 20;

impl DiscardedCopies {
    /// Lists the copies. Their names begin with the items' keys.
    pub(super) async fn list(store: &Store) -> Result<Self, StoreError> {
        let mut copies: HashMap<_, Vec<_>> = HashMap::new();
        let keep = |listed: Vec<aws::s3::Listed>| {
            for listed in listed {
                let Some(item) = item_of_copy(&listed.key) else { continue };
                copies.entry(item).or_default().push(listed.key);
            }
            std::future::ready(Ok::<_, StoreError>(()))
        };
        store.list(keys::DISCARDED, keep).await?;
        Ok(Self(copies))
    }

    /// Returns whether a discarded copy is that of the item's present dead letter, not of an earlier failure.
    /// `last_listed`: start of the last run that listed the item, and the archived time of its newest version.
    pub(super) async fn cover(
        &self,
        store: &Store,
        item: ItemHash,
        outcome: Option<&Outcome>,
        last_listed: (Timestamp, Option<Timestamp>),
    ) -> Result<bool, StoreError> {
        for key in self.0.get(&item).into_iter().flatten() {
            let Some(object) = store.get(key, COPY_MAX_BYTES).await? else { continue };
            let Ok(copy) = serde_json::from_slice::<Discarded>(&object.bytes) else { continue };
            if copy.covers(outcome, last_listed) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Metadata in the copy of a dead letter.
#[derive(Debug, Clone, Deserialize)]
struct Discarded {
    message_id: String,
    #[serde(default)]
    stage: Option<Stage>,
    #[serde(default)]
    failed_at: Option<Timestamp>,
    discarded_at: Timestamp,
}

impl Discarded {
    fn covers(&self, outcome: Option<&Outcome>, (last_listed, newest): (Timestamp, Option<Timestamp>)) -> bool {
        let failure = outcome.and_then(|outcome| outcome.dead_letter);
        let recorded = outcome.and_then(|outcome| outcome.dead_letter_source.as_ref());
        match (failure, recorded) {
            // The outcome is written before the dead letter is sent. A message that SQS has moved keeps its id.
            (Some(failure), Some(recorded)) => {
                let sent_after = self.failed_at.is_some_and(|at| at.as_millisecond() >= recorded.at.as_millisecond());
                // A later version has a task of its own, which is processed.
                let is_newest =
                    recorded.archived_time.is_none_or(|failed| newest.is_none_or(|newest| newest <= failed));
                is_newest && (self.message_id == recorded.message || self.stage == Some(failure.stage) && sent_after)
            }
            // An earlier release did not record the message id.
            (Some(failure), None) => self.stage == Some(failure.stage),
            // SQS has moved the task, or there is none: a run that lists the item later queues it again.
            (None, _) => self.discarded_at >= last_listed,
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{DeadLetterSource, DeadLettered, Reason};

    use super::*;

    fn at(minute: i8) -> Timestamp {
        format!("2026-11-22T07:{minute:02}:00.000000500Z").parse().unwrap()
    }

    fn dead_letter(recorded: Option<(&str, i8)>) -> Outcome {
        let mut outcome = Outcome::new("WA-1".parse().unwrap());
        outcome.dead_letter = Some(DeadLettered { stage: Stage::Import, reason: Reason::Unmapped });
        outcome.dead_letter_source = recorded.map(|(message, minute)| DeadLetterSource {
            message: message.to_owned(),
            run: "r-1".parse().unwrap(),
            archived_time: None,
            at: at(minute),
        });
        outcome
    }

    fn discarded(message_id: &str, failed_at: i8, discarded_at: i8) -> Discarded {
        // The attribute has a precision of milliseconds.
        let failed_at = format!("{:.3}", at(failed_at)).parse().ok();
        let message_id = message_id.to_owned();
        Discarded { message_id, stage: Some(Stage::Import), failed_at, discarded_at: at(discarded_at) }
    }

    #[test]
    fn discard_covers_its_own_dead_letter_and_not_a_later_failure() {
        let first = discarded("message", 10, 20);
        assert!(first.covers(Some(&dead_letter(Some(("task", 10)))), (at(0), None)));
        assert!(
            !first.covers(Some(&dead_letter(Some(("task", 30)))), (at(0), None)),
            "it failed again after the discard"
        );
        let moved = discarded("task", 5, 20);
        assert!(moved.covers(Some(&dead_letter(Some(("task", 10)))), (at(0), None)), "SQS moved the message itself");
        let other_stage = Discarded { stage: Some(Stage::Convert), ..first.clone() };
        assert!(!other_stage.covers(Some(&dead_letter(Some(("task", 10)))), (at(0), None)));
        assert!(first.covers(Some(&dead_letter(None)), (at(0), None)), "an outcome of an earlier release");
    }

    #[test]
    fn discard_does_not_cover_a_version_that_was_listed_later() {
        let discarded = discarded("message", 10, 20);
        let mut outcome = dead_letter(Some(("task", 10)));
        outcome.dead_letter_source.as_mut().unwrap().archived_time = Some(at(5));
        assert!(discarded.covers(Some(&outcome), (at(6), Some(at(5)))));
        assert!(!discarded.covers(Some(&outcome), (at(6), Some(at(6)))), "its task is lost if it has no dead letter");
        assert!(discarded.covers(Some(&outcome), (at(6), None)), "the time cannot be read");
    }

    #[test]
    fn discard_of_a_task_that_sqs_moved_ends_with_the_next_listing() {
        let moved = discarded("task", 5, 20);
        let begun = Outcome::new("WA-1".parse().unwrap());
        for outcome in [None, Some(&begun)] {
            assert!(moved.covers(outcome, (at(10), None)));
            assert!(!moved.covers(outcome, (at(30), None)), "a later run has queued it again");
        }
    }

    #[test]
    fn discarded_task_names_its_part_of_the_events() {
        let digest = Sha256::of(b"");
        let task = |part: &str| format!(r#"{{"v":1,"received":"2026-11-22T07:00:00Z","webhook":"{digest}"{part}}}"#);
        assert_eq!(events_of(&task("")), DiscardedEvents::All);
        assert_eq!(events_of("a notification"), DiscardedEvents::All);
        let part = DiscardedEvents::Part { first: 250, end: 500, total: Some(600) };
        assert_eq!(events_of(&task(r#","part":{"first":250,"count":250,"total":600}"#)), part);
        let part = DiscardedEvents::Part { first: 250, end: 500, total: None };
        assert_eq!(events_of(&task(r#","part":{"first":250,"count":250}"#)), part);
        let nothing = DiscardedEvents::Part { first: 0, end: 0, total: None };
        assert_eq!(events_of(&task(r#","part":"later""#)), nothing);
    }
}
