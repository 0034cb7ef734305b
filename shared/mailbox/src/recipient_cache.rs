//! Caches the mailboxes to which addresses were resolved.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use model::MailboxAddress;

use super::{Clock, MailboxLookup};

/// Lifetime of a found mailbox: the address may be assigned to another user, and the account may be removed.
const POSITIVE_TTL: Duration = Duration::from_mins(10);

const MAX_ENTRIES: usize = 10_000;

/// Caches lookups of addresses. Entries expire by the wall clock.
pub(super) struct RecipientCache {
    entries: Mutex<HashMap<MailboxAddress, (MailboxLookup, Timestamp)>>,
    /// Lifetime of a result without a mailbox. Short, because an administrator may be adding the mailbox.
    negative_ttl: Duration,
    clock: Clock,
}

impl RecipientCache {
    pub(super) fn new(negative_ttl: Duration) -> Self {
        Self { entries: Mutex::default(), negative_ttl, clock: Clock::default() }
    }

    pub(super) fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    pub(super) fn negative_ttl(&self) -> Duration {
        self.negative_ttl
    }

    /// Returns the cached result.
    pub(super) fn get(&self, address: &MailboxAddress) -> Option<MailboxLookup> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, since) = entries.get(address)?;
        self.is_fresh(found, *since).then(|| found.clone())
    }

    pub(super) fn put(&self, address: &MailboxAddress, found: MailboxLookup) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MAX_ENTRIES {
            entries.retain(|_, (found, since)| self.is_fresh(found, *since));
        }
        if entries.len() >= MAX_ENTRIES {
            entries.clear();
        }
        entries.insert(address.clone(), (found, self.clock.now()));
    }

    fn is_fresh(&self, found: &MailboxLookup, since: Timestamp) -> bool {
        let ttl = match found {
            MailboxLookup::Mailbox(_) => POSITIVE_TTL,
            MailboxLookup::AccountOnly | MailboxLookup::Nothing => self.negative_ttl,
        };
        self.clock.is_fresh(since, ttl)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    };

    use super::*;

    #[test]
    fn recipient_cache_expires_entries_by_the_wall_clock() {
        let now = Arc::new(AtomicI64::new(1_800_000_000));
        let clock = Arc::clone(&now);
        let cache = RecipientCache::new(Duration::from_secs(60))
            .with_clock(Clock::new(move || Timestamp::from_second(clock.load(Ordering::Relaxed)).unwrap()));
        let address: MailboxAddress = "ada@example.com".parse().unwrap();
        let ada = crate::Mailbox { id: "1".to_owned(), address: address.clone(), primary: address };
        let bob = "bob@example.com".parse().unwrap();
        cache.put(&ada.address, MailboxLookup::Mailbox(ada.clone()));
        cache.put(&bob, MailboxLookup::Nothing);
        now.fetch_add(59, Ordering::Relaxed);
        assert_eq!(
            (cache.get(&ada.address), cache.get(&bob)),
            (Some(MailboxLookup::Mailbox(ada.clone())), Some(MailboxLookup::Nothing))
        );
        now.fetch_add(1, Ordering::Relaxed);
        assert_eq!((cache.get(&ada.address), cache.get(&bob)), (Some(MailboxLookup::Mailbox(ada.clone())), None));
        now.fetch_add(540, Ordering::Relaxed);
        assert_eq!(cache.get(&ada.address), None);
    }
}
