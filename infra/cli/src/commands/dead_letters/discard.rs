//! Discards dead letters: each is copied to the bucket before it is deleted.

use std::time::Duration;

use aws::s3::{Condition, Put, Store};
use jiff::Timestamp;
use model::{ItemId, LeaseState, Outcome};
use serde_json::{Value, json};

use super::{list, message::DeadLetterMessage, queue::DeadLetterQueue, replay::Plan};
use crate::{Interrupt, text::shown};

/// Result of a discard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Discarded {
    /// Messages that were copied to the bucket and deleted.
    pub discarded: u64,
    /// Messages that are unchanged.
    pub left: u64,
}

/// Discards the messages of a plan. Reports for each the key of its copy, and the mailboxes and participants that lack the
/// item.
///
/// # Errors
/// The queue or the bucket fails, or `report` does. Every reported message was discarded before its report; if `report` itself
/// fails, the message that it was called for is discarded, too.
pub async fn discard(
    (queue, store): (&DeadLetterQueue, &Store),
    mut plan: Plan,
    hold: Duration,
    interrupt: &Interrupt,
    mut report: impl FnMut(&DeadLetterMessage, Value) -> anyhow::Result<()>,
) -> anyhow::Result<Discarded> {
    let mut done = Discarded::default();
    let mut scan = queue.scan_again(hold, plan.seen);
    let result = async {
        while !plan.message_ids.is_empty() && !interrupt.is_set() {
            let page = scan.next().await?;
            if page.is_empty() {
                break;
            }
            for dead_letter in page {
                if !plan.message_ids.contains(&dead_letter.message_id) || interrupt.is_set() {
                    continue;
                }
                let outcome = list::outcome(store, &dead_letter).await?.map(|stored| stored.outcome);
                let copy = write_copy(store, &dead_letter).await?;
                queue.delete(&dead_letter).await?;
                scan.remove(&dead_letter);
                plan.message_ids.remove(&dead_letter.message_id);
                done.discarded += 1;
                let mut details = dead_letter.to_json();
                details["copy"] = json!(copy);
                details["has"] = json!(outcome.as_ref().map_or(0, |outcome| outcome.mailboxes.len()));
                add_missing(&mut details, outcome.as_ref(), Timestamp::now());
                report(&dead_letter, details)?;
            }
        }
        anyhow::Ok(())
    }
    .await;
    done.left = plan.message_ids.len() as u64;
    scan.release().await?;
    result.map(|()| done)
}

/// Adds the mailboxes that lack the item (`missing`), and the participants whose mailbox was not found
/// (`missing_participants`). `null` if nothing is recorded or the outcome is not final at this time.
fn add_missing(details: &mut Value, outcome: Option<&Outcome>, now: Timestamp) {
    let decided = |outcome: &&Outcome| match outcome.state(now) {
        LeaseState::Complete => true,
        LeaseState::DeadLettered(_) => {
            !(outcome.mailboxes.is_empty() && outcome.failed.is_empty() && outcome.missing.is_empty())
        }
        LeaseState::Unleased | LeaseState::Leased { .. } | LeaseState::Waiting { .. } => false,
    };
    let decided = outcome.filter(decided);
    let failed = |outcome: &Outcome| outcome.failed.iter().map(|failed| json!(failed.address)).collect();
    details["missing"] = decided.map_or(Value::Null, failed);
    if let Some(outcome) = decided {
        list::add_missing_participants(details, outcome);
    }
}

/// Returns the line about the mailboxes and participants that lack an item.
pub(super) fn missing_text(details: &Value) -> String {
    let Some(failed) = details["missing"].as_array() else {
        return match &details["has"] {
            has if *has == 0 => "all mailboxes: a copy was never recorded".to_owned(),
            has => format!("unknown: the outcome is not final; {has} mailboxes have it"),
        };
    };
    let addresses = failed.iter().filter_map(Value::as_str).map(shown);
    let lines: Vec<_> = addresses.chain(list::participants(&details["missing_participants"])).collect();
    if lines.is_empty() { "none of its mailboxes".to_owned() } else { lines.join(", ") }
}

