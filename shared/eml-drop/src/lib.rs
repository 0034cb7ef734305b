//! Reads the deliveries of capture vendors: one mail per captured message, alone or in a zip with a manifest.
//!
//! Pure: no clock, no network, no environment. `DESIGN.md` describes the decisions.
//!
//! * [`Profile`] defines the meaning of the vendor's header fields.
//! * [`item_id`] returns the id of a mail, [`read`] converts it to an item, [`attachment`] returns the bytes of one of its files.
//! * [`Package`] reads a zip entry by entry, and [`examine`] compares it with the vendor's manifest.

mod attachments;
mod bounds;
mod chat;
mod container;
mod date;
mod error;
mod examine;
mod html;
mod journal;
mod kind;
mod mail;
mod manifest;
mod package;
mod parse;
mod people;
mod profile;

pub use attachments::{EVIDENCE_ID, EVIDENCE_NAME, attachment};
pub use error::{MailError, PackageError};
pub use examine::{Entry, examine};
pub use mail::{Delivered, MAX_MAIL_BYTES, digest_id, has_same_content, has_vendor_id, item_id, read};
pub use manifest::Manifest;
pub use package::{Kind as EntryKind, Package};
pub use profile::{Participants, Profile, ProfileError};
