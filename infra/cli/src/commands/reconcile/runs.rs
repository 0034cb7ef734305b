//! The runs that the bucket knows: when each began, what it says of itself, which pages its manifest has.

use aws::s3::{Store, StoreError};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use model::{RunId, RunRecord, keys};
use serde::Serialize;

use ledger::entries::{AT_ONCE, AccountError};

/// Runs in the order in which they began.
#[derive(Debug, Default)]
pub struct Runs {
    /// Those that are compared.
    pub runs: Vec<Run>,
    /// All others that the bucket has: their windows may cover the period too.
    others: Vec<Run>,
}

/// A run.
#[derive(Debug)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// When it began, by its id; else when its first object was written.
    pub began: Timestamp,
    /// What it says of itself. `None` where an earlier release ran, which wrote no such thing.
    pub record: Option<RunRecord>,
    pub(super) pages: Vec<Page>,
}

/// A run whose manifest is not what it wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Short {
    /// Which.
    pub run: RunId,
    /// How many items it says that it has queued.
    pub queued: u64,
    /// How many its manifest lists.
    pub listed: u64,
}

/// A page of a run's manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) number: u32,
    pub(super) written: Timestamp,
}

/// A record is less than 300 bytes.
const LIMIT: u64 = 4096;

impl Runs {
    /// Reads all runs; those that began at `from` or later and before `to` are compared.
    ///
    /// # Errors
    /// When the bucket does not answer, or the record of a run that is compared is not readable.
    pub async fn between(store: &Store, from: Timestamp, to: Timestamp) -> Result<Self, AccountError> {
        let mut runs: Vec<Run> = Vec::new();
        let mut recorded = Vec::new();
        // In the order of keys, so a run's objects come together.
        let keep = |listed: Vec<aws::s3::Listed>| {
            for listed in listed {
                let Some((id, object)) = object_of(&listed.key) else { continue };
                let began = began(&id).unwrap_or(listed.last_modified);
                if runs.last().is_none_or(|last| last.id != id) {
                    runs.push(Run { id, began, record: None, pages: Vec::new() });
                }
                let at = runs.len() - 1;
                match object {
                    Object::Record if recorded.last() == Some(&at) => {}
                    Object::Record => recorded.push(at),
                    Object::Page(number) => runs[at].pages.push(Page { number, written: listed.last_modified }),
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
                    // It is not about this run; its window counts as unknown.
                    Err(AccountError::Unreadable { .. }) if !compared => Ok((at, None)),
                    record => Ok::<_, AccountError>((at, record?)),
                }
            }
        };
        let records: Vec<_> = stream::iter(recorded).map(read).buffer_unordered(AT_ONCE).try_collect().await?;
        for (at, record) in records {
            runs[at].record = record;
        }
        let (runs, others) = runs.into_iter().partition(compared);
        Ok(Self { runs, others })
    }

    /// All of them, those that are not compared included.
    pub(super) fn all(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().chain(&self.others)
    }

    /// Keys of the pages that are gone.
    pub(super) fn lost_pages(&self) -> Vec<String> {
        self.runs.iter().flat_map(|run| run.lost_pages().map(|page| keys::manifest(&run.id, page))).collect()
    }
}

impl Run {
    /// The numbers of the pages that its manifest has.
    pub(super) fn page_numbers(&self) -> impl Iterator<Item = u32> {
        self.pages.iter().map(|page| page.number)
    }

    /// Whether it says that it has ended.
    pub fn has_ended(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.ended.is_some())
    }

    /// The numbers of its pages that are gone: between those that are there, and up to the last that it says it wrote.
    fn lost_pages(&self) -> impl Iterator<Item = u32> {
        let written = self.record.as_ref().filter(|_| self.has_ended()).map_or(0, |record| record.pages);
        let last = self.pages.last().map_or(0, |page| page.number).max(written);
        (1..=last).filter(|number| self.pages.binary_search_by_key(number, |page| page.number).is_err())
    }

    /// What does not fit, where its manifest lists `listed` items and no page is gone.
    pub(super) fn short(&self, listed: u64) -> Option<Short> {
        let record = self.record.as_ref().filter(|_| self.has_ended())?;
        let whole = self.lost_pages().next().is_none();
        (whole && record.queued != listed).then(|| Short { run: self.id.clone(), queued: record.queued, listed })
    }
}

