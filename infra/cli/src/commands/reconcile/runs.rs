//! Reads the objects of the runs in the bucket: `begun.json` and `run.json` (the record), and the list of manifest
//! pages. A run is complete evidence only if no page is missing and the pages list as many items as the record says.

use aws::s3::{Store, StoreError};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use model::{
    RunId, RunRecord,
    keys::{self, RunObject},
};
use serde::Serialize;

use ledger::entries::{CONCURRENT_READS, LedgerReadError};

/// The runs in the bucket, in the order of their ids.
#[derive(Debug, Default)]
pub struct Runs {
    /// Runs that began in the period: reconcile compares the items in their manifests with the outcomes.
    pub runs: Vec<Run>,
    /// All other runs in the bucket: their windows may cover a part of the period.
    others: Vec<Run>,
}

#[derive(Debug)]
pub struct Run {
    pub id: RunId,
    /// Start of the run, taken from its id; if the id contains no time, the time at which its first object was written.
    pub began: Timestamp,
    /// Record of the run. `None` for a run of an earlier release, which wrote none.
    pub record: Option<RunRecord>,
    pub(super) pages: Vec<Page>,
}

/// A run whose manifest lists another number of items than it has queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShortManifest {
    pub run: RunId,
    /// Number of queued items according to the record.
    pub queued: u64,
    /// Number of items in the manifest.
    pub listed: u64,
}

/// A page of a run's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) number: u32,
    pub(super) written: Timestamp,
}

/// Limit of a record, which has about 500 bytes.
const RECORD_MAX_BYTES: u64 = 4096;

impl Runs {
    /// Reads all runs; those that began at `from` or later and before `to` are compared.
    ///
    /// # Errors
    /// The bucket, or the record of a compared run, cannot be read.
    pub async fn between(store: &Store, from: Timestamp, to: Timestamp) -> Result<Self, LedgerReadError> {
        let mut runs: Vec<Run> = Vec::new();
        let mut recorded = Vec::new();
        // Listed in the order of keys, so a run's objects are adjacent.
        let keep = |listed: Vec<aws::s3::Listed>| {
            for listed in listed {
                let Some((id, object)) = object_of(&listed.key) else { continue };
                let began = id.began().unwrap_or(listed.last_modified);
                if runs.last().is_none_or(|last| last.id != id) {
                    runs.push(Run { id, began, record: None, pages: Vec::new() });
                }
                let at = runs.len() - 1;
                match object {
                    RunObject::BegunRecord | RunObject::Record if recorded.last() == Some(&at) => {}
                    RunObject::BegunRecord | RunObject::Record => recorded.push(at),
                    RunObject::ManifestPage(number) => {
                        runs[at].pages.push(Page { number, written: listed.last_modified });
                    }
                }
            }
            std::future::ready(Ok::<_, StoreError>(()))
        };
        store.list(keys::RUNS, keep).await?;
        let compared = |run: &Run| from <= run.began && run.began < to;
        let read = |at: usize| {
            let (id, compared) = (runs[at].id.clone(), compared(&runs[at]));
            async move {
                match record(store, &id).await {
                    // The run is not compared; its window counts as unknown.
                    Err(LedgerReadError::Unreadable { .. }) if !compared => Ok((at, None)),
                    record => Ok::<_, LedgerReadError>((at, record?)),
                }
            }
        };
        let records: Vec<_> = stream::iter(recorded).map(read).buffer_unordered(CONCURRENT_READS).try_collect().await?;
        for (at, record) in records {
            runs[at].record = record;
        }
        let (runs, others) = runs.into_iter().partition(compared);
        Ok(Self { runs, others })
    }

    /// Creates runs that are all compared.
    #[cfg(test)]
    pub(super) fn from_runs(runs: Vec<Run>) -> Self {
        Self { runs, others: Vec::new() }
    }

    /// Returns all runs, including those that are not compared.
    pub(super) fn all(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().chain(&self.others)
    }

    /// Returns the keys of missing pages.
    pub fn lost_pages(&self) -> Vec<String> {
        self.runs.iter().flat_map(|run| run.lost_pages().map(|page| keys::manifest(&run.id, page))).collect()
    }
}

impl Run {
    /// Returns the numbers of the pages in the bucket.
    pub fn page_numbers(&self) -> impl Iterator<Item = u32> {
        self.pages.iter().map(|page| page.number)
    }

