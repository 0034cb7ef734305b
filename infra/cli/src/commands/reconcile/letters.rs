//! The dead letters in the queue, and those that an operator has discarded.

use std::collections::{HashMap, HashSet};

use aws::s3::{Store, StoreError};
use jiff::Timestamp;
use model::{ItemKey, Outcome, Stage, keys};
use serde::Deserialize;
use serde_json::Value;

use super::duplicates::ItemHash;
use crate::{
    commands::dead_letters::{HOLD, Letter, Letters, LettersError},
    connection::Connection,
};

/// The items whose dead letters are in the queue.
pub(super) struct Waiting {
    pub(super) items: HashSet<ItemHash>,
    /// Whether all dead letters were seen; others may be in flight elsewhere.
    pub(super) whole: bool,
}

impl Waiting {
    /// Reads all of them; they stay in the queue.
    pub(super) async fn read(connection: &Connection) -> Result<Self, LettersError> {
        let letters = Letters::of(connection);
        let mut walk = letters.walk(HOLD);
        let mut waiting = Self { items: HashSet::new(), whole: false };
        let read = async {
            loop {
                let page = walk.next().await?;
                if page.is_empty() {
                    return Ok(());
                }
                waiting.items.extend(page.iter().filter_map(item_of));
            }
        }
        .await;
        let whole = walk.is_whole().await;
        walk.release().await?;
        read?;
        waiting.whole = whole?;
        Ok(waiting)
    }
}

/// The item of a dead letter: both tasks name it in the same place, be it a valid id or not.
fn item_of(letter: &Letter) -> Option<ItemHash> {
    let body: Value = serde_json::from_str(&letter.body).ok()?;
    Some(ItemHash::of(body.get("item")?))
}

/// The keys of the copies that `archiver dead-letters discard` has written, by item.
pub(super) struct Discards(HashMap<ItemHash, Vec<String>>);

/// The largest copy that is read: a body of an SQS message has at most 1 MiB, which JSON may escape.
const COPY_MAX_BYTES: u64 = 8 << 20;

impl Discards {
    /// Lists them. The copies' names begin with the items' keys.
    pub(super) async fn list(store: &Store) -> Result<Self, StoreError> {
        let mut copies: HashMap<_, Vec<_>> = HashMap::new();
        let keep = |listed: Vec<aws::s3::Listed>| {
            for listed in listed {
                let name = listed.key.rsplit('/').next().and_then(|name| name.get(..32));
                let key: Option<ItemKey> = name.and_then(|name| name.to_owned().try_into().ok());
                let Some(item) = key.as_ref().and_then(ItemHash::from_key) else { continue };
                copies.entry(item).or_default().push(listed.key);
            }
            std::future::ready(Ok::<_, StoreError>(()))
        };
        store.list(keys::DISCARDED, keep).await?;
        Ok(Self(copies))
    }

    /// Whether the dead letter of an item as it stands now was discarded, and not that of an earlier failure.
    /// `listed_last`: when the last run began that listed the item.
    pub(super) async fn cover(
        &self,
        store: &Store,
        item: ItemHash,
        outcome: Option<&Outcome>,
        listed_last: Timestamp,
    ) -> Result<bool, StoreError> {
        for key in self.0.get(&item).into_iter().flatten() {
            let Some(object) = store.get(key, COPY_MAX_BYTES).await? else { continue };
            let Ok(copy) = serde_json::from_slice::<Discarded>(&object.bytes) else { continue };
            if copy.covers(outcome, listed_last) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What a copy says of its dead letter.
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
    fn covers(&self, outcome: Option<&Outcome>, listed_last: Timestamp) -> bool {
        let failure = outcome.and_then(|outcome| outcome.dead_letter);
        let noted = outcome.and_then(|outcome| outcome.letter_of.as_ref());
        match (failure, noted) {
            // The outcome is noted before the letter is sent. A message that SQS itself has moved keeps its id.
            (Some(failure), Some(noted)) => {
                let sent_after = self.failed_at.is_some_and(|at| at.as_millisecond() >= noted.at.as_millisecond());
                self.message_id == noted.message || self.stage == Some(failure.stage) && sent_after
            }
            // Written by a release that did not note which message it was.
            (Some(failure), None) => self.stage == Some(failure.stage),
            // SQS has moved the task, or there is none: what lists the item later queues it again.
            (None, _) => self.discarded_at >= listed_last,
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{DeadLettered, LetterOf, Reason};

    use super::*;

    fn at(minute: i8) -> Timestamp {
        format!("2026-11-22T07:{minute:02}:00.000000500Z").parse().unwrap()
    }

    fn dead_letter(noted: Option<(&str, i8)>) -> Outcome {
        let mut outcome = Outcome::new("WA-1".parse().unwrap());
        outcome.dead_letter = Some(DeadLettered { stage: Stage::Import, reason: Reason::Unmapped });
        outcome.letter_of = noted.map(|(message, minute)| LetterOf {
            message: message.to_owned(),
            run: "r-1".parse().unwrap(),
            at: at(minute),
        });
        outcome
    }

    fn discarded(message_id: &str, failed_at: i8, discarded_at: i8) -> Discarded {
        // The attribute has milliseconds.
        let failed_at = format!("{:.3}", at(failed_at)).parse().ok();
        let message_id = message_id.to_owned();
        Discarded { message_id, stage: Some(Stage::Import), failed_at, discarded_at: at(discarded_at) }
    }

    #[test]
    fn discard_covers_its_own_dead_letter_and_not_a_later_failure() {
        let first = discarded("letter", 10, 20);
        assert!(first.covers(Some(&dead_letter(Some(("task", 10)))), at(0)));
        assert!(!first.covers(Some(&dead_letter(Some(("task", 30)))), at(0)), "it failed again after the discard");
        let moved = discarded("task", 5, 20);
        assert!(moved.covers(Some(&dead_letter(Some(("task", 10)))), at(0)), "SQS moved the message itself");
        let other_stage = Discarded { stage: Some(Stage::Convert), ..first.clone() };
        assert!(!other_stage.covers(Some(&dead_letter(Some(("task", 10)))), at(0)));
        assert!(first.covers(Some(&dead_letter(None)), at(0)), "an outcome of an earlier release");
    }

    #[test]
    fn discard_of_a_task_that_sqs_moved_ends_with_the_next_listing() {
        let moved = discarded("task", 5, 20);
        let begun = Outcome::new("WA-1".parse().unwrap());
        for outcome in [None, Some(&begun)] {
            assert!(moved.covers(outcome, at(10)));
            assert!(!moved.covers(outcome, at(30)), "a later run has queued it again");
        }
    }
}
