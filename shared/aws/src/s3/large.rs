//! Writes and reads large objects in pieces: no more than one piece is in memory.

use std::ops::Range;

use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::{Stream, StreamExt, pin_mut};
use model::Sha256;

use crate::s3::{
    Condition, DIGEST, ETag, Listed, Store, StoreError, Written, condition_failed, error_of, log_key, read, signing,
    status,
};

/// An object to write in parts.
pub struct PutLarge<'a> {
    pub key: &'a str,
    /// Its media type.
    pub content_type: &'a str,
    /// The digest of the whole object. It is stored with the object, like [`Put::sha256`](crate::s3::Put::sha256).
    pub sha256: Sha256,
}

/// A version of an object that is read in pieces. Later writes do not affect it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    key: String,
    etag: ETag,
    bytes: u64,
}

impl From<&Listed> for Version {
    fn from(listed: &Listed) -> Self {
        Self { key: listed.key.clone(), etag: listed.etag.clone(), bytes: listed.bytes }
    }
}

impl Version {
    /// Returns the length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Minimum size of each part except the last one: a limit of S3.
pub const MIN_PART_BYTES: usize = 5 << 20;

/// Attempts to read a piece. The SDK retries only until the response begins, and a body can break off later.
const ATTEMPTS: u32 = 3;

impl Store {
    /// Writes an object from a stream of parts; each part except the last one has at least [`MIN_PART_BYTES`]. The
    /// object appears with its last part or not at all. A failed upload is aborted; if that fails or the future is
    /// dropped, the bucket's lifecycle rule aborts it.
    ///
    /// # Errors
    /// The error of the stream, or [`StoreError`]. After [`StoreError::Unavailable`] the outcome is unknown.
    pub async fn put_large<E: From<StoreError>>(
        &self,
        put: PutLarge<'_>,
        parts: impl Stream<Item = Result<Bytes, E>> + Send,
        condition: Condition<'_>,
    ) -> Result<Written, E> {
        let mut upload = self.begin(&put).await?;
        let written = match upload.send_all(parts).await {
            Ok(()) => upload.complete(condition).await.map_err(E::from),
            Err(error) => Err(error),
        };
        if !matches!(written, Ok(Written::Yes(_))) {
            upload.abort().await;
        }
        written
    }

    async fn begin(&self, put: &PutLarge<'_>) -> Result<Upload, StoreError> {
        let begun = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(put.key)
            .content_type(put.content_type)
            .metadata(DIGEST, put.sha256.to_string())
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .send();
        let begun = begun.await.map_err(|error| error_of("begin", put.key, &error))?;
        Ok(Upload {
            client: Client::clone(&self.client),
            bucket: self.bucket.clone(),
            key: put.key.to_owned(),
            id: begun.upload_id.unwrap_or_default(),
            parts: Vec::new(),
        })
    }

    /// Looks up the current version of an object; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_version(&self, key: &str) -> Result<Option<Version>, StoreError> {
        let response = self.client.head_object().bucket(&self.bucket).key(key).send().await;
        let response = match response {
            Ok(response) => response,
            Err(error) if status(&error) == Some(404) => return Ok(None),
            Err(error) => return Err(error_of("head", key, &error)),
        };
        let bytes = response.content_length.and_then(|length| u64::try_from(length).ok()).unwrap_or(0);
        Ok(Some(Version { key: key.to_owned(), etag: ETag(response.e_tag.unwrap_or_default()), bytes }))
    }

    /// Reads a range of an object; the range is cut at the object's end.
    ///
    /// # Errors
    /// [`StoreError`], also if the object was overwritten or deleted.
    pub async fn read_piece(&self, version: &Version, range: Range<u64>) -> Result<Bytes, StoreError> {
        let range = range.start..range.end.min(version.bytes);
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let mut attempt = 1;
        loop {
            match self.try_read_piece(version, &range).await {
                Err(StoreError::Unavailable { .. }) if attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    async fn try_read_piece(&self, version: &Version, range: &Range<u64>) -> Result<Bytes, StoreError> {
        let key = &version.key;
        let request = self.client.get_object().bucket(&self.bucket).key(key).if_match(&version.etag.0);
        let response = request.range(format!("bytes={}-{}", range.start, range.end - 1)).send().await;
        let response = response.map_err(|error| match status(&error) {
            Some(412) => {
                let problem = "the object was overwritten while it was read".to_owned();
                StoreError::Unavailable { operation: "get", key: log_key(key), problem }
            }
            _ => error_of("get", key, &error),
        })?;
        let length = range.end - range.start;
        let bytes = read(response.body, usize::try_from(length).unwrap_or_default(), key).await?;
        if bytes.len() as u64 == length {
            Ok(bytes)
        } else {
            let problem = "the response is shorter than the requested range".to_owned();
            Err(StoreError::Unavailable { operation: "get", key: log_key(key), problem })
        }
    }
}

/// Returns whether the upload no longer exists: an earlier attempt of the SDK may have completed it.
fn is_completed<E: ProvideErrorMetadata>(condition: &Condition<'_>, error: &SdkError<E>) -> bool {
    !matches!(condition, Condition::Always) && error.code() == Some("NoSuchUpload")
}

/// A multipart upload in progress.
struct Upload {
    client: Client,
    bucket: String,
    key: String,
    id: String,
    parts: Vec<CompletedPart>,
}

impl Upload {
    async fn send_all<E: From<StoreError>>(&mut self, parts: impl Stream<Item = Result<Bytes, E>>) -> Result<(), E> {
        pin_mut!(parts);
        while let Some(part) = parts.next().await {
            self.send(part?).await?;
        }
        Ok(())
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let number = i32::try_from(self.parts.len() + 1).unwrap_or(i32::MAX);
        let sha256 = Sha256::of(&bytes);
        let digest = BASE64_STANDARD.encode(sha256.as_bytes());
        let sent = self
            .client
            .upload_part()
            .bucket(&self.bucket)
            .key(&self.key)
            .upload_id(&self.id)
            .part_number(number)
            .checksum_sha256(&digest)
            .body(ByteStream::from(bytes))
            .customize()
            .interceptor(signing::PrecomputedDigest(sha256))
            .send();
        let sent = sent.await.map_err(|error| error_of("put a part of", &self.key, &error))?;
        let part = CompletedPart::builder().part_number(number).checksum_sha256(digest).set_e_tag(sent.e_tag);
        self.parts.push(part.build());
        Ok(())
    }

    async fn complete(&mut self, condition: Condition<'_>) -> Result<Written, StoreError> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(std::mem::take(&mut self.parts))).build();
        let (absent, unchanged) = condition.headers();
        let completed = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(&self.key)
            .upload_id(&self.id)
            .multipart_upload(parts)
            .set_if_none_match(absent)
            .set_if_match(unchanged)
            .send();
        match completed.await {
            Ok(response) => Ok(Written::Yes(ETag(response.e_tag.unwrap_or_default()))),
            Err(error) if condition_failed(&condition, &error) || is_completed(&condition, &error) => {
                Ok(Written::Conflict)
            }
            Err(error) => Err(error_of("complete", &self.key, &error)),
        }
    }

    /// Aborts the upload. A failure is ignored: the bucket's lifecycle rule aborts it after a day.
    async fn abort(&self) {
        let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(&self.key).upload_id(&self.id);
        if let Err(error) = abort.send().await {
            tracing::debug!(code = error.code(), "aborting an upload failed");
        }
    }
}
