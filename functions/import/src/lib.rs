//! The function that files each item in the mailboxes of its participants.
//!
//! ```text
//! task ─▶ claim on the outcome ─▶ message ─▶ participants ─▶ mailboxes ─▶ a copy in each ─▶ outcome
//!                                                  │ nobody, or refused
//!                                                  └─▶ outcome ─▶ dead-letter queue
//! ```

mod connect;
mod credentials;
mod evidence;
mod import;
mod large;
pub mod mailbox;
mod outcomes;
mod settings;
mod stored;
mod user_map_file;

use batch::Failure;
use store::StoreError;

pub use connect::ConnectError;
pub use credentials::SecretCredentials;
pub use import::Import;
pub use settings::{GraphSettings, ImapSettings, MailboxSettings, MaildirSettings, Settings, VARIABLES};
pub use stored::{StoredError, participants_of};
pub use user_map_file::UserMapFile;

fn from_store(error: StoreError) -> Failure {
    match error {
        StoreError::Unavailable { .. } => Failure::Transient { detail: error.to_string(), after: None },
        StoreError::Refused { .. } | StoreError::TooLarge { .. } => {
            Failure::Setup { detail: error.to_string(), after: None }
        }
    }
}
