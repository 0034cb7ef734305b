//! The S3 bucket: its keys, conditional writes, and one classification of S3 errors. No SDK type leaves this crate.

mod large;
mod signing;

use std::{future::Future, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
    types::Object as S3Object,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use model::Sha256;

use crate::error::{CONDITIONAL_CONFLICT, RequestError, classify};

pub use large::{MIN_PART_BYTES, PutLarge, Version};

/// Error of reading or writing the bucket. Never permanent for an item.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// S3 is unreachable, throttles or fails: transient.
    #[error("the bucket is unavailable: {operation} {key}: {problem}")]
    Unavailable {
        /// The operation.
        operation: &'static str,
        /// The key or prefix. Keys under `inbox/` are cut, because they contain names.
        key: String,
        /// The error of S3.
        problem: String,
    },
    /// The bucket does not exist, or the permission is missing: a configuration error.
    #[error("the bucket rejected the request: {operation} {key}: {problem}")]
    Configuration {
        /// The operation.
        operation: &'static str,
        /// The key or prefix. Keys under `inbox/` are cut, because they contain names.
        key: String,
        /// The error of S3.
        problem: String,
    },
    /// The object is larger than the limit of the reader.
    #[error("{key} has {bytes} bytes and exceeds the limit of {limit} bytes")]
    TooLarge { key: String, bytes: u64, limit: u64 },
}

/// An object that was read.
#[derive(Debug, Clone)]
pub struct Object {
    /// The content.
    pub bytes: Bytes,
    /// The version that was read; a later write can be made conditional on it.
    pub etag: ETag,
    /// Time of the write, to the second.
    pub last_modified: Timestamp,
}

/// S3's tag of one version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// Returns the tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An entry of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub key: String,
    /// Time of the write, to the second.
    pub last_modified: Timestamp,
    /// Its length in bytes.
    pub bytes: u64,
    /// The current version.
    pub etag: ETag,
}

/// The condition of a write.
#[derive(Debug, Clone, Copy)]
pub enum Condition<'a> {
    /// Only if the key has no object.
    Absent,
    /// Only if the object is still the version that was read.
    Unchanged(&'a ETag),
    /// Unconditionally.
    Always,
}

impl Condition<'_> {
    /// Returns the values of the headers If-None-Match and If-Match.
    fn headers(&self) -> (Option<String>, Option<String>) {
        match self {
            Self::Absent => (Some("*".to_owned()), None),
            Self::Unchanged(etag) => (None, Some(etag.0.clone())),
            Self::Always => (None, None),
        }
    }
}

/// The result of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// Written, as this version.
    Yes(ETag),
    /// The condition did not hold: another writer was faster.
    Conflict,
}

/// The result of a conditional read.
#[derive(Debug, Clone)]
pub enum Changed {
    /// The object has another version than the caller's.
    Yes(Object),
    /// The object has the caller's version.
    No,
    /// There is no object.
    Missing,
}

/// An object to write.
pub struct Put<'a> {
    pub key: &'a str,
    /// The content.
    pub bytes: Bytes,
    /// Its media type.
    pub content_type: &'a str,
    /// Its digest, if the caller has it: S3 verifies the bytes with it and stores it. Without it the SDK computes a
    /// CRC.
    pub sha256: Option<Sha256>,
}

/// The bucket.
#[derive(Clone)]
pub struct Store {
    client: Client,
    bucket: String,
}

impl Store {
    /// Creates a client of one bucket. It sends no request yet.
    pub fn new(config: &SdkConfig, bucket: String) -> Self {
        // A host name per bucket exists only on AWS; other servers are addressed by path.
        let builder = aws_sdk_s3::config::Builder::from(config).force_path_style(config.endpoint_url().is_some());
        Self { client: Client::from_conf(builder.build()), bucket }
    }

