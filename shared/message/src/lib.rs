//! Messages: `write` renders an item as RFC 5322, `read` parses a stored message, `copy` puts mailbox addresses into
//! the copy that is filed. Pure: no clock, no randomness, no environment. `DESIGN.md` explains the layout.

pub mod copy;
pub mod read;
pub mod write;
