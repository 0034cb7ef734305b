//! A sample archive: an HTTP server on loopback that speaks the archiver's retrieval API strictly, for `make run` and
//! for the tests, which can make it fail.

mod api;
mod fault;
mod sample;

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

pub use api::generated;
pub use fault::{Fault, On, Rule};
pub use sample::{Expected, Fate, Sample, SampleError, mailboxes, user_map};

/// What a client has to know, as the archiver's secret has it. Made up for one run, and of no worth elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct ArchiveCredentials {
    /// Without a colon.
    pub username: String,
    /// Any text.
    pub password: String,
}

/// How often the archive was asked, whatever it answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// For a page of the list.
    pub lists: u64,
    /// For an item.
    pub items: u64,
    /// For an attachment's bytes.
    pub attachments: u64,
    /// With no or wrong credentials; these are not counted above.
    pub refused: u64,
}

/// A running sample archive. It ends when this is dropped.
pub struct SampleArchive {
    url: String,
    state: Arc<State>,
    server: JoinHandle<()>,
}

struct State {
    sample: Sample,
    credentials: Mutex<ArchiveCredentials>,
    requests: Mutex<Requests>,
    latency: Mutex<Duration>,
    rules: Mutex<Vec<Rule>>,
    /// How many requests are held by [`Fault::Stall`].
    stalled: watch::Sender<u64>,
    /// Counts the releases.
    released: watch::Sender<u64>,
}

impl SampleArchive {
    /// Starts it on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(sample: Sample, credentials: ArchiveCredentials) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/api/v1", listener.local_addr()?);
        let state = Arc::new(State {
            sample,
            credentials: Mutex::new(credentials),
            requests: Mutex::default(),
            latency: Mutex::default(),
            rules: Mutex::default(),
            stalled: watch::Sender::new(0),
            released: watch::Sender::new(0),
        });
        let router = api::router(state.clone());
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the sample archive has stopped");
            }
        });
        Ok(Self { url, state, server })
    }

    /// The API's base URL: `ARCHIVER_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it has.
    pub fn sample(&self) -> &Sample {
        &self.state.sample
    }

    /// How often it was asked so far.
    pub fn requests(&self) -> Requests {
        *lock(&self.state.requests)
    }

    /// From now on only these are accepted.
    pub fn rotate(&self, credentials: ArchiveCredentials) {
        *lock(&self.state.credentials) = credentials;
    }

    /// From now on every answer comes so much later, as if the archive were far away.
    pub fn set_latency(&self, latency: Duration) {
        *lock(&self.state.latency) = latency;
    }

    /// Adds a rule. Of several that fit a request, the oldest that is not used up is applied.
    pub fn misbehave(&self, rule: Rule) {
        lock(&self.state.rules).push(rule);
    }

    /// Forgets all rules and releases what is stalled.
    pub fn behave(&self) {
        lock(&self.state.rules).clear();
        self.state.released.send_modify(|released| *released += 1);
    }

    /// Waits until this many requests are held by [`Fault::Stall`].
    pub async fn until_stalled(&self, requests: u64) {
        // The sender lives in `self`, so that waiting for it cannot fail.
        self.state.stalled.subscribe().wait_for(|stalled| *stalled >= requests).await.ok();
    }
}

impl Drop for SampleArchive {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// None of what is locked here can be left half done by a panic.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
