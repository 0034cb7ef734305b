//! The outcome of an item.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{ItemId, MailboxAddress, MissingReason, Reason, RunId, Sha256, Stage};

/// `outcomes/<key>.json`: one object per item, written by import, and by convert for an item that failed permanently
/// there. Every retry and replay reads it first: a mailbox in it does not get a second copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Version of the format: 1.
    pub v: u32,
    /// The item.
    pub item: ItemId,
    /// The run whose task was processed first. Other runs that list the item count it as a duplicate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Message-ID of the rendered message, with angle brackets. Absent while nothing was rendered.
    pub message_id: Option<String>,
    /// Digest of the rendered message's evidence and files, as in its header. Copies are recognized by it and the
    /// Message-ID. Absent while nothing was rendered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Sha256>,
    /// Digest of the whole stored message. Absent while nothing was rendered.
    pub sha256: Option<Sha256>,
    /// The stored message's length. Absent while nothing was rendered.
    pub bytes: Option<u64>,
    /// The stored message's key in the bucket. Absent while nothing was rendered.
    pub mime: Option<String>,
    /// 16 bits for each participant, by the place in the item: 0 is the sender, 1 the first of `to`. They are of a digest of
    /// the item's id and the participant's identity. One alone does not identify a number; those of many items can confirm a
    /// number that is guessed. Every place in this object is one of these. Absent in objects of earlier releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<u16>,
    /// The mailboxes that have a copy.
    pub mailboxes: Vec<FiledMailbox>,
    /// The mailboxes that should have a copy and do not.
    pub failed: Vec<FailedMailbox>,
    /// Participants without a copy that are expected to have a mailbox, or whose lookup is undecided. While there is
    /// one, the outcome is not complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingParticipant>,
    /// Participants without a copy of whom any attempt expected a mailbox, or found it, by their place in the item. They stay
    /// expected if their row in the user map is removed, until the item is replayed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<usize>,
    /// Participants that have no mailbox and are not expected to have one, by their place in the item: 0 is the sender,
    /// 1 the first of `to`. Their numbers and names are only in the stored message's evidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmapped: Vec<usize>,
    /// The entries of `unmapped` whose lookup the mail system rejected until the retries were used up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lookup_rejected: Vec<usize>,
    /// Set while an item that was complete is incomplete again: the participants that are looked up. The others stay as they
    /// were, because their numbers and addresses may belong to other people by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<usize>>,
    /// Set while the item, or a part of it, is in the dead-letter queue.
    pub dead_letter: Option<DeadLettered>,
    /// The message that became the dead letter. It covers other messages for the same version of the item, but not this
    /// one: if this one is redelivered, its dead letter may not have been sent.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "letter_of")]
    pub dead_letter_source: Option<DeadLetterSource>,
    /// `true` if an attempt for another message has begun after the dead letter was recorded: the item is replayed, and
    /// its retries were restarted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
    /// Set while a function works on the item, see [`crate::LeaseState`].
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "claim")]
    pub lease: Option<Lease>,
}

/// A mailbox that has a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiledMailbox {
    /// The mail system's id of the mailbox. Absent in objects of releases that recorded only the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The address that the mailbox was found by.
    pub address: MailboxAddress,
    /// The mailbox's primary address, if it is another one: copies name the participant by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<MailboxAddress>,
    /// The participants whose mailbox it is, by their place in the item. Empty for the catch-all mailbox, and in objects of
    /// earlier releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub participants: Vec<usize>,
    /// The result of the filing.
    pub result: FilingResult,
    /// The mail system's id of the message.
    pub message: String,
    /// Time of the filing.
    pub at: Timestamp,
}

/// The result of filing a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FilingResult {
    /// Filed by this attempt.
    Imported,
    /// Found: an earlier attempt had filed it without recording it.
    Skipped,
}

/// A mailbox that should have a copy and does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedMailbox {
    /// The address that the mailbox was found by.
    pub address: MailboxAddress,
    /// The reason.
    pub reason: Reason,
    /// First rejection of a series that is still retried; absent if the first response was final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Rejections in that series.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub checks: u32,
    /// The latest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check: Option<Timestamp>,
}

/// A participant that has no copy yet and may need one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingParticipant {
    /// Position in the item: 0 is the sender, 1 the first of `to`.
    pub participant: usize,
    /// The reason why there is no copy.
    pub reason: MissingReason,
    /// First check of this series.
    pub since: Timestamp,
    /// Checks in this series.
    pub checks: u32,
    /// The latest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check: Option<Timestamp>,
}

/// The dead letter of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLettered {
    /// The function that created it.
    pub stage: Stage,
    /// The reason.
    pub reason: Reason,
}

