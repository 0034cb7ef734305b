//! The objects of the bucket that record the progress of items: the cursor, the manifests and records of runs, the outcomes
//! with their leases, the stored messages, and the user map file. `DESIGN.md` describes the objects and the lease.

mod cursor;
mod dated_outcomes;
mod earlier_runs;
pub mod entries;
mod error;
mod identities;
mod large_message;
pub mod manifest;
mod outcomes;
mod stored_message;
mod stored_outcome;
pub mod totals;
mod user_map_file;

pub use cursor::StoredCursor;
pub use dated_outcomes::{Migrated, migrate_dated_outcomes};
pub use earlier_runs::{EarlierRuns, QueuedEntries};
pub use error::{LedgerError, store_failure};
pub use identities::identities;
pub use outcomes::{Acquired, Delivery, Leased, Outcomes, look_up_again, record_dead_letter};
pub use stored_message::{
    IN_MEMORY_MAX_BYTES, StoredMessageError, StoredParticipants, read_message, read_participants,
};
pub use stored_outcome::{OUTCOME_MAX_BYTES, ReadOutcomeError, StoredOutcome, read_dated_outcome, read_outcome};
pub use user_map_file::UserMapFile;
