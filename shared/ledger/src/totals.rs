//! Counts the items and copies of runs, with the terms of the connector's log. The counts come from manifests and
//! outcomes, which a compliance officer can read, not from the functions' logs.

use std::{collections::HashSet, ops::AddAssign};

use model::{FilingResult, Listed, MailboxAddress, Outcome, Reason, RunId};
use serde::Serialize;

/// An entry of a run's manifest, and its state.
#[derive(Debug, Clone, Copy)]
pub struct ManifestEntry<'a> {
    pub run: &'a RunId,
    pub listed: &'a Listed,
    /// Outcome of the item, where it exists and was read.
    pub outcome: Option<&'a Outcome>,
    pub state: EntryState,
}

/// EntryState of an item of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryState {
    /// Another entry lists the item, too, and its copies count there. Contains the number of copies.
    ListedAgain(u64),
    /// Filed in all of its mailboxes.
    Filed,
    /// In the dead-letter queue; without a reason if SQS moved the task.
    InDeadLetterQueue(Option<Reason>),
    /// Discarded by an operator.
    Discarded(Option<Reason>),
    /// On a queue, or in process.
    InFlight,
    /// No outcome exists, and everything that the listing led to has been deleted by age (`OutcomeDays`).
    Expired,
    /// No outcome exists. The item is older than `OutcomeDays`, so the outcome of an earlier listing may have been
    /// deleted by age, or the item was never processed.
    Unproven,
    /// No copy, dead letter or task exists.
    Missing,
}

impl<'a> ManifestEntry<'a> {
    /// Returns whether the item counts at another run.
    pub fn is_duplicate(&self) -> bool {
        matches!(self.state, EntryState::ListedAgain(_)) || self.counted_at_other_run().is_some()
    }

    /// Returns the other run at which the item counts: the one whose task was processed first, earlier or later. `None`
    /// also if the outcome was not read.
    pub fn counted_at_other_run(&self) -> Option<&'a RunId> {
        match self.state {
            EntryState::Filed | EntryState::InDeadLetterQueue(_) | EntryState::Discarded(_) => {
                self.outcome.and_then(|outcome| outcome.run.as_ref()).filter(|first| *first != self.run)
            }
            EntryState::ListedAgain(_)
            | EntryState::InFlight
            | EntryState::Expired
            | EntryState::Unproven
            | EntryState::Missing => None,
        }
    }
}

/// Returns the number of copies of an outcome: one per mailbox, and one for an item without any mailbox.
pub fn copies(outcome: Option<&Outcome>) -> u64 {
    outcome.map_or(1, |outcome| {
        let missing = if outcome.dead_letter.is_some() { outcome.missing.len() } else { 0 };
        (outcome.mailboxes.len() + outcome.failed.len() + missing).max(1) as u64
    })
}

/// Counters. An item counts at the run whose task was processed first. Where another run lists it too, because windows
/// overlap, its copies are skipped there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    /// Items that the source listed.
    pub available: u64,
    /// Copies after fan-out, as far as decided: one per mailbox that an item belongs in, and one for an item without any
    /// mailbox.
    pub after_fan_out: u64,
    /// Copies that were filed.
    pub imported: u64,
    /// Items of which some copies were filed and others failed, or wait for an expected mailbox.
    pub partially_imported: u64,
    /// Copies that existed already, or that count at another run.
    pub skipped: u64,
    /// Copies that could not be filed.
    pub failed: u64,
    /// Items that are filed in all of their mailboxes.
    pub items_filed: u64,
    /// Items with a dead letter, including discarded ones.
    pub items_failed: u64,
    /// Items that count at another run.
    pub items_listed_again: u64,
    /// Items that are on a queue or in process.
    pub items_in_flight: u64,
    /// Items whose outcome was deleted by age.
    pub items_expired: u64,
    /// Items without an outcome, of which an earlier outcome may have been deleted by age.
    pub items_unproven: u64,
    /// Items without a copy, a dead letter or a task.
    pub items_missing: u64,
}

