//! Phone numbers as WhatsApp and spreadsheets write them.
//!
//! A number is parsed once, strictly: what could belong to two different people is refused rather than guessed. The
//! facts about countries come from the `phonenumber` crate, whose own parser is only ever given digits, because it
//! reads letters as digits and drops extensions without a word.

mod error;
mod memo;
mod number;
mod plan;
mod region;
mod text;

pub use error::PhoneError;
pub use number::PhoneNumber;
pub use region::{Region, RegionError};
