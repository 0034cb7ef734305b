//! The function that files each item in the mailboxes of its participants.
//!
//! ```text
//! task ─▶ lease on the outcome ─▶ message ─▶ participants ─▶ mailboxes ─▶ a copy in each ─▶ outcome
//!                                                  │ nobody, or refused
//!                                                  └─▶ outcome ─▶ dead-letter queue
//! ```

mod connect;
mod credentials;
mod evidence;
mod failure;
mod import;
mod large;
pub mod mailbox;
mod memory_budget;
mod outcomes;
mod participants;
mod retry_limit;
mod settings;
mod stored;
mod stored_message;
mod user_map_file;
mod waiting;

pub use connect::ConnectError;
pub use credentials::SecretCredentials;
pub use import::Import;
pub use memory_budget::MemoryBudget;
pub use retry_limit::RetryLimit;
pub use settings::{GraphSettings, ImapSettings, MailboxSettings, MaildirSettings, Settings, VARIABLES};
pub use stored::{StoredError, StoredParticipants, participants_of};
pub use user_map_file::UserMapFile;
