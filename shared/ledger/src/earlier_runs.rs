//! Reads the objects of earlier runs under `runs/`, to find the entries that are queued already and to restore a lost
//! cursor.

use std::collections::{BTreeMap, HashSet};

use aws::s3::{Store, StoreError};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use model::{
    Listed, RunId, RunKind, RunRecord, Sha256,
    keys::{self, RunObject},
};
use tracing::warn;

use crate::{error::LedgerError, manifest::RECORD_MAX_BYTES};

/// Size limit of a manifest page: 10,000 entries of the maximum length.
const PAGE_MAX_BYTES: u64 = 64 << 20;

/// Maximum number of pages that are read concurrently. Each is in memory until its entries are hashed.
const CONCURRENT_READS: usize = 4;

/// Maximum duration of a run: Lambda's limit.
const MAX_RUN: SignedDuration = SignedDuration::from_mins(15);

/// Entries beyond this number are queued again, which limits the memory to about 40 MB.
const MAX_ENTRIES: usize = 1_000_000;

/// The objects of the runs that began at a time or later.
pub struct EarlierRuns<'a> {
    store: &'a Store,
    runs: BTreeMap<RunId, RunObjects>,
}

#[derive(Default)]
struct RunObjects {
    /// Key of the record that the run wrote at its end; otherwise of the one that it wrote at its beginning.
    record: Option<String>,
    pages: Vec<u32>,
}

impl<'a> EarlierRuns<'a> {
    /// Lists the runs that began at `since` or later; all runs if it is `None`.
    pub async fn list(store: &'a Store, since: Option<Timestamp>) -> Result<Self, LedgerError> {
        // The id of a run begins with the second that the run began in.
        let after = since.map(|since| format!("{}{}", keys::RUNS, since.strftime("%Y%m%dT%H%M%SZ")));
        let mut runs = BTreeMap::<RunId, RunObjects>::new();
        let keep = |page: Vec<aws::s3::Listed>| {
            for object in page {
                match keys::run_object(&object.key) {
                    Some((run, RunObject::BegunRecord)) => {
                        runs.entry(run).or_default().record.get_or_insert(object.key);
                    }
                    Some((run, RunObject::Record)) => runs.entry(run).or_default().record = Some(object.key),
                    Some((run, RunObject::ManifestPage(page))) => runs.entry(run).or_default().pages.push(page),
                    None => {}
                }
            }
            std::future::ready(Ok::<_, StoreError>(()))
        };
        store.list_after(keys::RUNS, after.as_deref(), keep).await?;
        Ok(Self { store, runs })
    }

    /// Reads the entries that these runs have put on the convert queue: one request for each 1,000 of them.
    pub async fn read_queued(&self) -> Result<QueuedEntries, LedgerError> {
        let mut queued = QueuedEntries::default();
        let mut pages = Vec::new();
        for (run, objects) in &self.runs {
            let record = self.read_record(objects).await?;
            let confirmed = confirmed_pages(record.as_ref(), &objects.pages);
            pages
                .extend(objects.pages.iter().filter(|page| **page <= confirmed).map(|page| keys::manifest(run, *page)));
        }
        let read = |key: String| async move {
            let object = self.store.get(&key, PAGE_MAX_BYTES).await?;
            Ok::<_, LedgerError>(object.map(|object| object.bytes))
        };
        let mut pages = stream::iter(pages).map(read).buffer_unordered(CONCURRENT_READS);
        while let Some(page) = pages.try_next().await? {
            queued.add_page(&page.unwrap_or_default());
        }
        Ok(queued)
    }

