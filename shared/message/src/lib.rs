//! Messages: `write` renders an item as RFC 5322, `read` reads what a stored message says. Pure: no clock, no randomness,
//! no environment. `DESIGN.md` explains the layout.

pub mod read;
pub mod write;