    /// Returns whether the run has recorded its end.
    pub fn has_ended(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.ended.is_some())
    }

    /// Returns whether the record counts the items of a page. A page beyond those of the record was written although its
    /// response was lost: its items were not queued by this run. They are compared like all others.
    pub(super) fn counts(&self, page: Page) -> bool {
        self.record.as_ref().filter(|_| self.has_ended()).is_none_or(|record| page.number <= record.pages)
    }

    /// Returns the numbers of missing pages: those between existing ones, and those up to the number of pages in the
    /// record.
    fn lost_pages(&self) -> impl Iterator<Item = u32> {
        let written = self.record.as_ref().filter(|_| self.has_ended()).map_or(0, |record| record.pages);
        let last = self.pages.last().map_or(0, |page| page.number).max(written);
        (1..=last).filter(|number| self.pages.binary_search_by_key(number, |page| page.number).is_err())
    }

    /// Returns the mismatch between the record and the `listed` items of the pages that it [counts](Self::counts); `None`
    /// if a page is missing.
    pub(super) fn short(&self, listed: u64) -> Option<ShortManifest> {
        let record = self.record.as_ref().filter(|_| self.has_ended())?;
        let whole = self.lost_pages().next().is_none();
        (whole && record.queued != listed).then(|| ShortManifest {
            run: self.id.clone(),
            queued: record.queued,
            listed,
        })
    }
}

/// Reads the record of a run; `None` if it has none.
///
/// # Errors
/// The bucket or the record cannot be read.
pub async fn record(store: &Store, run: &RunId) -> Result<Option<RunRecord>, LedgerReadError> {
    for key in [keys::run(run), keys::run_begun(run)] {
        if let Some(object) = store.get(&key, RECORD_MAX_BYTES).await? {
            return serde_json::from_slice(&object.bytes).map(Some).map_err(|_| LedgerReadError::Unreadable { key });
        }
    }
    Ok(None)
}

/// Returns the run and the object that a key names. A page's key is computed from its number when the page is read, so
/// an object with a number but another key (`items-1.ndjson`) is ignored.
fn object_of(key: &str) -> Option<(RunId, RunObject)> {
    keys::run_object(key).filter(|(run, object)| match object {
        RunObject::ManifestPage(number) => keys::manifest(run, *number) == key,
        RunObject::BegunRecord | RunObject::Record => true,
    })
}

#[cfg(test)]
mod tests {
    use model::Window;

    use super::*;

    const RUN: &str = "20261122T070000Z-daily-0badcafe";

    #[test]
    fn objects_are_assigned_to_runs_by_their_keys() {
        let at: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        let run: RunId = RUN.parse().unwrap();
        assert_eq!(
            object_of(&format!("runs/{RUN}/items-000012.ndjson")),
            Some((run.clone(), RunObject::ManifestPage(12)))
        );
        assert_eq!(object_of(&format!("runs/{RUN}/run.json")), Some((run.clone(), RunObject::Record)));
        assert_eq!(object_of(&format!("runs/{RUN}/begun.json")), Some((run.clone(), RunObject::BegunRecord)));
        assert_eq!(run.began(), Some(at));
        for key in
            ["runs/readme.txt", "runs/r/items-1.ndjson", "runs/r/items-000001.ndjson.bak", "runs//items-000001.ndjson"]
        {
            assert!(object_of(key).is_none(), "{key}");
        }
        assert_eq!("r".parse::<RunId>().unwrap().began(), None);
    }

    #[test]
    fn manifest_is_compared_with_the_record_of_its_run() {
        let at: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        let id: RunId = RUN.parse().unwrap();
        let window = Window::between(at - jiff::SignedDuration::from_hours(24), at).unwrap();
        let page = |number| Page { number, written: at };
        let mut run = Run { id: id.clone(), began: at, record: None, pages: vec![page(1), page(3)] };
        assert_eq!(run.lost_pages().collect::<Vec<_>>(), [2]);
        let record = RunRecord { queued: 7, pages: 4, ..RunRecord::begun(id.clone(), window) };
        run.record = Some(record.clone());
        assert_eq!(run.lost_pages().collect::<Vec<_>>(), [2], "it is running or was terminated: no end is recorded");
        run.record = Some(RunRecord { ended: Some(at), complete: true, ..record });
        assert_eq!(run.lost_pages().collect::<Vec<_>>(), [2, 4]);
        assert_eq!(run.short(6), None, "the items of the missing pages are unknown");
        run.pages = (1..=4).map(page).collect();
        assert_eq!(run.short(7), None);
        assert_eq!(run.short(6), Some(ShortManifest { run: id, queued: 7, listed: 6 }));
        assert!(run.counts(page(4)) && !run.counts(page(5)), "page 5 was written, and its response was lost");
        run.record = None;
        assert!(run.counts(page(5)));
    }
}
