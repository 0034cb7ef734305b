//! The copies of one event: Meta's and AWS's, live and from the history, the placeholder and what came in its place.

use jiff::{SignedDuration, Timestamp};
use model::{ItemId, Sha256};

use crate::{
    envelope::{Envelope, List, StoredEvent},
    json::Members,
    media::{self, MediaReference},
};

/// The share of its content that an event has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Completeness {
    /// It stands for a file that comes in another webhook.
    Placeholder,
    /// WhatsApp did not give the content.
    Unsupported,
    /// It has all.
    Complete,
}

impl Completeness {
    /// The wait of the item for a copy with more content. The history is sent once, and its files follow it. For an
    /// unsupported message nothing is announced.
    pub fn wait(self) -> SignedDuration {
        match self {
            Self::Placeholder => SignedDuration::from_hours(24),
            Self::Unsupported | Self::Complete => SignedDuration::ZERO,
        }
    }
}

/// The id of the item that content becomes which came after the item without it was filed.
pub fn late_id(id: &ItemId) -> ItemId {
    format!("{id}{LATE}").parse().unwrap_or_else(|_| ItemId::of_digest(&Sha256::of(format!("{id}{LATE}").as_bytes())))
}

/// No id of WhatsApp's has this character.
const LATE: &str = "#late";

pub(crate) fn is_late(id: &ItemId) -> bool {
    id.as_str().ends_with(LATE)
}

pub(crate) fn completeness(envelope: &Envelope) -> Completeness {
    if matches!(envelope.list, List::Calls | List::Groups) {
        return Completeness::Complete;
    }
    let kind = Members::of(&envelope.event).and_then(|message| message.text("type"));
    match kind.as_deref() {
        Some("media_placeholder") => Completeness::Placeholder,
        Some("unsupported" | "unknown") => Completeness::Unsupported,
        _ => Completeness::Complete,
    }
}

/// The copies of one event. At least one.
pub struct Variants(Vec<StoredEvent>);

impl Variants {
    /// Orders copies, the best first: by content, then live before history, then by their bytes. So the order in which they
    /// came changes nothing. `None` where there is none.
    pub fn new(mut events: Vec<StoredEvent>) -> Option<Self> {
        events.sort_by_cached_key(|stored| {
            let rank = std::cmp::Reverse(completeness(&stored.event));
            (rank, stored.event.list, Sha256::of(stored.evidence()).to_string(), stored.received)
        });
        (!events.is_empty()).then_some(Self(events))
    }

    /// The one that the item is made of.
    pub fn best(&self) -> &StoredEvent {
        // Never empty.
        &self.0[0]
    }

    /// All, the best first.
    pub fn all(&self) -> &[StoredEvent] {
        &self.0
    }

    /// Time at which the first was received.
    pub fn received(&self) -> Timestamp {
        self.0.iter().map(|stored| stored.received).min().unwrap_or_default()
    }

    /// The completeness of the best one.
    pub fn completeness(&self) -> Completeness {
        completeness(&self.best().event)
    }

    /// Returns whether the item waits for a copy with more content.
    pub fn is_waiting(&self, now: Timestamp) -> bool {
        let waits = |stored: &StoredEvent| now.duration_since(stored.written) < completeness(&stored.event).wait();
        self.completeness() != Completeness::Complete && self.0.iter().any(waits)
    }

    /// The files of the message, one for each copy that names one, the best first, and when the copy came.
    pub fn media(&self) -> Vec<(Timestamp, MediaReference)> {
        let of = |stored: &StoredEvent| Some((stored.received, media::reference(&stored.event)?));
        self.0.iter().filter_map(of).collect()
    }
}
