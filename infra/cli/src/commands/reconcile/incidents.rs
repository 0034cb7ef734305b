//! Deliveries of a capture vendor that are not what their manifests say.

use aws::s3::{Store, StoreError};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use model::{Delivery, keys};
use serde::Serialize;

use ledger::entries::CONCURRENT_READS;

/// A delivery with something wrong. What is there is filed.
#[derive(Debug, Clone, Serialize)]
pub struct Incident {
    /// The file in the inbox.
    pub file: String,
    /// Time of the write.
    pub received: Timestamp,
    /// The object that records it.
    pub record: String,
    /// The problems, in sentences: the number in the vendor's manifest, the missing mails.
    pub problems: Vec<String>,
}

/// The longest record that is read.
const RECORD_LIMIT: u64 = 64 << 20;

impl Incident {
    /// The file and all that is wrong with it, in one sentence.
    pub fn sentence(&self) -> String {
        format!("{}: {}", self.file, self.problems.join("; "))
    }
}

/// The incidents with files that were delivered in a period, oldest first.
///
/// # Errors
/// [`StoreError`].
pub(super) async fn incidents(store: &Store, from: Timestamp, to: Timestamp) -> Result<Vec<Incident>, StoreError> {
    let mut records = Vec::new();
    let list = store.list(keys::INCIDENTS, |page| {
        records.extend(page.into_iter().map(|object| object.key));
        async { Ok::<_, StoreError>(()) }
    });
    list.await?;
    let read = |record: String| async move {
        let object = store.get(&record, RECORD_LIMIT).await?;
        Ok::<_, StoreError>(object.map(|object| incident(record, &object.bytes)))
    };
    let all: Vec<_> = stream::iter(records).map(read).buffer_unordered(CONCURRENT_READS).try_collect().await?;
    let in_period = |incident: &Incident| (from..to).contains(&incident.received) && !incident.problems.is_empty();
    let mut incidents: Vec<Incident> = all.into_iter().flatten().filter(in_period).collect();
    incidents.sort_by(|one, other| (one.received, &one.file).cmp(&(other.received, &other.file)));
    Ok(incidents)
}

/// A record that cannot be read is an incident too.
fn incident(record: String, bytes: &[u8]) -> Incident {
    match serde_json::from_slice::<Delivery>(bytes) {
        Ok(delivery) => {
            let problems = delivery.sentences();
            Incident { file: delivery.file, received: delivery.received, record, problems }
        }
        Err(_) => {
            let problems = vec!["the record of the delivery cannot be read".to_owned()];
            Incident { file: record.clone(), received: Timestamp::now(), record, problems }
        }
    }
}
