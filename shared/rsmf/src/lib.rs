//! Items as RSMF 2.0 files, the short message format of review platforms: one conversation and day in a file.
//!
//! Pure: the writers of a package are given by the caller, and the same items make the same bytes. `DESIGN.md` has the
//! mapping.
//!
//! ```text
//! *.rsmf (RFC 5322)
//!  ├ X-RSMF-… header fields
//!  ├ text/plain       the conversation as text, which review platforms index
//!  └ rsmf.zip
//!      ├ 000001-1.pdf, …       the files
//!      └ rsmf_manifest.json    participants, the conversation, events
//! ```

#![warn(missing_docs)]

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
pub use event::{File, Source};
pub use package::{Finished, Package, PackageError, Slice};
pub use plan::{Limits, PlannedFile, Record, Unit, plan};
