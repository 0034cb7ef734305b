//! The function that renders each item into the bucket.
//!
//! ```text
//! task ─▶ outcome? ─▶ item and attachments ─▶ MIME ─▶ bucket ─▶ import queue
//!                          │      └ too large for memory ─▶ disk ─▶ MIME in parts ─▶ bucket
//!                          │ failed permanently
//!                          └─▶ outcome ─▶ dead-letter queue
//! ```

mod convert;
mod large;
mod memory_budget;
mod settings;
mod spool;

pub use convert::Convert;
pub use memory_budget::MemoryBudget;
pub use settings::{Oversize, Settings, VARIABLES};
