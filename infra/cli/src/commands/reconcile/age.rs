//! Decides about items without an outcome, by the age of their outcomes.

use jiff::Timestamp;
use ledger::totals::EntryState;

/// Returns the state of an item that has no outcome, no dead letter and no task. `kept_since`: the bucket still has
/// every outcome that was written at this time or later. A run writes its manifest before an outcome of its items can
/// be written, so an item of a younger run has had none, unless a listing before that run led to one: the manifest of
/// a backfill lists old items, and so does that of a chat export, whose items are listed with the messages' times.
pub(super) fn state_without_outcome(
    last_listed: Timestamp,
    archived: Option<Timestamp>,
    kept_since: Option<Timestamp>,
) -> EntryState {
    let is_older = |time: Timestamp| kept_since.is_some_and(|since| time < since);
    if is_older(last_listed) {
        EntryState::Expired
    } else if archived.is_some_and(is_older) {
        EntryState::Unproven
    } else {
        EntryState::Missing
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use model::Listed;
    use serde_json::json;

    use super::*;
    use crate::commands::reconcile::{Missing, MissingCause, Reconciled};

    #[test]
    fn item_is_expired_only_if_its_last_run_is_that_old() {
        let now: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        let ago = |days: i64| now - SignedDuration::from_hours(24 * days);
        let state = |listed, archived| state_without_outcome(ago(listed), Some(ago(archived)), Some(ago(365)));
        assert_eq!(state(366, 367), EntryState::Expired);
        assert_eq!(
            state(1, 400),
            EntryState::Unproven,
            "a backfill of an old period, or an old chat that was exported now"
        );
        assert_eq!(state(1, 2), EntryState::Missing);
        assert_eq!(state_without_outcome(ago(1), None, Some(ago(365))), EntryState::Missing, "an invalid time");
        assert_eq!(state_without_outcome(ago(400), Some(ago(400)), None), EntryState::Missing, "outcomes are kept");
    }

    #[test]
    fn unproven_item_is_undecided_and_can_be_requeued() {
        let mut reconciled = Reconciled::default();
        assert!(reconciled.is_decided() && reconciled.to_requeue().is_empty());
        let listed = Listed { item: json!("WA-1"), archived_time: json!("2025-11-22T06:00:00Z") };
        let run = "20261122T070000Z-backfill-0badcafe".parse().unwrap();
        reconciled.unproven = vec![Missing { listed, key: String::new(), run, cause: MissingCause::NoOutcome }];
        assert!(!reconciled.is_decided());
        assert_eq!(reconciled.to_requeue().len(), 1);
    }
}