/// The queue message that became a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterSource {
    /// The queue's id of the message.
    pub message: String,
    /// The run in its task.
    pub run: RunId,
    /// The archived time in its task: which version of the item has failed. Absent in objects of release 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_time: Option<Timestamp>,
    /// Time of this entry: before the dead letter was sent.
    pub at: Timestamp,
}

/// The lease of one invocation of import on an item. It is acquired by a conditional write, so that of two functions
/// that receive the same item at the same time only one processes it. It expires by itself, because Lambda ends the
/// holder at its deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Unique per record: the invocation's request id, the queue's id of the message and a random part.
    pub holder: String,
    /// A while after the invocation's deadline, or the end of the wait.
    pub until: Timestamp,
    /// No function works on the item any more; the next attempt has to wait.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waiting: bool,
}

/// An object that is not a usable outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutcomeError {
    /// An unauthorized writer changed the object.
    #[error("the outcome cannot be parsed, at line {line} column {column}: restore an earlier version of the object")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// The object was written by another release. Its members may have another meaning here, so nothing is filed.
    #[error("the outcome has version {0}, this release supports version {known}: deploy a release that supports both", known = Outcome::VERSION)]
    Version(u32),
}

/// Number of days for which the bucket keeps an outcome after its last change, at least: the smallest value of the
/// template's `OutcomeDays` besides 0, which keeps outcomes for ever.
pub const MIN_OUTCOME_DAYS: i64 = 365;

/// An outcome is not older than its item. If the item is not older than this, the bucket still has the outcome. One day
/// less than the minimum, because clocks differ.
const SURELY_KEPT: SignedDuration = SignedDuration::from_hours(24 * (MIN_OUTCOME_DAYS - 1));

/// A message time that lies further in the future is wrong, so it does not limit the age of the item.
const MAX_CLOCK_DIFFERENCE: SignedDuration = SignedDuration::from_hours(24);

impl Outcome {
    /// The version of the format.
    pub const VERSION: u32 = 1;

    /// Returns whether the lifecycle rule may have deleted the outcome of an item. A vendor may deliver an old message
    /// again with a new archived time, and a chat export has only the times of its messages, so both times count.
    pub fn may_have_expired(message_time: Timestamp, archived_time: Timestamp, now: Timestamp) -> bool {
        now.duration_since(message_time.min(archived_time)) >= SURELY_KEPT
            || message_time.duration_since(now) > MAX_CLOCK_DIFFERENCE
    }

    /// Creates an outcome without any result.
    pub fn new(item: ItemId) -> Self {
        Self {
            v: Self::VERSION,
            item,
            run: None,
            message_id: None,
            content: None,
            sha256: None,
            bytes: None,
            mime: None,
            identities: Vec::new(),
            mailboxes: Vec::new(),
            failed: Vec::new(),
            missing: Vec::new(),
            expected: Vec::new(),
            unmapped: Vec::new(),
            lookup_rejected: Vec::new(),
            only: None,
            dead_letter: None,
            dead_letter_source: None,
            replayed: false,
            lease: None,
        }
    }

