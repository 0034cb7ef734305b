//! What an operator uses: the `archiver` command, and the one-machine run that the tests drive too.
//!
//! A command's `run` reads what was typed, does it, and writes what the operator sees.

pub mod ledger;
pub mod local;
pub mod operator;
pub mod text;
pub mod totals;
