//! One thing that a webhook reports.

use model::ItemId;

use crate::{Completeness, MediaReference};

/// One thing that a webhook reports.
pub struct Event {
    /// Identifies it: WhatsApp's id, or the digest of its content. The same thing has the same id, whatever door,
    /// field and order it comes by. A status has the id of the message that it is about.
    pub id: ItemId,
    /// Its kind.
    pub kind: EventKind,
    /// The stored JSON, apart from when and by which body it came.
    pub json: Vec<u8>,
    /// The files to fetch now: their ids live for 7 days.
    pub media: Vec<MediaReference>,
}

/// The kind of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// It becomes an item.
    Item(Completeness),
    /// The status of a message or call that was sent. No item.
    Status(StatusWord),
    /// About the account. No item; some of them mean that the capture has stopped.
    Account(AccountEvent),
    /// An entry of the address book. No item.
    Contact,
    /// Unrecognized. It is in the stored body.
    Unknown,
}

/// The status of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatusWord {
    /// WhatsApp has it.
    Sent,
    /// The recipient's device has it.
    Delivered,
    /// It was read.
    Read,
    /// A voice message was played.
    Played,
    /// It was deleted.
    Deleted,
    /// It was not sent.
    Failed,
    /// Of a call, whatever it says.
    Call,
    /// Anything else.
    Other,
}

impl StatusWord {
    /// Every value.
    pub const ALL: [Self; 8] =
        [Self::Sent, Self::Delivered, Self::Read, Self::Played, Self::Deleted, Self::Failed, Self::Call, Self::Other];

    /// The word of a status, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Deleted => "deleted",
            Self::Failed => "failed",
            Self::Call => "call",
            Self::Other => "other",
        }
    }

    /// The status of a word.
    pub fn of(word: &str) -> Self {
        Self::ALL.into_iter().find(|status| status.as_str() == word).unwrap_or(Self::Other)
    }
}

/// An event of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountEvent {
    /// `PARTNER_REMOVED`: the owner has disconnected the number. The capture has stopped.
    PartnerRemoved,
    /// `ACCOUNT_OFFBOARDED`. The capture has stopped.
    Offboarded,
    /// `ACCOUNT_RECONNECTED`.
    Reconnected,
    /// `ACCOUNT_DELETED`. The capture has stopped.
    Deleted,
    /// The owner declined to share the history, or another error of it.
    HistoryError,
    /// Errors of the account or app.
    Errors,
    /// Any other event.
    Other,
}

impl AccountEvent {
    /// Returns whether nothing is captured from now on.
    pub fn stops_capture(self) -> bool {
        matches!(self, Self::PartnerRemoved | Self::Offboarded | Self::Deleted)
    }

    /// The name for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PartnerRemoved => "partner-removed",
            Self::Offboarded => "offboarded",
            Self::Reconnected => "reconnected",
            Self::Deleted => "deleted",
            Self::HistoryError => "history-error",
            Self::Errors => "errors",
            Self::Other => "other",
        }
    }

    pub(crate) fn of(word: &str) -> Self {
        match word {
            "PARTNER_REMOVED" => Self::PartnerRemoved,
            "ACCOUNT_OFFBOARDED" => Self::Offboarded,
            "ACCOUNT_RECONNECTED" => Self::Reconnected,
            "ACCOUNT_DELETED" => Self::Deleted,
            _ => Self::Other,
        }
    }
}
