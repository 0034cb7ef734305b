//! Reads the webhooks of the WhatsApp Business Platform (Cloud API), as Meta posts them and as AWS End User Messaging
//! Social passes them on.
//!
//! Pure: no clock, no network, no environment. `DESIGN.md` has the decisions.
//!
//! * [`signature_matches`] checks who sent a body.
//! * [`entries`] and [`aws_entries`] open the envelopes of the two doors, [`events`] names each thing that happened.
//! * [`Variants`] are the copies of one event, [`item`] makes an item of them.

mod aws;
mod content;
mod envelope;
mod event;
mod events;
mod item;
mod json;
mod media;
mod people;
mod signature;
mod variants;
mod webhook;

pub use aws::aws_entries;
pub use envelope::{Door, Origin, StoredEvent};
pub use event::{AccountEvent, Event, EventKind, StatusWord};
pub use events::events;
pub use item::{CapturedFile, EVIDENCE_ID, EVIDENCE_NAME, FILE_ID, MissingFile, item};
pub use media::{MediaReference, sha256};
pub use signature::{AppSecret, header_matches, signature_matches};
pub use variants::{Completeness, Variants, late_id};
pub use webhook::{MAX_BODY_BYTES, MAX_EVENTS, Malformed, PayloadPath, Webhook, entries};
