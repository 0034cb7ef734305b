//! Fakes of AWS on loopback. [`Aws`] is S3 and SQS in memory, for tests of the functions' logic: conditional writes, listings,
//! and sent messages. It records the order of all writes, and can fail requests. [`SocialMessaging`] is End User Messaging
//! Social.

mod signature;
mod social_messaging;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_sdk_sqs::config::Credentials;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub use social_messaging::{SocialFault, SocialFile, SocialMessaging};

/// Maximum size of a request.
const MAX_BYTES: usize = 64 << 20;

/// Name of the bucket.
pub const BUCKET: &str = "archive";

/// URL of the queue.
pub const QUEUE: &str = "http://sqs.invalid/000000000000/queue";

/// A running fake. It ends with the test's runtime.
pub struct Aws {
    config: SdkConfig,
    state: Shared,
}

type Shared = Arc<Mutex<Contents>>;

#[derive(Default)]
struct Contents {
    objects: BTreeMap<String, Object>,
    messages: Vec<String>,
    writes: Vec<String>,
    etags: u64,
    failure: Option<&'static str>,
    misdirected: Option<&'static str>,
    lost: Option<&'static str>,
    reads: Vec<String>,
}

struct Object {
    bytes: Vec<u8>,
    etag: String,
    sha256: Option<String>,
}

/// The metadata header with an object's digest.
const DIGEST: &str = "x-amz-meta-sha256";

/// The time of every write.
const TIME: (&str, &str) = ("Sat, 21 Nov 2026 10:00:00 GMT", "2026-11-21T10:00:00Z");

impl Aws {
    /// Starts a fake without objects and messages.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("no port is free");
        let address = listener.local_addr().expect("the listener has no address");
        let state = Shared::default();
        let router = Router::new().fallback(respond).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(format!("http://{address}"))
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("fake", "fake", None, None, "fake"))
            .retry_config(RetryConfig::disabled())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .load()
            .await;
        Self { config, state }
    }

    /// Returns the configuration for SDK clients.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Returns the keys of the objects under a prefix.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        lock(&self.state).objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    /// Returns the content of an object.
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        lock(&self.state).objects.get(key).map(|object| object.bytes.clone())
    }

    /// Deletes an object, as a lifecycle rule does.
    pub fn remove(&self, key: &str) {
        lock(&self.state).objects.remove(key);
    }

    /// Returns the bodies of the sent messages, in order.
    pub fn messages(&self) -> Vec<String> {
        lock(&self.state).messages.clone()
    }

    /// Returns all writes in order: the key of an object, or `send` for a batch of messages.
    pub fn writes(&self) -> Vec<String> {
        lock(&self.state).writes.clone()
    }

    /// Returns the keys of all objects that were read, in order.
    pub fn reads(&self) -> Vec<String> {
        lock(&self.state).reads.clone()
    }

    /// Loses the response to the next write with this text in the object's key: the status is 503, and the object exists.
    pub fn lose_response(&self, text: &'static str) {
        lock(&self.state).lost = Some(text);
    }

    /// Rejects all requests with this text in the object's key or the SQS operation with status 503, until the next call.
    pub fn fail(&self, text: Option<&'static str>) {
        lock(&self.state).failure = text;
    }

    /// Answers all writes with this text in the object's key with status 404 and no body, as another server than S3 may.
    pub fn misdirect_writes(&self, text: &'static str) {
        lock(&self.state).misdirected = Some(text);
    }
}

fn lock(state: &Shared) -> MutexGuard<'_, Contents> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn respond(State(state): State<Shared>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BYTES).await else { return StatusCode::BAD_REQUEST.into_response() };
    let mut contents = lock(&state);
    if let Some(target) = text(&head.headers, "x-amz-target") {
        return contents.sqs(target, &body);
    }
    let path = head.uri.path().trim_start_matches('/');
    let key = path.strip_prefix(BUCKET).unwrap_or_default().trim_start_matches('/').to_owned();
    match head.method {
        Method::GET if key.is_empty() => contents.list(head.uri.query().unwrap_or_default()),
        Method::GET | Method::HEAD => contents.get(&key, &head.headers),
        Method::PUT => contents.put(key, &head.headers, body.to_vec()),
        _ => error(StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
    }
}

