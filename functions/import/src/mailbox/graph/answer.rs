//! An answer over HTTP, read whole but never without a bound.

use std::time::Duration;

use metrics::Metric;
use reqwest::{Response, StatusCode, header::RETRY_AFTER};
use serde::de::DeserializeOwned;

use super::error::{Failure, Refusal, retry_after};

/// The bound for what holds no message, in bytes.
pub(super) const SMALL: usize = 1024 * 1024;

/// The bound for an answer that shows a message, its body included. Every character may have become `\u003c`.
pub(super) const MESSAGE: usize = 16 * 1024 * 1024;

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
    request: Option<String>,
}

/// Reads an answer of at most `limit` bytes.
pub(super) async fn read(sent: reqwest::Result<Response>, limit: usize) -> Result<Answer, Failure> {
    let mut response = sent.map_err(|error| lost(&error))?;
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        metrics::add(Metric::MailboxThrottles, 1);
    }
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let wait = header(RETRY_AFTER.as_str()).and_then(|value| retry_after(value, jiff::Timestamp::now()));
    let request = header("request-id").map(str::to_owned);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| lost(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(Failure::Lost { what: "the answer is longer than any that is expected" });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status(), retry_after: wait, body, request })
}

/// reqwest's own text holds the address, and that holds the mailbox.
fn lost(error: &reqwest::Error) -> Failure {
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection: the name, the network's way out or TLS"
    } else {
        "the connection broke before the answer"
    };
    Failure::Lost { what }
}

impl Answer {
    /// What a success holds.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|_| Failure::Lost { what: "the answer is not what is documented" })
    }

    /// What anything else means.
    pub(super) fn refusal(&self) -> Refusal {
        Refusal::new(self.status, &self.body, self.retry_after, self.request.as_deref())
    }
}
