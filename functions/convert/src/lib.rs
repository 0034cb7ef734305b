//! The function that renders each item into the bucket.
//!
//! ```text
//! task ─▶ outcome? ─▶ item and attachments ─▶ MIME ─▶ bucket ─▶ import queue
//!                          │      └ too large for memory ─▶ disk ─▶ MIME in parts ─▶ bucket
//!                          │ the item's fault
//!                          └─▶ outcome ─▶ dead-letter queue
//! ```

mod convert;
mod large;
mod room;
mod settings;
mod spool;

pub use convert::Convert;
pub use settings::{Oversize, Settings, VARIABLES};
