//! The function that the schedule starts: puts the ids of new items on the convert queue.
//!
//! ```text
//! cursor ─▶ window ─▶ page of ids ─▶ manifest ─▶ convert queue ─▶ cursor ─▶ next page …
//! ```
//!
//! A page is in the manifest and on the queue before the cursor moves past it. A run may end anywhere; the next run
//! continues there.

pub mod handler;
mod run;
mod settings;

pub use run::{Fetch, FetchError, METRICS, Request, Started, Summary};
pub use settings::{Settings, VARIABLES};
