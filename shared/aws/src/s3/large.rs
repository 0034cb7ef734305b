//! Objects that are written and read a piece at a time: no more than a piece is in memory, however large they are.

use std::ops::Range;

use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata,
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::{Stream, StreamExt, pin_mut};
use model::Sha256;

use crate::s3::{
    Condition, DIGEST, ETag, Store, StoreError, Written, condition_failed, read, refused, shown, signing, status,
};

/// What is to be written in parts.
pub struct PutLarge<'a> {
    /// The whole key.
    pub key: &'a str,
    /// Its media type.
    pub content_type: &'a str,
    /// The digest of the whole object, kept with it as [`Put::sha256`](crate::s3::Put::sha256) is.
    pub sha256: Sha256,
}

/// An object that is read in pieces: one version of it, whatever is written meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    key: String,
    etag: ETag,
    bytes: u64,
}

impl Version {
    /// Its length in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// How long each part but the last has to be at least: 5 MiB, which S3 asks for.
pub const SMALLEST_PART: usize = 5 << 20;

/// How often a piece is asked for. The SDK tries again only until the answer begins, and a piece can break off later.
const TRIES: u32 = 3;

impl Store {
    /// Writes an object whose parts come as a stream; each but the last has at least [`SMALLEST_PART`] bytes. The
    /// object is there with its last part or not at all. What was sent for one that failed is taken away; where even
    /// that fails, or this is dropped, the bucket's lifecycle does it.
    ///
    /// # Errors
    /// What the stream ends with, or [`StoreError`]. After [`StoreError::Unavailable`] it may be there all the same.
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
        let begun = begun.await.map_err(|error| refused("begin", put.key, &error))?;
        Ok(Upload {
            client: Client::clone(&self.client),
            bucket: self.bucket.clone(),
            key: put.key.to_owned(),
            id: begun.upload_id.unwrap_or_default(),
            parts: Vec::new(),
        })
    }

    /// Looks an object up that is to be read in pieces; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn version(&self, key: &str) -> Result<Option<Version>, StoreError> {
        let answer = self.client.head_object().bucket(&self.bucket).key(key).send().await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if status(&error) == Some(404) => return Ok(None),
            Err(error) => return Err(refused("head", key, &error)),
        };
        let bytes = answer.content_length.and_then(|length| u64::try_from(length).ok()).unwrap_or(0);
        Ok(Some(Version { key: key.to_owned(), etag: ETag(answer.e_tag.unwrap_or_default()), bytes }))
    }

    /// Reads a piece of an object; a range that is empty or ends behind the object's end is cut there.
    ///
    /// # Errors
    /// [`StoreError`]: also when another version has taken the object's place, or none.
    pub async fn piece(&self, version: &Version, range: Range<u64>) -> Result<Bytes, StoreError> {
        let range = range.start..range.end.min(version.bytes);
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let mut tried = 1;
        loop {
            match self.try_piece(version, &range).await {
                Err(StoreError::Unavailable { .. }) if tried < TRIES => tried += 1,
                result => return result,
            }
        }
    }

    async fn try_piece(&self, version: &Version, range: &Range<u64>) -> Result<Bytes, StoreError> {
        let key = &version.key;
        let request = self.client.get_object().bucket(&self.bucket).key(key).if_match(&version.etag.0);
        let answer = request.range(format!("bytes={}-{}", range.start, range.end - 1)).send().await;
        let answer = answer.map_err(|error| refused("get", key, &error))?;
        let length = range.end - range.start;
        let bytes = read(answer.body, usize::try_from(length).unwrap_or_default(), key).await?;
        if bytes.len() as u64 == length {
            Ok(bytes)
        } else {
            let problem = "the piece is not as long as it was asked for".to_owned();
            Err(StoreError::Unavailable { operation: "get", key: shown(key), problem })
        }
    }
}

/// A multipart upload under way.
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
            .interceptor(signing::Known(sha256))
            .send();
        let sent = sent.await.map_err(|error| refused("put a part of", &self.key, &error))?;
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
            Ok(answer) => Ok(Written::Yes(ETag(answer.e_tag.unwrap_or_default()))),
            // 404 too: the upload is gone, because the SDK's first try had completed it.
            Err(error) if condition_failed(&condition, &error) => Ok(Written::Conflict),
            Err(error) => Err(refused("complete", &self.key, &error)),
        }
    }

    /// Takes away what was sent. A failure is nobody's to know: the bucket's lifecycle takes it away in a day.
    async fn abort(&self) {
        let abort = self.client.abort_multipart_upload().bucket(&self.bucket).key(&self.key).upload_id(&self.id);
        if let Err(error) = abort.send().await {
            tracing::debug!(code = error.code(), "an upload could not be aborted");
        }
    }
}
