//! Reads the stored message of an item.

use aws::s3::Store;
use message::read::{Mime, ReadError, evidence};
use model::{Captured, Failure, Sha256};
use serde::{Deserialize, Serialize};

/// The stored message of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredMessage {
    /// Key in the bucket.
    pub(super) key: String,
    pub(super) sha256: Sha256,
    pub(super) bytes: u64,
}

/// A stored message that was read and whose digest was verified.
pub(super) struct Stored {
    pub(super) mime: Mime,
    pub(super) captured: Captured,
}

/// Reason why a stored message was not read.
pub(super) enum Unreadable {
    /// The item cannot be exported.
    NotExported(NotExportedReason),
    /// The bucket cannot be read.
    Bucket(anyhow::Error),
}

/// Reason why an item is not in the export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum NotExportedReason {
    /// The item is on a queue or being processed: no message is stored yet.
    NotConverted,
    /// The item is a dead letter, and no message is stored.
    DeadLetter,
    /// The entry of the manifest is not a valid task.
    TaskMalformed,
    /// The selected mailbox may still get a copy.
    MailboxUndecided,
    /// The stored message has been deleted.
    MessageMissing,
    /// The SHA-256 of the stored message differs from the recorded one.
    MessageChanged,
    /// The stored message has no readable evidence.
    EvidenceUnreadable,
}

impl NotExportedReason {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::NotConverted => "not-converted",
            Self::DeadLetter => "dead-letter",
            Self::TaskMalformed => "task-malformed",
            Self::MailboxUndecided => "mailbox-undecided",
            Self::MessageMissing => "message-missing",
            Self::MessageChanged => "message-changed",
            Self::EvidenceUnreadable => "evidence-unreadable",
        }
    }

    /// Returns whether evidence was lost or changed.
    pub(super) fn is_damage(self) -> bool {
        matches!(self, Self::MessageMissing | Self::MessageChanged | Self::EvidenceUnreadable)
    }

    /// Returns the sentence for the summary.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::NotConverted => "no message is stored yet: on a queue or being processed",
            Self::DeadLetter => "a dead letter without a stored message",
            Self::TaskMalformed => "listed without a valid id or time",
            Self::MailboxUndecided => "the mailbox may still get a copy",
            Self::MessageMissing => "the stored message has been deleted",
            Self::MessageChanged => "the SHA-256 of the stored message differs from the recorded one",
            Self::EvidenceUnreadable => "the stored message has no readable evidence",
        }
    }

    pub(super) const ALL: [Self; 7] = [
        Self::NotConverted,
        Self::DeadLetter,
        Self::TaskMalformed,
        Self::MailboxUndecided,
        Self::MessageMissing,
        Self::MessageChanged,
        Self::EvidenceUnreadable,
    ];
}

impl StoredMessage {
    /// Reads the message and its evidence. A message above the normal size is read in pieces.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub(super) async fn read(&self, store: &Store) -> Result<Stored, Unreadable> {
        let not_exported = |reason| Err(Unreadable::NotExported(reason));
        let mime = match ledger::read_message(store, &self.key, self.sha256, self.bytes).await {
            Ok(Some(mime)) => mime,
            Ok(None) => return not_exported(NotExportedReason::MessageMissing),
            Err(Failure::Permanent { .. }) => return not_exported(NotExportedReason::MessageChanged),
            Err(Failure::Transient { detail, .. } | Failure::Configuration { detail, .. }) => {
                return Err(Unreadable::Bucket(anyhow::Error::msg(detail)));
            }
        };
        let evidence = match evidence::bytes(&mime).await {
            Ok(Some(evidence)) => evidence,
            Ok(None) | Err(ReadError::Malformed(_)) => {
                return not_exported(NotExportedReason::EvidenceUnreadable);
            }
            Err(error) => return Err(Unreadable::Bucket(error.into())),
        };
        match Captured::of_evidence(&evidence) {
            Ok(captured) => Ok(Stored { mime, captured }),
            Err(_) => not_exported(NotExportedReason::EvidenceUnreadable),
        }
    }
}

/// Memory for stored messages that are read at the same time.
pub(super) const MEMORY_KIB: u32 = 128 << 10;

/// Returns the memory of a message of this length: the message, its parts decoded, and the item. A larger message is
/// read in pieces of 4 MiB.
pub(super) fn memory(bytes: u64) -> u64 {
    bytes.min(ledger::IN_MEMORY_MAX_BYTES) * 3 + (64 << 10)
}