impl Contents {
    fn fails(&self, name: &str) -> bool {
        self.failure.is_some_and(|text| name.contains(text))
    }

    fn get(&mut self, key: &str, headers: &HeaderMap) -> Response {
        self.reads.push(key.to_owned());
        if self.fails(key) {
            return error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown");
        }
        let Some(object) = self.objects.get(key) else { return error(StatusCode::NOT_FOUND, "NoSuchKey") };
        if text(headers, "if-none-match") == Some(&object.etag) {
            return StatusCode::NOT_MODIFIED.into_response();
        }
        let mut response = Response::builder()
            .header(header::ETAG, &object.etag)
            .header(header::LAST_MODIFIED, TIME.0)
            .header(header::CONTENT_LENGTH, object.bytes.len());
        if let Some(sha256) = &object.sha256 {
            response = response.header(DIGEST, sha256);
        }
        response.body(Body::from(object.bytes.clone())).expect("the response is invalid")
    }

    fn put(&mut self, key: String, headers: &HeaderMap, body: Vec<u8>) -> Response {
        if self.fails(&key) {
            return error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown");
        }
        if self.misdirected.is_some_and(|text| key.contains(text)) {
            return StatusCode::NOT_FOUND.into_response();
        }
        let current = self.objects.get(&key).map(|object| object.etag.as_str());
        let absent = text(headers, "if-none-match").is_none() || current.is_none();
        let unchanged = text(headers, "if-match").is_none_or(|etag| current == Some(etag));
        if !absent || !unchanged {
            return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        self.etags += 1;
        let etag = format!("\"{}\"", self.etags);
        let sha256 = text(headers, DIGEST).map(str::to_owned);
        self.writes.push(key.clone());
        let is_lost = self.lost.take_if(|text| key.contains(*text)).is_some();
        self.objects.insert(key, Object { bytes: decode_chunks(headers, body), etag: etag.clone(), sha256 });
        if is_lost {
            return error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown");
        }
        ([(header::ETAG, etag)], "").into_response()
    }

    fn list(&self, query: &str) -> Response {
        let parameter = |name: &str| {
            let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_default().replace("%2F", "/").replace("%2f", "/")
        };
        let (prefix, after) = (parameter("prefix"), parameter("start-after"));
        let mut entries = String::new();
        for (key, object) in self.objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after) {
            let Object { bytes, etag, .. } = object;
            let (time, size) = (TIME.1, bytes.len());
            let entry = format_args!(
                "<Contents><Key>{key}</Key><LastModified>{time}</LastModified><ETag>{etag}</ETag><Size>{size}</Size></Contents>"
            );
            entries.write_fmt(entry).expect("a string accepts every write");
        }
        let xml = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>");
        ([(header::CONTENT_TYPE, "application/xml")], xml).into_response()
    }

    fn sqs(&mut self, target: &str, body: &[u8]) -> Response {
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        if target != "AmazonSQS.SendMessageBatch" {
            return StatusCode::NOT_IMPLEMENTED.into_response();
        }
        if self.fails(target) {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let mut successful = Vec::new();
        for entry in request["Entries"].as_array().into_iter().flatten() {
            self.messages.extend(entry["MessageBody"].as_str().map(str::to_owned));
            successful.push(json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": ""}));
        }
        self.writes.push("send".to_owned());
        let response = json!({"Successful": successful, "Failed": []}).to_string();
        ([(header::CONTENT_TYPE, "application/x-amz-json-1.0")], response).into_response()
    }
}

/// Returns the bytes of an object: the SDK sends a body with a trailing checksum in one or more chunks.
fn decode_chunks(headers: &HeaderMap, body: Vec<u8>) -> Vec<u8> {
    if !text(headers, "content-encoding").is_some_and(|encoding| encoding.contains("aws-chunked")) {
        return body;
    }
    let (mut rest, mut bytes) = (&body[..], Vec::new());
    while let Some(line) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = std::str::from_utf8(&rest[..line]).ok().and_then(|text| text.split(';').next());
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok()).unwrap_or_default();
        if size == 0 || rest.len() < line + 2 + size + 2 {
            break;
        }
        bytes.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
    bytes
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn error(status: StatusCode, code: &str) -> Response {
    let xml = format!("<Error><Code>{code}</Code></Error>");
    (status, [(header::CONTENT_TYPE, "application/xml")], xml).into_response()
}
