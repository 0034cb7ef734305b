//! Reads what a phone's WhatsApp writes when its user chooses "Export chat": a text, or a zip with a text and media.
//! Every message of it becomes an item in the archive's own words.
//!
//! An export is made for people. It says neither its language nor its time zone, and not whether the day or the month
//! comes first; it has no ids, and it knows only what the phone shows. How each file's grammar is inferred is described
//! in `DESIGN.md`. What is promised:
//!
//! * No line is lost. What does not begin as a message does belongs to the message before it, and a line that only looks
//!   like a beginning is reported. What stands before the first message becomes an item of its own, and so does a file
//!   of the zip that no message names. Text keeps every code point; only an iPhone's CR LF becomes LF.
//! * A message's id comes from its time as written, its sender, its text, and its number among equals, so a later and
//!   longer export of the same chat under the same file name gives the same ids again. Trailing white space does not
//!   count: the last message of an export ends as the file does.
//! * Times are the wall clock of one zone. An hour that a clock skips is read as if the clock had not been put
//!   forward yet, and an hour that comes twice is read as its first (what RFC 5545 and jiff call "compatible").
//! * An upload is the uploader's word. Nothing in it decides whose mailbox receives an item ([`Recipients`]).
//!
//! This crate knows no AWS, no HTTP and no clock.

mod attachments;
mod authors;
mod cldr;
mod clock;
mod content;
mod dates;
mod directory;
mod error;
mod export;
mod grammar;
mod head;
mod identity;
mod limits;
mod marker;
mod marks;
mod media;
mod messages;
mod name;
mod package;
mod people;
mod senders;
mod summary;
mod words;

pub use dates::{DateOrder, DayOrder, OrderEvidence};
pub use error::{AttachmentError, ExportError};
pub use export::{Export, ExportFile, Settings};
pub use name::{file_id, locate};
pub use people::Recipients;
pub use summary::Summary;
