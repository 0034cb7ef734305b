//! HTTP, as every way into a mailbox that uses it does: answers are read whole but never without a bound, and an
//! error's text never holds somebody else's words.

use std::time::Duration;

use metrics::Metric;
use reqwest::{Response, StatusCode, header::RETRY_AFTER};
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use super::MailboxError;

/// The longest wait that an answer can ask of us.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The bound for what holds no message, in bytes.
pub(super) const SMALL: usize = 1024 * 1024;

/// The bound for an answer that shows a message, its body included. Every character may have become `\u003c`.
pub(super) const MESSAGE: usize = 16 * 1024 * 1024;

/// No answer, or one that cannot be read: nobody knows whether the request was done. Says why in our words.
#[derive(Debug)]
pub(super) struct Lost(pub(super) &'static str);

/// A client that follows no redirect and uses no proxy: what it is given goes to the host that was named. It is made when
/// it is first needed: it reads the system's certificates, which would be a good part of a function's start.
#[derive(Default)]
pub(super) struct Http(OnceCell<reqwest::Client>);

impl Http {
    /// One that has asked for nothing yet.
    ///
    /// # Errors
    /// When the process has no TLS to use.
    pub(super) fn new() -> Result<Self, NoTls> {
        // Without a provider reqwest would panic.
        if rustls::crypto::CryptoProvider::get_default().is_none() { Err(NoTls) } else { Ok(Self::default()) }
    }

    /// The client itself.
    ///
    /// # Errors
    /// [`MailboxError::Setup`] when the system has no certificates.
    pub(super) async fn client(&self) -> Result<&reqwest::Client, MailboxError> {
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
        self.0.get_or_try_init(async || make()).await.map_err(|_| MailboxError::Setup {
            detail: "no TLS client can be made: does this machine have root certificates?".to_owned(),
        })
    }
}

/// TLS cannot be set up.
pub(super) struct NoTls;

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
    /// What Microsoft's support asks for.
    pub(super) request: Option<String>,
}

/// Reads an answer of at most `limit` bytes.
pub(super) async fn read(sent: reqwest::Result<Response>, limit: usize) -> Result<Answer, Lost> {
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
            return Err(Lost("the answer is longer than any that is expected"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status(), retry_after: wait, body, request })
}

/// reqwest's own text holds the address, and that holds the mailbox.
fn lost(error: &reqwest::Error) -> Lost {
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection: the name, the network's way out or TLS"
    } else {
        "the connection broke before the answer"
    };
    Lost(what)
}

impl Answer {
    /// What a success holds.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Lost> {
        serde_json::from_slice(&self.body).map_err(|_| Lost("the answer is not what is documented"))
    }
}

/// A code, as far as it can be one: somebody else's free text never gets into our errors.
pub(super) fn word(text: &str) -> Option<String> {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    ((1..=64).contains(&text.len()) && text.bytes().all(letters)).then(|| text.to_owned())
}

/// Reads `Retry-After`: seconds, which may have a fraction, or an HTTP date.
pub(super) fn retry_after(value: &str, now: jiff::Timestamp) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse::<f64>() {
        Ok(seconds) if seconds.is_nan() => return None,
        Ok(seconds) => Duration::try_from_secs_f64(seconds.min(LONGEST_WAIT.as_secs_f64())).ok()?,
        Err(_) => {
            let until = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
            Duration::try_from(until.duration_since(now)).unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_retry_after_is_read() {
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