/// Writes a copy of the whole message. An item may have more than one dead letter, so the message's id is part of the
/// name; an existing copy is of the same message, which an earlier discard could not delete.
async fn write_copy(store: &Store, dead_letter: &DeadLetterMessage) -> anyhow::Result<String> {
    let now = Timestamp::now();
    let name = match dead_letter.item.as_ref().map(ItemId::key) {
        Some(key) => format!("{key}-{}", dead_letter.message_id),
        None => dead_letter.message_id.clone(),
    };
    let key = format!("{}{}/{name}.json", model::keys::DISCARDED, now.strftime("%Y-%m-%d"));
    let attributes = dead_letter.attributes.iter().filter_map(|(name, value)| Some((name, value.string_value()?)));
    let attributes: serde_json::Map<_, _> = attributes.map(|(name, value)| (name.clone(), json!(value))).collect();
    let mut copy = dead_letter.to_json();
    copy["body"] = json!(dead_letter.body);
    copy["attributes"] = Value::Object(attributes);
    copy["discarded_at"] = json!(now);
    let bytes = copy.to_string().into_bytes().into();
    let put = Put { key: &key, bytes, content_type: "application/json", sha256: None };
    store.put(put, Condition::Always).await?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use model::{
        DeadLetterSource, FailedMailbox, FiledMailbox, FilingResult, MissingParticipant, MissingReason, Reason, Stage,
    };

    use super::*;

    const ADA: &str = "ada@example.com";
    const BOB: &str = "bob@example.com";

    fn now() -> Timestamp {
        "2026-11-22T07:00:00Z".parse().unwrap()
    }

    /// Returns the dead letter of an item that was filed for Ada and rejected for Bob.
    fn filed_in_part() -> Outcome {
        let mut outcome = Outcome::new("WA-1".parse().unwrap());
        outcome.mailboxes.push(FiledMailbox {
            id: Some("1".to_owned()),
            address: ADA.parse().unwrap(),
            primary: None,
            participants: Vec::new(),
            result: FilingResult::Imported,
            message: "AAMk".to_owned(),
            at: now(),
        });
        outcome.failed.push(FailedMailbox {
            address: BOB.parse().unwrap(),
            reason: Reason::MailboxFull,
            since: None,
            checks: 0,
            last_check: None,
        });
        let source = DeadLetterSource::new("m".to_owned(), "20261122T070000Z-daily-1".parse().unwrap(), now(), now());
        outcome.dead_letter(Stage::Import, Reason::MailboxFull, source);
        outcome
    }

    fn missing(outcome: Option<&Outcome>, now: Timestamp) -> Value {
        let mut details = json!({});
        add_missing(&mut details, outcome, now);
        details["missing"].take()
    }

    /// Returns what the command prints about an outcome.
    fn printed(outcome: &Outcome) -> String {
        let mut details = json!({"has": outcome.mailboxes.len()});
        add_missing(&mut details, Some(outcome), now());
        missing_text(&details)
    }

    #[test]
    fn discard_names_participants_without_a_mailbox() {
        let mut outcome = filed_in_part();
        let reason = MissingReason::MailboxNotFound;
        outcome.missing.push(MissingParticipant { participant: 2, reason, since: now(), checks: 50, last_check: None });
        assert_eq!(printed(&outcome), "bob@example.com, participant 3 (mailbox-not-found)");
        outcome.failed.clear();
        assert_eq!(printed(&outcome), "participant 3 (mailbox-not-found)");
        outcome.mailboxes.clear();
        assert_eq!(printed(&outcome), "participant 3 (mailbox-not-found)", "no mailbox has a copy");
        outcome.missing.clear();
        assert_eq!(printed(&outcome), "all mailboxes: a copy was never recorded");
    }

    #[test]
    fn discard_names_missing_mailboxes_of_a_final_outcome() {
        assert_eq!(missing(Some(&filed_in_part()), now()), json!([BOB]));
        let mut complete = filed_in_part();
        complete.failed.clear();
        complete.complete();
        assert_eq!(missing(Some(&complete), now()), json!([]));
        let mut nowhere = filed_in_part();
        nowhere.mailboxes.clear();
        assert_eq!(missing(Some(&nowhere), now()), json!([BOB]));
        nowhere.failed.clear();
        for (outcome, reason) in [(None, "no outcome"), (Some(&nowhere), "nothing is recorded")] {
            assert_eq!(missing(outcome, now()), Value::Null, "{reason}");
        }
    }

    /// The function that works on a replay, or a copy that may still appear, can change the list until the lease has
    /// expired. After that the outcome is final again, because the function has ended without a decision.
    #[test]
    fn discard_names_no_mailboxes_until_the_lease_has_expired() {
        let until = now() + SignedDuration::from_mins(1);
        let mut leased = filed_in_part();
        leased.acquire("import".to_owned(), until);
        let mut waiting = leased.clone();
        waiting.wait(until);
        for held in [leased, waiting] {
            assert_eq!(missing(Some(&held), now()), Value::Null, "{:?}", held.lease);
            assert_eq!(missing(Some(&held), until), json!([BOB]), "{:?}", held.lease);
        }
        // A first attempt that has not ended decides nothing.
        let mut first = filed_in_part();
        (first.dead_letter, first.dead_letter_source) = (None, None);
        first.acquire("import".to_owned(), until);
        assert_eq!(missing(Some(&first), until), Value::Null);
    }
}
