//! The states of an item's outcome, and every transition between them.
//!
//! ```text
//!               acquire                 wait
//!  Unleased ─────────────▶ Leased ──────────────▶ Waiting
//!   ▲  ▲  ▲                 │ │ │                  │  │
//!   │  │  └─ lease expires ─┘ │ └─ complete ▶ Complete│
//!   │  │                      │                    │  │ wait over, with a dead letter
//!   │  └────── wait over ─────┼────────────────────┘  ▼
//!   │                         └─ dead_letter ───▶ DeadLettered ── acquire (replay) ──▶ Leased
//!   └────────────────────── reopen ───────────────────┘ ▲
//!                                                       └── dead_letter (convert): from Unleased
//! ```
//!
//! No attempt begins while the state is Leased or Waiting. The lease is the member `claim` of the object. An expired lease
//! stays in the object: it shows that an attempt began, so the next attempt looks for copies before it files. During a
//! replay the dead letter stays in the object until the attempt is decided; until then an expired lease leads back to it.

use jiff::Timestamp;

use crate::{DeadLetterSource, DeadLettered, Lease, Outcome, Reason, RunId, Stage};

/// The state of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    /// Not complete, and no function works on it.
    Unleased,
    /// A function works on it until this time.
    Leased {
        /// A while after the deadline of the invocation that holds it.
        until: Timestamp,
    },
    /// Not complete; no attempt may begin before this time, because a copy may still appear. The item may have a dead
    /// letter already.
    Waiting {
        /// Earliest time of the next attempt.
        until: Timestamp,
    },
    /// Every required copy is filed.
    Complete,
    /// Failed permanently; waits for an operator to replay it.
    DeadLettered(DeadLettered),
}

impl Outcome {
    /// Returns the state at a time.
    pub fn state(&self, now: Timestamp) -> LeaseState {
        match (&self.lease, self.dead_letter) {
            (Some(Lease { until, waiting: false, .. }), _) if *until > now => LeaseState::Leased { until: *until },
            (Some(Lease { until, waiting: true, .. }), _) if *until > now => LeaseState::Waiting { until: *until },
            (_, Some(dead_letter)) => LeaseState::DeadLettered(dead_letter),
            (_, None) if self.is_complete() => LeaseState::Complete,
            (_, None) => LeaseState::Unleased,
        }
    }

    /// Returns the time before which no attempt may begin; `None` if one may begin now.
    pub fn held_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self.state(now) {
            LeaseState::Leased { until } | LeaseState::Waiting { until } => Some(until),
            LeaseState::Unleased | LeaseState::Complete | LeaseState::DeadLettered(_) => None,
        }
    }

    /// Acquires the lease: Unleased, Waiting or DeadLettered → Leased.
    pub fn acquire(&mut self, holder: String, until: Timestamp) {
        self.lease = Some(Lease { holder, until, waiting: false });
    }

    /// Starts a wait: Leased → Waiting.
    pub fn wait(&mut self, until: Timestamp) {
        self.lease = self.lease.take().map(|lease| Lease { until, waiting: true, ..lease });
    }

    /// Completes the item: Leased → Complete; every required copy is filed.
    pub fn complete(&mut self) {
        (self.lease, self.dead_letter, self.dead_letter_source) = (None, None, None);
        (self.replayed, self.only) = (false, None);
        self.expected.clear();
    }

    /// Records a dead letter: Leased or Unleased → DeadLettered. Waiting stays until the wait is over. `source` is the
    /// queue message that becomes the dead letter. A dead letter of convert decides no attempt of import: an expired lease
    /// still names the import task that is retried. An attempt reads the item as its source has it now, so a failure is that
    /// of every version so far: the archived time never goes back, for example if an older dead letter is replayed.
    pub fn dead_letter(&mut self, stage: Stage, reason: Reason, mut source: DeadLetterSource) {
        let is_kept = |lease: &Lease| stage == Stage::Convert || lease.waiting && lease.until > source.at;
        self.lease = self.lease.take().filter(is_kept);
        self.replayed = false;
        self.dead_letter = Some(DeadLettered { stage, reason });
        let earlier = self.dead_letter_source.as_ref().and_then(|earlier| earlier.archived_time);
        source.archived_time = source.archived_time.max(earlier);
        self.dead_letter_source = Some(source);
    }

    /// Reopens an item that is queued again: DeadLettered → Unleased, with retries counted from zero. The expired lease
    /// shows that an attempt was made, so that the next one looks for copies first.
    pub fn reopen(&mut self, holder: &str, now: Timestamp) {
        (self.dead_letter, self.dead_letter_source, self.replayed) = (None, None, false);
        self.restart_retries(now);
        self.lease.get_or_insert_with(|| Lease { holder: holder.to_owned(), until: now, waiting: true });
    }

    /// Begins the replay of a dead letter, when a message is delivered: restarts the retries, once for each dead letter.
    /// Two messages do not replay the item, and keep what earlier attempts recorded: the message that became the dead
    /// letter, which is redelivered only because its dead letter may not have been sent, and one that was being retried
    /// when convert recorded the dead letter.
    pub fn begin_replay(&mut self, message: &str) {
        let is_retry = self.lease.as_ref().is_some_and(|lease| lease.is_of(message));
        let Some(source) = self.dead_letter_source.as_ref().filter(|source| source.message != message) else { return };
        if !self.replayed && !is_retry {
            let recorded = source.at;
            self.restart_retries(recorded);
            self.replayed = true;
        }
    }

    /// Removes the series of checks and rejections that began up to a time, so that their retries are counted from
    /// zero: a replayed item gets all of them again. Today's user map decides who is expected to have a mailbox.
    fn restart_retries(&mut self, began_until: Timestamp) {
        self.expected.clear();
        self.missing.retain(|missing| missing.since > began_until);
        for failed in &mut self.failed {
            if failed.since.is_some_and(|since| since <= began_until) {
                (failed.since, failed.checks) = (None, 0);
            }
        }
    }

    /// Returns whether SQS has deleted the dead letter because of its age. If the object does not record the time of
    /// the dead letter, as in earlier releases, the dead letter counts as present.
    pub fn dead_letter_expired(&self, now: Timestamp) -> bool {
        self.dead_letter_source
            .as_ref()
            .is_some_and(|dead_letter| now.duration_since(dead_letter.at) > crate::DeadLetter::RETENTION)
    }
}