impl Counters {
    /// Counts an entry.
    pub fn add(&mut self, entry: &ManifestEntry<'_>) {
        self.available += 1;
        if entry.is_duplicate() {
            let copies = if let EntryState::ListedAgain(copies) = entry.state { copies } else { copies(entry.outcome) };
            self.after_fan_out += copies;
            self.skipped += copies;
            self.items_listed_again += 1;
            return;
        }
        let filed = entry.outcome.map(|outcome| &outcome.mailboxes[..]).unwrap_or_default();
        let imported = filed.iter().filter(|filed| filed.result == FilingResult::Imported).count();
        self.imported += imported as u64;
        self.skipped += (filed.len() - imported) as u64;
        // A mailbox that an outcome contains twice is counted once, so this is not the sum of the other counters.
        let mut mailboxes: HashSet<&MailboxAddress> = filed.iter().map(|filed| &filed.address).collect();
        match entry.state {
            EntryState::InDeadLetterQueue(_) | EntryState::Discarded(_) => {
                let failed = entry.outcome.map(|outcome| &outcome.failed[..]).unwrap_or_default();
                mailboxes.extend(failed.iter().map(|failed| &failed.address));
                let missing = entry.outcome.map_or(0, |outcome| outcome.missing.len());
                self.failed += (failed.len() + missing).max(1) as u64;
                self.after_fan_out += missing.max(usize::from(failed.is_empty())) as u64;
                self.items_failed += 1;
                self.partially_imported += u64::from(!filed.is_empty());
            }
            EntryState::InFlight => {
                self.items_in_flight += 1;
                let missing = entry.outcome.is_some_and(|outcome| !outcome.missing.is_empty());
                self.partially_imported += u64::from(missing && !filed.is_empty());
            }
            EntryState::Expired => self.items_expired += 1,
            EntryState::Unproven => self.items_unproven += 1,
            EntryState::Missing => self.items_missing += 1,
            EntryState::Filed | EntryState::ListedAgain(_) => self.items_filed += 1,
        }
        self.after_fan_out += mailboxes.len() as u64;
    }

    /// Returns the counters with the terms of the connector's log, in its order.
    pub fn lines(&self) -> [(&'static str, u64); 6] {
        [
            ("Items available from source", self.available),
            ("Items available for import after fan-out", self.after_fan_out),
            ("Items imported", self.imported),
            ("Items partially imported", self.partially_imported),
            ("Items skipped as duplicates", self.skipped),
            ("Items failed", self.failed),
        ]
    }

    /// Returns whether the items add up: each is filed, failed, listed again, in flight, expired, unproven or
    /// missing.
    pub fn items_add_up(&self) -> bool {
        let counted = self.items_filed + self.items_failed + self.items_listed_again;
        let unknown = self.items_expired + self.items_unproven;
        self.available == counted + self.items_in_flight + unknown + self.items_missing
    }

    /// Returns whether the copies add up: available after fan-out = imported + skipped + failed.
    pub fn copies_add_up(&self) -> bool {
        self.after_fan_out == self.imported + self.skipped + self.failed
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.available += other.available;
        self.after_fan_out += other.after_fan_out;
        self.imported += other.imported;
        self.partially_imported += other.partially_imported;
        self.skipped += other.skipped;
        self.failed += other.failed;
        self.items_filed += other.items_filed;
        self.items_failed += other.items_failed;
        self.items_listed_again += other.items_listed_again;
        self.items_in_flight += other.items_in_flight;
        self.items_expired += other.items_expired;
        self.items_unproven += other.items_unproven;
        self.items_missing += other.items_missing;
    }
}

#[cfg(test)]
mod tests {
    use model::{DeadLettered, FailedMailbox, FiledMailbox, MissingParticipant, MissingReason, Stage};
    use serde_json::json;

    use super::*;

    fn outcome(filed: &[&str], failed: &[&str]) -> Outcome {
        let mut outcome = Outcome::new("WA-1".parse().unwrap());
        outcome.run = Some("r-1".parse().unwrap());
        for address in filed {
            outcome.mailboxes.push(FiledMailbox {
                id: None,
                address: address.parse().unwrap(),
                primary: None,
                participants: Vec::new(),
                result: FilingResult::Imported,
                message: String::new(),
                at: "2026-11-22T07:00:00Z".parse().unwrap(),
            });
        }
        for address in failed {
            let reason = Reason::MailboxFull;
            let address = address.parse().unwrap();
            outcome.failed.push(FailedMailbox { address, reason, since: None, checks: 0, last_check: None });
            outcome.dead_letter = Some(DeadLettered { stage: Stage::Import, reason });
        }
        outcome
    }