/// What a run says of itself; `None` where it says nothing.
///
/// # Errors
/// When the bucket does not answer, or what it says is not readable.
pub async fn record(store: &Store, run: &RunId) -> Result<Option<RunRecord>, AccountError> {
    for key in [keys::run(run), keys::run_begun(run)] {
        if let Some(object) = store.get(&key, LIMIT).await? {
            return serde_json::from_slice(&object.bytes).map(Some).map_err(|_| AccountError::Unreadable { key });
        }
    }
    Ok(None)
}

/// What an object of a run is.
#[derive(Debug, PartialEq, Eq)]
enum Object {
    Record,
    Page(u32),
}

/// `runs/<run>/items-<n>.ndjson`, `begun.json` and `run.json` beside it; other objects are ignored.
fn object_of(key: &str) -> Option<(RunId, Object)> {
    let (run, name) = key.strip_prefix(keys::RUNS)?.split_once('/')?;
    let run: RunId = run.parse().ok()?;
    if [keys::run(&run), keys::run_begun(&run)].iter().any(|record| record == key) {
        return Some((run, Object::Record));
    }
    let number = name.strip_prefix("items-")?.strip_suffix(".ndjson")?.parse().ok()?;
    (keys::manifest(&run, number) == key).then_some((run, Object::Page(number)))
}

/// When a run began, which its id begins with.
fn began(run: &RunId) -> Option<Timestamp> {
    let (second, _) = run.as_str().split_once('-')?;
    DateTime::strptime("%Y%m%dT%H%M%SZ", second).ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use model::Window;

    use super::*;

    const RUN: &str = "20261122T070000Z-daily-0badcafe";

    #[test]
    fn a_run_is_placed_by_its_id_and_foreign_objects_are_not_its() {
        let at: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        let run: RunId = RUN.parse().unwrap();
        assert_eq!(object_of(&format!("runs/{RUN}/items-000012.ndjson")), Some((run.clone(), Object::Page(12))));
        assert_eq!(object_of(&format!("runs/{RUN}/run.json")), Some((run.clone(), Object::Record)));
        assert_eq!(object_of(&format!("runs/{RUN}/begun.json")), Some((run.clone(), Object::Record)));
        assert_eq!(began(&run), Some(at));
        for key in
            ["runs/readme.txt", "runs/r/items-1.ndjson", "runs/r/items-000001.ndjson.bak", "runs//items-000001.ndjson"]
        {
            assert!(object_of(key).is_none(), "{key}");
        }
        assert_eq!(began(&"r".parse().unwrap()), None);
    }

    #[test]
    fn what_a_run_says_of_itself_is_held_against_its_manifest() {
        let at: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        let id: RunId = RUN.parse().unwrap();
        let window = Window::between(at - jiff::SignedDuration::from_hours(24), at).unwrap();
        let page = |number| Page { number, written: at };
        let mut run = Run { id: id.clone(), began: at, record: None, pages: vec![page(1), page(3)] };
        assert_eq!(run.lost_pages().collect::<Vec<_>>(), [2]);
        let record = RunRecord { queued: 7, pages: 4, ..RunRecord::begun(id.clone(), window) };
        run.record = Some(record.clone());
        assert_eq!(run.lost_pages().collect::<Vec<_>>(), [2], "it works, or was ended: it has said nothing yet");
        run.record = Some(RunRecord { ended: Some(at), complete: true, ..record });
        assert_eq!(run.lost_pages().collect::<Vec<_>>(), [2, 4]);
        assert_eq!(run.short(6), None, "it is not known what the lost pages listed");
        run.pages = (1..=4).map(page).collect();
        assert_eq!(run.short(7), None);
        assert_eq!(run.short(6), Some(Short { run: id, queued: 7, listed: 6 }));
    }
}
