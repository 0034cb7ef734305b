//! Reads stored messages: headers, evidence, and the locations of files.

pub mod date;
mod error;
pub mod evidence;
mod files;
mod header;
mod left_out;
mod mime;
mod outline;

pub use error::ReadError;
pub use files::{MessageFile, file_bytes, files};
pub(crate) use header::fields;
pub use header::{CONTENT_HEADER, ITEM_HEADER, KIND_HEADER, content, field, message_field};
pub use left_out::LeftOut;
pub use mime::{LargeMime, Mime, Original, PIECE_BYTES, StoredFile, characters};
pub use outline::{Outline, OutlineError, SMALL_FILE_BYTES};
