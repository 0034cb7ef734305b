//! The stored messages that a report reads for the names of people.

use model::{MissingParticipant, Outcome, Sha256};

/// Where a stored message is, and what is looked for in it.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) mime: String,
    pub(super) sha256: Sha256,
    pub(super) bytes: u64,
    /// The places of the participants without a mailbox, those that are expected to have one included.
    pub(super) unmapped: Vec<usize>,
    /// Of those: expected to have one, or undecided; and why.
    pub(super) missing: Vec<MissingParticipant>,
    /// The failure of which this is the message.
    pub(super) failure: Option<usize>,
}

impl Stored {
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