    /// Restores the cursor of a source from the records of these runs; `None` if there is no scheduled run of it. A record of an
    /// earlier release names no source: it is of this one, unless a later run has listed another. Each run records a cursor that
    /// is not before those of the runs that ended before it began, so the newest record is enough, with those of runs that
    /// may have ended after it began. Only if no run has recorded a cursor, all records are read.
    pub async fn restore_cursor(&self, source: &str) -> Result<Option<Timestamp>, LedgerError> {
        let scheduled = self.runs.iter().rev().filter(|(run, _)| run.kind() == Some(RunKind::Scheduled));
        let (mut recorded, mut earliest) = (None, None::<Timestamp>);
        let mut ended_before = None::<Timestamp>;
        let mut changed = false;
        for (run, objects) in scheduled {
            if ended_before.is_some_and(|before| run.began().is_some_and(|began| began < before)) {
                break;
            }
            let record = self.read_record(objects).await?;
            let listed = record.as_ref().and_then(|record| record.source.as_deref());
            changed |= listed.is_some_and(|listed| listed != source);
            if changed && listed != Some(source) {
                continue;
            }
            let began = match &record {
                // Release 0.1 wrote no cursor into the record. After a complete run, everything before the end of its
                // window is queued.
                Some(record) => {
                    recorded = recorded.max(record.cursor.or(record.complete.then_some(record.to)));
                    if recorded.is_some() && ended_before.is_none() {
                        ended_before = run.began().map(|began| began - MAX_RUN);
                    }
                    Some(record.from)
                }
                None => run.began().map(|began| began - model::Window::FIRST),
            };
            earliest = earliest.into_iter().chain(began).min();
        }
        Ok(recorded.or(earliest))
    }

    async fn read_record(&self, objects: &RunObjects) -> Result<Option<RunRecord>, LedgerError> {
        let Some(key) = &objects.record else { return Ok(None) };
        let Some(object) = self.store.get(key, RECORD_MAX_BYTES).await? else { return Ok(None) };
        let record = serde_json::from_slice(&object.bytes);
        Ok(record.inspect_err(|_| warn!(key, "unreadable run record, ignored")).ok())
    }
}

/// Returns the last page of a run's manifest whose entries are all on the queue. A page is written before its entries
/// are queued, and the next page is written after that, so all pages but the last count for a run that did not end.
fn confirmed_pages(record: Option<&RunRecord>, pages: &[u32]) -> u32 {
    let ended = record.filter(|record| record.ended.is_some());
    let confirmed = ended.and_then(|record| record.pages_queued.or(record.complete.then_some(record.pages)));
    confirmed.unwrap_or_else(|| pages.iter().max().map_or(0, |last| last.saturating_sub(1)))
}

/// Entries that are or were on the convert queue. An entry that the source lists with another time counts as another
/// entry: it is queued again, and convert finds its outcome.
#[derive(Default)]
pub struct QueuedEntries(HashSet<[u8; 16]>);

impl QueuedEntries {
    pub fn contains(&self, entry: &Listed) -> bool {
        !self.0.is_empty() && self.0.contains(&hash(entry))
    }

    fn add_page(&mut self, lines: &[u8]) {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // A line that cannot be read counts as not queued.
            if self.0.len() < MAX_ENTRIES
                && let Ok(entry) = serde_json::from_slice(line)
            {
                self.0.insert(hash(&entry));
            }
        }
    }
}

fn hash(entry: &Listed) -> [u8; 16] {
    let bytes = format!("{}\n{}", entry.item, entry.archived_time);
    let mut hash = [0; 16];
    hash.copy_from_slice(&Sha256::of(bytes.as_bytes()).as_bytes()[..16]);
    hash
}

#[cfg(test)]
mod tests {
    use model::Window;
    use serde_json::json;

    use super::*;

    fn record() -> RunRecord {
        let window =
            Window::between("2026-11-21T00:00:00Z".parse().unwrap(), "2026-11-22T00:00:00Z".parse().unwrap()).unwrap();
        RunRecord::begun("r".parse().unwrap(), window)
    }

