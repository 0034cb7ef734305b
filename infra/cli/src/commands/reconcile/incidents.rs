//! Reads the incidents: deliveries of a capture vendor that do not match their manifests, and values of webhooks that may
//! contain messages and were not recognized.

use std::collections::HashSet;

use aws::s3::{Store, StoreError};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use model::{Closure, Delivery, UnrecognizedValue, keys};
use serde::Serialize;

use ledger::entries::CONCURRENT_READS;

/// A delivery with problems, whose readable mails are filed, or a value of a webhook that was not recognized and whose
/// messages are not filed.
#[derive(Debug, Clone, Serialize)]
pub struct Incident {
    /// Id for `archiver incidents close`: the hash in the record's key; of a value, the hash in the key of its closure.
    pub id: String,
    /// The file in the inbox; of a value, the key of its record.
    pub file: String,
    /// The version of the file.
    #[serde(skip)]
    pub etag: String,
    /// Time of the file's upload, or of the webhook.
    pub received: Timestamp,
    /// Key of the object that records the incident.
    pub record: String,
    /// The problems, in sentences, such as the count in the vendor's manifest and the missing mails.
    pub problems: Vec<String>,
    /// Time, person and reason of the closure; `None` while the incident is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closure>,
}

/// Maximum size of a record, in bytes.
const RECORD_LIMIT: u64 = 64 << 20;

impl Incident {
    /// Describes the file, its problems and the closure in one sentence.
    pub fn sentence(&self) -> String {
        let closed = self.closed.as_ref().map_or_else(String::new, |closed| format!(" ({})", closed.sentence()));
        format!("{}: {}{closed}", self.file, self.problems.join("; "))
    }

    /// Returns whether the incident is a value of a webhook that was not recognized.
    pub fn is_unrecognized_value(&self) -> bool {
        self.record.starts_with(keys::UNRECOGNIZED)
    }
}

/// Describes values of webhooks that were not recognized and that no operator has settled.
pub fn unrecognized_sentence(count: usize) -> String {
    format!(
        "{count} values of webhooks may contain messages and were not recognized (encrypted, or of a later version): they are not \
         filed (runbook, alarm unrecognized-events). Close each when it is settled: archiver incidents close ID --reason TEXT --by NAME"
    )
}

/// Reads the incidents with files or webhooks that were received in a period, oldest first, including closed ones.
///
/// # Errors
/// [`StoreError`].
pub async fn incidents(store: &Store, from: Timestamp, to: Timestamp) -> Result<Vec<Incident>, StoreError> {
    let mut records = Vec::new();
    for prefix in [keys::INCIDENTS, keys::UNRECOGNIZED] {
        let list = store.list(prefix, |page| {
            records.extend(page.into_iter().map(|object| (object.key, object.last_modified)));
            async { Ok::<_, StoreError>(()) }
        });
        list.await?;
    }
    let mut closures = HashSet::new();
    let list = store.list(keys::CLOSURES, |page| {
        closures.extend(page.into_iter().map(|object| object.key));
        async { Ok::<_, StoreError>(()) }
    });
    list.await?;
    let closures = &closures;
    let read = |(record, written): (String, Timestamp)| async move {
        let Some(object) = store.get(&record, RECORD_LIMIT).await? else { return Ok(None) };
        let is_value = record.starts_with(keys::UNRECOGNIZED);
        let parse = if is_value { unrecognized_value } else { incident };
        let mut incident = parse(record, written, &object.bytes);
        if !(from..to).contains(&incident.received) || incident.problems.is_empty() {
            return Ok(None);
        }
        let key = keys::closure(&incident.file, &incident.etag);
        if closures.contains(&key) {
            // An unreadable closure is ignored, so the incident stays open.
            let closure = store.get(&key, RECORD_LIMIT).await?;
            incident.closed = closure.and_then(|object| serde_json::from_slice(&object.bytes).ok());
        }
        Ok::<_, StoreError>(Some(incident))
    };
    let all: Vec<_> = stream::iter(records).map(read).buffer_unordered(CONCURRENT_READS).try_collect().await?;
    let mut incidents: Vec<Incident> = all.into_iter().flatten().collect();
    incidents.sort_by(|one, other| (one.received, &one.file).cmp(&(other.received, &other.file)));
    Ok(incidents)
}

/// Parses a record. An unreadable record is an incident with the time at which the record was written.
fn incident(record: String, written: Timestamp, bytes: &[u8]) -> Incident {
    let name = record.strip_prefix(keys::INCIDENTS).unwrap_or(&record);
    let id = name.strip_suffix(".json").unwrap_or(name).to_owned();
    match serde_json::from_slice::<Delivery>(bytes) {
        Ok(delivery) => {
            let problems = delivery.sentences();
            let (file, etag, received) = (delivery.file, delivery.etag, delivery.received);
            Incident { id, file, etag, received, record, problems, closed: None }
        }
        Err(_) => {
            let problems = vec!["the record of the delivery cannot be read".to_owned()];
            let (file, etag, received) = (record.clone(), String::new(), written);
            Incident { id, file, etag, received, record, problems, closed: None }
        }
    }
}

/// Parses the record of a value that was not recognized.
fn unrecognized_value(record: String, written: Timestamp, bytes: &[u8]) -> Incident {
    let closure = keys::closure(&record, "");
    let id = closure.trim_start_matches(keys::CLOSURES).trim_end_matches(".json").to_owned();
    let (received, place) = match serde_json::from_slice::<UnrecognizedValue>(bytes) {
        Ok(value) => (value.received, keys::webhook_body(value.received, &value.body)),
        Err(_) => (written, "a webhook that its record does not name".to_owned()),
    };
    let problems = vec![format!("a value in {place} may contain messages and was not recognized")];
    Incident { id, file: record.clone(), etag: String::new(), received, record, problems, closed: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_record_is_an_incident_of_its_time() {
        let written: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        let found = incident(format!("{}0123.json", keys::INCIDENTS), written, b"{");
        assert_eq!((found.id.as_str(), found.received, found.problems.len()), ("0123", written, 1));
    }
}
