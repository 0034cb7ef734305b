//! State of each mailbox: its requests in progress, and the ids of its folders.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::Clock;

/// Maximum number of mailboxes whose state is kept. Dropping the state of a mailbox costs one or two lookups.
const MAX_MAILBOXES: usize = 4096;

/// State of one mailbox.
#[derive(Debug)]
pub(super) struct MailboxState {
    /// Limits the concurrent requests to one mailbox.
    pub(super) permits: Semaphore,
    /// Locked while the folder is looked up or created, so that a process does not create it twice.
    pub(super) archive: tokio::sync::Mutex<FolderId>,
    /// The same for the hidden folder in the archive folder.
    pub(super) staging: tokio::sync::Mutex<FolderId>,
}

/// The cached id of a folder. It expires by the wall clock.
#[derive(Debug)]
pub(super) struct FolderId {
    cached: Option<CachedId>,
    lifetime: Duration,
    clock: Clock,
}

#[derive(Debug)]
struct CachedId {
    id: String,
    /// The parent folder; `None` for the mailbox itself.
    parent: Option<String>,
    since: Timestamp,
}

impl FolderId {
    fn new(lifetime: Duration, clock: Clock) -> Self {
        Self { cached: None, lifetime, clock }
    }

    /// Returns the cached id of the folder with this parent.
    pub(super) fn get(&self, parent: Option<&str>) -> Option<&str> {
        let cached = self.cached.as_ref()?;
        let is_valid = cached.parent.as_deref() == parent && self.clock.is_fresh(cached.since, self.lifetime);
        is_valid.then_some(cached.id.as_str())
    }

    pub(super) fn set(&mut self, parent: Option<&str>, id: &str) {
        let (id, parent) = (id.to_owned(), parent.map(str::to_owned));
        self.cached = Some(CachedId { id, parent, since: self.clock.now() });
    }

    pub(super) fn clear(&mut self) {
        self.cached = None;
    }
}

/// The state of all mailboxes.
#[derive(Debug)]
pub(super) struct MailboxLimits {
    requests_per_mailbox: usize,
    folder_lifetime: Duration,
    clock: Clock,
    mailboxes: Mutex<HashMap<String, Arc<MailboxState>>>,
}

impl MailboxLimits {
    pub(super) fn new(requests_per_mailbox: usize, folder_lifetime: Duration, clock: Clock) -> Self {
        Self { requests_per_mailbox, folder_lifetime, clock, mailboxes: Mutex::default() }
    }

    pub(super) fn of(&self, mailbox: &str) -> Arc<MailboxState> {
        let mut mailboxes = self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner);
        if mailboxes.len() >= MAX_MAILBOXES && !mailboxes.contains_key(mailbox) {
            // States in use must stay, because their permits count.
            mailboxes.retain(|_, state| Arc::strong_count(state) > 1);
        }
        let folder = || tokio::sync::Mutex::new(FolderId::new(self.folder_lifetime, self.clock.clone()));
        let state = mailboxes.entry(mailbox.to_owned()).or_insert_with(|| {
            let permits = Semaphore::new(self.requests_per_mailbox);
            Arc::new(MailboxState { permits, archive: folder(), staging: folder() })
        });
        Arc::clone(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailbox_state_is_bounded_and_keeps_what_is_in_use() {
        let limits = MailboxLimits::new(1, Duration::ZERO, Clock::default());
        let held = limits.of("held");
        for number in 0..2 * MAX_MAILBOXES {
            limits.of(&number.to_string());
        }
        assert!(limits.mailboxes.lock().unwrap().len() <= MAX_MAILBOXES);
        assert!(Arc::ptr_eq(&held, &limits.of("held")));
    }

    #[test]
    fn folder_id_expires_by_the_wall_clock() {
        let start: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        let at = |now| Clock::new(move || now);
        let mut folder = FolderId::new(Duration::from_secs(60), at(start));
        folder.set(None, "a");
        assert_eq!((folder.get(None), folder.get(Some("b"))), (Some("a"), None));
        folder.clock = at(start + Duration::from_secs(60));
        assert_eq!(folder.get(None), None);
    }
}
