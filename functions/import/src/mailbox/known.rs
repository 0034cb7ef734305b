//! What was found for an address, so that not every item asks again.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use item::MailboxAddress;

use super::Mailbox;

/// An address may be given to somebody else, and an account taken away.
const SOMEBODY_FOR: Duration = Duration::from_mins(10);

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
        self.trusts(mailbox.as_ref(), at.elapsed()).then(|| mailbox.clone())
    }

    /// Remembers the mailbox of an address, or that it has none.
    pub(super) fn put(&self, address: &MailboxAddress, mailbox: Option<Mailbox>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (mailbox, at)| self.trusts(mailbox.as_ref(), at.elapsed()));
        }
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(address.clone(), (mailbox, Instant::now()));
    }

    fn trusts(&self, mailbox: Option<&Mailbox>, age: Duration) -> bool {
        age < mailbox.map_or(self.nobody_for, |_| SOMEBODY_FOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_somebody_nor_nobody_is_believed_for_ever() {
        let known = Known::new(Duration::from_secs(60));
        let ada = Mailbox { id: "1".to_owned(), address: "ada@example.com".parse().unwrap() };
        known.put(&ada.address, Some(ada.clone()));
        assert!(known.get(&ada.address).is_some_and(|mailbox| mailbox.is_some()));
        let second = Duration::from_secs(1);
        assert!(known.trusts(Some(&ada), SOMEBODY_FOR - second) && !known.trusts(Some(&ada), SOMEBODY_FOR));
        assert!(known.trusts(None, 59 * second) && !known.trusts(None, 60 * second));
    }
}
