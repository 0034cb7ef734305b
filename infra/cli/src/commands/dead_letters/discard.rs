//! Letters are given up: each is copied to the bucket, and only then deleted.

use std::time::Duration;

use aws::s3::{Condition, Put, Store};
use jiff::Timestamp;
use model::{ItemId, Outcome};
use serde_json::{Value, json};

use super::{letter::Letter, list, queue::Letters, replay::Plan};
use crate::Interrupt;

/// What became of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Discarded {
    /// Letters whose copy is in the bucket and that are no longer in the queue.
    pub discarded: u64,
    /// Letters that are there as before.
    pub left: u64,
}

/// Discards the letters of a plan, and tells of each where its copy is and who does not have the item.
///
/// # Errors
/// When the queue or the bucket does not answer. Every letter that was told of is discarded, every other one is not.
pub async fn discard(
    (letters, store): (&Letters, &Store),
    mut plan: Plan,
    hold: Duration,
    interrupt: &Interrupt,
    mut tell: impl FnMut(&Letter, Value) -> anyhow::Result<()>,
) -> anyhow::Result<Discarded> {
    let mut done = Discarded::default();
    let mut walk = letters.walk_again(hold, plan.seen);
    let result = async {
        while !plan.letters.is_empty() && !interrupt.is_set() {
            let page = walk.next().await?;
            if page.is_empty() {
                break;
            }
            for letter in page {
                if !plan.letters.contains(&letter.message_id) || interrupt.is_set() {
                    continue;
                }
                let outcome = list::outcome(store, &letter).await?.map(|stored| stored.outcome);
                let copy = keep(store, &letter).await?;
                letters.delete(&letter).await?;
                walk.forget(&letter);
                plan.letters.remove(&letter.message_id);
                done.discarded += 1;
                let mut told = letter.to_json();
                told["copy"] = json!(copy);
                told["has"] = json!(outcome.as_ref().map_or(0, |outcome| outcome.mailboxes.len()));
                told["missing"] = missing(outcome.as_ref());
                tell(&letter, told)?;
            }
        }
        anyhow::Ok(())
    }
    .await;
    done.left = plan.letters.len() as u64;
    walk.release().await?;
    result.map(|()| done)
}

/// Who does not have the item: the mailboxes that refused it; `null` where nobody has it, or where its task was never
/// worked on to its end, so that nobody knows.
fn missing(outcome: Option<&Outcome>) -> Value {
    let decided = |outcome: &&Outcome| {
        !outcome.mailboxes.is_empty()
            && (outcome.is_complete() || outcome.claim.is_none() && !outcome.failed.is_empty())
    };
    outcome
        .filter(decided)
        .map_or(Value::Null, |outcome| outcome.failed.iter().map(|failed| json!(failed.address)).collect())
}

/// Writes the copy, with all that the letter has. An item may have more than one letter, so the message's id is part of
/// the name; a copy that is there is of the same letter, which an earlier discard could not delete.
async fn keep(store: &Store, letter: &Letter) -> anyhow::Result<String> {
    let now = Timestamp::now();
    let name = match letter.item.as_ref().map(ItemId::key) {
        Some(key) => format!("{key}-{}", letter.message_id),
        None => letter.message_id.clone(),
    };
    let key = format!("{}{}/{name}.json", model::keys::DISCARDED, now.strftime("%Y-%m-%d"));
    let attributes = letter.attributes.iter().filter_map(|(name, value)| Some((name, value.string_value()?)));
    let attributes: serde_json::Map<_, _> = attributes.map(|(name, value)| (name.clone(), json!(value))).collect();
    let mut copy = letter.to_json();
    copy["body"] = json!(letter.body);
    copy["attributes"] = Value::Object(attributes);
    copy["discarded_at"] = json!(now);
    let bytes = copy.to_string().into_bytes().into();
    let put = Put { key: &key, bytes, content_type: "application/json", sha256: None };
    store.put(put, Condition::Always).await?;
    Ok(key)
}
