//! The manifest: every id that the run queues, written down before it is queued.

use item::{Listed, RunId};
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
