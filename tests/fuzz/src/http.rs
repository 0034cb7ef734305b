//! Loopback servers with given responses, so that a whole adapter is tested as it is deployed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header::AUTHORIZATION},
    response::Response,
};
use tokio::net::TcpListener;

/// The secret in the credentials of every adapter. Percent-encoding does not change it.
pub(crate) const SECRET: &str = "correct-horse-battery-staple";

/// Separates the responses in an input.
const RESPONSE_END: u8 = 0x1f;

/// Maximum number of responses in an input.
const MAX_RESPONSES: usize = 32;

/// Two servers: the one that the adapter is configured for, and another one that must never receive credentials.
pub(crate) struct Servers {
    pub(crate) url: String,
    other_url: String,
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    responses: VecDeque<GivenResponse>,
    /// The bodies that were sent, in their order.
    sent: Vec<Vec<u8>>,
    /// `true` if the other server received credentials.
    has_leaked: bool,
}

/// A response: the first line is the status, followed by headers as `name: value`, an empty line and the body. In
/// headers and body, `{own}` and `{elsewhere}` are replaced by the URLs of the two servers.
struct GivenResponse {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

impl Servers {
    pub(crate) async fn start() -> Self {
        let script = Arc::new(Mutex::new(Script::default()));
        let url = serve(Router::new().fallback(respond_next).with_state(Arc::clone(&script))).await;
        let other_url =
            serve(Router::new().fallback(record_credentials_and_respond).with_state(Arc::clone(&script))).await;
        Self { url, other_url, script }
    }

    /// Sets the responses in their order. Every request after the last response is rejected. The status of a response
    /// that is not allowed becomes 500.
    pub(crate) fn set_responses(&self, input: &[u8], allow: impl Fn(StatusCode) -> bool) {
        let responses = input.split(|byte| *byte == RESPONSE_END).take(MAX_RESPONSES).map(|input| self.parse(input));
        let allowed = |mut response: GivenResponse| {
            if !allow(response.status) {
                response.status = StatusCode::INTERNAL_SERVER_ERROR;
            }
            response
        };
        *lock(&self.script) = Script { responses: responses.map(allowed).collect(), ..Script::default() };
    }

    /// Asserts that the other server received no credentials.
    pub(crate) fn assert_no_credentials_leaked(&self) {
        assert!(!lock(&self.script).has_leaked, "credentials were sent to another host");
    }

    /// Asserts that the body of the last response, which an adapter has accepted, has at most this number of bytes.
    pub(crate) fn assert_last_body_within(&self, max_bytes: u64) {
        let bytes = lock(&self.script).sent.last().map_or(0, Vec::len);
        assert!(bytes as u64 <= max_bytes, "a body of {bytes} bytes was accepted, and the limit is {max_bytes}");
    }

    /// Returns the bodies that were sent, in their order.
    pub(crate) fn sent_bodies(&self) -> Vec<Vec<u8>> {
        lock(&self.script).sent.clone()
    }

    /// Parses a response of the input.
    fn parse(&self, input: &[u8]) -> GivenResponse {
        const BLANK: &[u8] = b"\n\n";
        let end = input.windows(BLANK.len()).position(|window| window == BLANK);
        let (head, body) = end.map_or((input, &[][..]), |end| (&input[..end], &input[end + BLANK.len()..]));
        let head = self.with_urls(&String::from_utf8_lossy(head));
        let mut lines = head.lines();
        let status =
            lines.next().and_then(|line| line.trim().parse().ok()).and_then(|code| StatusCode::from_u16(code).ok());
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            let name: HeaderName = name.trim().parse().ok()?;
            // The server sets these headers itself, because they define the end of the body.
            let framing = matches!(name.as_str(), "content-length" | "transfer-encoding" | "connection");
            Some((name, HeaderValue::try_from(value.trim()).ok()?)).filter(|_| !framing)
        };
        let body = match std::str::from_utf8(body) {
            Ok(text) => self.with_urls(text).into_bytes(),
            Err(_) => body.to_vec(),
        };
        // A status below 200 is not the final response, and the client waits for that.
        let status = status.filter(|status| !status.is_informational()).unwrap_or(StatusCode::OK);
        GivenResponse { status, headers: lines.filter_map(header).collect(), body }
    }

    /// Replaces the placeholders by the URLs of the servers.
    fn with_urls(&self, text: &str) -> String {
        text.replace("{own}", &self.url).replace("{elsewhere}", &self.other_url)
    }
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("no port is free");
    let url = format!("http://{}", listener.local_addr().expect("the address is invalid"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn lock(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends the next response.
async fn respond_next(State(script): State<Arc<Mutex<Script>>>) -> Response {
    let mut script = lock(&script);
    let Some(next) = script.responses.pop_front() else {
        return respond(StatusCode::BAD_REQUEST, Vec::new(), Vec::new());
    };
    script.sent.push(next.body.clone());
    respond(next.status, next.headers, next.body)
}

/// Records for the other server if it received credentials in the URL, a header or the body, and sends the next
/// response.
async fn record_credentials_and_respond(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let has_secret = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    let has_leaked = parts.headers.contains_key(AUTHORIZATION)
        || parts.headers.values().any(|value| has_secret(value.as_bytes()))
        || has_secret(parts.uri.to_string().as_bytes())
        || has_secret(&body);
    lock(&script).has_leaked |= has_leaked;
    respond_next(State(script)).await
}

fn respond(status: StatusCode, headers: Vec<(HeaderName, HeaderValue)>, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().extend(headers);
    response
}
