//! References to the stored messages that a report reads for the names of users.

use model::{MissingParticipant, Outcome, Sha256};

/// Reference to a stored message, and the participants to read from it.
#[derive(Debug, Clone)]
pub(super) struct StoredMessageRef {
    pub(super) mime: String,
    pub(super) sha256: Sha256,
    pub(super) bytes: u64,
    /// Positions of the participants without a mailbox, including those that are expected to have one.
    pub(super) unmapped: Vec<usize>,
    /// Participants that are expected to have a mailbox or whose lookup is undecided, with reasons.
    pub(super) missing: Vec<MissingParticipant>,
    /// Index of the failure that the message belongs to.
    pub(super) failure: Option<usize>,
}

impl StoredMessageRef {
    pub(super) fn of(outcome: &Outcome, failure: Option<usize>) -> Option<Self> {
        let (mime, sha256, bytes) = (outcome.mime.clone()?, outcome.sha256?, outcome.bytes?);
        let missing = outcome.missing.clone();
        let places = missing.iter().map(|missing| missing.participant);
        let mut unmapped: Vec<_> = outcome.unmapped.iter().copied().chain(places).collect();
        unmapped.sort_unstable();
        unmapped.dedup();
        Some(Self { mime, sha256, bytes, unmapped, missing, failure })
    }
}