    /// Returns the bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Reads an object of at most `limit` bytes; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, key: &str, limit: u64) -> Result<Option<Object>, StoreError> {
        match self.get_if_changed(key, None, limit).await? {
            Changed::Yes(object) => Ok(Some(object)),
            Changed::No | Changed::Missing => Ok(None),
        }
    }

    /// Reads an object of at most `limit` bytes if it is no longer the version `have`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get_if_changed(&self, key: &str, have: Option<&ETag>, limit: u64) -> Result<Changed, StoreError> {
        let have = have.map(|etag| etag.0.clone());
        let response = self.client.get_object().bucket(&self.bucket).key(key).set_if_none_match(have).send().await;
        let response = match response {
            Ok(response) => response,
            Err(error) if status(&error) == Some(304) => return Ok(Changed::No),
            Err(error) if error.code() == Some("NoSuchKey") => return Ok(Changed::Missing),
            Err(error) => return Err(error_of("get", key, &error)),
        };
        let bytes = response.content_length.and_then(|length| u64::try_from(length).ok()).unwrap_or(0);
        if bytes > limit {
            return Err(StoreError::TooLarge { key: log_key(key), bytes, limit });
        }
        let etag = ETag(response.e_tag.unwrap_or_default());
        let last_modified = response.last_modified.and_then(|time| Timestamp::from_second(time.secs()).ok());
        let bytes = read(response.body, usize::try_from(bytes).unwrap_or_default(), key).await?;
        Ok(Changed::Yes(Object { bytes, etag, last_modified: last_modified.unwrap_or(Timestamp::UNIX_EPOCH) }))
    }

    /// Returns the digest with which an object was written ([`Put::sha256`]) and its length; `None` if there is no
    /// object, or if it was written without a digest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read_digest(&self, key: &str) -> Result<Option<(Sha256, u64)>, StoreError> {
        let response = self.client.head_object().bucket(&self.bucket).key(key).send().await;
        let response = match response {
            Ok(response) => response,
            Err(error) if status(&error) == Some(404) => return Ok(None),
            Err(error) => return Err(error_of("head", key, &error)),
        };
        let digest = response.metadata.as_ref().and_then(|metadata| metadata.get(DIGEST)?.parse().ok());
        let bytes = response.content_length.and_then(|length| u64::try_from(length).ok());
        Ok(digest.zip(bytes))
    }

    /// Writes an object.
    ///
    /// # Errors
    /// [`StoreError`]. After [`StoreError::Unavailable`] the outcome is unknown.
    pub async fn put(&self, put: Put<'_>, condition: Condition<'_>) -> Result<Written, StoreError> {
        let mut attempt = 1;
        loop {
            match self.try_put(&put, condition).await {
                Err(error) if is_race(&error) && attempt < RACE_ATTEMPTS => {
                    tokio::time::sleep(RACE_PAUSE * attempt).await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn try_put(&self, put: &Put<'_>, condition: Condition<'_>) -> Result<Written, StoreError> {
        let (absent, unchanged) = condition.headers();
        let mut request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(put.key)
            .content_type(put.content_type)
            .set_if_none_match(absent)
            .set_if_match(unchanged)
            .body(ByteStream::from(put.bytes.clone()));
        if let Some(sha256) = put.sha256 {
            request =
                request.checksum_sha256(BASE64_STANDARD.encode(sha256.as_bytes())).metadata(DIGEST, sha256.to_string());
        }
        let mut request = request.customize();
        if let Some(sha256) = put.sha256 {
            request = request.interceptor(signing::PrecomputedDigest(sha256));
        }
        match request.send().await {
            Ok(response) => Ok(Written::Yes(ETag(response.e_tag.unwrap_or_default()))),
            Err(error) if condition_failed(&condition, &error) => Ok(Written::Conflict),
            Err(error) => Err(error_of("put", put.key, &error)),
        }
    }

    /// Lists all objects under a prefix in the order of their keys, and calls `each` with pages of up to 1,000.
    ///
    /// # Errors
    /// [`StoreError`], or the error of `each`.
    pub async fn list<E, F>(&self, prefix: &str, each: impl FnMut(Vec<Listed>) -> F) -> Result<(), E>
    where
        E: From<StoreError>,
        F: Future<Output = Result<(), E>>,
    {
        self.list_after(prefix, None, each).await
    }

    /// Lists like [`list`](Self::list), starting after the key `after`.
    ///
    /// # Errors
    /// [`StoreError`], or the error of `each`.
    pub async fn list_after<E, F>(
        &self,
        prefix: &str,
        after: Option<&str>,
        mut each: impl FnMut(Vec<Listed>) -> F,
    ) -> Result<(), E>
    where
        E: From<StoreError>,
        F: Future<Output = Result<(), E>>,
    {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let mut pages = list.set_start_after(after.map(str::to_owned)).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| error_of("list", prefix, &error))?;
            each(page.contents.unwrap_or_default().into_iter().filter_map(listed).collect()).await?;
        }
        Ok(())
    }
}

/// The metadata key of the digest. Not every S3-compatible server returns S3's own checksum.
const DIGEST: &str = "sha256";

/// Reads a body of known length. The bytes are copied once; the SDK's own method collects the pieces and then joins
/// them, which takes twice the memory.
async fn read(mut body: ByteStream, length: usize, key: &str) -> Result<Bytes, StoreError> {
    let mut bytes = BytesMut::with_capacity(length);
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| StoreError::Unavailable {
            operation: "get",
            key: log_key(key),
            problem: DisplayErrorContext(error).to_string(),
        })?;
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

fn listed(object: S3Object) -> Option<Listed> {
    let last_modified = object.last_modified.and_then(|time| Timestamp::from_second(time.secs()).ok())?;
    Some(Listed {
        key: object.key?,
        last_modified,
        bytes: object.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
        etag: ETag(object.e_tag.unwrap_or_default()),
    })
}

/// Attempts of a write that collides with another one, with pauses between them.
const RACE_ATTEMPTS: u32 = 4;
const RACE_PAUSE: Duration = Duration::from_millis(100);

fn is_race(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable { problem, .. } if problem == CONDITIONAL_CONFLICT)
}