    /// Reads the object.
    ///
    /// # Errors
    /// [`OutcomeError`].
    pub fn parse(json: &[u8]) -> Result<Self, OutcomeError> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u32,
        }
        match serde_json::from_slice::<Self>(json) {
            Ok(outcome) if outcome.v == Self::VERSION => Ok(outcome),
            Ok(outcome) => Err(OutcomeError::Version(outcome.v)),
            // Another version may have another shape, but it has a version.
            Err(error) => Err(match serde_json::from_slice::<Versioned>(json) {
                Ok(Versioned { v }) if v != Self::VERSION => OutcomeError::Version(v),
                _ => OutcomeError::Json { line: error.line(), column: error.column() },
            }),
        }
    }

    /// Returns the bytes of the object.
    ///
    /// # Panics
    /// Never: every member has a JSON form.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_else(|error| unreachable!("an outcome has a JSON form: {error}"))
    }

    /// Returns whether the item is finished: it is filed, nothing failed, no participant is missing, and no function
    /// works on it.
    pub fn is_complete(&self) -> bool {
        self.lease.is_none()
            && self.dead_letter.is_none()
            && self.failed.is_empty()
            && self.missing.is_empty()
            && !self.mailboxes.is_empty()
    }

    /// Records that unmapped participants may need a copy after all, so that the item is not complete until they are looked
    /// up again. `places` selects them. If the item was complete, only they are. Returns whether there was one.
    pub fn look_up_again(&mut self, places: impl Fn(usize) -> bool, reason: MissingReason, now: Timestamp) -> bool {
        let selected: Vec<_> = self.unmapped.iter().copied().filter(|place| places(*place)).collect();
        if selected.is_empty() {
            return false;
        }
        if self.is_complete() {
            self.only = Some(Vec::new());
        }
        if let Some(only) = &mut self.only {
            only.extend(&selected);
        }
        self.unmapped.retain(|place| !places(*place));
        self.lookup_rejected.retain(|place| !places(*place));
        self.missing.extend(selected.iter().map(|participant| MissingParticipant {
            participant: *participant,
            reason,
            since: now,
            checks: 0,
            last_check: None,
        }));
        true
    }

    /// Records who the participants of the stored message are. If it was rendered again, its participants may have other
    /// places: those in this object are replaced by the new places of the same participants. Of an item that was complete, a
    /// participant whom the earlier message does not name becomes unmapped, which the operator sees.
    pub fn set_identities(&mut self, identities: Vec<u16>) {
        let before = std::mem::replace(&mut self.identities, identities);
        if before.is_empty() || before == self.identities {
            return;
        }
        let mut places: HashMap<u16, Vec<usize>> = HashMap::new();
        for (place, identity) in self.identities.iter().enumerate() {
            places.entry(*identity).or_default().push(place);
        }
        let moved = |place: usize| before.get(place).and_then(|identity| places.get(identity)).into_iter().flatten();
        let move_all = |old: &mut Vec<usize>| *old = old.iter().flat_map(|place| moved(*place)).copied().collect();
        move_all(&mut self.expected);
        move_all(&mut self.unmapped);
        move_all(&mut self.lookup_rejected);
        for filed in &mut self.mailboxes {
            move_all(&mut filed.participants);
        }
        let missing = std::mem::take(&mut self.missing);
        self.missing = missing
            .iter()
            .flat_map(|missing| {
                moved(missing.participant)
                    .map(|participant| MissingParticipant { participant: *participant, ..*missing })
            })
            .collect();
        if let Some(only) = &mut self.only {
            move_all(only);
            let known: HashSet<u16> = before.iter().copied().collect();
            let unknown = self.identities.iter().enumerate().filter(|(_, identity)| !known.contains(identity));
            self.unmapped.extend(unknown.map(|(place, _)| place));
        }
    }

    /// Returns whether a mailbox has a copy. Mailboxes are compared by id, and by address only if no id was recorded.
    pub fn has(&self, id: &str, address: &MailboxAddress) -> bool {
        self.mailboxes.iter().any(|filed| match &filed.id {
            Some(filed) => filed == id,
            None => filed.address == *address,
        })
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ada(id: Option<&str>) -> FiledMailbox {
        FiledMailbox {
            id: id.map(str::to_owned),
            address: "ada@example.com".parse().unwrap(),
            primary: None,
            participants: Vec::new(),
            result: FilingResult::Imported,
            message: "AAMk".into(),
            at: "2026-11-22T07:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn only_a_complete_item_limits_later_lookups() {
        let now: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        let look_up = |outcome: &mut Outcome, wanted: usize| {
            outcome.look_up_again(|place| place == wanted, MissingReason::MappedLater, now)
        };
        let mut outcome = Outcome::new("WA-1".parse().unwrap());
        outcome.unmapped = vec![1, 2, 3];
        assert!(look_up(&mut outcome, 1) && outcome.only.is_none(), "the item was never complete");
        outcome.missing.clear();
        outcome.mailboxes.push(ada(Some("1")));
        assert!(!look_up(&mut outcome, 0) && outcome.is_complete(), "the participant has a copy");
        assert!(look_up(&mut outcome, 2) && look_up(&mut outcome, 3));
        assert_eq!((outcome.only.as_deref(), outcome.missing.len()), (Some(&[2, 3][..]), 2));
        assert_eq!(Outcome::parse(&outcome.to_json()).ok(), Some(outcome));
    }

    #[test]
    fn places_follow_the_participants_of_a_new_rendering() {
        let now: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        let mut outcome = Outcome::new("WA-1".parse().unwrap());
        outcome.unmapped = vec![0, 2];
        outcome.set_identities(vec![10, 11, 12]);
        assert_eq!(outcome.unmapped, [0, 2], "an object of an earlier release");
        outcome.mailboxes.push(FiledMailbox { participants: vec![1], ..ada(Some("1")) });
        assert!(outcome.look_up_again(|place| place == 2, MissingReason::LookupFailed, now));
        (outcome.expected, outcome.lookup_rejected) = (vec![2], vec![0]);
        outcome.set_identities(vec![12, 13, 10, 11]);
        assert_eq!((outcome.only.as_deref(), outcome.missing[0].participant), (Some(&[0][..]), 0));
        assert_eq!((outcome.expected.as_slice(), outcome.lookup_rejected.as_slice()), (&[0][..], &[2][..]));
        assert_eq!(outcome.mailboxes[0].participants, [3]);
        assert_eq!(outcome.unmapped, [2, 1], "the new participant is visible");
        outcome.only = None;
        outcome.set_identities(vec![12]);
        assert_eq!((outcome.unmapped.len(), outcome.missing.len()), (0, 1), "the message does not name the others");
    }

    #[test]
    fn mailboxes_are_compared_by_id_or_else_by_address() {
        let mut outcome = Outcome::new("WA-1".parse().unwrap());
        let (old, new) = ("ada@example.com".parse().unwrap(), "ada@example.org".parse().unwrap());
        outcome.mailboxes.push(ada(Some("1")));
        assert!(outcome.has("1", &new), "renamed");
        assert!(!outcome.has("2", &old), "the address is another mailbox's now");
        outcome.mailboxes = vec![ada(None)];
        assert!(outcome.has("1", &old) && !outcome.has("1", &new));
    }

    #[test]
    fn outcome_of_an_old_item_may_have_expired() {
        let now: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        let ago = |days: i64| now - SignedDuration::from_hours(24 * days);
        let may_have_expired = |message, archived| Outcome::may_have_expired(ago(message), ago(archived), now);
        assert!(!may_have_expired(0, 0) && !may_have_expired(363, 363) && !may_have_expired(-1, 0));
        assert!(may_have_expired(364, 0), "an old message that is delivered again");
        assert!(may_have_expired(0, 364), "listed a year after it was archived");
        assert!(may_have_expired(-2, 0), "the time of the message is wrong");
    }

    #[test]
    fn outcome_with_a_missing_participant_is_not_complete() {
        let mut outcome = Outcome::new("WA-1".parse().unwrap());
        outcome.mailboxes.push(ada(Some("1")));
        outcome.missing.push(MissingParticipant {
            participant: 1,
            reason: MissingReason::MailboxNotFound,
            since: "2026-11-22T07:00:00Z".parse().unwrap(),
            checks: 1,
            last_check: None,
        });
        assert!(!outcome.is_complete());
        let json = String::from_utf8(outcome.to_json()).unwrap();
        let missing =
            r#""missing":[{"participant":1,"reason":"mailbox-not-found","since":"2026-11-22T07:00:00Z","checks":1}]"#;
        assert!(json.contains(missing) && json.contains(r#"{"id":"1","address":"ada@example.com","#), "{json}");
        assert_eq!(Outcome::parse(json.as_bytes()).ok(), Some(outcome));
    }

    #[test]
    fn outcome_has_the_members_of_the_contract() {
        let mut outcome = Outcome::new("WA-1".parse().unwrap());
        outcome.mailboxes.push(ada(None));
        assert!(outcome.is_complete());
        outcome.dead_letter = Some(DeadLettered { stage: Stage::Import, reason: Reason::MailboxFull });
        outcome.failed.push(FailedMailbox {
            address: "bob@example.com".parse().unwrap(),
            reason: Reason::MailboxFull,
            since: None,
            checks: 0,
            last_check: None,
        });
        assert!(!outcome.is_complete());
        let json = outcome.to_json();
        assert_eq!(
            String::from_utf8_lossy(&json),
            r#"{"v":1,"item":"WA-1","message_id":null,"sha256":null,"bytes":null,"mime":null,"mailboxes":[{"address":"ada@example.com","result":"imported","message":"AAMk","at":"2026-11-22T07:00:00Z"}],"failed":[{"address":"bob@example.com","reason":"mailbox-full"}],"dead_letter":{"stage":"import","reason":"mailbox-full"}}"#
        );
        assert_eq!(Outcome::parse(&json).ok(), Some(outcome));
    }

    #[test]
    fn outcome_of_another_version_is_rejected() {
        let json = String::from_utf8(Outcome::new("WA-1".parse().unwrap()).to_json()).unwrap();
        let with = |from: &str, to: &str| Outcome::parse(json.replace(from, to).as_bytes()).err();
        assert_eq!(with("\"v\":1", "\"v\":2"), Some(OutcomeError::Version(2)));
        assert_eq!(with("{\"v\":1", "{\"v\":2,\"mailboxes\":{}"), Some(OutcomeError::Version(2)), "of another shape");
        assert!(matches!(with("\"failed\":[]", "\"failed\":{}"), Some(OutcomeError::Json { line: 1, .. })));
        assert!(matches!(with("\"v\":1,", ""), Some(OutcomeError::Json { .. })));
    }
}
