//! The manifest: every id that the run queues, written down before it is queued; and beside it, that there was a run.

use item::{Listed, RunId, RunRecord};
use store::{Condition, Put, Store, keys};

use crate::FetchError;

/// Writes one page, a JSON object a line.
pub(crate) async fn write(store: &Store, run: &RunId, page: u32, items: &[Listed]) -> Result<(), FetchError> {
    let mut lines = Vec::with_capacity(items.len() * 96);
    for item in items {
        serde_json::to_writer(&mut lines, item).map_err(FetchError::Json)?;
        lines.push(b'\n');
    }
    let key = keys::manifest(run, page);
    let put = Put { key: &key, bytes: lines.into(), content_type: "application/x-ndjson", sha256: None };
    // The run's id is unique, so whatever stands there is this page from an earlier try.
    store.put(put, Condition::Always).await?;
    Ok(())
}

/// Writes that the run began, or what it came to.
pub(crate) async fn record(store: &Store, record: &RunRecord) -> Result<(), FetchError> {
    let bytes = serde_json::to_vec(record).map_err(FetchError::Json)?;
    let key = keys::run(&record.run);
    let put = Put { key: &key, bytes: bytes.into(), content_type: "application/json", sha256: None };
    store.put(put, Condition::Always).await?;
    Ok(())
}
