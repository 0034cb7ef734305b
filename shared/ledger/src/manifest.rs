//! Writes the manifest (every entry that the run queues, before it is queued) and the record of the run.
//!
//! Each object is created once. The bucket's policy rejects a write that would replace one, so that a manifest stays
//! evidence of what was listed.

use aws::s3::{Condition, Put, Store, StoreError, Written};
use bytes::Bytes;
use model::{Listed, RunId, RunRecord, keys};

use crate::error::LedgerError;

/// Attempts to create an object that exists according to S3 and cannot be read.
const CREATE_ATTEMPTS: u32 = 3;

/// Size limit of a run record, which has about 500 bytes.
pub(crate) const RECORD_MAX_BYTES: u64 = 64 << 10;

/// Writes one page, one JSON object per line.
///
/// # Errors
/// [`LedgerError`].
pub async fn write_page(store: &Store, run: &RunId, page: u32, items: &[Listed]) -> Result<(), LedgerError> {
    let mut lines = Vec::with_capacity(items.len() * 96);
    for item in items {
        serde_json::to_writer(&mut lines, item).map_err(LedgerError::Json)?;
        lines.push(b'\n');
    }
    create(store, &keys::manifest(run, page), lines.into(), "application/x-ndjson").await
}

/// Writes the record of a run that begins or has ended.
///
/// # Errors
/// [`LedgerError`].
pub async fn write_record(store: &Store, record: &RunRecord) -> Result<(), LedgerError> {
    let bytes = serde_json::to_vec(record).map_err(LedgerError::Json)?;
    let key = if record.ended.is_some() { keys::run(&record.run) } else { keys::run_begun(&record.run) };
    create(store, &key, bytes.into(), "application/json").await
}

/// Reads the record that a run wrote at its end; `None` if there is none that can be parsed.
///
/// # Errors
/// [`LedgerError`].
pub async fn read_record(store: &Store, run: &RunId) -> Result<Option<RunRecord>, LedgerError> {
    let object = store.get(&keys::run(run), RECORD_MAX_BYTES).await?;
    Ok(object.and_then(|object| serde_json::from_slice(&object.bytes).ok()))
}

/// Creates an object. If the response is lost, or the write is repeated after a lost response, the object has the bytes
/// that were to be written.
async fn create(store: &Store, key: &str, bytes: Bytes, content_type: &str) -> Result<(), LedgerError> {
    for _ in 0..CREATE_ATTEMPTS {
        let put = Put { key, bytes: bytes.clone(), content_type, sha256: None };
        let unavailable = match store.put(put, Condition::Absent).await {
            Ok(Written::Yes(_)) => return Ok(()),
            Ok(Written::Conflict) => None,
            Err(error @ StoreError::Unavailable { .. }) => Some(error),
            Err(error) => return Err(error.into()),
        };
        match (store.get(key, bytes.len() as u64).await?, unavailable) {
            (Some(object), _) if object.bytes == bytes => return Ok(()),
            (Some(_), _) => break,
            (None, Some(error)) => return Err(error.into()),
            (None, None) => {}
        }
    }
    Err(LedgerError::ManifestExists { key: key.to_owned() })
}
