//! Resolves participants to mailboxes: by the user map, then by their own e-mail property. The rules are pure: the
//! caller passes a [`Directory`] that looks up whether a mailbox exists.

mod address_sample;
mod columns;
mod error;
mod last_used;
mod period;
mod resolve;
mod user_map;

pub use address_sample::AddressSample;
pub use error::{Column, Problem, RowError, UserMapErrors, Warning};
pub use last_used::{Refused, UserMapRecord};
pub use resolve::{Directory, DirectoryLookup, Resolved, Rules, resolve};
pub use user_map::UserMap;
