//! The state that the server's handlers share.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::SignedDuration;
use tokio::sync::watch;

use super::{fault::Rule, sample::Sample};

/// Credentials of the source, as its secret contains them. Generated for one run and worthless elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceCredentials {
    /// Contains no colon.
    pub username: String,
    pub password: String,
}

/// Requests received, whatever the response was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// For a page of the list.
    pub lists: u64,
    pub items: u64,
    /// For an attachment's bytes.
    pub attachments: u64,
    /// Without credentials or with wrong ones; not included in the other counters.
    pub rejected: u64,
}

pub(super) struct State {
    pub(super) sample: Sample,
    pub(super) credentials: Mutex<SourceCredentials>,
    pub(super) requests: Mutex<Requests>,
    pub(super) latency: Mutex<Duration>,
    /// Offset of the server's clock, which the header `Date` shows.
    pub(super) clock_ahead: Mutex<SignedDuration>,
    pub(super) rules: Mutex<Vec<Rule>>,
    /// Requests currently held by [`Fault::Stall`](super::Fault::Stall).
    pub(super) stalled: watch::Sender<u64>,
    /// Number of releases so far.
    pub(super) released: watch::Sender<u64>,
}

impl State {
    pub(super) fn new(sample: Sample, credentials: SourceCredentials) -> Self {
        Self {
            sample,
            credentials: Mutex::new(credentials),
            requests: Mutex::default(),
            latency: Mutex::default(),
            clock_ahead: Mutex::default(),
            rules: Mutex::default(),
            stalled: watch::Sender::new(0),
            released: watch::Sender::new(0),
        }
    }
}

/// Locks a mutex. A panic leaves none of these values half updated.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
