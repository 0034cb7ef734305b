//! An event: the smallest unit that a webhook reports.

use model::ItemId;

use crate::{Completeness, MediaReference};

/// An event of a webhook: a message, a call, a status or a change of the account.
pub struct Event {
    /// WhatsApp's id, or the digest of the content. It does not depend on the channel, the field or the order of
    /// receipt. A status has the id of its message.
    pub id: ItemId,
    pub kind: EventKind,
    /// The JSON to store, without time and body of receipt, which [`StoredEvent`](crate::StoredEvent) adds.
    pub json: Vec<u8>,
    /// The files to fetch. Their ids expire after 7 days.
    pub media: Vec<MediaReference>,
}

/// The kind of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// A message, call or group event. It becomes an item.
    Item(Completeness),
    /// The status of an outgoing message or call. It does not become an item.
    Status(StatusWord),
    /// A change of the account. It does not become an item; some of them mean that the capture has stopped.
    Account(AccountEvent),
    /// An entry of the address book. It does not become an item.
    Contact,
    /// Unrecognized, in a place that may contain messages or calls: kept in the stored body only, and reported, because
    /// its messages are not filed.
    Unreadable,
    /// Unrecognized, in another place: kept in the stored body only.
    Unknown,
}

/// The status of an outgoing message or call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatusWord {
    /// WhatsApp accepted it.
    Sent,
    /// The recipient's device received it.
    Delivered,
    /// It was read.
    Read,
    /// A voice message was played.
    Played,
    /// It was deleted.
    Deleted,
    /// It was not sent.
    Failed,
    /// Any status of a call.
    Call,
    /// An unrecognized status.
    Other,
}

impl StatusWord {
    /// All values.
    pub const ALL: [Self; 8] =
        [Self::Sent, Self::Delivered, Self::Read, Self::Played, Self::Deleted, Self::Failed, Self::Call, Self::Other];

    /// Returns the word that WhatsApp uses, in lower case.
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

    /// Returns the status for WhatsApp's word.
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
    /// The owner declined to share the history, or sharing it failed.
    HistoryError,
    /// Errors of the account or app.
    Errors,
    /// An unrecognized event.
    Other,
}

impl AccountEvent {
    /// Returns whether the event means that the capture has stopped.
    pub fn stops_capture(self) -> bool {
        matches!(self, Self::PartnerRemoved | Self::Offboarded | Self::Deleted)
    }

    /// Returns the name for logs and metrics.
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
