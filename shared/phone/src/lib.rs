//! Phone numbers as WhatsApp and spreadsheets write them.
//!
//! A number is parsed once, strictly: if it may belong to two different people, it is rejected, not guessed. The data
//! about countries comes from the `phonenumber` crate. Its parser is given only digits, because it reads letters as
//! digits and drops extensions silently.

mod digit;
mod error;
mod lookup_cache;
mod number;
mod plan;
mod region;
mod text;

pub use digit::decimal_digit;
pub use error::PhoneError;
pub use number::{PhoneNumber, canonical_digits};
pub use region::{Region, RegionError};
