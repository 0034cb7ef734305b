//! What became of an item.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ItemId, MailboxAddress, MissingReason, Reason, RunId, Sha256, Stage};

/// `outcomes/<key>.json`: one object an item, written by import (and by convert, for an item that it
/// gave up on). It is the first thing that a retry or replay reads: a mailbox that stands in it is not filed in again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The version of this shape: 1.
    pub v: u32,
    /// The item.
    pub item: ItemId,
    /// The run whose task was worked on first. What a later run lists again, and finds here, is that run's duplicate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Of the rendered message, with angle brackets. Absent while nothing was rendered.
    pub message_id: Option<String>,
    /// Of the rendered message's evidence and files, as its header says it: by this and the Message-ID its copies are
    /// known. Absent while nothing was rendered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Sha256>,
    /// Of the whole stored message. Absent while nothing was rendered.
    pub sha256: Option<Sha256>,
    /// The stored message's length. Absent while nothing was rendered.
    pub bytes: Option<u64>,
    /// The stored message's key in the bucket. Absent while nothing was rendered.
    pub mime: Option<String>,
    /// The mailboxes that have their copy.
    pub mailboxes: Vec<FiledMailbox>,
    /// The mailboxes that should have one and do not.
    pub failed: Vec<FailedMailbox>,
    /// Participants that are expected to have a mailbox, or whose lookup is undecided, and that have no copy yet. An outcome
    /// that has one is not complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingParticipant>,
    /// Participants that have no mailbox and are not expected to have one, by their place in the item: 0 is the sender,
    /// 1 the first of `to`. Their identity is only in the stored message's evidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmapped: Vec<usize>,
    /// Those of `unmapped` whose lookup the mail system rejected until the retries were used up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lookup_rejected: Vec<usize>,
    /// Set while the item, or a part of it, waits in the dead-letter queue.
    pub dead_letter: Option<DeadLettered>,
    /// The message that became that letter. Another message for the same item needs none of its own; this one does when
    /// it comes again, because its letter may not have been sent.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "letter_of")]
    pub dead_letter_source: Option<DeadLetterSource>,
    /// Set while a function works on it: see [`crate::LeaseState`].
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "claim")]
    pub lease: Option<Lease>,
}

/// A mailbox that has its copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiledMailbox {
    /// The mail system's own id of the mailbox. Absent in objects of releases that recorded the address alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The address that the mailbox was found by.
    pub address: MailboxAddress,
    /// The mailbox's primary address, where it is another one: copies name the participant by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<MailboxAddress>,
    /// How it came there.
    pub result: FilingResult,
    /// The mailbox's own id of the message.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// How a copy came to be in a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FilingResult {
    /// We put it there.
    Imported,
    /// It was there: an earlier attempt had put it there and could not say so any more.
    Skipped,
}

/// A mailbox that should have a copy and does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedMailbox {
    /// The address that the mailbox was found by.
    pub address: MailboxAddress,
    /// Why not.
    pub reason: Reason,
    /// First rejection of a series that is still being retried; absent where the first answer was final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Rejections in that series.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub checks: u32,
}

/// A participant that has no copy yet and should have one, or may have to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingParticipant {
    /// Place in the item: 0 is the sender, 1 the first of `to`.
    pub participant: usize,
    /// Why there is no copy.
    pub reason: MissingReason,
    /// First check of this series.
    pub since: Timestamp,
    /// Checks in this series.
    pub checks: u32,
}

/// That, and why, an item waits in the dead-letter queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLettered {
    /// Who gave up.
    pub stage: Stage,
    /// Why.
    pub reason: Reason,
}

/// The message that a dead letter was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterSource {
    /// The queue's id of it.
    pub message: String,
    /// The run that its task names.
    pub run: RunId,
    /// When this was noted: before the letter was sent.
    pub at: Timestamp,
}

/// A claim on an item by one invocation of import. It is put there by a conditional write, so of two functions that
/// were given the same item at once exactly one works on it; and it ends by itself, because Lambda ends the holder at
/// its deadline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Unique for each record that is worked on; begins with the invocation's request id.
    pub holder: String,
    /// A while after the invocation's deadline, or when the wait is over.
    pub until: Timestamp,
    /// No function works on the item any more; the next attempt has to wait.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waiting: bool,
}