/// Returns whether the condition of a write does not hold. 404 is that only if an object is to be replaced: it no longer
/// exists. Another write with this status was answered by something else than the bucket, and nothing was stored.
fn condition_failed<E: ProvideErrorMetadata>(condition: &Condition<'_>, error: &SdkError<E>) -> bool {
    // The completion of an upload reports it in the body of a response with status 200.
    let is_other = status(error) == Some(412) || error.code() == Some("PreconditionFailed");
    let is_gone = || status(error) == Some(404) && !no_bucket(error);
    match condition {
        Condition::Always => false,
        Condition::Absent => is_other,
        Condition::Unchanged(_) => is_other || is_gone(),
    }
}

fn no_bucket<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.code() == Some("NoSuchBucket")
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// Returns the key in the form for logs: keys of the inbox contain names.
fn log_key(key: &str) -> String {
    if key.starts_with(model::keys::INBOX) { format!("{}…", model::keys::INBOX) } else { key.to_owned() }
}

fn error_of<E>(operation: &'static str, key: &str, error: &SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let (key, RequestError { is_transient, problem }) = (log_key(key), classify(error));
    if is_transient {
        StoreError::Unavailable { operation, key, problem }
    } else {
        StoreError::Configuration { operation, key, problem }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::{
        config::http::HttpResponse, error::ErrorMetadata, operation::put_object::PutObjectError, primitives::SdkBody,
    };

    use super::*;

    #[test]
    fn failed_condition_is_told_from_other_errors() {
        let (etag, failed) = (ETag("1".to_owned()), |condition: Condition<'_>, status: u16, code: Option<&str>| {
            let mut metadata = ErrorMetadata::builder();
            if let Some(code) = code {
                metadata = metadata.code(code);
            }
            let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
            let error = SdkError::service_error(PutObjectError::generic(metadata.build()), response);
            condition_failed(&condition, &error)
        });
        for (status, code, absent, unchanged) in [
            (412, Some("PreconditionFailed"), true, true),
            (412, None, true, true),
            (200, Some("PreconditionFailed"), true, true),
            (200, Some("InternalError"), false, false),
            (404, Some("NoSuchKey"), false, true),
            (404, None, false, true),
            (404, Some("NoSuchBucket"), false, false),
            (409, Some("ConditionalRequestConflict"), false, false),
            (403, Some("AccessDenied"), false, false),
        ] {
            assert_eq!(failed(Condition::Absent, status, code), absent, "{status} {code:?}");
            assert_eq!(failed(Condition::Unchanged(&etag), status, code), unchanged, "{status} {code:?}");
            assert!(!failed(Condition::Always, status, code), "{status} {code:?}");
        }
    }
}
