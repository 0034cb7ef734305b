//! What is remembered of each mailbox: how many requests it has under way, and its folders.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

/// So many mailboxes are remembered. Forgetting one costs a look-up or two.
const MOST: usize = 4096;

/// One mailbox.
#[derive(Debug)]
pub(super) struct Lane {
    /// Graph answers only so many requests to one mailbox at once.
    pub(super) permits: Semaphore,
    /// Locked while it is looked up or made, so that one environment never races itself.
    pub(super) archive: tokio::sync::Mutex<FolderId>,
    /// The same, of the folder in which large messages are put together.
    pub(super) staging: tokio::sync::Mutex<FolderId>,
}

/// A folder's id, once known.
#[derive(Debug)]
pub(super) struct FolderId {
    known: Option<Known>,
    /// So long it is trusted.
    lifetime: Duration,
}

#[derive(Debug)]
struct Known {
    id: String,
    /// The folder that it lies in, where that is not the mailbox itself.
    parent: Option<String>,
    since: Instant,
}

impl FolderId {
    fn new(lifetime: Duration) -> Self {
        Self { known: None, lifetime }
    }

    /// The id of the one in this folder.
    pub(super) fn get(&self, parent: Option<&str>) -> Option<&str> {
        let known = self.known.as_ref()?;
        (known.parent.as_deref() == parent && known.since.elapsed() < self.lifetime).then_some(known.id.as_str())
    }

    pub(super) fn set(&mut self, parent: Option<&str>, id: &str) {
        self.known = Some(Known { id: id.to_owned(), parent: parent.map(str::to_owned), since: Instant::now() });
    }

    pub(super) fn forget(&mut self) {
        self.known = None;
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Lanes {
    at_once: usize,
    remember_folder: Duration,
    known: Mutex<HashMap<String, Arc<Lane>>>,
}

impl Lanes {
    pub(super) fn new(at_once: usize, remember_folder: Duration) -> Self {
        Self { at_once, remember_folder, known: Mutex::default() }
    }

    pub(super) fn of(&self, mailbox: &str) -> Arc<Lane> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST && !known.contains_key(mailbox) {
            // Those that somebody holds are in use: their permits count.
            known.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
        let lane = known.entry(mailbox.to_owned()).or_insert_with(|| {
            Arc::new(Lane {
                permits: Semaphore::new(self.at_once),
                archive: tokio::sync::Mutex::new(FolderId::new(self.remember_folder)),
                staging: tokio::sync::Mutex::new(FolderId::new(self.remember_folder)),
            })
        });
        Arc::clone(lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_bounded_and_keeps_what_is_in_use() {
        let lanes = Lanes::new(1, Duration::ZERO);
        let held = lanes.of("held");
        for number in 0..2 * MOST {
            lanes.of(&number.to_string());
        }
        assert!(lanes.known.lock().unwrap().len() <= MOST);
        assert!(Arc::ptr_eq(&held, &lanes.of("held")));
    }
}
