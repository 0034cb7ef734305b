//! What was found for an address, so that not every item asks again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use item::MailboxAddress;

use super::Mailbox;

/// So many answers are remembered.
const MOST: usize = 10_000;

/// What was found for an address, as long as it is trusted.
pub(super) struct Known {
    known: Mutex<HashMap<MailboxAddress, (Option<Mailbox>, Instant)>>,
    /// Nobody today may be somebody soon: an administrator is at it.
    nobody_for: Duration,
}

impl Known {
    /// Remembers for so long that an address has no mailbox.
    pub(super) fn new(nobody_for: Duration) -> Self {
        Self { known: Mutex::default(), nobody_for }
    }

    /// What is known of an address; `None`: nothing.
    pub(super) fn get(&self, address: &MailboxAddress) -> Option<Option<Mailbox>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (mailbox, at) = known.get(address)?;
        (mailbox.is_some() || at.elapsed() < self.nobody_for).then(|| mailbox.clone())
    }

    /// Remembers the mailbox of an address, or that it has none.
    pub(super) fn put(&self, address: &MailboxAddress, mailbox: Option<Mailbox>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (mailbox, _)| mailbox.is_some());
        }
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(address.clone(), (mailbox, Instant::now()));
    }
}
