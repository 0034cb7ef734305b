//! Reads the objects of the runs in the bucket: `begun.json` and `run.json` (the record), and the list of manifest
//! pages. A run is complete evidence only if no page is missing and the pages list as many items as the record says.

use aws::s3::{Store, StoreError};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use model::{
    Listed, RunId, RunRecord, Window,
    keys::{self, RunObject},
};
use serde::{Deserialize, Serialize};

use ledger::entries::{CONCURRENT_READS, LedgerReadError};

/// The runs in the bucket, in the order of their ids.
#[derive(Debug, Default)]
pub struct Runs {
    /// Runs that began in the period: reconcile compares the items in their manifests with the outcomes.
    pub runs: Vec<Run>,
    /// Runs that began outside the period and may list items of it: their windows overlap it, or are unknown. A gap that
    /// is closed later, and the last day of a period, are in the manifests of such runs.
    outside: Vec<Run>,
    /// All other runs in the bucket.
    others: Vec<Run>,
    period: Period,
}

/// A period; its end is exclusive.
#[derive(Debug, Clone, Copy)]
struct Period {
    from: Timestamp,
    to: Timestamp,
}

impl Default for Period {
    fn default() -> Self {
        Self { from: Timestamp::MIN, to: Timestamp::MAX }
    }
}

impl Period {
    fn contains(self, time: Timestamp) -> bool {
        self.from <= time && time < self.to
    }

    /// Returns whether a run that began outside the period may list items of it. A run without a readable window lists
    /// nothing that is archived after its start.
    fn overlaps(self, run: &Run) -> bool {
        match run.window() {
            Some(window) => window.from < self.to && self.from < window.to,
            None => self.from < run.began,
        }
    }
}

#[derive(Debug)]
pub struct Run {
    pub id: RunId,
    /// Start of the run, taken from its id; if the id contains no time, the time at which its first object was written.
    pub began: Timestamp,
    /// Record of the run. `None` for a run of an earlier release, which wrote none.
    pub record: Option<RunRecord>,
    /// `true` if the run has a record that cannot be parsed.
    pub(super) unreadable_record: bool,
    pub(super) pages: Vec<Page>,
}

/// A run whose manifest lists another number of items than it has queued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// Keys of pages that are not in the bucket.
#[derive(Debug, Default, Serialize)]
pub struct LostPages {
    /// Missing pages: the items that they listed are unknown.
    #[serde(rename = "lost_pages")]
    pub missing: Vec<String>,
    /// Pages of runs that are so old that their objects are being deleted by age (`OutcomeDays`).
    #[serde(rename = "expired_pages", skip_serializing_if = "Vec::is_empty")]
    pub expired: Vec<String>,
}

impl LostPages {
    /// Adds a page. `kept_since`: time since which the bucket has every manifest. S3 deletes the objects of a run one by
    /// one, in the days after they have reached the age; its clock and this machine's differ.
    pub fn add(&mut self, run: &Run, page: u32, kept_since: Option<Timestamp>) {
        const DELETION: SignedDuration = SignedDuration::from_hours(48);
        let expires = kept_since.is_some_and(|since| run.began < since.saturating_add(DELETION).unwrap_or(since));
        let pages = if expires { &mut self.expired } else { &mut self.missing };
        pages.push(keys::manifest(&run.id, page));
    }

    /// Describes the pages that were deleted by age.
    pub fn expired_sentence(&self) -> Option<String> {
        let pages = self.expired.len();
        (pages > 0)
            .then(|| format!("Not examined: {pages} pages of old manifests, which were deleted by age (OutcomeDays)"))
    }
}

/// Limit of a record, which has about 500 bytes.
const RECORD_MAX_BYTES: u64 = 4096;

