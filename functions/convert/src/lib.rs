//! The function that renders each item into the bucket.
//!
//! ```text
//! task ─▶ outcome? ─▶ item and attachments ─▶ MIME ─▶ bucket ─▶ import queue
//!                          │ the item's fault
//!                          └─▶ outcome ─▶ dead-letter queue
//! ```

mod convert;
pub mod handler;
mod settings;

pub use convert::Convert;
pub use settings::{Settings, VARIABLES};
