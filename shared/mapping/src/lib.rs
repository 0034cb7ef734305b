//! Whose mailboxes an item goes to: the user map, then the item's own e-mail property.
//!
//! The rule is here and pure; that a mailbox exists is asked of a [`Directory`], which the caller brings.

mod columns;
mod error;
mod last_used;
mod period;
mod resolve;
mod user_map;

pub use error::{Column, Problem, RowError, UserMapErrors, Warning};
pub use last_used::{Shrunk, UserMapRecord};
pub use resolve::{Directory, Resolved, Rules, resolve};
pub use user_map::UserMap;