impl Runs {
    /// Reads all runs. Those that began at `from` or later and before `to` are compared; of the others, the items with
    /// archived times in that period.
    ///
    /// # Errors
    /// The bucket, or the record of a run that began in the period, cannot be read.
    pub async fn between(store: &Store, from: Timestamp, to: Timestamp) -> Result<Self, LedgerReadError> {
        let period = Period { from, to };
        let mut runs: Vec<Run> = Vec::new();
        let mut recorded = Vec::new();
        // Listed in the order of keys, so a run's objects are adjacent.
        let keep = |listed: Vec<aws::s3::Listed>| {
            for listed in listed {
                let Some((id, object)) = object_of(&listed.key) else { continue };
                let began = id.began().unwrap_or(listed.last_modified);
                if runs.last().is_none_or(|last| last.id != id) {
                    runs.push(Run { id, began, record: None, unreadable_record: false, pages: Vec::new() });
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
        let began_inside = |run: &Run| period.contains(run.began);
        let read = |at: usize| {
            let (id, inside) = (runs[at].id.clone(), began_inside(&runs[at]));
            async move {
                match record(store, &id).await {
                    Err(LedgerReadError::Unreadable { .. }) if !inside => Ok((at, None)),
                    record => Ok::<_, LedgerReadError>((at, Some(record?))),
                }
            }
        };
        let records: Vec<_> = stream::iter(recorded).map(read).buffer_unordered(CONCURRENT_READS).try_collect().await?;
        for (at, record) in records {
            runs[at].unreadable_record = record.is_none();
            runs[at].record = record.flatten();
        }
        let (runs, others): (Vec<_>, Vec<_>) = runs.into_iter().partition(began_inside);
        let (outside, others) = others.into_iter().partition(|run| period.overlaps(run));
        Ok(Self { runs, outside, others, period })
    }

    /// Creates runs that are all compared.
    #[cfg(test)]
    pub(super) fn from_runs(runs: Vec<Run>) -> Self {
        Self { runs, ..Self::default() }
    }

    /// Returns all runs, including those that are not compared.
    pub(super) fn all(&self) -> impl Iterator<Item = &Run> {
        self.compared().chain(&self.others)
    }

    /// Returns the runs that list items of the period: first those that began in it.
    pub(super) fn compared(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().chain(&self.outside)
    }

    /// Returns a compared run by its position in [`compared`](Self::compared).
    pub(super) fn compared_at(&self, at: usize) -> Option<&Run> {
        self.runs.get(at).or_else(|| self.outside.get(at - self.runs.len()))
    }

    /// Returns the runs that began outside the period and may list items of it.
    pub(super) fn outside(&self) -> &[Run] {
        &self.outside
    }

    /// Returns whether a run began in the period.
    pub(super) fn began_in_period(&self, run: &Run) -> bool {
        self.period.contains(run.began)
    }

    /// Returns whether an item that a compared run lists belongs to the period. Of a run that began outside, only an
    /// archived time that is in the run's window and outside the period proves the contrary: a chat export lists
    /// messages with their own times.
    pub(super) fn concerns(&self, run: &Run, listed: &Listed) -> bool {
        self.began_in_period(run)
            || listed.archived_at().is_none_or(|at| {
                let in_window = run.window().is_none_or(|window| window.from <= at && at < window.to);
                self.period.contains(at) || !in_window
            })
    }

    /// Returns the missing pages. `kept_since`: see [`LostPages::add`].
    pub fn lost_pages(&self, kept_since: Option<Timestamp>) -> LostPages {
        let mut lost = LostPages::default();
        for run in self.compared() {
            run.lost_pages().for_each(|page| lost.add(run, page, kept_since));
        }
        lost
    }
}

impl Run {
    /// Returns the numbers of the pages in the bucket.
    pub fn page_numbers(&self) -> impl Iterator<Item = u32> {
        self.pages.iter().map(|page| page.number)
    }

    /// Returns the window in the record.
    pub(super) fn window(&self) -> Option<Window> {
        self.record.as_ref().and_then(|record| Window::between(record.from, record.to).ok())
    }

    /// Returns the part of the window that was fetched.
    pub(super) fn fetched(&self) -> Option<Window> {
        let record = self.record.as_ref()?;
        let until = if record.complete { record.to } else { record.reached?.min(record.to) };
        Window::between(record.from, until).ok()
    }

    /// Returns whether the run may be running. `longest_run`: time after which a run without a recorded end counts as
    /// terminated.
    pub(super) fn may_be_running(&self, longest_run: SignedDuration, now: Timestamp) -> bool {
        !self.has_ended() && self.began + longest_run > now
    }

    /// Returns whether the run has recorded its end.
    pub fn has_ended(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.ended.is_some())
    }

    /// Returns whether the record counts the items of a page. A page beyond those of the record was written although its
    /// response was lost: its items were not queued by this run. They are compared like all others.
    pub fn counts(&self, page: u32) -> bool {
        self.record.as_ref().filter(|_| self.has_ended()).is_none_or(|record| page <= record.pages)
    }

    /// Returns the numbers of missing pages: those between existing ones, and those up to the number of pages in the
    /// record.
    pub(crate) fn lost_pages(&self) -> impl Iterator<Item = u32> {
        let written = self.record.as_ref().filter(|_| self.has_ended()).map_or(0, |record| record.pages);
        let last = self.pages.last().map_or(0, |page| page.number).max(written);
        (1..=last).filter(|number| self.pages.binary_search_by_key(number, |page| page.number).is_err())
    }

    /// Returns the mismatch between the record and the `listed` items of the pages that it [counts](Self::counts); `None`
    /// if a page is missing.
    pub fn short(&self, listed: u64) -> Option<ShortManifest> {
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
    use super::*;

    const RUN: &str = "20261122T070000Z-daily-0badcafe";

    fn run_of(id: &RunId, began: Timestamp, pages: Vec<Page>) -> Run {
        Run { id: id.clone(), began, record: None, unreadable_record: false, pages }
    }

    #[test]
    fn outside_run_concerns_items_of_the_period() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let id: RunId = RUN.parse().unwrap();
        let (from, to) = (at("2026-11-01T00:00:00Z"), at("2026-11-21T00:00:00Z"));
        let runs = Runs { period: Period { from, to }, ..Runs::default() };
        let mut run = run_of(&id, id.began().unwrap(), Vec::new());
        let listed = |archived: &str| Listed { item: "WA-1".into(), archived_time: archived.into() };
        let concerned = |run: &Run| {
            let times = ["2026-10-31T23:00:00Z", "2026-11-20T23:00:00Z", "2026-11-21T00:00:00Z", "yesterday"];
            times.map(|time| runs.concerns(run, &listed(time)))
        };
        assert!(runs.period.overlaps(&run), "its window is unknown");
        assert_eq!(concerned(&run), [false, true, false, true], "without a window the archived time decides");
        let window = Window::between(at("2026-11-20T07:00:00Z"), at("2026-11-22T06:55:00Z")).unwrap();
        run.record = Some(RunRecord::begun(id.clone(), window));
        assert!(runs.period.overlaps(&run));
        assert_eq!(concerned(&run), [true, true, false, true], "a chat export lists messages with their own times");
        let after = Window::between(to, at("2026-11-22T06:55:00Z")).unwrap();
        run.record = Some(RunRecord::begun(id.clone(), after));
        assert!(!runs.period.overlaps(&run), "its window begins where the period ends");
        run.began = at("2026-11-20T07:00:00Z");
        assert_eq!(concerned(&run), [true; 4], "a run that began in the period is compared as a whole");
        let before = run_of(&id, from, Vec::new());
        assert!(!runs.period.overlaps(&before), "it cannot list what is archived after its start");
    }

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
    fn page_of_a_run_that_is_deleted_by_age_is_expired() {
        let id: RunId = RUN.parse().unwrap();
        let began = id.began().unwrap();
        let mut run = run_of(&id, began, Vec::new());
        run.pages = vec![Page { number: 2, written: began }];
        let runs = Runs::from_runs(vec![run]);
        let counts = |kept_since: Option<Timestamp>| {
            let lost = runs.lost_pages(kept_since);
            (lost.missing.len(), lost.expired.len(), lost.expired_sentence().is_some())
        };
        let hour = SignedDuration::from_hours(1);
        assert_eq!(counts(None), (1, 0, false), "nothing is deleted by age");
        assert_eq!(counts(Some(began - hour * 48)), (1, 0, false));
        assert_eq!(counts(Some(began - hour * 47)), (0, 1, true));
    }

    #[test]
    fn manifest_is_compared_with_the_record_of_its_run() {
        let at: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        let id: RunId = RUN.parse().unwrap();
        let window = Window::between(at - SignedDuration::from_hours(24), at).unwrap();
        let page = |number| Page { number, written: at };
        let mut run = run_of(&id, at, vec![page(1), page(3)]);
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
        assert!(run.counts(4) && !run.counts(5), "page 5 was written, and its response was lost");
        run.record = None;
        assert!(run.counts(5));
    }
}
