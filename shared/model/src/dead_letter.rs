//! What becomes of a task that cannot be done.

use std::{fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{ItemId, RunId};

/// The text is none of the words that are expected.
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

            /// The word in attributes, outcomes, metrics and on the command line.
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
    /// The function that gave up, and so the queue that a replay goes to.
    Stage {
        Convert = "convert", "Rendering.";
        Import = "import", "Filing.";
        Receive = "receive", "Receiving: the events of a webhook, or a file.";
    }
}

closed_words! {
    /// Why a task became a dead letter: always a property of the item, or no recipient. What is the system's fault
    /// (the network, throttling, credentials) never is a reason: such a task waits on its queue.
    Reason {
        Oversize = "oversize", "The item's text and attachments together are larger than the limit.";
        Unmapped = "unmapped", "No participant has a mailbox.";
        ItemNotFound = "item-not-found", "The archive has no such item, or erased it by retention.";
        ItemMalformed = "item-malformed", "What the archive answers is no item.";
        AttachmentMissing = "attachment-missing", "The archive has the item and not its attachment.";
        AttachmentMismatch = "attachment-mismatch", "The attachment's bytes do not have the declared SHA-256.";
        MailboxRejected = "mailbox-rejected", "A mailbox refused the item for good.";
        MailboxFull = "mailbox-full", "A mailbox has no room.";
        TaskMalformed = "task-malformed", "The message on the queue is no task.";
        MailboxNotFound = "mailbox-not-found", "A participant that is expected to have a mailbox has none.";
        LookupRejected = "lookup-rejected", "The mail system rejected the lookup of a participant that is expected to have a mailbox.";
        ItemEncrypted = "item-encrypted", "The vendor delivered the item encrypted with the customer's key.";
    }
}

closed_words! {
    /// Why a participant has no copy yet.
    MissingReason {
        MailboxNotFound = "mailbox-not-found", "The mail system has no mailbox for the participant's address.";
        LookupRejected = "lookup-rejected", "The mail system rejected the lookup of the participant's address.";
        LookupFailed = "lookup-failed", "The lookup of the participant's address failed and is retried.";
        MappedLater = "mapped-later", "The user map has the participant now and had not when the item was filed.";
    }
}

/// A task that cannot be done, as it stands in the dead-letter queue: the task's body unchanged, and these as string
/// attributes, so that any SQS client can read and move it.
#[derive(Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The message's body, byte for byte.
    pub body: String,
    /// Who gave up.
    pub stage: Stage,
    /// Why.
    pub reason: Reason,
    /// More about why, for a person. No personal data.
    pub detail: String,
    /// The item, where the task could be read so far.
    pub item: Option<ItemId>,
    /// The run, where the task could be read so far.
    pub run: Option<RunId>,
    /// When it gave up.
    pub failed_at: Timestamp,
    /// Queue message that became this dead letter: the `message` of the outcome's `dead_letter_source`. It ties the dead letter, and
    /// the copy that a discard keeps, to that entry. Absent in dead letters of earlier releases.
    pub source_message: Option<String>,
}

impl DeadLetter {
    /// Longest that SQS keeps a message. A dead letter that is older is in no queue any more.
    pub const RETENTION: SignedDuration = SignedDuration::from_hours(14 * 24);

    /// Attribute with the queue message that became the dead letter.
    pub const SOURCE_MESSAGE_ATTRIBUTE: &str = "source_message";

    /// The name of the attribute that tells a letter (and a task that was a letter before it was replayed) from a new
    /// task.
    pub const REASON_ATTRIBUTE: &str = "reason";

    /// The name of the attribute by which a replay lets a single item be larger than the configured limit: a number of
    /// bytes, up to [`MOST_ITEM_BYTES`](Self::MOST_ITEM_BYTES).
    pub const MAX_ITEM_BYTES_ATTRIBUTE: &str = "max_item_bytes";

    /// The most that such a replay may ask for: 150 MiB, the largest attachment that Microsoft Graph takes.
    pub const MOST_ITEM_BYTES: u64 = 150 << 20;

    /// The SQS message attributes, all of them strings. SQS takes no empty value and no character that XML does not
    /// have, so those are left out and replaced.
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

/// The characters that SQS takes in a message: #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF.
fn is_sqs_char(char: char) -> bool {
    matches!(char, '\u{9}' | '\u{A}' | '\u{D}' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attributes_are_what_sqs_takes() {
        let letter = DeadLetter {
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
            letter.attributes(),
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
