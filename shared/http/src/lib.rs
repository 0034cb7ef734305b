//! The HTTP client of the adapters: responses are read completely and are bounded, redirects are not followed, and no
//! error quotes a response.

mod loopback;
mod retry_budget;

use std::time::Duration;

use reqwest::{Response, StatusCode, header::RETRY_AFTER};
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

pub use loopback::{is_loopback, is_private};
pub use retry_budget::RetryBudget;

/// Upper bound of `Retry-After`.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Size limit of a response without a message, in bytes.
pub const SMALL_RESPONSE_MAX_BYTES: usize = 1024 * 1024;

/// Size limit of a response with a message and its body, in bytes. A character may take six bytes, as in `\u003c`.
pub const MESSAGE_RESPONSE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Error of a request without a usable response.
#[derive(Debug)]
pub enum NoResponse {
    /// The request was not sent.
    NotSent(&'static str),
    /// The request was sent, and the response was lost or cannot be read: the outcome is unknown.
    OutcomeUnknown(&'static str),
}

impl NoResponse {
    /// Returns the reason, without text of the server.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotSent(reason) | Self::OutcomeUnknown(reason) => reason,
        }
    }
}

/// A client that follows no redirect and uses no proxy, so that credentials go to the configured host only. Created at the
/// first request, because reading the system's certificates takes a large part of a function's start.
#[derive(Default)]
pub struct Http(OnceCell<reqwest::Client>);

impl Http {
    /// Checks that a client can be created. It is created at the first request.
    ///
    /// # Errors
    /// The process has no TLS provider.
    pub fn new() -> Result<Self, NoTls> {
        // Without a provider reqwest would panic.
        if rustls::crypto::CryptoProvider::get_default().is_none() { Err(NoTls) } else { Ok(Self::default()) }
    }

    /// Returns the client.
    ///
    /// # Errors
    /// [`NoCertificates`]: a configuration error.
    pub async fn client(&self) -> Result<&reqwest::Client, NoCertificates> {
        let make = || {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .no_proxy()
                .connect_timeout(Duration::from_secs(10))
                .read_timeout(Duration::from_secs(60))
                .timeout(Duration::from_secs(150))
                .build()
        };
        self.0.get_or_try_init(async || make()).await.map_err(|_| NoCertificates)
    }
}

/// The machine has no root certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot create a TLS client: check that this machine has root certificates")]
pub struct NoCertificates;

/// The process has no TLS provider.
pub struct NoTls;

pub struct HttpResponse {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    pub body: Vec<u8>,
    /// The request id, for Microsoft's support.
    pub request_id: Option<String>,
}

/// Reads a response of at most `limit` bytes.
pub async fn read(sent: reqwest::Result<Response>, limit: usize) -> Result<HttpResponse, NoResponse> {
    let mut response = sent.map_err(|error| classify(&error))?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let wait = header(RETRY_AFTER.as_str()).and_then(|value| retry_after(value, jiff::Timestamp::now()));
    let request_id = header("request-id").map(str::to_owned);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| classify(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(NoResponse::OutcomeUnknown("the response exceeds the size limit"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(HttpResponse { status: response.status(), retry_after: wait, body, request_id })
}

/// Classifies an error of reqwest. Its text is not used, because it contains the URL, which names the mailbox.
fn classify(error: &reqwest::Error) -> NoResponse {
    if error.is_connect() {
        NoResponse::NotSent("no connection: check the host name, the network route and TLS")
    } else if error.is_timeout() {
        NoResponse::OutcomeUnknown("no response in time")
    } else {
        NoResponse::OutcomeUnknown("the connection broke before the response")
    }
}

impl HttpResponse {
    /// Parses the body of a successful response.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, NoResponse> {
        serde_json::from_slice(&self.body)
            .map_err(|_| NoResponse::OutcomeUnknown("the response does not have the documented form"))
    }
}

/// Returns the text if it can be an error code. Free text of another system must not get into errors.
pub fn error_code(text: &str) -> Option<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    ((1..=64).contains(&text.len()) && text.bytes().all(is_allowed)).then(|| text.to_owned())
}

/// Reads `Retry-After`: seconds, which may have a fraction, or an HTTP date.
pub fn retry_after(value: &str, now: jiff::Timestamp) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse::<f64>() {
        Ok(seconds) if seconds.is_nan() => return None,
        Ok(seconds) => Duration::try_from_secs_f64(seconds.min(RETRY_AFTER_MAX.as_secs_f64())).ok()?,
        Err(_) => {
            let until = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
            Duration::try_from(until.duration_since(now)).unwrap_or_default()
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_every_form() {
        let now: jiff::Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        for (value, expected) in [
            ("2", Some(2000)),
            (" 2.128 ", Some(2128)),
            ("0", Some(0)),
            ("Sun, 22 Nov 2026 07:00:30 GMT", Some(30_000)),
            ("Sun, 22 Nov 2026 06:00:00 GMT", Some(0)),
            ("1e300", Some(86_400_000)),
            ("inf", Some(86_400_000)),
            ("Fri, 22 Nov 2126 07:00:30 GMT", Some(86_400_000)),
            ("-1", None),
            ("NaN", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now), expected.map(Duration::from_millis), "{value:?}");
        }
    }
}
