//! A strict fake of AWS End User Messaging Social: it checks the signature and each member of a request for a file, and
//! writes the file into the bucket itself, under a name of its own.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

use crate::signature::{Signer, check};

/// A file of WhatsApp.
#[derive(Clone)]
pub struct SocialFile {
    /// Its id in webhooks.
    pub id: String,
    /// AWS's id of the only number that may fetch it.
    pub number: String,
    /// Its media type.
    pub mime: String,
    /// Its content.
    pub bytes: Bytes,
}

/// A fault of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocialFault {
    /// The caller has no permission.
    AccessDenied,
    /// Meta has not given AWS the permission.
    AccessDeniedByMeta,
    /// Too many requests.
    Throttled,
    /// The file does not exist yet, or no longer.
    NotFound,
    /// Meta reports an error.
    Dependency,
    /// Other bytes are written.
    OtherBytes,
    /// Fewer bytes are written.
    Shorter,
    /// Nothing is written, and the request succeeds.
    NothingWritten,
}

struct Endpoint {
    /// The bucket with the client that writes into it.
    bucket: OnceLock<(Client, String)>,
    key: String,
    files: Mutex<HashMap<String, SocialFile>>,
    faults: Mutex<VecDeque<SocialFault>>,
    requests: Mutex<Requests>,
}

/// Counts of requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Requests {
    written: u64,
    rejected: Vec<&'static str>,
}

/// The running fake. It ends with the test's runtime.
pub struct SocialMessaging {
    url: String,
    endpoint: Arc<Endpoint>,
}

impl SocialMessaging {
    /// Starts the fake. Requests must be signed with `key` as the access key and as the secret.
    pub async fn start(key: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("no port is free");
        let url = format!("http://{}", listener.local_addr().expect("the listener has no address"));
        let endpoint = Endpoint {
            bucket: OnceLock::new(),
            key: key.to_owned(),
            files: Mutex::default(),
            faults: Mutex::default(),
            requests: Mutex::default(),
        };
        let endpoint = Arc::new(endpoint);
        let router = Router::new().route("/v1/whatsapp/media/get", post(get)).with_state(Arc::clone(&endpoint));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, endpoint }
    }

    /// Sets the bucket into which the fake writes. Until then, and for every other bucket, it rejects requests.
    pub fn connect(&self, config: &SdkConfig, bucket: &str) {
        let client = Client::from_conf(aws_sdk_s3::config::Builder::from(config).force_path_style(true).build());
        assert!(self.endpoint.bucket.set((client, bucket.to_owned())).is_ok(), "the fake is connected already");
    }

    /// Returns the URL for `AWS_ENDPOINT_URL_SOCIALMESSAGING`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Adds a file.
    pub fn add(&self, file: SocialFile) {
        lock(&self.endpoint.files).insert(file.id.clone(), file);
    }

    /// Adds a fault for one request. Faults are used in the order in which they were added.
    pub fn inject_fault(&self, fault: SocialFault) {
        lock(&self.endpoint.faults).push_back(fault);
    }

    /// Returns the number of unused faults.
    pub fn faults_left(&self) -> usize {
        lock(&self.endpoint.faults).len()
    }

    /// Returns the number of files that were written.
    pub fn written(&self) -> u64 {
        lock(&self.endpoint.requests).written
    }

    /// Returns the reasons of the rejected requests.
    pub fn rejected(&self) -> Vec<&'static str> {
        lock(&self.endpoint.requests).rejected.clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The request of `GetWhatsAppMessageMedia`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Request {
    media_id: String,
    origination_phone_number_id: String,
    destination_s3_file: Destination,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Destination {
    bucket_name: String,
    key: String,
}

/// Returns `true` if the values match the patterns of the API reference.
fn is_valid(request: &Request) -> bool {
    let Request { media_id, origination_phone_number_id: number, destination_s3_file: file } = request;
    let hex = number.strip_prefix("phone-number-id-");
    (1..=100).contains(&media_id.len())
        && media_id.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && hex.is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
        && (3..=63).contains(&file.bucket_name.len())
        && (1..=1024).contains(&file.key.len())
}

async fn get(State(endpoint): State<Arc<Endpoint>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let reject = |code: &'static str, reason: &'static str| {
        lock(&endpoint.requests).rejected.push(reason);
        error(code)
    };
    let signer = Signer {
        access_key: &endpoint.key,
        secret_key: &endpoint.key,
        region: "us-east-1",
        service: "social-messaging",
    };
    if let Err(reason) = check(&uri, &headers, &body, &signer) {
        return reject("InvalidSignatureException", reason);
    }
    if headers.get(CONTENT_TYPE).is_none_or(|value| value != "application/json") {
        return reject("ValidationException", "wrong content type");
    }
    let Ok(request) = serde_json::from_slice::<Request>(&body) else {
        return reject("ValidationException", "wrong members");
    };
    let bucket = endpoint.bucket.get().filter(|(_, name)| *name == request.destination_s3_file.bucket_name);
    let Some((s3, bucket)) = bucket.filter(|_| is_valid(&request)) else {
        return reject("ValidationException", "invalid value");
    };
    let fault = lock(&endpoint.faults).pop_front();
    let code = match fault {
        Some(SocialFault::AccessDenied) => Some("AccessDeniedException"),
        Some(SocialFault::AccessDeniedByMeta) => Some("AccessDeniedByMetaException"),
        Some(SocialFault::Throttled) => Some("ThrottledRequestException"),
        Some(SocialFault::NotFound) => Some("ResourceNotFoundException"),
        Some(SocialFault::Dependency) => Some("DependencyException"),
        _ => None,
    };
    if let Some(code) = code {
        return error(code);
    }
    let file = lock(&endpoint.files).get(&request.media_id).cloned();
    let Some(file) = file.filter(|file| file.number == request.origination_phone_number_id) else {
        return error("ResourceNotFoundException");
    };
    let bytes = match fault {
        Some(SocialFault::OtherBytes) => Bytes::from_static(b"other bytes"),
        Some(SocialFault::Shorter) => file.bytes.slice(..file.bytes.len() / 2),
        _ => file.bytes.clone(),
    };
    // AWS overwrites an existing object, and appends the id and an extension to the key.
    let extension = file.mime.rsplit('/').next().unwrap_or_default();
    let key = format!("{}{}.{extension}", request.destination_s3_file.key, file.id);
    let put = s3.put_object().bucket(bucket).key(key).content_type(&file.mime).body(bytes.into());
    if fault != Some(SocialFault::NothingWritten) {
        if put.send().await.is_err() {
            return error("DependencyException");
        }
        lock(&endpoint.requests).written += 1;
    }
    // The SDK's documentation gives the size in KB.
    let response = json!({"mimeType": file.mime, "fileSize": file.bytes.len() / 1024});
    ([(CONTENT_TYPE, "application/json")], response.to_string()).into_response()
}

/// Returns an error response with the documented status of its code. A URL follows the code, as AWS allows.
fn error(code: &'static str) -> Response {
    let status = match code {
        "AccessDeniedException" | "AccessDeniedByMetaException" | "InvalidSignatureException" => StatusCode::FORBIDDEN,
        "ResourceNotFoundException" => StatusCode::NOT_FOUND,
        "ThrottledRequestException" => StatusCode::TOO_MANY_REQUESTS,
        "DependencyException" => StatusCode::BAD_GATEWAY,
        _ => StatusCode::BAD_REQUEST,
    };
    let named = format!("{code}:http://internal.amazon.com/coral/");
    (status, [("x-amzn-errortype", named)], json!({"message": "rejected"}).to_string()).into_response()
}
