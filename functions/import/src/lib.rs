//! The function that files each item in the mailboxes of its participants.
//!
//! ```text
//! task ─▶ lease on the outcome ─▶ message ─▶ participants ─▶ mailboxes ─▶ a copy in each ─▶ outcome
//!                                                  │ no mailbox, or refused
//!                                                  └─▶ outcome ─▶ dead-letter queue
//! ```

mod failure;
mod filing_errors;
mod import;
mod memory_budget;
mod participants;
mod retry_limit;
mod settings;
mod stored_message;
mod waiting;

pub use filing_errors::Successes;
pub use import::Import;
pub use memory_budget::MemoryBudget;
pub use retry_limit::RetryLimit;
pub use settings::{Settings, VARIABLES};
