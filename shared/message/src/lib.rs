//! Messages: `write` renders an item as RFC 5322, `read` reads what a stored message says, `copy` puts the
//! addresses of mailboxes into the copy that is filed. Pure: no clock, no randomness,
//! no environment. `DESIGN.md` explains the layout.

pub mod copy;
pub mod read;
pub mod write;
