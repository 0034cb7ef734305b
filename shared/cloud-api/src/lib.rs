//! Reads the webhooks of the WhatsApp Business Platform (Cloud API), posted by Meta or passed on by AWS End User
//! Messaging Social.
//!
//! Pure: no clock, no network, no environment. The decisions are in `DESIGN.md`.
//!
//! * [`signature_matches`] authenticates the sender of a body.
//! * [`entries`] (Meta) and [`aws_entries`] (AWS) parse the envelope, [`events`] splits the webhook into events.
//! * [`history_entries`] reads which chunks of a phone's history a webhook contains.
//! * [`Variants`] holds the copies of one event, [`item`] creates an item from them.

mod aws;
mod content;
mod envelope;
mod event;
mod events;
mod history;
mod item;
mod json;
mod media;
mod people;
mod signature;
mod variants;
mod wamid;
mod webhook;

pub use aws::aws_entries;
pub use envelope::{Channel, Origin, StoredEvent};
pub use event::{AccountEvent, Event, EventKind, StatusWord};
pub use events::{count_events, events, events_from};
pub use history::{HistoryEntries, HistoryEntry, history_entries};
pub use item::{CapturedFile, EVIDENCE_ID, EVIDENCE_NAME, MissingFile, captured_participants, file_place, item};
pub use media::{MediaReference, sha256};
pub use signature::{AppSecret, header_matches, signature_matches};
pub use variants::{Completeness, Variants, late_id, original_id};
pub use webhook::{MAX_BODY_BYTES, Malformed, PayloadPath, Webhook, entries};
