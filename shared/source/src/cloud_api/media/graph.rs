//! Meta's Graph API. A file: a request with the id returns a URL that is valid for 5 minutes, and a request to the URL
//! returns the bytes.

use std::{str::FromStr, sync::Arc};

use bytes::{Bytes, BytesMut};
use http_client::{Http, SMALL_RESPONSE_MAX_BYTES, is_private, retry_after};
use jiff::Timestamp;
use model::Sha256;
use reqwest::{
    Response, StatusCode,
    header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{
    Failure, MAX_MEDIA_BYTES, throttled,
    token::{AccessToken, TokenCache},
};
use crate::{SourceError, cloud_api::media_task::MediaTask};

/// The host of Meta's URLs of files.
const FILES: &str = "lookaside.fbsbx.com";

/// Meta's file host responds to requests without a `User-Agent` with an error page.
const AGENT: &str = concat!("whatsapp-archiver/", env!("CARGO_PKG_VERSION"));

/// The Graph API's errors of too many requests, whatever status they have: by the app, by the number, by the account.
const LIMITS: [u64; 3] = [4, 130_429, 80_007];

/// Maximum number of URLs that are requested, if each has expired before it is used.
const ATTEMPTS: u32 = 3;

/// Meta's Graph API, in the version that this release supports.
pub const DEFAULT_GRAPH_URL: &str = "https://graph.facebook.com/v25.0";

/// The base URL of the Graph API with its version: `https://graph.facebook.com/v25.0`. The access token may be sent to
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphUrl(Url);

/// An invalid base URL. Contains nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GraphUrlError {
    /// Not an HTTP URL.
    #[error("it is not a URL such as https://graph.facebook.com/v25.0")]
    Form,
    /// Plain HTTP, which can be read on the network.
    #[error("it must be https (plain http is only for loopback hosts)")]
    Plain,
}

impl FromStr for GraphUrl {
    type Err = GraphUrlError;

    fn from_str(text: &str) -> Result<Self, GraphUrlError> {
        let url: Url = text.parse().map_err(|_| GraphUrlError::Form)?;
        let has_more = !url.username().is_empty() || url.password().is_some() || url.query().is_some();
        if has_more || url.fragment().is_some() || url.host().is_none() {
            return Err(GraphUrlError::Form);
        }
        if is_private(&url) { Ok(Self(url)) } else { Err(GraphUrlError::Plain) }
    }
}

impl GraphUrl {
    /// Returns the URL of a file's description.
    fn of(&self, task: &MediaTask) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}/{}", self.0.path().trim_end_matches('/'), task.media));
        if let Some(number) = &task.phone_number_id {
            url.query_pairs_mut().append_pair("phone_number_id", number);
        }
        url
    }

    /// Returns the URL of an edge of an object. An id that is not a number has none.
    pub(crate) fn edge(&self, id: &str, edge: &str) -> Option<Url> {
        let is_id = (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit());
        let mut url = self.0.clone();
        url.set_path(&format!("{}/{id}{edge}", self.0.path().trim_end_matches('/')));
        is_id.then_some(url)
    }

    /// Parses a URL to which the token may be sent: on Meta's file host, or on the API's own origin.
    fn allowed(&self, url: &str) -> Option<Url> {
        let url: Url = url.parse().ok()?;
        let is_files = url.scheme() == "https" && url.host_str() == Some(FILES) && url.port().is_none();
        let is_own = url.origin() == self.0.origin();
        ((is_files || is_own) && url.username().is_empty() && url.password().is_none()).then_some(url)
    }
}

/// Sends requests with the access token.
pub(crate) struct GraphClient {
    token: TokenCache,
    http: Http,
}

/// Files of Meta's Graph API.
pub struct MetaMedia {
    graph: GraphUrl,
    client: GraphClient,
}

#[derive(Deserialize)]
struct Description {
    url: String,
    #[serde(default)]
    sha256: Value,
}

/// The result of a request without an error.
pub(crate) enum Got {
    Response(Response),
    NotFound,
}

impl MetaMedia {
    /// Creates a client that uses this token.
    pub fn new(graph: GraphUrl, token: Arc<dyn AccessToken>) -> Self {
        Self { graph, client: GraphClient::new(token) }
    }

    /// Fetches the bytes of a file.
    pub(super) async fn file(&self, task: &MediaTask) -> Result<Bytes, Failure> {
        for _ in 0..ATTEMPTS {
            let Got::Response(response) = self.client.get(&self.graph.of(task)).await? else {
                return Err(Failure::NotFound);
            };
            let body = body(response, SMALL_RESPONSE_MAX_BYTES as u64).await?;
            let description: Description = serde_json::from_slice(&body)
                .map_err(|_| unavailable("the Graph API's response contains no URL of the file"))?;
            let url = self.graph.allowed(&description.url).ok_or_else(|| SourceError::Configuration {
                detail: "the Graph API returned a URL on an unexpected host; the access token is not sent to it"
                    .to_owned(),
            })?;
            // If the URL has expired, another one is requested.
            let Got::Response(response) = self.client.get(&url).await? else { continue };
            let bytes = body_of_file(response).await?;
            let declared = task.sha256.or_else(|| cloud_api::sha256(description.sha256.as_str()?));
            return match declared {
                Some(declared) if declared != Sha256::of(&bytes) => Err(Failure::Mismatch),
                _ => Ok(bytes),
            };
        }
        // Each URL was new, so the file itself is missing.
        Err(Failure::NotFound)
    }
}

impl GraphClient {
    pub(crate) fn new(token: Arc<dyn AccessToken>) -> Self {
        Self { token: TokenCache::new(token), http: Http::default() }
    }

