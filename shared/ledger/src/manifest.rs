//! Writes the manifest (every entry that the run queues, before it is queued) and the record of the run.
//!
//! Each object is created once. The bucket's policy rejects a write that would replace one, so that a manifest stays
//! evidence of what was listed.

use aws::s3::{Condition, Put, Store, Written};
use bytes::Bytes;
use model::{Listed, RunId, RunRecord, keys};

use crate::error::LedgerError;

/// Attempts to create an object that exists according to S3 and cannot be read.
const CREATE_ATTEMPTS: u32 = 3;

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

/// Creates an object. A write that is repeated after a lost response finds its own bytes.
async fn create(store: &Store, key: &str, bytes: Bytes, content_type: &str) -> Result<(), LedgerError> {
    for _ in 0..CREATE_ATTEMPTS {
        let put = Put { key, bytes: bytes.clone(), content_type, sha256: None };
        if matches!(store.put(put, Condition::Absent).await?, Written::Yes(_)) {
            return Ok(());
        }
        match store.get(key, bytes.len() as u64).await? {
            Some(object) if object.bytes == bytes => return Ok(()),
            Some(_) => break,
            None => {}
        }
    }
    Err(LedgerError::ManifestExists { key: key.to_owned() })
}
