//! What an answer means: statuses, broken exchanges, bodies.

use std::{error::Error, io};

use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use reqwest::{Response, StatusCode, header};
use serde::Deserialize;

use crate::{Sink, SourceError, sink::full};

/// What the question was for: the same status means another thing for each.
#[derive(Clone, Copy)]
pub(super) enum Asked {
    List,
    Item,
    Attachment,
}

/// A failed try.
pub(super) struct Failure {
    pub(super) error: SourceError,
    /// Whether a moment may cure it.
    pub(super) passing: bool,
}

impl Failure {
    pub(super) fn lasting(error: SourceError) -> Self {
        Self { error, passing: false }
    }

    pub(super) fn passing(error: SourceError) -> Self {
        Self { error, passing: true }
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self::lasting(error)
    }
}

pub(super) fn unavailable(detail: &str) -> SourceError {
    SourceError::Unavailable { detail: detail.to_owned(), retry_after: None }
}

/// An exchange that came to no end. reqwest's own text holds the URL, and with it the item's id: it is not used.
pub(super) fn broken(error: reqwest::Error) -> Failure {
    if error.is_timeout() {
        // The time is gone already.
        return Failure::lasting(unavailable("nothing came in time"));
    }
    if error.is_connect() {
        return if is_tls(&error) {
            Failure::lasting(SourceError::Configuration {
                detail: "no TLS with the archiver: look at the host in its URL and at its certificate".to_owned(),
            })
        } else {
            Failure::passing(unavailable("no connection to the archiver's host"))
        };
    }
    Failure::passing(unavailable("the exchange broke off"))
}

fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        // An I/O error's `source` is the source of what it wraps, not what it wraps.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    false
}

/// Any status but 200.
pub(super) async fn refusal(asked: Asked, response: Response) -> Failure {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| http_client::retry_after(value, Timestamp::now()));
    let setup = |advice: &str| {
        Failure::lasting(SourceError::Configuration {
            detail: format!("the archiver answers with status {}: {advice}", status.as_u16()),
        })
    };
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => setup("look at the user name and password in its secret"),
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            // A proxy before the archiver, or another server at a wrong URL, says 404 to everything: that must not
            // make a dead letter of every item.
            if !is_the_archivers(response).await {
                return setup("and not in its contract's form; look at its URL");
            }
            Failure::lasting(match (asked, status) {
                (Asked::List, _) => return setup("look at its URL"),
                (Asked::Item, StatusCode::NOT_FOUND) => SourceError::NotFound,
                (Asked::Item, _) => SourceError::Erased,
                (Asked::Attachment, StatusCode::NOT_FOUND) => SourceError::AttachmentMissing,
                (Asked::Attachment, _) => SourceError::AttachmentErased,
            })
        }
        // 425 is not in the contract; it says the same.
        StatusCode::CONFLICT | StatusCode::TOO_EARLY => match asked {
            Asked::List => setup("look at its URL"),
            Asked::Item | Asked::Attachment => Failure::lasting(SourceError::StillCapturing { retry_after }),
        },
        _ if status.is_redirection() => setup("redirects are not followed; look at its URL"),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Failure::passing(SourceError::Unavailable {
            detail: format!("the archiver answers with status {}", status.as_u16()),
            retry_after,
        }),
        _ if status.is_server_error() => Failure::lasting(SourceError::Unavailable {
            detail: format!("the archiver answers with status {}", status.as_u16()),
            retry_after,
        }),
        _ => setup("look at its URL, and whether it speaks version 1 of the contract"),
    }
}

/// The server's clock, to the second: the `Date` header. A cached page keeps the date at which it was made, and that is the
/// bound that is needed.
pub(super) fn date(response: &Response) -> Option<Timestamp> {
    let header = |name| response.headers().get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    DateTimeParser::new().parse_timestamp(header(header::DATE)?.trim()).ok()
}

/// Whether an error's body is in the contract's form: empty, or `{"error":{…}}`.
async fn is_the_archivers(response: Response) -> bool {
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "error")]
        _error: serde_json::Map<String, serde_json::Value>,
    }
    let mut body = Vec::new();
    match copy_body(response, 64 << 10, &mut body).await {
        Ok(()) if body.iter().all(u8::is_ascii_whitespace) => true,
        Ok(()) => serde_json::from_slice::<Body>(&body).is_ok(),
        Err(_) => false,
    }
}

/// Whether a 200 can be what was asked for, before its body is read.
pub(super) fn check_form(asked: Asked, response: &Response) -> Result<(), Failure> {
    let begins = |name, prefix: &str| {
        let value = response.headers().get(name).map(header::HeaderValue::as_bytes);
        value.map(|value| value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes())))
    };
    // A server that encodes its bytes though it is asked not to would have its encoding archived in their place.
    if begins(header::CONTENT_ENCODING, "identity") == Some(false) {
        return Err(Failure::lasting(SourceError::Configuration {
            detail: "the archiver compresses its answers though it is asked not to: look for a proxy before it"
                .to_owned(),
        }));
    }
    // A page for people in the place of JSON is a proxy's or a maintenance page, and says nothing about the item.
    match asked {
        Asked::List | Asked::Item if begins(header::CONTENT_TYPE, "text/html") == Some(true) => {
            Err(Failure::lasting(unavailable("a web page came in the place of the archiver's answer")))
        }
        Asked::List | Asked::Item | Asked::Attachment => Ok(()),
    }
}

/// The body into a sink, at most `limit` bytes of it. Memory grows with what came, not with what was promised.
pub(super) async fn copy_body(mut response: Response, limit: u64, sink: &mut dyn Sink) -> Result<(), Failure> {
    let too_large = || Failure::lasting(SourceError::TooLarge { limit });
    if response.content_length().is_some_and(|declared| declared > limit) {
        return Err(too_large());
    }
    let mut left = limit;
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        left = left.checked_sub(chunk.len() as u64).ok_or_else(too_large)?;
        sink.take(chunk).await.map_err(|error| full(&error))?;
    }
    Ok(())
}
