//! A strict fake of Meta's media endpoint: one request resolves a media id to a short-lived URL, another downloads the
//! file. Both need the token. It also says which apps are subscribed to an account.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use uuid::Uuid;

/// A file that the endpoint serves.
#[derive(Clone)]
pub struct MediaFile {
    /// The media id in webhooks.
    pub id: String,
    /// The id of the only number that may fetch the file.
    pub phone_number_id: String,
    pub media_type: &'static str,
    pub bytes: Bytes,
}

impl MediaFile {
    /// Returns the digest of the content in base64, as in webhooks.
    pub fn sha256_base64(&self) -> String {
        use base64::Engine;
        base64::prelude::BASE64_STANDARD.encode(model::Sha256::of(&self.bytes).as_bytes())
    }
}

/// An injected fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaFault {
    /// A request for a URL gets this status.
    Status(u16),
    /// The URL of a download has expired.
    Expired,
    /// A download is redirected to another host.
    Redirect,
    /// A download returns wrong bytes.
    OtherBytes,
    /// A download is cut off.
    Cut,
}

/// Lifetime of Meta's URLs.
const URL_LIFETIME: Duration = Duration::from_secs(5 * 60);

struct Endpoint {
    token: Mutex<String>,
    url: Mutex<String>,
    files: Mutex<HashMap<String, MediaFile>>,
    urls: Mutex<HashMap<String, (String, Instant)>>,
    /// Each app that is subscribed to an account, as Meta answers.
    apps: Mutex<HashMap<String, Vec<Value>>>,
    faults: Mutex<Vec<MediaFault>>,
    downloads: Mutex<u64>,
    rejected: Mutex<u64>,
}

/// The running fake. Dropping it stops the server.
pub struct MetaFake {
    endpoint: Arc<Endpoint>,
    server: JoinHandle<()>,
}

impl MetaFake {
    /// Starts the server on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If no port is available.
    pub async fn start(token: &str, files: Vec<MediaFile>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let endpoint = Arc::new(Endpoint {
            token: Mutex::new(token.to_owned()),
            url: Mutex::new(url),
            files: Mutex::new(files.into_iter().map(|file| (file.id.clone(), file)).collect()),
            urls: Mutex::default(),
            apps: Mutex::default(),
            faults: Mutex::default(),
            downloads: Mutex::default(),
            rejected: Mutex::default(),
        });
        let router = Router::new()
            .route("/{version}/{media}", get(look_up))
            .route("/{version}/{media}/subscribed_apps", get(subscribed_apps))
            .route("/whatsapp_business/attachments/{key}", get(download))
            .with_state(Arc::clone(&endpoint));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the fake of Meta's media endpoint has stopped");
            }
        });
        Ok(Self { endpoint, server })
    }

    /// Returns the URL without the version: in production `https://graph.facebook.com`.
    pub fn url(&self) -> String {
        lock(&self.endpoint.url).clone()
    }

    /// Adds a file.
    pub fn add(&self, file: MediaFile) {
        lock(&self.endpoint.files).insert(file.id.clone(), file);
    }

    /// Removes a file, as Meta does after 7 days.
    pub fn remove(&self, id: &str) {
        lock(&self.endpoint.files).remove(id);
    }

    /// Makes an account known, and subscribes an app to it if there is one, with an override URL if there is one.
    pub fn add_account(&self, id: &str, app: Option<&str>, override_url: Option<&str>) {
        let mut accounts = lock(&self.endpoint.apps);
        let apps = accounts.entry(id.to_owned()).or_default();
        let data = |app: &str| json!({"id": app, "name": "an app", "link": format!("https://www.facebook.com/games/?app_id={app}")});
        apps.extend(app.map(|app| match override_url {
            Some(url) => json!({"whatsapp_business_api_data": data(app), "override_callback_uri": url}),
            None => json!({"whatsapp_business_api_data": data(app)}),
        }));
    }

    /// Replaces the accepted token.
    pub fn rotate(&self, token: &str) {
        *lock(&self.endpoint.token) = token.to_owned();
    }

    /// Adds a fault for one request.
    pub fn inject_fault(&self, fault: MediaFault) {
        lock(&self.endpoint.faults).push(fault);
    }

    /// Returns the number of complete downloads.
    pub fn downloads(&self) -> u64 {
        *lock(&self.endpoint.downloads)
    }

    /// Returns the number of requests without the token, or with a wrong one.
    pub fn rejected(&self) -> u64 {
        *lock(&self.endpoint.rejected)
    }
}

