//! Dead letters: tasks that failed permanently, with their stages and reasons.

use std::{fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{ItemId, RunId};

/// The text is not one of the expected words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not one of: {0}")]
pub struct UnknownWord(String);

macro_rules! closed_words {
    ($(#[$meta:meta])* $name:ident { $($variant:ident = $word:literal, $doc:literal;)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $(#[doc = $doc] #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Returns the word in attributes, outcomes, metrics and on the command line.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|value| value.as_str() == word).ok_or_else(|| {
                    UnknownWord(Self::ALL.iter().map(|value| value.as_str()).collect::<Vec<_>>().join(", "))
                })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

closed_words! {
    /// The function that created the dead letter; a replay goes to its queue.
    Stage {
        Convert = "convert", "convert: an item was to be rendered.";
        Import = "import", "import: an item was to be filed.";
        Receive = "receive", "receive: the events of a webhook were to be stored, or a file downloaded.";
    }
}

closed_words! {
    /// The reason of a dead letter: a property of the item, or a missing mailbox. Failures of the system (the network,
    /// throttling, credentials) are never a reason: such a task is retried from its queue. After 300 receives SQS moves
    /// the task without attributes; `archiver dead-letters` shows it as `retries-exhausted`.
    Reason {
        Oversize = "oversize", "The item's text and attachments together are larger than the limit.";
        Unmapped = "unmapped", "No participant has a mailbox.";
        ItemNotFound = "item-not-found", "The source does not have the item, or has erased it by retention.";
        ItemMalformed = "item-malformed", "The source's response is not an item.";
        AttachmentMissing = "attachment-missing", "The source has the item, but not its attachment.";
        AttachmentMismatch = "attachment-mismatch", "The attachment's bytes do not have the declared SHA-256.";
        MailboxRejected = "mailbox-rejected", "A mailbox rejected the item permanently.";
        MailboxFull = "mailbox-full", "A mailbox is full.";
        TaskMalformed = "task-malformed", "The message on the queue is not a task.";
        MailboxNotFound = "mailbox-not-found", "A participant that is expected to have a mailbox has none.";
        LookupRejected = "lookup-rejected", "The mail system rejected the lookup of a participant that is expected to have a mailbox.";
        ItemEncrypted = "item-encrypted", "The vendor delivered the item encrypted with the customer's key.";
    }
}

closed_words! {
    /// The reason why a participant has no copy yet.
    MissingReason {
        MailboxNotFound = "mailbox-not-found", "The mail system has no mailbox for the participant's address.";
        MailboxUnconfirmed = "mailbox-unconfirmed", "An account has the participant's address, and the mail system reports no mailbox of it. It is retried.";
        LookupRejected = "lookup-rejected", "The mail system rejected the lookup of the participant's address.";
        LookupFailed = "lookup-failed", "The lookup of the participant's address failed and is retried.";
        MappedLater = "mapped-later", "The user map has the participant now, but did not when the item was filed.";
    }
}

/// A task that failed permanently, as it is in the dead-letter queue: the task's body unchanged, and the other members
/// as string attributes, so that every SQS client can read and move it.
#[derive(Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The body of the message, unchanged.
    pub body: String,
    /// The function that created it.
    pub stage: Stage,
    /// The cause, one of a closed list.
    pub reason: Reason,
    /// Details for the operator. No personal data.
    pub detail: String,
    /// The item, if it could be parsed.
    pub item: Option<ItemId>,
    /// The run, if it could be parsed.
    pub run: Option<RunId>,
    /// Time of the failure.
    pub failed_at: Timestamp,
    /// Id of the queue message that became this dead letter. The outcome has the same id in
    /// `dead_letter_source.message`, so that a dead letter, or the object of a discarded one, can be found from the
    /// outcome. `None` in dead letters of earlier releases.
    pub source_message: Option<String>,
}

impl DeadLetter {
    /// Maximum time for which SQS keeps a message. An older dead letter is in no queue any more.
    pub const RETENTION: SignedDuration = SignedDuration::from_hours(14 * 24);

    /// Attribute with the queue message that became the dead letter.
    pub const SOURCE_MESSAGE_ATTRIBUTE: &str = "source_message";

    /// Name of the attribute that distinguishes a dead letter, and a replayed one, from a new task.
    pub const REASON_ATTRIBUTE: &str = "reason";

    /// Name of the attribute with which a replay raises the size limit for a single item: a number of bytes, up to
    /// [`RAISED_MAX_ITEM_BYTES`](Self::RAISED_MAX_ITEM_BYTES).
    pub const MAX_ITEM_BYTES_ATTRIBUTE: &str = "max_item_bytes";

    /// Maximum of that attribute: 150 MiB, the largest attachment that Microsoft Graph accepts.
    pub const RAISED_MAX_ITEM_BYTES: u64 = 150 << 20;

    /// Returns the SQS message attributes, all of them strings. SQS accepts neither empty values nor characters that
    /// XML does not have: the former are left out, the latter replaced.
    pub fn attributes(&self) -> Vec<(&'static str, String)> {
        let failed_at = format!("{:.3}", self.failed_at);
        [
            ("stage", self.stage.to_string()),
            (Self::REASON_ATTRIBUTE, self.reason.to_string()),
            ("detail", self.detail.clone()),
            ("item", self.item.as_ref().map(ItemId::to_string).unwrap_or_default()),
            ("run", self.run.as_ref().map(RunId::to_string).unwrap_or_default()),
            ("failed_at", failed_at),
            (Self::SOURCE_MESSAGE_ATTRIBUTE, self.source_message.clone().unwrap_or_default()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| {
            (name, value.chars().map(|char| if is_sqs_char(char) { char } else { '\u{FFFD}' }).collect())
        })
        .collect()
    }
}

/// Returns whether SQS accepts a character in a message: #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000
/// to #x10FFFF.
fn is_sqs_char(char: char) -> bool {
    matches!(char, '\u{9}' | '\u{A}' | '\u{D}' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_valid_for_sqs() {
        let dead_letter = DeadLetter {
            body: "{".into(),
            stage: Stage::Convert,
            reason: Reason::TaskMalformed,
            detail: "no JSON\u{FFFF}".into(),
            item: None,
            run: None,
            failed_at: "2026-11-22T07:00:00Z".parse().unwrap(),
            source_message: Some("m-1".into()),
        };
        assert_eq!(
            dead_letter.attributes(),
            [
                ("stage", "convert".to_owned()),
                ("reason", "task-malformed".to_owned()),
                ("detail", "no JSON\u{FFFD}".to_owned()),
                ("failed_at", "2026-11-22T07:00:00.000Z".to_owned()),
                ("source_message", "m-1".to_owned()),
            ]
        );
        assert_eq!("mailbox-full".parse(), Ok(Reason::MailboxFull));
        assert!("full".parse::<Reason>().unwrap_err().to_string().contains("mailbox-full"));
    }
}