    #[test]
    fn only_pages_confirmed_on_the_queue_count_as_queued() {
        assert_eq!(confirmed_pages(None, &[1, 2, 3]), 2, "no record: the last page may not be queued");
        assert_eq!(confirmed_pages(Some(&record()), &[1, 2, 3]), 2, "interrupted");
        assert_eq!(confirmed_pages(Some(&record()), &[]), 0);
        let ended = RunRecord { pages: 3, ended: Some(Timestamp::UNIX_EPOCH), ..record() };
        assert_eq!(confirmed_pages(Some(&ended), &[1, 2, 3]), 2, "of release 0.1, interrupted");
        let complete = RunRecord { complete: true, ..ended.clone() };
        assert_eq!(confirmed_pages(Some(&complete), &[1, 2, 3]), 3, "of release 0.1, complete");
        for pages_queued in [0, 2, 3] {
            let counted = RunRecord { pages_queued: Some(pages_queued), ..ended.clone() };
            assert_eq!(confirmed_pages(Some(&counted), &[1, 2, 3]), pages_queued);
        }
    }

    const SOURCE: &str = "eml-drop";

    /// Writes the record of a scheduled run that began at this hour of the day.
    async fn write_run(store: &Store, hour: i64, cursor: Option<i64>, source: Option<&str>) {
        let at = |hour| "2026-11-21T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hour);
        let run = RunId::new(at(hour), RunKind::Scheduled, &format!("request-{hour}"));
        let record = RunRecord { run, cursor: cursor.map(at), source: source.map(str::to_owned), ..record() };
        crate::manifest::write_record(store, &record).await.unwrap();
    }

    #[tokio::test]
    async fn cursor_is_restored_from_the_newest_records() {
        let aws = aws_fake::Aws::start().await;
        let store = Store::new(aws.config(), aws_fake::BUCKET.to_owned());
        for hour in 0..50 {
            write_run(&store, hour, Some(hour - 1), Some(SOURCE)).await;
        }
        // The newest one has recorded nothing.
        write_run(&store, 50, None, Some(SOURCE)).await;
        let read_before = aws.reads().len();
        let runs = EarlierRuns::list(&store, None).await.unwrap();
        let restored = runs.restore_cursor(SOURCE).await.unwrap();
        assert_eq!(restored, "2026-11-23T00:00:00Z".parse().ok());
        assert_eq!(aws.reads().len() - read_before, 2, "one read for each run ever");
    }

    #[tokio::test]
    async fn cursor_of_a_source_is_restored_from_its_own_records() {
        let aws = aws_fake::Aws::start().await;
        let store = Store::new(aws.config(), aws_fake::BUCKET.to_owned());
        let restored = async |source: &str| {
            let runs = EarlierRuns::list(&store, None).await.unwrap();
            let day = "2026-11-21T00:00:00Z".parse::<Timestamp>().unwrap();
            runs.restore_cursor(source).await.unwrap().map(|cursor| cursor.duration_since(day).as_hours())
        };
        // A record of an earlier release is of the present source.
        write_run(&store, 10, Some(9), None).await;
        assert_eq!((restored(SOURCE).await, restored("cloud-api").await), (Some(9), Some(9)));
        write_run(&store, 20, Some(19), Some(SOURCE)).await;
        assert_eq!((restored(SOURCE).await, restored("cloud-api").await), (Some(19), None));
        write_run(&store, 30, Some(29), Some("cloud-api")).await;
        assert_eq!((restored(SOURCE).await, restored("cloud-api").await), (Some(19), Some(29)));
    }

    #[test]
    fn entry_under_another_time_is_queued_again() {
        let entry = |item: serde_json::Value, time: &str| Listed { item, archived_time: json!(time) };
        let mut queued = QueuedEntries::default();
        assert!(!queued.contains(&entry(json!("WA-1"), "a")));
        queued.add_page(b"{\"item\":\"WA-1\",\"archived_time\":\"a\"}\n{\"item\":7,\"archived_time\":\"a\"}\ncut of");
        assert!(queued.contains(&entry(json!("WA-1"), "a")) && queued.contains(&entry(json!(7), "a")));
        assert!(!queued.contains(&entry(json!("WA-1"), "b")) && !queued.contains(&entry(json!("7"), "a")));
    }
}