impl Lease {
    /// Returns whether the holder is a delivery of this message.
    fn is_of(&self, message: &str) -> bool {
        self.holder.split('/').nth(1) == Some(message)
    }
}

impl DeadLetterSource {
    /// Describes the queue message that becomes an item's dead letter now.
    pub fn new(message: String, run: RunId, archived_time: Timestamp, at: Timestamp) -> Self {
        Self { message, run, archived_time: Some(archived_time), at }
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::{FiledMailbox, FilingResult, MissingParticipant, MissingReason};

    fn now() -> Timestamp {
        "2026-11-22T07:00:00Z".parse().unwrap()
    }

    fn later(seconds: i64) -> Timestamp {
        now() + SignedDuration::from_secs(seconds)
    }

    fn outcome() -> Outcome {
        Outcome::new("WA-1".parse().unwrap())
    }

    fn filed() -> Outcome {
        let mut outcome = outcome();
        outcome.mailboxes.push(FiledMailbox {
            id: Some("1".into()),
            address: "ada@example.com".parse().unwrap(),
            primary: None,
            participants: Vec::new(),
            result: FilingResult::Imported,
            message: "AAMk".into(),
            at: now(),
        });
        outcome
    }

    fn source() -> DeadLetterSource {
        DeadLetterSource::new("m".into(), "20261122T070000Z-daily-1".parse().unwrap(), now(), now())
    }

    #[test]
    fn lease_passes_through_its_states() {
        let mut outcome = filed();
        outcome.acquire("one".into(), later(60));
        assert_eq!(outcome.state(now()), LeaseState::Leased { until: later(60) });
        assert_eq!(outcome.state(later(60)), LeaseState::Unleased, "expired");
        outcome.wait(later(30));
        assert_eq!(outcome.state(now()), LeaseState::Waiting { until: later(30) });
        assert!(!outcome.is_complete(), "an expired lease is not completion");
        outcome.acquire("two".into(), later(90));
        outcome.complete();
        assert_eq!(outcome.state(now()), LeaseState::Complete);
    }

    #[test]
    fn dead_letter_stays_until_the_replay_is_decided() {
        let mut outcome = filed();
        outcome.acquire("one".into(), later(60));
        outcome.dead_letter(Stage::Import, Reason::MailboxFull, source());
        let dead = DeadLettered { stage: Stage::Import, reason: Reason::MailboxFull };
        assert_eq!(outcome.state(now()), LeaseState::DeadLettered(dead));
        outcome.acquire("replay".into(), later(60));
        assert_eq!(outcome.state(now()), LeaseState::Leased { until: later(60) });
        assert_eq!(outcome.state(later(60)), LeaseState::DeadLettered(dead), "the replay's function ended");
        outcome.wait(now());
        assert_eq!(outcome.state(now()), LeaseState::DeadLettered(dead), "undecided");
        outcome.acquire("replay".into(), later(60));
        outcome.complete();
        assert_eq!((outcome.state(now()), outcome.dead_letter_source), (LeaseState::Complete, None));
    }

    #[test]
    fn replay_of_an_older_dead_letter_keeps_the_newest_version() {
        let mut outcome = outcome();
        let failed = |archived_time| DeadLetterSource::new("m".into(), source().run, archived_time, now());
        for (archived_time, newest) in [(now(), now()), (later(60), later(60)), (now(), later(60))] {
            outcome.dead_letter(Stage::Import, Reason::Unmapped, failed(archived_time));
            assert_eq!(outcome.dead_letter_source.as_ref().unwrap().archived_time, Some(newest));
        }
    }

    #[test]
    fn dead_letter_does_not_end_the_wait_for_a_copy() {
        let mut outcome = outcome();
        outcome.acquire("one".into(), later(60));
        outcome.wait(later(30));
        outcome.dead_letter(Stage::Import, Reason::MailboxRejected, source());
        assert_eq!(outcome.state(now()), LeaseState::Waiting { until: later(30) });
        assert_eq!((outcome.held_until(later(29)), outcome.held_until(later(30))), (Some(later(30)), None));
        assert!(matches!(outcome.state(later(30)), LeaseState::DeadLettered(_)));
        outcome.reopen("requeue", now());
        assert_eq!(outcome.held_until(now()), Some(later(30)));
        outcome.acquire("two".into(), later(90));
        outcome.dead_letter(Stage::Import, Reason::MailboxRejected, source());
        assert!(matches!(outcome.state(now()), LeaseState::DeadLettered(_)), "this attempt has no unknown outcome");
    }

    #[test]
    fn reopened_item_counts_its_retries_from_zero() {
        let mut outcome = filed();
        let missing = MissingParticipant {
            participant: 1,
            reason: MissingReason::MailboxNotFound,
            since: now(),
            checks: 50,
            last_check: None,
        };
        outcome.missing.push(missing);
        outcome.dead_letter(Stage::Import, Reason::MailboxNotFound, source());
        outcome.reopen("requeue", now());
        assert_eq!(outcome.state(now()), LeaseState::Unleased);
        assert!(outcome.missing.is_empty() && !outcome.is_complete());
    }

    /// The item was complete. Whatever happens until it is complete again, the participants that had a copy, or none, are not
    /// looked up.
    #[test]
    fn complete_item_stays_limited_until_it_is_complete_again() {
        let mut outcome = filed();
        outcome.unmapped = vec![1, 2];
        assert!(outcome.look_up_again(|place| place == 1, MissingReason::MappedLater, now()));
        outcome.acquire("one".into(), later(60));
        outcome.wait(later(30));
        outcome.acquire("two".into(), later(90));
        outcome.dead_letter(Stage::Import, Reason::MailboxNotFound, source());
        outcome.begin_replay("replay");
        assert_eq!(outcome.only.as_deref(), Some(&[1][..]));
        outcome.acquire("three".into(), later(90));
        outcome.dead_letter(Stage::Import, Reason::MailboxNotFound, source());
        outcome.reopen("requeue", now());
        assert_eq!(outcome.only.as_deref(), Some(&[1][..]));
        outcome.complete();
        assert_eq!(outcome.only, None);
    }

    #[test]
    fn replay_restarts_the_retries_once() {
        let mut outcome = filed();
        outcome.expected = vec![1];
        outcome.dead_letter(Stage::Import, Reason::MailboxFull, source());
        outcome.begin_replay("m");
        assert_eq!(outcome.expected, [1], "the message that became the dead letter");
        outcome.begin_replay("replay");
        assert!(outcome.expected.is_empty());
        // Two messages of the item are retried in turn.
        for message in ["replay", "overlap", "replay"] {
            outcome.expected = vec![1];
            outcome.begin_replay(message);
            assert_eq!(outcome.expected, [1], "{message}");
        }
        outcome.dead_letter(Stage::Import, Reason::MailboxFull, source());
        outcome.begin_replay("second replay");
        assert!(outcome.expected.is_empty());
    }

    #[test]
    fn task_that_is_retried_is_no_replay_of_converts_dead_letter() {
        let mut outcome = filed();
        outcome.expected = vec![1];
        outcome.acquire("request/task/1".into(), now());
        outcome.wait(now());
        outcome.dead_letter(Stage::Convert, Reason::Oversize, source());
        outcome.begin_replay("task");
        assert_eq!(outcome.expected, [1]);
        outcome.begin_replay("another");
        assert!(outcome.expected.is_empty());
    }

    #[test]
    fn dead_letter_expires_with_its_queue() {
        let mut outcome = outcome();
        assert!(!outcome.dead_letter_expired(later(i64::from(u32::MAX))), "unknown");
        outcome.dead_letter(Stage::Import, Reason::Unmapped, source());
        let day = 24 * 3600;
        assert!(!outcome.dead_letter_expired(later(14 * day)));
        assert!(outcome.dead_letter_expired(later(14 * day + 1)));
    }
}
