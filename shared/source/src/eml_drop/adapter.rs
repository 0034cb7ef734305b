//! The adapter's state.

use aws::s3::Store;
use eml_drop::Profile;
use runtime::MemoryBudget;
use tokio::sync::Mutex;

use super::captured::{MEMORY_KIB, RecentMails};

/// Reads the deliveries in a bucket.
pub struct EmlDrop {
    pub(super) store: Store,
    pub(super) profile: Profile,
    pub(super) recent: Mutex<RecentMails>,
    pub(super) memory: MemoryBudget,
}

impl EmlDrop {
    /// Creates the adapter for this bucket and this profile.
    pub fn new(store: Store, profile: Profile) -> Self {
        Self { store, profile, recent: Mutex::default(), memory: MemoryBudget::of_kib(MEMORY_KIB) }
    }
}
