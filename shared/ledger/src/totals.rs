//! What is counted of runs, in the words of the connector's own log. It is read from manifests and outcomes, which is what
//! a compliance officer would read, and not from what the functions said while they worked.

use std::{collections::HashSet, ops::AddAssign};

use model::{FilingResult, Listed, MailboxAddress, Outcome, Reason, RunId};
use serde::Serialize;

/// An entry of a run's manifest, and what became of it.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The run that listed it.
    pub run: &'a RunId,
    /// The entry.
    pub listed: &'a Listed,
    /// Its outcome, where it has one and it was read.
    pub outcome: Option<&'a Outcome>,
    /// Where the item is.
    pub place: Place,
}

/// Where an item of a manifest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Another entry of the same manifests names it, too: it is so many copies, and they are counted there.
    Again(u64),
    /// In every mailbox that it belongs in.
    Filed,
    /// In the dead-letter queue; without a reason where SQS itself moved it there.
    Waiting(Option<Reason>),
    /// Given up by an operator.
    Discarded(Option<Reason>),
    /// On a queue, or in the hands of a function.
    InFlight,
    /// Nowhere.
    Missing,
}

impl<'a> Told<'a> {
    /// Whether it counts at another run.
    pub fn is_duplicate(&self) -> bool {
        matches!(self.place, Place::Again(_)) || self.counts_elsewhere().is_some()
    }

    /// The other run at which it counts: the one whose task was worked on first, be it an earlier or a later one. `None`
    /// also where it was not read what became of it.
    pub fn counts_elsewhere(&self) -> Option<&'a RunId> {
        match self.place {
            Place::Filed | Place::Waiting(_) | Place::Discarded(_) => {
                self.outcome.and_then(|outcome| outcome.run.as_ref()).filter(|first| *first != self.run)
            }
            Place::Again(_) | Place::InFlight | Place::Missing => None,
        }
    }
}

/// How many copies an outcome speaks of: one a mailbox, and one for an item that came to no mailbox.
pub fn copies(outcome: Option<&Outcome>) -> u64 {
    outcome.map_or(1, |outcome| {
        let missing = if outcome.dead_letter.is_some() { outcome.missing.len() } else { 0 };
        (outcome.mailboxes.len() + outcome.failed.len() + missing).max(1) as u64
    })
}

/// The counters. An item counts at the run that listed it and whose task was worked on first; where another run lists it
/// too, as each does by its overlap, its copies are skipped there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counters {
    /// Items that the source listed.
    pub available: u64,
    /// Copies that they make, as far as that is decided: one for each mailbox that an item belongs in, and one for an
    /// item that came to no mailbox.
    pub after_fan_out: u64,
    /// Copies that were filed.
    pub imported: u64,
    /// Items of which some copies were filed and some could not be, or wait for a mailbox that is expected to be there.
    pub partially_imported: u64,
    /// Copies that were there already, or that another run accounts for.
    pub skipped: u64,
    /// Copies that could not be filed.
    pub failed: u64,
    /// Items that are filed wherever they belong.
    pub items_filed: u64,
    /// Items with a dead letter, one that was discarded included.
    pub items_failed: u64,
    /// Items that another run accounts for.
    pub items_listed_again: u64,
    /// Items that are on a queue or in the hands of a function.
    pub items_in_flight: u64,
    /// Items that are nowhere.
    pub items_missing: u64,
}

impl Counters {
    /// Counts an entry.
    pub fn add(&mut self, told: &Told<'_>) {
        self.available += 1;
        if told.is_duplicate() {
            let copies = if let Place::Again(copies) = told.place { copies } else { copies(told.outcome) };
            self.after_fan_out += copies;
            self.skipped += copies;
            self.items_listed_again += 1;
            return;
        }
        let filed = told.outcome.map(|outcome| &outcome.mailboxes[..]).unwrap_or_default();
        let imported = filed.iter().filter(|filed| filed.result == FilingResult::Imported).count();
        self.imported += imported as u64;
        self.skipped += (filed.len() - imported) as u64;
        // Not the sum of what is counted beside it: a mailbox that an outcome names twice is one mailbox.
        let mut mailboxes: HashSet<&MailboxAddress> = filed.iter().map(|filed| &filed.address).collect();
        match told.place {
            Place::Waiting(_) | Place::Discarded(_) => {
                let lacking = told.outcome.map(|outcome| &outcome.failed[..]).unwrap_or_default();
                mailboxes.extend(lacking.iter().map(|lacking| &lacking.address));
                let missing = told.outcome.map_or(0, |outcome| outcome.missing.len());
                self.failed += (lacking.len() + missing).max(1) as u64;
                self.after_fan_out += missing.max(usize::from(lacking.is_empty())) as u64;
                self.items_failed += 1;
                self.partially_imported += u64::from(!filed.is_empty());
            }
            Place::InFlight => {
                self.items_in_flight += 1;
                let missing = told.outcome.is_some_and(|outcome| !outcome.missing.is_empty());
                self.partially_imported += u64::from(missing && !filed.is_empty());
            }
            Place::Missing => self.items_missing += 1,
            Place::Filed | Place::Again(_) => self.items_filed += 1,
        }
        self.after_fan_out += mailboxes.len() as u64;
    }

