//! A loopback server with given responses, so that a whole adapter is tested as deployed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header::AUTHORIZATION},
    response::Response,
};
use tokio::net::TcpListener;

/// Separates the responses in an input.
const RESPONSE_END: u8 = 0x1f;

/// Maximum number of responses in an input.
const MAX_RESPONSES: usize = 32;

/// Two servers: the adapter's own, and another that must never receive credentials.
pub(crate) struct Servers {
    pub(crate) own: String,
    elsewhere: String,
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    responses: VecDeque<GivenResponse>,
    /// `true` if the other server received credentials.
    leaked: bool,
}

/// A response: the first line is the status, followed by headers, `name: value` each, an empty line and the body. In
/// headers and body, `{own}` and `{elsewhere}` are replaced by the servers' addresses.
struct GivenResponse {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

impl Servers {
    pub(crate) async fn start() -> Self {
        let script = Arc::new(Mutex::new(Script::default()));
        let own = serve(Router::new().fallback(respond_own).with_state(Arc::clone(&script))).await;
        let elsewhere = serve(Router::new().fallback(respond_elsewhere).with_state(Arc::clone(&script))).await;
        Self { own, elsewhere, script }
    }

    /// Sets the responses, in order. After the last one every request is rejected.
    pub(crate) fn will_answer(&self, input: &[u8], allow: impl Fn(StatusCode) -> bool) {
        let responses = input.split(|byte| *byte == RESPONSE_END).take(MAX_RESPONSES).map(|input| self.read(input));
        let allowed = |mut response: GivenResponse| {
            if !allow(response.status) {
                response.status = StatusCode::INTERNAL_SERVER_ERROR;
            }
            response
        };
        *lock(&self.script) = Script { responses: responses.map(allowed).collect(), leaked: false };
    }

    pub(crate) fn assert_no_credentials_elsewhere(&self) {
        assert!(!lock(&self.script).leaked, "credentials were sent to another host");
    }

    fn read(&self, input: &[u8]) -> GivenResponse {
        const BLANK: &[u8] = b"\n\n";
        let end = input.windows(BLANK.len()).position(|window| window == BLANK);
        let (head, body) = end.map_or((input, &[][..]), |end| (&input[..end], &input[end + BLANK.len()..]));
        let head = self.placed(&String::from_utf8_lossy(head));
        let mut lines = head.lines();
        let status =
            lines.next().and_then(|line| line.trim().parse().ok()).and_then(|code| StatusCode::from_u16(code).ok());
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            let name: HeaderName = name.trim().parse().ok()?;
            // The server sets these itself: they define the end of the body.
            let framing = matches!(name.as_str(), "content-length" | "transfer-encoding" | "connection");
            Some((name, HeaderValue::try_from(value.trim()).ok()?)).filter(|_| !framing)
        };
        let body = match std::str::from_utf8(body) {
            Ok(text) => self.placed(text).into_bytes(),
            Err(_) => body.to_vec(),
        };
        // A status below 200 is not the final response, and the client waits for that.
        let status = status.filter(|status| !status.is_informational()).unwrap_or(StatusCode::OK);
        GivenResponse { status, headers: lines.filter_map(header).collect(), body }
    }

    fn placed(&self, text: &str) -> String {
        text.replace("{own}", &self.own).replace("{elsewhere}", &self.elsewhere)
    }
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn lock(script: &Mutex<Script>) -> MutexGuard<'_, Script> {
    script.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn respond_own(State(script): State<Arc<Mutex<Script>>>) -> Response {
    let next = lock(&script).responses.pop_front();
    let Some(next) = next else { return respond(StatusCode::BAD_REQUEST, Vec::new(), Vec::new()) };
    respond(next.status, next.headers, next.body)
}

async fn respond_elsewhere(State(script): State<Arc<Mutex<Script>>>, request: Request) -> Response {
    lock(&script).leaked |= request.headers().contains_key(AUTHORIZATION);
    respond_own(State(script)).await
}

fn respond(status: StatusCode, headers: Vec<(HeaderName, HeaderValue)>, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().extend(headers);
    response
}
