//! Reads stored messages: their headers, their evidence, and the places of their files.

pub mod date;
mod error;
pub mod evidence;
mod header;
mod mime;
mod outline;

pub use error::ReadError;
pub use header::{CONTENT_HEADER, content, field};
pub use mime::{LargeMime, LeftOut, Mime, Original, PIECE_BYTES, StoredFile, characters};
pub use outline::{Outline, OutlineError, SMALL_FILE_BYTES};
