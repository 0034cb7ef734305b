//! Keeps one connection for each mailbox.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use super::session::Session;

/// Maximum number of idle connections, because servers limit connections. Connections in use are not included.
const MAX_IDLE: usize = 32;

/// Idle time after which a connection is checked before its next use. Lambda freezes the process between two batches,
/// and the server or a firewall may have closed the connection meanwhile.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// The connection of one mailbox. The holder of the lock uses it alone.
pub(super) type Slot = Arc<tokio::sync::Mutex<Option<Idle>>>;

/// A connection that is not in use.
pub(super) struct Idle {
    session: Box<Session>,
    /// Wall-clock time, because a monotonic clock may stop while the process is frozen.
    since: SystemTime,
}

/// The connections of all mailboxes.
#[derive(Default)]
pub(super) struct Connections(Mutex<Slots>);

#[derive(Default)]
struct Slots {
    by_mailbox: HashMap<String, (Slot, u64)>,
    /// Counts the uses, so that the order of two uses does not depend on a clock.
    uses: u64,
}

impl Idle {
    pub(super) fn new(session: Box<Session>) -> Self {
        Self { session, since: SystemTime::now() }
    }

    /// Returns the connection, if it still works.
    pub(super) async fn wake(mut self) -> Option<Box<Session>> {
        let fresh = is_fresh(self.since, SystemTime::now());
        (fresh || self.session.is_alive().await).then_some(self.session)
    }
}

/// Returns whether a connection that has been idle since this time needs no check. If the clock was set back, it needs
/// one.
fn is_fresh(since: SystemTime, now: SystemTime) -> bool {
    now.duration_since(since).is_ok_and(|age| age < TRUSTED_FOR)
}

impl Connections {
    /// Returns the connection of a mailbox. Above the maximum, closes the least recently used idle connection.
    pub(super) fn of(&self, mailbox: &str) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.by_mailbox.len() >= MAX_IDLE && !slots.by_mailbox.contains_key(mailbox) {
            // A slot with a second owner is in use.
            let idle = slots.by_mailbox.iter().filter(|(_, (slot, _))| Arc::strong_count(slot) == 1);
            let oldest = idle.min_by_key(|(_, (_, used))| *used).map(|(mailbox, _)| mailbox.clone());
            if let Some(oldest) = oldest {
                slots.by_mailbox.remove(&oldest);
            }
        }
        slots.uses += 1;
        let use_number = slots.uses;
        let (slot, used) = slots.by_mailbox.entry(mailbox.to_owned()).or_default();
        *used = use_number;
        Arc::clone(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_idle_connection_is_closed_and_none_in_use() {
        let connections = Connections::default();
        let held = connections.of("held");
        for number in 0..2 * MAX_IDLE {
            connections.of(&number.to_string());
        }
        let slots = connections.0.lock().unwrap();
        let kept = |mailbox: &str| slots.by_mailbox.contains_key(mailbox);
        assert_eq!(slots.by_mailbox.len(), MAX_IDLE);
        assert!(kept("held") && kept(&(2 * MAX_IDLE - 1).to_string()) && !kept("0"));
        drop(held);
    }

    #[test]
    fn connection_is_checked_after_a_freeze_of_the_process() {
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert!(is_fresh(since, since + TRUSTED_FOR / 2));
        assert!(!is_fresh(since, since + TRUSTED_FOR));
        assert!(!is_fresh(since, since - TRUSTED_FOR), "the clock was set back");
    }
}
