//! Finds mails that fetch has copied from a vendor's file and that no run has listed: the file was replaced or removed after
//! fetch had read it, and a run lists only what the inbox has. Their copies are in the bucket, so they can be queued.

use aws::s3::{Store, StoreError};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use model::{Delivery, Listed, keys};
use serde_json::json;
use source::EmlDrop;

use super::{
    error::ReconcileError,
    open_item::OpenItem,
    runs::{Run, Runs},
    seen_items::{ItemHash, RunIndexes, SeenItems},
};
use ledger::entries::CONCURRENT_READS;

/// A record of a vendor's file.
struct Recorded {
    delivery: Delivery,
    written: Timestamp,
}

impl Recorded {
    /// Reads a record.
    ///
    /// # Errors
    /// [`ReconcileError::Delivery`]: without the record it is unknown which mails the file had.
    fn parse(key: &str, bytes: &[u8], written: Timestamp) -> Result<Self, ReconcileError> {
        let delivery = serde_json::from_slice(bytes).map_err(|_| ReconcileError::Delivery(key.to_owned()))?;
        Ok(Self { delivery, written })
    }

    /// Returns the last run that would have listed the file if it had been in the inbox. A run that ended before the record
    /// was written did not see the file: it may have been uploaded in parts, which takes hours.
    fn run<'a>(&self, runs: &'a Runs, key: &str) -> Option<&'a Run> {
        // Once a file is replaced, no run lists the earlier version, so its record need not wait for one.
        let is_replaced = key != keys::delivery(&self.delivery.file);
        let lists = |run: &&Run| {
            let Some(record) = &run.record else { return false };
            let has_read = is_replaced || record.ended.is_some_and(|ended| ended >= self.written);
            let is_own = record.source.as_deref().is_none_or(|source| source == EmlDrop::NAME);
            let received = self.delivery.received;
            has_read && is_own && run.fetched().is_some_and(|part| (part.from..part.to).contains(&received))
        };
        runs.compared().filter(lists).max_by_key(|run| run.began)
    }
}

/// Returns the mails of files of a period that are in no manifest. `seen`: the items of all manifests; the mails are added.
pub(super) async fn unlisted_mails(
    store: &Store,
    runs: &Runs,
    seen: &mut SeenItems,
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<OpenItem>, ReconcileError> {
    let mut records = Vec::new();
    let list = store.list(keys::DELIVERIES, |page| {
        // A record is written after the file.
        let page = page.into_iter().filter(|object| object.last_modified >= from);
        records.extend(page.map(|object| (object.key, object.last_modified)));
        async { Ok::<_, StoreError>(()) }
    });
    list.await?;
    let read = |(key, written): (String, Timestamp)| async move {
        let object = store.get(&key, EmlDrop::RECORD_MAX_BYTES).await?;
        let recorded = object.map(|object| Recorded::parse(&key, &object.bytes, written)).transpose()?;
        Ok::<_, ReconcileError>(recorded.map(|recorded| (key, recorded)))
    };
    let places = RunIndexes::of(runs);
    let mut unlisted = Vec::new();
    let mut records = stream::iter(records).map(read).buffered(CONCURRENT_READS);
    while let Some(recorded) = records.try_next().await? {
        let Some((key, recorded)) = recorded else { continue };
        let received = recorded.delivery.received;
        if !(from..to).contains(&received) {
            continue;
        }
        let Some(run) = recorded.run(runs, &key) else { continue };
        for item in recorded.delivery.items.into_iter().filter(|item| item.sha256.is_some()) {
            let listed = Listed { item: json!(item.item), archived_time: json!(received) };
            if seen.is_new(ItemHash::of(&listed.item)) {
                unlisted.push(OpenItem {
                    run: run.id.clone(),
                    first: places.get(&run.id),
                    listed,
                    is_in_manifest: false,
                    recent: false,
                    newest: Some(received),
                    again: Vec::new(),
                });
            }
        }
    }
    Ok(unlisted)
}

#[cfg(test)]
mod tests {
    use model::{RunId, RunKind, RunRecord, Window};

    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-{text}:00Z").parse().unwrap()
    }

    /// Returns the run that has listed a file of 20 November, 12:00, whose record was written on 21 November, 07:01.
    fn listed_by(record: RunRecord, is_replaced: bool) -> Option<RunId> {
        let file = "inbox/daily.zip";
        let delivery = Delivery {
            v: Delivery::VERSION,
            file: file.to_owned(),
            etag: "1".to_owned(),
            received: at("20T12:00"),
            manifest_count: None,
            mails: 1,
            items: Vec::new(),
            problems: Vec::new(),
        };
        let key = if is_replaced { keys::replaced_delivery(file, "1") } else { keys::delivery(file) };
        let (id, began) = (record.run.clone(), record.to);
        let run = Run { id, began, record: Some(record), unreadable_record: false, pages: Vec::new() };
        let runs = Runs::from_runs(vec![run]);
        Recorded { delivery, written: at("21T07:01") }.run(&runs, &key).map(|run| run.id.clone())
    }

    #[test]
    fn unreadable_record_is_an_error_that_names_it() {
        let key = keys::delivery("inbox/daily.zip");
        let error = Recorded::parse(&key, b"damaged", at("21T07:01")).err().unwrap().to_string();
        assert!(error.contains(&key) && error.contains("restore"), "{error}");
    }

    #[test]
    fn file_is_listed_by_a_run_that_ended_after_it_was_read() {
        let window = Window::between(at("19T06:55"), at("21T06:55")).unwrap();
        let id = RunId::new(at("21T07:00"), RunKind::Scheduled, "run");
        let record = |ended: &str| RunRecord {
            complete: true,
            ended: Some(at(ended)),
            source: Some(EmlDrop::NAME.to_owned()),
            ..RunRecord::begun(id.clone(), window)
        };
        let run = Some(id.clone());
        assert_eq!(listed_by(record("21T07:02"), false), run);
        assert_eq!(listed_by(record("21T07:00"), false), None, "the upload ended after this run");
        assert_eq!(listed_by(record("21T07:00"), true), run, "no later run lists the earlier version");
        assert_eq!(listed_by(RunRecord { source: None, ..record("21T07:02") }, false), run);
        let other = RunRecord { source: Some("cloud-api".to_owned()), ..record("21T07:02") };
        assert_eq!(listed_by(other, false), None);
        let interrupted = |reached| RunRecord { complete: false, reached: Some(at(reached)), ..record("21T07:02") };
        assert_eq!(listed_by(interrupted("20T12:00"), false), None, "the next run continues with the file");
        assert_eq!(listed_by(interrupted("20T12:01"), false), run);
    }
}
