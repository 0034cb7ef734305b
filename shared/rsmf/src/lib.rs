//! Writes items as RSMF 2.0 files, the short message format of review platforms: one file for each conversation and day.
//!
//! Pure: the caller provides the writers, and equal items produce equal bytes. `DESIGN.md` describes the mapping.
//!
//! ```text
//! *.rsmf (RFC 5322)
//!  ├ X-RSMF-… header fields
//!  ├ text/plain       the conversation as text, which review platforms index
//!  └ rsmf.zip
//!      ├ 000001-1.pdf, …       the files
//!      └ rsmf_manifest.json    participants, the conversation, events
//! ```

mod conversation;
mod event;
mod fold;
mod format;
mod mail;
mod package;
mod people;
mod plan;
mod text;

pub use conversation::{conversation, is_channel};
pub use event::{File, StoredItem};
pub use package::{Finished, Package, PackageError, Slice};
pub use plan::{EventWithFolded, Limits, PlannedFile, Record, plan};
