//! The sample source: an HTTP server on loopback that implements the source's retrieval API strictly, for `make run` and
//! for the tests, which can inject faults.

mod api;
mod fault;
mod sample;
mod state;

use std::{io, sync::Arc, time::Duration};

use jiff::SignedDuration;
use tokio::{net::TcpListener, task::JoinHandle};

use self::state::{State, lock};

pub use api::generated;
pub use fault::{Fault, On, Rule};
pub use sample::{Expected, ExpectedResult, Sample, SampleError, mailboxes, user_map};
pub use state::{Requests, SourceCredentials};

/// A running sample source. Dropping it stops the server.
pub struct SampleSource {
    url: String,
    state: Arc<State>,
    server: JoinHandle<()>,
}

impl SampleSource {
    /// Starts the server on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If no port is available.
    pub async fn start(sample: Sample, credentials: SourceCredentials) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/api/v1", listener.local_addr()?);
        let state = Arc::new(State::new(sample, credentials));
        let router = api::router(state.clone());
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the sample source has stopped");
            }
        });
        Ok(Self { url, state, server })
    }

    /// Returns the API's base URL: `ARCHIVER_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn sample(&self) -> &Sample {
        &self.state.sample
    }

    /// Returns the number of requests so far.
    pub fn requests(&self) -> Requests {
        *lock(&self.state.requests)
    }

    /// Replaces the accepted credentials.
    pub fn rotate(&self, credentials: SourceCredentials) {
        *lock(&self.state.credentials) = credentials;
    }

    /// Delays every response, as a distant source would.
    pub fn set_latency(&self, latency: Duration) {
        *lock(&self.state.latency) = latency;
    }

    /// Sets the server's clock wrong.
    pub fn set_clock_ahead(&self, ahead: SignedDuration) {
        *lock(&self.state.clock_ahead) = ahead;
    }

    /// Adds a fault. If several rules match a request, the oldest one that is not used up applies.
    pub fn inject_fault(&self, rule: Rule) {
        lock(&self.state.rules).push(rule);
    }

    /// Removes all rules and releases the stalled requests.
    pub fn clear_faults(&self) {
        lock(&self.state.rules).clear();
        self.state.released.send_modify(|released| *released += 1);
    }

    /// Waits until this many requests are held by [`Fault::Stall`].
    pub async fn until_stalled(&self, requests: u64) {
        // The sender is owned by `self`, so this wait cannot fail.
        self.state.stalled.subscribe().wait_for(|stalled| *stalled >= requests).await.ok();
    }
}

impl Drop for SampleSource {
    fn drop(&mut self) {
        self.server.abort();
    }
}