/// Why an object is no outcome that can be gone by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutcomeError {
    /// An unauthorized writer changed the object.
    #[error("the outcome is not readable, at line {line} column {column}; restore an earlier version of the object")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// What another release wrote. What it means by the same members is not known here, so nothing is filed by it.
    #[error("the outcome has version {0}, this release knows {known}; deploy a release that knows both", known = Outcome::VERSION)]
    Version(u32),
}

impl Outcome {
    /// The version of this shape.
    pub const VERSION: u32 = 1;

    /// Nothing has become of it yet.
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
            mailboxes: Vec::new(),
            failed: Vec::new(),
            missing: Vec::new(),
            unmapped: Vec::new(),
            lookup_rejected: Vec::new(),
            dead_letter: None,
            dead_letter_source: None,
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

    /// The object's bytes.
    ///
    /// # Panics
    /// Never: every member has a JSON form.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_else(|error| unreachable!("an outcome has a JSON form: {error}"))
    }

    /// Whether everything that can be done for the item is done: it is filed, nothing failed, no participant is missing,
    /// no function works on it.
    pub fn is_complete(&self) -> bool {
        self.lease.is_none()
            && self.dead_letter.is_none()
            && self.failed.is_empty()
            && self.missing.is_empty()
            && !self.mailboxes.is_empty()
    }

    /// Whether a mailbox has its copy. Mailboxes are compared by id, and by address only where no id was recorded.
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
            result: FilingResult::Imported,
            message: "AAMk".into(),
            at: "2026-11-22T07:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn outcome_compares_mailboxes_by_id_and_by_address_where_it_has_none() {
        let mut outcome = Outcome::new("WA-1".parse().unwrap());
        let (old, new) = ("ada@example.com".parse().unwrap(), "ada@example.org".parse().unwrap());
        outcome.mailboxes.push(ada(Some("1")));
        assert!(outcome.has("1", &new), "renamed");
        assert!(!outcome.has("2", &old), "the address is another mailbox's now");
        outcome.mailboxes = vec![ada(None)];
        assert!(outcome.has("1", &old) && !outcome.has("1", &new));
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
        });
        assert!(!outcome.is_complete());
        let json = String::from_utf8(outcome.to_json()).unwrap();
        let missing =
            r#""missing":[{"participant":1,"reason":"mailbox-not-found","since":"2026-11-22T07:00:00Z","checks":1}]"#;
        assert!(json.contains(missing) && json.contains(r#"{"id":"1","address":"ada@example.com","#), "{json}");
        assert_eq!(Outcome::parse(json.as_bytes()).ok(), Some(outcome));
    }

    #[test]
    fn an_outcome_has_the_contracts_members() {
        let mut outcome = Outcome::new("WA-1".parse().unwrap());
        outcome.mailboxes.push(ada(None));
        assert!(outcome.is_complete());
        outcome.dead_letter = Some(DeadLettered { stage: Stage::Import, reason: Reason::MailboxFull });
        outcome.failed.push(FailedMailbox {
            address: "bob@example.com".parse().unwrap(),
            reason: Reason::MailboxFull,
            since: None,
            checks: 0,
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
    fn an_outcome_of_another_version_is_not_gone_by() {
        let json = String::from_utf8(Outcome::new("WA-1".parse().unwrap()).to_json()).unwrap();
        let with = |from: &str, to: &str| Outcome::parse(json.replace(from, to).as_bytes()).err();
        assert_eq!(with("\"v\":1", "\"v\":2"), Some(OutcomeError::Version(2)));
        assert_eq!(with("{\"v\":1", "{\"v\":2,\"mailboxes\":{}"), Some(OutcomeError::Version(2)), "of another shape");
        assert!(matches!(with("\"failed\":[]", "\"failed\":{}"), Some(OutcomeError::Json { line: 1, .. })));
        assert!(matches!(with("\"v\":1,", ""), Some(OutcomeError::Json { .. })));
    }
}
