//! Addresses that the mail system rejected lately.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use crate::Clock;

/// Rejected addresses are tried first by the next copy with the same recipients.
const REMEMBERED_FOR: Duration = Duration::from_hours(1);

const REMEMBERED_MAX: usize = 10_000;

/// Addresses that the mail system rejected lately. Only consulted after a refusal, never in advance.
#[derive(Default)]
pub(super) struct RejectedAddresses(Mutex<HashMap<String, Timestamp>>);

impl RejectedAddresses {
    pub(super) fn has(&self, address: &str, clock: &Clock) -> bool {
        let addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.get(address).is_some_and(|&since| clock.is_fresh(since, REMEMBERED_FOR))
    }

    pub(super) fn add(&self, address: &str, clock: &Clock) {
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= REMEMBERED_MAX {
            addresses.clear();
        }
        addresses.insert(address.to_owned(), clock.now());
    }
}
