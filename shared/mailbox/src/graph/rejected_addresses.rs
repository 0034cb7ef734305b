//! Cache of rejected addresses.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use crate::Clock;

/// Lifetime of a cached rejected address. Later copies with the same recipients leave it out without a search.
const TTL: Duration = Duration::from_hours(1);

const MAX_ENTRIES: usize = 10_000;

/// Addresses that the mail system has rejected. Used only after an error about recipients, never in advance.
#[derive(Default)]
pub(super) struct RejectedAddresses(Mutex<HashMap<String, Timestamp>>);

impl RejectedAddresses {
    pub(super) fn has(&self, address: &str, clock: &Clock) -> bool {
        let addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.get(address).is_some_and(|&since| clock.is_fresh(since, TTL))
    }

    pub(super) fn add(&self, address: &str, clock: &Clock) {
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= MAX_ENTRIES {
            addresses.clear();
        }
        addresses.insert(address.to_owned(), clock.now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejected_address_expires_after_an_hour_of_the_wall_clock() {
        let start: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        let after = |seconds: i64| Clock::new(move || start + jiff::SignedDuration::from_secs(seconds));
        let addresses = RejectedAddresses::default();
        addresses.add("p@whatsapp.invalid", &after(0));
        assert!(addresses.has("p@whatsapp.invalid", &after(3599)) && !addresses.has("q@whatsapp.invalid", &after(0)));
        assert!(!addresses.has("p@whatsapp.invalid", &after(3600)) && !addresses.has("p@whatsapp.invalid", &after(-1)));
    }
}
