//! What an operator uses: the `archiver` command, and the one-machine run that the tests drive too.
//!
//! Terminal output is the business of this crate's binary alone.

pub mod accounts;
pub mod local;
pub mod operator;
pub mod tally;