    /// Sends a request. If the token is rejected, reads it again and repeats the request once.
    pub(crate) async fn get(&self, url: &Url) -> Result<Got, SourceError> {
        let client = self.http.client().await;
        let client = client.map_err(|error| SourceError::Configuration { detail: error.to_string() })?;
        let mut rejected: Option<HeaderValue> = None;
        loop {
            let Some(header) = self.token.header(rejected.as_ref()).await? else {
                let detail = "the Graph API rejected the access token: renew it in the secret".to_owned();
                return Err(SourceError::Configuration { detail });
            };
            // reqwest's error text contains the URL and is not used.
            let sent = client.get(url.clone()).header(USER_AGENT, AGENT).header(AUTHORIZATION, &header).send().await;
            let response = sent.map_err(|_| unavailable("no response from Meta's host"))?;
            match response.status() {
                StatusCode::OK => return Ok(Got::Response(response)),
                StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(Got::NotFound),
                StatusCode::UNAUTHORIZED => rejected = Some(header),
                status => {
                    let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
                    let wait = wait.and_then(|value| retry_after(value, Timestamp::now()));
                    let body = body(response, SMALL_RESPONSE_MAX_BYTES as u64).await.unwrap_or_default();
                    match Rejection::of(&body) {
                        Rejection::NotFound => return Ok(Got::NotFound),
                        Rejection::Token => rejected = Some(header),
                        Rejection::Permission(code) => {
                            let detail =
                                format!("the access token has no permission for the request (Graph API error {code})");
                            return Err(SourceError::Configuration { detail });
                        }
                        Rejection::Other(code) => {
                            let is_limit = code.is_some_and(|code| LIMITS.contains(&code));
                            if is_limit || status == StatusCode::TOO_MANY_REQUESTS {
                                throttled();
                            }
                            let code = code.map(|code| format!(", error {code}")).unwrap_or_default();
                            let detail = format!("Meta's host responded with status {}{code}", status.as_u16());
                            return Err(SourceError::Unavailable { detail, retry_after: wait });
                        }
                    }
                }
            }
        }
    }
}

/// An error of the Graph API. Permanent errors are a closed list, all others are retried.
enum Rejection {
    /// Code 100 with subcode 33: the object does not exist, or the token has no permission for it. Meta does not
    /// distinguish them.
    NotFound,
    /// Code 190: expired, revoked or malformed.
    Token,
    /// Codes 10 and 200 to 299, and 3.
    Permission(u64),
    Other(Option<u64>),
}

impl Rejection {
    fn of(body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let number = |name: &str| body.get("error").and_then(|error| error.get(name)?.as_u64());
        match (number("code"), number("error_subcode")) {
            (Some(100), Some(33)) => Self::NotFound,
            (Some(190), _) => Self::Token,
            (Some(code @ (3 | 10 | 200..=299)), _) => Self::Permission(code),
            (code, _) => Self::Other(code),
        }
    }
}

async fn body_of_file(response: Response) -> Result<Bytes, Failure> {
    if response.content_length().is_some_and(|length| length > MAX_MEDIA_BYTES) {
        return Err(Failure::TooLarge);
    }
    match body(response, MAX_MEDIA_BYTES).await {
        Err(SourceError::TooLarge { .. }) => Err(Failure::TooLarge),
        other => other.map_err(Failure::Source),
    }
}

pub(crate) async fn body(mut response: Response, limit: u64) -> Result<Bytes, SourceError> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|_| unavailable("the response of Meta's host was cut off"))?
    {
        if (bytes.len() + chunk.len()) as u64 > limit {
            return Err(SourceError::TooLarge { limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn unavailable(detail: &str) -> SourceError {
    SourceError::Unavailable { detail: detail.to_owned(), retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_goes_only_to_the_graph_api_and_its_files() {
        let graph: GraphUrl = "https://graph.facebook.com/v25.0".parse().unwrap();
        for url in ["https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1", "https://graph.facebook.com/x"]
        {
            assert!(graph.allowed(url).is_some(), "{url}");
        }
        for url in [
            "http://lookaside.fbsbx.com/a",
            "https://lookaside.fbsbx.com:8443/a",
            "https://lookaside.fbsbx.com.example.com/a",
            "https://example.com/lookaside.fbsbx.com",
            "https://lookaside.fbsbx.com@example.com/a",
            "https://user@lookaside.fbsbx.com/a",
            "http://graph.facebook.com/x",
            "http://127.0.0.1/x",
            "/attachments",
            "",
        ] {
            assert!(graph.allowed(url).is_none(), "{url}");
        }
        assert_eq!("http://graph.facebook.com/v25.0".parse::<GraphUrl>(), Err(GraphUrlError::Plain));
        assert!("http://127.0.0.1:9/v25.0".parse::<GraphUrl>().is_ok());
        for text in ["", "graph", "https://u:p@graph.facebook.com", "https://graph.facebook.com/?a=1"] {
            assert_eq!(text.parse::<GraphUrl>(), Err(GraphUrlError::Form), "{text}");
        }
    }

    /// The ids come from webhooks, and the URL is requested with the token.
    #[test]
    fn edge_of_an_object_exists_only_for_a_number() {
        let graph: GraphUrl = "https://graph.facebook.com/v25.0/".parse().unwrap();
        let longest = "1".repeat(32);
        for id in ["9", &longest] {
            let url = graph.edge(id, "/subscribed_apps").unwrap();
            assert_eq!(url.as_str(), format!("https://graph.facebook.com/v25.0/{id}/subscribed_apps"));
        }
        for id in ["", "1a", "1/2", "..", "1?x=1", "٣", &"1".repeat(33)] {
            assert_eq!(graph.edge(id, ""), None, "{id}");
        }
    }
}
