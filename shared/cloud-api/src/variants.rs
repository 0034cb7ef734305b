//! The copies of one event: from Meta and from AWS, live and from the history, a placeholder and the content that
//! replaces it.

use jiff::{SignedDuration, Timestamp};
use model::{ItemId, Sha256};

use crate::{
    envelope::{Envelope, List, StoredEvent},
    json::Members,
    media::{self, MediaReference},
};

/// The share of an event's content that a copy contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Completeness {
    /// None yet: the copy is a placeholder for a file, which comes in another webhook.
    Placeholder,
    /// None: WhatsApp did not provide the content.
    Unsupported,
    /// All of it.
    Complete,
}

impl Completeness {
    /// Content counts as late this long before the end of the wait: receive takes the time of a copy before it writes the
    /// copy, and needs up to its timeout (2 minutes) for that, while convert files the placeholder when the wait ends.
    pub const LATE_MARGIN: SignedDuration = SignedDuration::from_mins(5);

    /// Returns the time for which the item waits for a copy with more content: 24 hours for a placeholder of the history,
    /// whose file follows in another webhook. An unsupported message does not wait, because WhatsApp announces no further
    /// content.
    pub fn wait(self) -> SignedDuration {
        match self {
            Self::Placeholder => SignedDuration::from_hours(24),
            Self::Unsupported | Self::Complete => SignedDuration::ZERO,
        }
    }
}

/// Returns the id of a second item: for content that arrived after the item without content was filed.
pub fn late_id(id: &ItemId) -> ItemId {
    format!("{id}{LATE}").parse().unwrap_or_else(|_| ItemId::of_digest(&Sha256::of(format!("{id}{LATE}").as_bytes())))
}

/// WhatsApp's ids do not contain `#`.
const LATE: &str = "#late";

/// Returns the id of the item that was filed without content, for the id of a second item. `None` for any other id, and
/// if the id was so long that the second one is a digest.
pub fn original_id(id: &ItemId) -> Option<ItemId> {
    id.as_str().strip_suffix(LATE)?.parse().ok()
}

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

/// The copies of one event, never empty.
pub struct Variants(Vec<StoredEvent>);

impl Variants {
    /// Sorts copies, the best first: by content, then live before history, then by their bytes. The result does not
    /// depend on the order of receipt. `None` if `events` is empty.
    pub fn new(mut events: Vec<StoredEvent>) -> Option<Self> {
        events.sort_by_cached_key(|stored| {
            let rank = std::cmp::Reverse(completeness(&stored.event));
            (rank, stored.event.list, Sha256::of(stored.evidence()).to_string(), stored.received)
        });
        (!events.is_empty()).then_some(Self(events))
    }

    /// Returns the copy from which the item is made.
    pub fn best(&self) -> &StoredEvent {
        // Never empty.
        &self.0[0]
    }

    /// Returns all copies, the best first.
    pub fn all(&self) -> &[StoredEvent] {
        &self.0
    }

    /// Returns the time at which the first copy was received.
    pub fn received(&self) -> Timestamp {
        self.0.iter().map(|stored| stored.received).min().unwrap_or_default()
    }

    /// Returns the completeness of the best copy.
    pub fn completeness(&self) -> Completeness {
        completeness(&self.best().event)
    }

    /// Returns whether the item still waits for a copy with more content. Content that is written in the last
    /// [`LATE_MARGIN`](Completeness::LATE_MARGIN) of this wait becomes an item of its own, because it may be stored after
    /// this has become false.
    pub fn is_waiting(&self, now: Timestamp) -> bool {
        let waits = |stored: &StoredEvent| now.duration_since(stored.written) < completeness(&stored.event).wait();
        self.completeness() != Completeness::Complete && self.0.iter().any(waits)
    }

    /// Returns the files of the message, in the order of the best copy that names files. For each file the id that each
    /// copy names it by, the best copy first.
    pub fn media(&self) -> Vec<Vec<MediaReference>> {
        let mut files: Vec<Vec<MediaReference>> = Vec::new();
        for stored in &self.0 {
            for (place, reference) in media::stored(&stored.event).into_iter().enumerate() {
                match files.get_mut(place) {
                    Some(file) => file.push(reference),
                    None => files.push(vec![reference]),
                }
            }
        }
        files
    }
}
