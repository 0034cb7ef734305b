//! Fetches files through AWS End User Messaging Social. AWS writes them into the bucket, so they are never whole in
//! memory.

use aws::{
    SdkConfig,
    s3::{Listed, Store, StoreError, Version},
    signed::{Service, SignError, endpoint, sign_post},
};
use http_client::{Http, SMALL_RESPONSE_MAX_BYTES, error_code};
use model::{Hasher, Sha256};
use reqwest::{StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

use super::{Failure, MAX_MEDIA_BYTES, Stored, throttled};
use crate::{SourceError, cloud_api::media_task::MediaTask, inbox::unavailable};

const SERVICE: Service = Service { name: "social-messaging", id: "SocialMessaging" };

const JSON: &str = "application/json";

/// Size of the pieces in which a file is read to hash it.
const PIECE_BYTES: u64 = 4 << 20;

/// A client of AWS End User Messaging Social.
pub struct AwsMedia {
    config: Box<SdkConfig>,
    http: Http,
}

impl AwsMedia {
    /// Creates a client with the credentials and the region or endpoint of this configuration.
    pub fn new(config: &SdkConfig) -> Self {
        Self { config: Box::new(config.clone()), http: Http::default() }
    }

    pub(super) async fn file(&self, store: &Store, media: &str, task: &MediaTask) -> Result<Stored, Failure> {
        // AWS appends the id and an extension for the media type.
        let prefix = format!("{media}/");
        // An earlier attempt may have ended after AWS wrote the file.
        if let Some(stored) = written(store, &prefix).await?
            && task.sha256 == Some(stored.sha256)
        {
            return Ok(stored);
        }
        self.request(store, &prefix, task).await?;
        let stored = written(store, &prefix).await?.ok_or_else(|| SourceError::Unavailable {
            detail: "AWS confirmed a file that is not in the bucket".to_owned(),
            retry_after: None,
        })?;
        let is_declared = task.sha256.is_none_or(|declared| declared == stored.sha256);
        if is_declared { Ok(stored) } else { Err(Failure::Mismatch) }
    }

    /// Requests that AWS writes the file.
    async fn request(&self, store: &Store, prefix: &str, task: &MediaTask) -> Result<(), Failure> {
        let number = task.aws_phone_number_id.as_deref().ok_or_else(|| SourceError::Configuration {
            detail: "the webhook does not name AWS's id of the number that received the file".to_owned(),
        })?;
        let body = json!({
            "mediaId": task.media,
            "originationPhoneNumberId": number,
            "destinationS3File": {"bucketName": store.bucket(), "key": prefix},
        });
        let body = body.to_string();
        let url = format!("{}/v1/whatsapp/media/get", endpoint(&self.config, SERVICE).map_err(from_signing)?);
        let headers = sign_post(&self.config, SERVICE, &url, JSON, body.as_bytes()).await.map_err(from_signing)?;
        let client = self.http.client().await;
        let client = client.map_err(|error| SourceError::Configuration { detail: error.to_string() })?;
        let mut request = client.post(&url).header(CONTENT_TYPE, JSON);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let sent = request.body(body).send().await;
        let response = sent.map_err(|_| no_response("no response from AWS"))?;
        let status = response.status();
        let code = response.headers().get("x-amzn-errortype").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = http_client::read(Ok(response), SMALL_RESPONSE_MAX_BYTES).await;
        let body = body.map_err(|error| no_response(error.reason()))?;
        if status == StatusCode::OK {
            return Ok(());
        }
        let code = code.or_else(|| Some(body.json::<Value>().ok()?.get("__type")?.as_str()?.to_owned()));
        let code = code.as_deref().map(|code| code.split(':').next().unwrap_or(code)).and_then(error_code);
        Err(rejection(status, code.as_deref(), body.retry_after))
    }
}

/// Classifies an error response. Permanent errors are a closed list from the operation's documentation, all others are
/// retried.
pub(super) fn rejection(status: StatusCode, code: Option<&str>, retry_after: Option<std::time::Duration>) -> Failure {
    let detail = format!("AWS responded with status {} {}", status.as_u16(), code.unwrap_or("and no code"));
    match code {
        // The id is unknown or has expired: retried until the id must have expired.
        Some("ResourceNotFoundException" | "InvalidParametersException" | "ValidationException") => Failure::NotFound,
        Some("AccessDeniedException" | "AccessDeniedByMetaException") => {
            SourceError::Configuration { detail: format!("{detail}: check the permissions of the function") }.into()
        }
        _ => {
            if status == StatusCode::TOO_MANY_REQUESTS || code == Some("ThrottledRequestException") {
                throttled();
            }
            SourceError::Unavailable { detail, retry_after }.into()
        }
    }
}

fn no_response(detail: &str) -> SourceError {
    SourceError::Unavailable { detail: detail.to_owned(), retry_after: None }
}

fn from_signing(error: SignError) -> SourceError {
    match error {
        SignError::Credentials => SourceError::Unavailable { detail: error.to_string(), retry_after: None },
        SignError::Missing(_) | SignError::Request => SourceError::Configuration { detail: error.to_string() },
    }
}

/// Returns the file that AWS wrote under a prefix, and its digest.
async fn written(store: &Store, prefix: &str) -> Result<Option<Stored>, Failure> {
    let mut found: Option<Listed> = None;
    let listed = store.list(prefix, |page| {
        // If there are several, the newest is used.
        found = page.into_iter().chain(found.take()).max_by_key(|object| object.last_modified);
        async { Ok::<_, StoreError>(()) }
    });
    listed.await.map_err(unavailable)?;
    let Some(object) = found else { return Ok(None) };
    if object.bytes > MAX_MEDIA_BYTES {
        return Err(Failure::TooLarge);
    }
    let version = Version::from(&object);
    let mut hasher = Hasher::default();
    let mut at = 0;
    while at < version.bytes() {
        let piece = store.read_piece(&version, at..at + PIECE_BYTES).await.map_err(unavailable)?;
        hasher.update(&piece);
        at += PIECE_BYTES;
    }
    let sha256: Sha256 = hasher.finish();
    Ok(Some(Stored { key: object.key, bytes: object.bytes, sha256, other: None }))
}
