//! Classifies responses: status codes, broken connections, bodies.

use std::{error::Error, io};

use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use reqwest::{Response, StatusCode, header};
use serde::Deserialize;

use crate::{Sink, SourceError, sink::full};

/// The kind of request. The meaning of a status depends on it.
#[derive(Clone, Copy)]
pub(super) enum RequestKind {
    List,
    Item,
    Attachment {
        /// The item does not declare another type than HTML.
        may_be_html: bool,
    },
}

/// A failed attempt.
pub(super) struct Failure {
    pub(super) error: SourceError,
    /// `true` if an immediate retry may succeed.
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

/// Classifies a request without a complete response. reqwest's own text contains the URL, and so the item's id, and is
/// not used.
pub(super) fn broken(error: reqwest::Error) -> Failure {
    if error.is_timeout() {
        // There is no time left for a retry.
        return Failure::lasting(unavailable("no response in time"));
    }
    if error.is_connect() {
        return if is_tls(&error) {
            Failure::lasting(SourceError::Configuration {
                detail: "no TLS connection to the source: check the host in its URL and its certificate".to_owned(),
            })
        } else {
            Failure::passing(unavailable("no connection to the source's host"))
        };
    }
    Failure::passing(unavailable("the connection broke"))
}

fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        // The `source` of an I/O error is the source of the error that it wraps, not the wrapped error.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    false
}

/// Classifies a status other than 200.
pub(super) async fn refusal(kind: RequestKind, response: Response) -> Failure {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| http_client::retry_after(value, Timestamp::now()));
    let setup = |advice: &str| {
        Failure::lasting(SourceError::Configuration {
            detail: format!("the source responded with status {}: {advice}", status.as_u16()),
        })
    };
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => setup("check the user name and password in its secret"),
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            // A proxy in front of the source, or another server at a wrong URL, answers 404 to everything. That must
            // not make a dead letter of every item.
            if !has_the_contracts_form(response).await {
                return setup("the body does not have the contract's form; check its URL");
            }
            Failure::lasting(match (kind, status) {
                (RequestKind::List, _) => return setup("check its URL"),
                (RequestKind::Item, StatusCode::NOT_FOUND) => SourceError::NotFound,
                (RequestKind::Item, _) => SourceError::Erased,
                (RequestKind::Attachment { .. }, StatusCode::NOT_FOUND) => SourceError::AttachmentMissing,
                (RequestKind::Attachment { .. }, _) => SourceError::AttachmentErased,
            })
        }
        // 425 (Too Early) is not in the contract; it means the same as 409.
        StatusCode::CONFLICT | StatusCode::TOO_EARLY => match kind {
            RequestKind::List => setup("check its URL"),
            RequestKind::Item | RequestKind::Attachment { .. } => {
                Failure::lasting(SourceError::StillCapturing { retry_after })
            }
        },
        _ if status.is_redirection() => setup("redirects are not followed; check its URL"),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Failure::passing(SourceError::Unavailable {
            detail: format!("the source responded with status {}", status.as_u16()),
            retry_after,
        }),
        _ if status.is_server_error() => Failure::lasting(SourceError::Unavailable {
            detail: format!("the source responded with status {}", status.as_u16()),
            retry_after,
        }),
        _ => setup("check its URL, and that it has version 1 of the contract"),
    }
}

/// Returns the server's clock, to the second: the `Date` header. A cached page has the time at which it was created,
/// which is the required bound.
pub(super) fn date(response: &Response) -> Option<Timestamp> {
    let header = |name| response.headers().get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    DateTimeParser::new().parse_timestamp(header(header::DATE)?.trim()).ok()
}

/// Returns whether the body of an error has the contract's form: empty, or `{"error":{…}}`.
async fn has_the_contracts_form(response: Response) -> bool {
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

/// Checks the headers of a 200 response before its body is read. Returns whether the body must not be HTML.
pub(super) fn check_form(kind: RequestKind, response: &Response) -> Result<bool, Failure> {
    let begins = |name, prefix: &str| {
        let value = response.headers().get(name).map(header::HeaderValue::as_bytes);
        value.map(|value| value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes())))
    };
    // A server that compresses although the request does not allow it: the compressed bytes would be archived as the
    // content.
    if begins(header::CONTENT_ENCODING, "identity") == Some(false) {
        return Err(Failure::lasting(SourceError::Configuration {
            detail: "the source compresses its responses although the request does not allow it: check for a proxy in front of it"
                .to_owned(),
        }));
    }
    let is_html = begins(header::CONTENT_TYPE, "text/html") == Some(true);
    match kind {
        RequestKind::List | RequestKind::Item if is_html => Err(web_page()),
        RequestKind::List | RequestKind::Item => Ok(false),
        // A server may send any file as HTML, because the contract does not fix the type. Only the content shows a page.
        RequestKind::Attachment { may_be_html } => Ok(is_html && !may_be_html),
    }
}

/// HTML instead of JSON or of a file comes from a proxy or is a maintenance page, and says nothing about the item.
fn web_page() -> Failure {
    Failure::lasting(unavailable("the response is a web page"))
}

/// Copies the body into a sink, up to `limit` bytes. Memory grows with the received bytes, not with the declared size.
pub(super) async fn copy_body(response: Response, limit: u64, sink: &mut dyn Sink) -> Result<(), Failure> {
    copy_checked_body(response, limit, false, sink).await
}

/// Copies the body like [`copy_body`]. If it must not be HTML, it is an error if it begins with a tag.
pub(super) async fn copy_checked_body(
    mut response: Response,
    limit: u64,
    mut rejects_html: bool,
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
    let too_large = || Failure::lasting(SourceError::TooLarge { limit });
    if response.content_length().is_some_and(|declared| declared > limit) {
        return Err(too_large());
    }
    let mut left = limit;
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        left = left.checked_sub(chunk.len() as u64).ok_or_else(too_large)?;
        // White space and a byte order mark may precede the first tag.
        let is_content = |byte: &&u8| !byte.is_ascii_whitespace() && !b"\xef\xbb\xbf".contains(byte);
        if rejects_html && let Some(first) = chunk.iter().find(is_content) {
            if *first == b'<' {
                return Err(web_page());
            }
            rejects_html = false;
        }
        sink.take(chunk).await.map_err(|error| full(&error))?;
    }
    Ok(())
}
