//! Reads the files that WhatsApp's "Export chat" writes: a text, or a zip with a text and media. Every message becomes an
//! item in the source's format.
//!
//! An export is made for people to read. It states neither its language nor its time zone, nor the order of day and month;
//! it has no ids, and only the data that the phone shows. `DESIGN.md` describes how each file's grammar is inferred.
//! Guarantees:
//!
//! * No line is lost. A line that does not begin a message belongs to the message before it, and a line that only resembles
//!   a beginning is reported. Lines before the first message become an item of their own, and so does each file of the zip
//!   that no message names. Text keeps every code point; only an iPhone's CR LF becomes LF.
//! * A message's id comes from its time as written, its sender, its text, and its number among equals, so a later and
//!   longer export of the same chat under the same file name gives the same ids again. Trailing white space is
//!   ignored: the last message of an export ends as the file does.
//! * Times are the wall clock of one zone. An hour that a clock skips is read as if the clock had not been put
//!   forward yet (what RFC 5545 and jiff call "compatible"), and an hour that comes twice as its first, until the file goes
//!   back in it. Mails in both have a note.
//! * The content of an upload is not trusted. Nothing in it decides which mailbox receives an item ([`Recipients`]).
//!
//! This crate uses neither AWS nor HTTP nor a clock.

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
mod instants;
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
pub use name::{composed, file_id, locate};
pub use people::Recipients;
pub use summary::Summary;
