//! One connection for each mailbox, kept for as long as it is of use.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::session::Session;

/// So many connections are kept; those that are being worked on come on top. A server counts them.
const MOST: usize = 32;

/// A connection that was not used for so long is asked whether it still works. A function's process stands still between
/// two batches, and a server or a firewall may have forgotten it meanwhile.
const TRUSTED: Duration = Duration::from_secs(1);

/// A mailbox: whoever holds the lock works on it, alone.
pub(super) type Lane = Arc<tokio::sync::Mutex<Option<Idle>>>;

/// A connection that nobody works on.
pub(super) struct Idle {
    session: Session,
    since: Instant,
}

/// All of them.
#[derive(Default)]
pub(super) struct Lanes(Mutex<HashMap<String, (Lane, Instant)>>);

impl Idle {
    pub(super) fn new(session: Session) -> Self {
        Self { session, since: Instant::now() }
    }

    /// The connection, if it still works.
    pub(super) async fn wake(mut self) -> Option<Session> {
        let fresh = self.since.elapsed() < TRUSTED;
        (fresh || self.session.is_alive().await).then_some(self.session)
    }
}

impl Lanes {
    /// The lane of a mailbox. Whoever asks for one more than are kept ends the connection that was not used for longest.
    pub(super) fn of(&self, mailbox: &str) -> Lane {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST && !known.contains_key(mailbox) {
            // Those that somebody holds are in use.
            let idle = known.iter().filter(|(_, (lane, _))| Arc::strong_count(lane) == 1);
            let oldest = idle.min_by_key(|(_, (_, used))| *used).map(|(mailbox, _)| mailbox.clone());
            if let Some(oldest) = oldest {
                known.remove(&oldest);
            }
        }
        let (lane, used) = known.entry(mailbox.to_owned()).or_insert_with(|| (Lane::default(), Instant::now()));
        *used = Instant::now();
        Arc::clone(lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_idle_connection_makes_room_and_none_that_is_in_use() {
        let lanes = Lanes::default();
        let held = lanes.of("held");
        for number in 0..2 * MOST {
            lanes.of(&number.to_string());
        }
        let known = lanes.0.lock().unwrap();
        assert_eq!(known.len(), MOST);
        assert!(known.contains_key("held") && known.contains_key(&(2 * MOST - 1).to_string()));
        assert!(!known.contains_key("0"));
        drop(held);
    }
}