    fn counted(run: &str, outcome: Option<&Outcome>, state: EntryState) -> Counters {
        let listed = Listed { item: json!("WA-1"), archived_time: json!("2026-11-22T06:00:00Z") };
        let mut counters = Counters::default();
        counters.add(&ManifestEntry { run: &run.parse().unwrap(), listed: &listed, outcome, state });
        assert_eq!(counters.available, 1);
        assert!(counters.items_add_up(), "every item is counted once: {counters:?}");
        counters
    }

    #[test]
    fn item_counts_one_copy_per_mailbox() {
        let whole = outcome(&["a@example.com", "b@example.com"], &[]);
        let filed = counted("r-1", Some(&whole), EntryState::Filed);
        assert_eq!((filed.after_fan_out, filed.imported, filed.items_filed), (2, 2, 1));
        let part = outcome(&["a@example.com"], &["b@example.com"]);
        let part = counted("r-1", Some(&part), EntryState::InDeadLetterQueue(Some(Reason::MailboxFull)));
        assert_eq!((part.after_fan_out, part.imported, part.failed, part.partially_imported), (2, 1, 1, 1));
        let unmapped = counted("r-1", None, EntryState::Discarded(None));
        assert_eq!((unmapped.after_fan_out, unmapped.failed, unmapped.partially_imported), (1, 1, 0));
        assert!(filed.copies_add_up() && part.copies_add_up() && unmapped.copies_add_up());
    }

    #[test]
    fn item_with_missing_participants_is_partially_imported() {
        let mut outcome = outcome(&["a@example.com"], &[]);
        let (reason, since) = (MissingReason::MailboxNotFound, "2026-11-22T07:00:00Z".parse().unwrap());
        outcome.missing = vec![MissingParticipant { participant: 1, reason, since, checks: 3, last_check: None }];
        let waiting = counted("r-1", Some(&outcome), EntryState::InFlight);
        assert_eq!((waiting.after_fan_out, waiting.imported, waiting.partially_imported), (1, 1, 1));
        outcome.dead_letter = Some(DeadLettered { stage: Stage::Import, reason: Reason::MailboxNotFound });
        let dead = counted("r-1", Some(&outcome), EntryState::InDeadLetterQueue(Some(Reason::MailboxNotFound)));
        assert_eq!((dead.after_fan_out, dead.imported, dead.failed, dead.partially_imported), (2, 1, 1, 1));
        assert!(waiting.copies_add_up() && dead.copies_add_up());
        let again = counted("r-2", Some(&outcome), EntryState::InDeadLetterQueue(Some(Reason::MailboxNotFound)));
        assert_eq!((again.after_fan_out, again.skipped), (2, 2));
    }

    #[test]
    fn item_of_another_run_is_skipped_whatever_its_outcome() {
        let whole = outcome(&["a@example.com", "b@example.com"], &[]);
        let again = counted("r-2", Some(&whole), EntryState::Filed);
        assert_eq!((again.skipped, again.imported, again.items_listed_again), (2, 0, 1));
        let failed = outcome(&[], &["b@example.com"]);
        let again = counted("r-2", Some(&failed), EntryState::InDeadLetterQueue(Some(Reason::MailboxFull)));
        assert_eq!((again.skipped, again.failed, again.items_failed), (1, 0, 0));
        assert_eq!(counted("r-1", None, EntryState::ListedAgain(3)).skipped, 3);
        // A missing item is never hidden behind an earlier run.
        assert_eq!(counted("r-2", Some(&failed), EntryState::Missing).items_missing, 1);
        let expired = counted("r-2", None, EntryState::Expired);
        assert_eq!((expired.items_expired, expired.items_missing, expired.after_fan_out), (1, 0, 0));
        let unproven = counted("r-2", None, EntryState::Unproven);
        assert_eq!((unproven.items_unproven, unproven.items_expired, unproven.after_fan_out), (1, 0, 0));
    }

    #[test]
    fn mailbox_that_is_named_twice_does_not_add_up() {
        let twice = outcome(&["a@example.com", "a@example.com"], &[]);
        assert!(!counted("r-1", Some(&twice), EntryState::Filed).copies_add_up());
        let both = outcome(&["a@example.com"], &["a@example.com"]);
        assert!(!counted("r-1", Some(&both), EntryState::InDeadLetterQueue(None)).copies_add_up());
    }
}