impl Drop for MetaFake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Endpoint {
    /// Returns Meta's response to a request without a valid token or without a user agent.
    fn rejection(&self, headers: &HeaderMap) -> Option<Response> {
        let expected = format!("Bearer {}", lock(&self.token));
        let is_authorized =
            headers.get(header::AUTHORIZATION).is_some_and(|given| given.as_bytes() == expected.as_bytes());
        if !is_authorized {
            *lock(&self.rejected) += 1;
            return Some(failure(StatusCode::UNAUTHORIZED, 190, "OAuthException", "Invalid OAuth access token."));
        }
        // Meta responds to requests without a user agent with a page that says "Sorry, something went wrong".
        let unnamed = headers.get(header::USER_AGENT).is_none_or(|agent| agent.is_empty());
        unnamed.then(|| (StatusCode::FORBIDDEN, "<html>Sorry, something went wrong.</html>").into_response())
    }

    fn take_fault(&self, is_taken: impl Fn(&MediaFault) -> bool) -> Option<MediaFault> {
        let mut faults = lock(&self.faults);
        let place = faults.iter().position(is_taken)?;
        Some(faults.remove(place))
    }
}

async fn look_up(
    State(endpoint): State<Arc<Endpoint>>,
    Path((version, media)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if let Some(rejection) = endpoint.rejection(&headers) {
        return rejection;
    }
    if let Some(MediaFault::Status(status)) = endpoint.take_fault(|fault| matches!(fault, MediaFault::Status(_))) {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return failure(status, 2, "OAuthException", "An unexpected error has occurred.");
    }
    let is_version = version.strip_prefix('v').is_some_and(|number| number.parse::<f32>().is_ok());
    // A number, by its id.
    if is_version && lock(&endpoint.files).values().any(|file| file.phone_number_id == media) {
        return axum::Json(json!({"verified_name": "Ours", "id": media})).into_response();
    }
    let number = query.as_deref().unwrap_or_default().split('&').find_map(|part| part.strip_prefix("phone_number_id="));
    let file = lock(&endpoint.files).get(&media).cloned();
    let Some(file) = file.filter(|file| is_version && number.is_none_or(|number| number == file.phone_number_id))
    else {
        return no_object();
    };
    let key = Uuid::new_v4().to_string();
    lock(&endpoint.urls).insert(key.clone(), (media, Instant::now()));
    axum::Json(json!({
        "messaging_product": "whatsapp",
        "url": format!("{}/whatsapp_business/attachments/{key}", lock(&endpoint.url)),
        "mime_type": file.media_type,
        "sha256": model::Sha256::of(&file.bytes).to_string(),
        "file_size": file.bytes.len().to_string(),
        "id": file.id,
    }))
    .into_response()
}

async fn subscribed_apps(
    State(endpoint): State<Arc<Endpoint>>,
    Path((_, account)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if let Some(rejection) = endpoint.rejection(&headers) {
        return rejection;
    }
    match lock(&endpoint.apps).get(&account) {
        Some(apps) => axum::Json(json!({"data": apps})).into_response(),
        None => no_object(),
    }
}

/// Returns the response for an object that does not exist, or that the token may not read.
fn no_object() -> Response {
    let message = "Unsupported get request. Object does not exist.";
    let error = json!({"message": message, "type": "GraphMethodException", "code": 100, "error_subcode": 33, "fbtrace_id": "A0"});
    (StatusCode::BAD_REQUEST, axum::Json(json!({"error": error}))).into_response()
}

async fn download(State(endpoint): State<Arc<Endpoint>>, Path(key): Path<String>, headers: HeaderMap) -> Response {
    if let Some(rejection) = endpoint.rejection(&headers) {
        return rejection;
    }
    let fault = endpoint.take_fault(|fault| !matches!(fault, MediaFault::Status(_)));
    let media =
        lock(&endpoint.urls).get(&key).filter(|(_, at)| at.elapsed() < URL_LIFETIME).map(|(media, _)| media.clone());
    let file = media.and_then(|media| lock(&endpoint.files).get(&media).cloned());
    let Some(file) = file.filter(|_| fault != Some(MediaFault::Expired)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let kind = [(header::CONTENT_TYPE, file.media_type)];
    match fault {
        Some(MediaFault::Redirect) => (StatusCode::FOUND, [(header::LOCATION, "http://127.0.0.2:9/")]).into_response(),
        Some(MediaFault::OtherBytes) => (kind, vec![0; file.bytes.len()]).into_response(),
        Some(MediaFault::Cut) => {
            let half = file.bytes.slice(..file.bytes.len() / 2);
            let pieces = [Ok(half), Err(io::Error::other("injected connection failure"))];
            (kind, Body::from_stream(futures::stream::iter(pieces))).into_response()
        }
        _ => {
            *lock(&endpoint.downloads) += 1;
            (kind, file.bytes).into_response()
        }
    }
}

fn failure(status: StatusCode, code: u32, kind: &str, message: &str) -> Response {
    let error = json!({"message": message, "type": kind, "code": code, "fbtrace_id": "A0"});
    (status, axum::Json(json!({"error": error}))).into_response()
}