    /// The counters in the words of the connector's log, in its order.
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

    /// Whether the items add up: each is filed, failed, listed again, in flight or missing.
    pub fn items_add_up(&self) -> bool {
        let places = self.items_filed + self.items_failed + self.items_listed_again;
        self.available == places + self.items_in_flight + self.items_missing
    }

    /// Whether the copies add up: available after fan-out = imported + skipped + failed.
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
                result: FilingResult::Imported,
                message: String::new(),
                at: "2026-11-22T07:00:00Z".parse().unwrap(),
            });
        }
        for address in failed {
            let reason = Reason::MailboxFull;
            let address = address.parse().unwrap();
            outcome.failed.push(FailedMailbox { address, reason, since: None, checks: 0 });
            outcome.dead_letter = Some(DeadLettered { stage: Stage::Import, reason });
        }
        outcome
    }

    fn counted(run: &str, outcome: Option<&Outcome>, place: Place) -> Counters {
        let listed = Listed { item: json!("WA-1"), archived_time: json!("2026-11-22T06:00:00Z") };
        let mut counters = Counters::default();
        counters.add(&Told { run: &run.parse().unwrap(), listed: &listed, outcome, place });
        assert_eq!(counters.available, 1);
        assert!(counters.items_add_up(), "every item is in one place: {counters:?}");
        counters
    }

    #[test]
    fn an_item_is_fanned_out_to_the_mailboxes_that_it_belongs_in() {
        let whole = outcome(&["a@example.com", "b@example.com"], &[]);
        let filed = counted("r-1", Some(&whole), Place::Filed);
        assert_eq!((filed.after_fan_out, filed.imported, filed.items_filed), (2, 2, 1));
        let part = outcome(&["a@example.com"], &["b@example.com"]);
        let part = counted("r-1", Some(&part), Place::Waiting(Some(Reason::MailboxFull)));
        assert_eq!((part.after_fan_out, part.imported, part.failed, part.partially_imported), (2, 1, 1, 1));
        let nowhere = counted("r-1", None, Place::Discarded(None));
        assert_eq!((nowhere.after_fan_out, nowhere.failed, nowhere.partially_imported), (1, 1, 0));
        assert!(filed.copies_add_up() && part.copies_add_up() && nowhere.copies_add_up());
    }

    #[test]
    fn item_with_missing_participants_is_partially_imported() {
        let mut outcome = outcome(&["a@example.com"], &[]);
        let (reason, since) = (MissingReason::MailboxNotFound, "2026-11-22T07:00:00Z".parse().unwrap());
        outcome.missing = vec![MissingParticipant { participant: 1, reason, since, checks: 3 }];
        let waiting = counted("r-1", Some(&outcome), Place::InFlight);
        assert_eq!((waiting.after_fan_out, waiting.imported, waiting.partially_imported), (1, 1, 1));
        outcome.dead_letter = Some(DeadLettered { stage: Stage::Import, reason: Reason::MailboxNotFound });
        let dead = counted("r-1", Some(&outcome), Place::Waiting(Some(Reason::MailboxNotFound)));
        assert_eq!((dead.after_fan_out, dead.imported, dead.failed, dead.partially_imported), (2, 1, 1, 1));
        assert!(waiting.copies_add_up() && dead.copies_add_up());
        let again = counted("r-2", Some(&outcome), Place::Waiting(Some(Reason::MailboxNotFound)));
        assert_eq!((again.after_fan_out, again.skipped), (2, 2));
    }

    #[test]
    fn what_an_earlier_run_accounts_for_is_skipped_whatever_became_of_it() {
        let whole = outcome(&["a@example.com", "b@example.com"], &[]);
        let again = counted("r-2", Some(&whole), Place::Filed);
        assert_eq!((again.skipped, again.imported, again.items_listed_again), (2, 0, 1));
        let letter = outcome(&[], &["b@example.com"]);
        let again = counted("r-2", Some(&letter), Place::Waiting(Some(Reason::MailboxFull)));
        assert_eq!((again.skipped, again.failed, again.items_failed), (1, 0, 0));
        assert_eq!(counted("r-1", None, Place::Again(3)).skipped, 3);
        // What is nowhere is never hidden behind an earlier run.
        assert_eq!(counted("r-2", Some(&letter), Place::Missing).items_missing, 1);
    }

    #[test]
    fn a_mailbox_that_stands_twice_does_not_add_up() {
        let twice = outcome(&["a@example.com", "a@example.com"], &[]);
        assert!(!counted("r-1", Some(&twice), Place::Filed).copies_add_up());
        let both = outcome(&["a@example.com"], &["a@example.com"]);
        assert!(!counted("r-1", Some(&both), Place::Waiting(None)).copies_add_up());
    }
}
