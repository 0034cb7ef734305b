//! One run: lists the window page by page and queues the entries.

use std::{
    collections::{BTreeMap, HashSet},
    future::Future,
    sync::Arc,
    time::Duration,
};

use aws::{
    s3::{Store, StoreError},
    sqs::{Queue, QueueError},
};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use model::{Cursor, ItemId, Listed, Reached, RunId, RunKind, RunRecord, Sha256, Window, WindowError, WindowStart};
use runtime::metrics::Metric;
use serde::Serialize;
use source::{Page, Source, SourceError};
use tokio::time::Instant;
use tracing::{error, info, warn};

use ledger::{
    EarlierRuns, LedgerError, QueuedEntries, StoredCursor,
    entries::{self, EntryOutcome, LedgerReadError},
    manifest,
};

/// The request that starts a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// From the timer: continue from the cursor.
    Scheduled,
    /// From an operator who has stopped the source: continue from the cursor, and record that the source receives nothing
    /// after this run.
    Last,
    /// From an operator: list this window, and do not move the cursor.
    Backfill(Window),
}

/// Start time and identity of a run.
#[derive(Debug, Clone)]
pub struct Started {
    /// The start time.
    pub at: Timestamp,
    /// The function's name in Lambda.
    pub function: String,
    /// Lambda's request id.
    pub request_id: String,
    /// Lambda ends the process at this time.
    pub ends: Timestamp,
}

/// The response of the function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The run's id, which names its manifest.
    pub run: RunId,
    /// The window's beginning, inclusive.
    pub from: Timestamp,
    /// The window's end, exclusive.
    pub to: Timestamp,
    /// Ids that the source listed.
    pub listed: u64,
    /// Ids that were put on the queue.
    pub queued: u64,
    /// `true` if the whole window was listed. Otherwise the next run continues where this one stopped; an operator
    /// requests the rest of a backfill from `reached`.
    pub complete: bool,
    /// All items of the window before this time were listed. `None` if none were, or if the source does not list in
    /// order.
    pub reached: Option<Timestamp>,
}

/// Error of a run. No item is lost: the cursor is before the page that failed, so the next run lists that page.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Unrecognized event.
    #[error("unrecognized event: expected a scheduler event or {{\"from\",\"to\"}}: {0}")]
    Request(String),
    /// The window is empty.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// The source could not be listed.
    #[error("listing the source failed: {0}")]
    Source(#[from] SourceError),
    /// The cursor, or an object of a run.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// An outcome could not be read.
    #[error("reading an outcome failed: {0}")]
    Outcome(#[from] StoreError),
    /// The convert queue failed.
    #[error("sending to the convert queue failed: {0}")]
    Queue(#[from] QueueError),
    /// The source returned a pagination cursor twice.
    #[error("listing the source failed: page {0} links to an earlier page")]
    PaginationLoop(u32),
    /// The window begins before the oldest entry that the source still has.
    #[error(
        "the bucket keeps what the source lists for {days} days: a window that begins before {kept_since} cannot be fetched \
         completely, choose a later beginning"
    )]
    Expired {
        /// `SOURCE_DAYS`.
        days: i64,
        /// The beginning of the part that can be fetched.
        kept_since: Timestamp,
    },
    /// The source's clock is so far behind that nothing is left of the window.
    #[error(
        "the source's clock says {source_time}, which is before the window of this run: correct the clock of the source, or \
         stop a cache in front of it from storing its list"
    )]
    SourceClock {
        /// The source's time.
        source_time: Timestamp,
    },
}

/// The metrics of the function.
pub const METRICS: &[Metric] = &[
    Metric::Listed,
    Metric::Queued,
    Metric::Incomplete,
    Metric::ClockSkew,
    Metric::CursorLost,
    Metric::LossOrDouble,
    Metric::DeliveryIncidents,
];

/// The fetch function.
pub struct Fetch {
    /// The source of the items.
    pub source: Arc<dyn Source>,
    /// The word of `SOURCE`, which cursor and run record contain: what one source listed says nothing about another.
    pub source_name: &'static str,
    /// Time after which the bucket deletes what the source lists: an older window looks as if the source had received
    /// nothing. `None` if it deletes nothing.
    pub kept_for: Option<SignedDuration>,
    /// The bucket with the cursor and the manifests.
    pub store: Store,
    /// The queue that receives the ids.
    pub convert_queue: Queue,
    /// Time from the beginning of a run's window to the cursor, unless the source needs more. An item that the source
    /// lists late by up to this time is still found.
    pub overlap: SignedDuration,
}

impl Fetch {
    /// The last page starts at least this long before the deadline, which is usually enough to list, write and queue
    /// 1,000 ids. A page that takes longer is interrupted, see [`Time`].
    const PAGE_RESERVE: Duration = Duration::from_secs(45);

    /// A larger difference between the source's clock and the function's is logged. Half of [`Window::MARGIN`].
    const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(150);

    /// A warning needs at least one unknown message of this many.
    const UNKNOWN_DIVISOR: usize = 4;

    /// Attempts to send the messages of a page.
    const SEND_TRIES: u32 = 5;

    /// Runs once.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn run(&self, request: Request, started: &Started) -> Result<Summary, FetchError> {
        let result = self.pages(request, started).await;
        // Metrics are written after a failure, too, because earlier pages are on the queue.
        if let Err(error) = runtime::metrics::write(&started.function, METRICS.iter().copied()) {
            warn!(%error, "writing the metrics failed");
        }
        result
    }

    async fn pages(&self, request: Request, started: &Started) -> Result<Summary, FetchError> {
        let time = Time::of(started);
        let overlap = self.overlap.max(self.source.overlap());
        let kind = match request {
            Request::Scheduled | Request::Last => RunKind::Scheduled,
            Request::Backfill(_) => RunKind::Backfill,
        };
        let run = RunId::new(started.at, kind, &started.request_id);
        let mut cursor = StoredCursor::read(&self.store, self.source_name).await?;
        let (start, mut window) = match request {
            Request::Scheduled | Request::Last => self.scheduled_window(&mut cursor, overlap, &run, started).await?,
            Request::Backfill(window) => (WindowStart::Named, window),
        };
        if let Some(kept_for) = self.kept_for
            && window.from < started.at - kept_for
        {
            let kept_since = started.at - kept_for;
            if kind == RunKind::Backfill {
                return Err(FetchError::Expired { days: kept_for.as_hours() / 24, kept_since });
            }
            runtime::metrics::add(Metric::LossOrDouble, 1);
            error!(
                %run, from = %window.from, %kept_since,
                "what the source received before kept_since was deleted by age before it was listed: archiver reconcile \
                 reports the gap"
            );
            window = Window::between(kept_since, window.to)?;
        }
        let queued_before = match kind {
            RunKind::Scheduled => EarlierRuns::list(&self.store, Some(window.from)).await?.read_queued().await?,
            // An operator starts a backfill because something is incomplete, so it queues every id.
            RunKind::Backfill => QueuedEntries::default(),
        };
        info!(%run, from = %window.from, to = %window.to, "run started");

        let mut record = RunRecord {
            start: Some(start),
            source: Some(self.source_name.to_owned()),
            last: request == Request::Last,
            overlap_seconds: (start != WindowStart::Named).then(|| overlap.as_secs()),
            cursor: if kind == RunKind::Scheduled { cursor.get().map(|cursor| cursor.archived_time) } else { None },
            ..RunRecord::begun(run.clone(), window)
        };
        manifest::write_record(&self.store, &record).await?;
        (record.pages_queued, record.queued_before) = (Some(0), Some(0));
        let (mut listed, mut queued, mut queued_earlier, mut moved) = (0, 0, 0, false);
        let listed_window = window;
        let mut next: Option<String> = None;
        let mut seen = HashSet::new();
        let result: Result<(), FetchError> = async {
            // The first page is always tried: with a timeout that is too short, a run has to fail visibly.
            for page in 1_u32.. {
                if page > 1 && time.is_short() {
                    break;
                }
                let requested_at = time.now();
                let Some(response) = time.bound(self.source.list(&listed_window, next.as_deref())).await else { break };
                let Page { mut items, next: following, reached, source_time, incidents, earlier_ids, oldest } = response?;
                runtime::metrics::add(Metric::DeliveryIncidents, incidents);
                if page == 1
                    && let Some(source_time) = source_time
                {
                    check_clock(source_time, requested_at, time.now());
                    // Items that the source receives from now on may belong before the end of a window that only our
                    // clock has set.
                    let ends = window.to.min(source_time - Window::MARGIN);
                    window = Window::between(window.from, ends).map_err(|_| FetchError::SourceClock { source_time })?;
                    record.to = window.to;
                }
                let count = items.len() as u64;
                listed += count;
                runtime::metrics::add(Metric::Listed, count);
                self.keep_earlier_ids(&run, &mut items, earlier_ids, &queued_before).await?;
                for oldest in oldest {
                    let oldest = items.get(oldest).unwrap_or_default();
                    if let Some(MixedIds { known, unknown, item }) =
                        self.mixed_ids(&run, oldest, &queued_before).await?
                    {
                        runtime::metrics::add(Metric::LossOrDouble, 1);
                        warn!(
                            %run, known, unknown, item,
                            "a chat that was read before has old messages with new ids: they are filed, a second time if \
                             a contact was renamed (runbook, \"Chat exports\")"
                        );
                    }
                }
                items.retain(|entry| !queued_before.contains(entry));
                let new = items.len() as u64;
                queued_earlier += count - new;
                record.queued_before = Some(queued_earlier);
                if !items.is_empty() {
                    // Empty pages are not numbered: a gap in the numbers means that a page was lost.
                    let number = record.pages + 1;
                    manifest::write_page(&self.store, &run, number, &items).await?;
                    (record.queued, record.pages) = (record.queued + new, number);
                    let Some(sent) = time.bound(self.queue(&run, &items)).await else { break };
                    sent?;
                    record.pages_queued = Some(number);
                    queued += new;
                    runtime::metrics::add(Metric::Queued, new);
                }
                next = following;
                if next.as_ref().is_some_and(|cursor| !seen.insert(Sha256::of(cursor.as_bytes()))) {
                    return Err(FetchError::PaginationLoop(page));
                }
                let complete = next.is_none();
                record.complete = complete;
                // A time after the end of the requested window is wrong. If it counted as that end, pages that were not
                // listed yet would count as listed.
                let reached = reached.filter(|reached| *reached < listed_window.to);
                let reached = reached.map(|reached| reached.clamp(window.from, window.to));
                record.reached = if complete { Some(window.to) } else { reached };
                if let (RunKind::Scheduled, Some(at)) = (kind, record.reached) {
                    let limit = Cursor::limit(cursor.get(), &window);
                    moved |= cursor.advance(window.from, Reached { at, limit, complete }, &run).await?;
                    record.cursor = cursor.get().map(|cursor| cursor.archived_time);
                }
                if complete {
                    break;
                }
            }
            Ok(())
        }
        .await;
        record.ended = Some(Timestamp::now());
        let recorded = manifest::write_record(&self.store, &record).await;
        // A run that failed is recorded, too. The error that ended the run is returned rather than an error of
        // recording it.
        result?;
        recorded?;
        let RunRecord { complete, reached, .. } = record;
        let summary = Summary { run, from: window.from, to: window.to, listed, queued, complete, reached };
        report(&summary, kind, moved);
        Ok(summary)
    }

    /// Gives an entry its item's earlier id, if an earlier run queued the item under it, or the item has an outcome under
    /// it: under another id it would be filed again.
    async fn keep_earlier_ids(
        &self,
        run: &RunId,
        items: &mut [Listed],
        earlier_ids: BTreeMap<usize, ItemId>,
        queued_before: &QueuedEntries,
    ) -> Result<(), FetchError> {
        let earlier = earlier_ids.into_iter().filter_map(|(place, id)| {
            // An item that was queued under its id lately was queued under no earlier one: no request.
            let entry = items.get(place).filter(|entry| !queued_before.contains(entry))?;
            Some((place, Listed { item: id.as_str().into(), archived_time: entry.archived_time.clone() }))
        });
        let mut found = stream::iter(earlier.collect::<Vec<_>>())
            .map(|(place, entry)| async move {
                let used = queued_before.contains(&entry) || has_outcome(&self.store, run, &entry).await?;
                Ok::<_, FetchError>(used.then_some((place, entry)))
            })
            .buffer_unordered(entries::CONCURRENT_READS);
        while let Some(used) = found.try_next().await? {
            if let Some((place, entry)) = used {
                items[place] = entry;
            }
        }
        Ok(())
    }

    /// Counts a chat's oldest messages, if some are known and too many are not: those will be filed, and may have been filed
    /// before under another sender's name. A chat whose oldest messages were queued lately costs no request.
    async fn mixed_ids(
        &self,
        run: &RunId,
        oldest: &[Listed],
        queued_before: &QueuedEntries,
    ) -> Result<Option<MixedIds>, FetchError> {
        let new: Vec<_> = oldest.iter().filter(|entry| !queued_before.contains(entry)).collect();
        let found = stream::iter(&new).map(|entry| has_outcome(&self.store, run, entry));
        let found: Vec<bool> = found.buffered(entries::CONCURRENT_READS).try_collect().await?;
        let mut unknown = new.iter().zip(found).filter(|(_, found)| !found).map(|(entry, _)| entry);
        let Some(first) = unknown.next() else { return Ok(None) };
        let unknown = 1 + unknown.count();
        let known = oldest.len() - unknown;
        let is_mixed = known > 0 && unknown * Self::UNKNOWN_DIVISOR >= oldest.len();
        let item = || first.name().parse().map(|id: ItemId| id.key().to_string()).unwrap_or_default();
        Ok(is_mixed.then(|| MixedIds { known, unknown, item: item() }))
    }

    /// Returns the window of a scheduled run. Writes the cursor before the first page is listed, so that a first run that
    /// fails leaves no gap. The cursor of another source says nothing about this one, which continues where its own runs
    /// have stopped.
    async fn scheduled_window(
        &self,
        cursor: &mut StoredCursor<'_>,
        overlap: SignedDuration,
        run: &RunId,
        started: &Started,
    ) -> Result<(WindowStart, Window), FetchError> {
        let before = cursor.get().cloned();
        let start = match &before {
            Some(cursor) if !cursor.is_of_another_source(self.source_name) => {
                if cursor.rest.is_some() {
                    WindowStart::Rest
                } else {
                    WindowStart::Cursor
                }
            }
            other => {
                let stood = EarlierRuns::list(&self.store, None).await?.restore_cursor(self.source_name).await?;
                let at = stood.unwrap_or(started.at - Window::FIRST);
                cursor.begin(at, run).await?;
                match (other, stood) {
                    (Some(Cursor { source, run: last, .. }), _) if self.was_stopped_after(last).await? => {
                        info!(%run, before = source.as_deref(), now = self.source_name, from = %at, "SOURCE has changed");
                    }
                    (Some(Cursor { source, archived_time, .. }), _) => {
                        runtime::metrics::add(Metric::LossOrDouble, 1);
                        error!(
                            %run, before = source.as_deref(), now = self.source_name, listed_until = %archived_time, from = %at,
                            "SOURCE has changed: items that the earlier source received after its last run are not listed \
                             (runbook, \"Changing the source\")"
                        );
                    }
                    (None, Some(stood)) => {
                        runtime::metrics::add(Metric::CursorLost, 1);
                        error!(%run, %stood, "state/cursor.json was lost, resuming from the records of earlier runs");
                    }
                    (None, None) => {}
                }
                if stood.is_some() { WindowStart::Recovered } else { WindowStart::First }
            }
        };
        // The first window begins at the cursor that was just written.
        let overlap = if start == WindowStart::First { SignedDuration::ZERO } else { overlap };
        Ok((start, Window::scheduled(cursor.get(), overlap, started.at)?))
    }

    /// Returns whether an operator had stopped the source before this run, which has listed everything.
    async fn was_stopped_after(&self, run: &RunId) -> Result<bool, LedgerError> {
        let record = manifest::read_record(&self.store, run).await?;
        Ok(record.is_some_and(|record| record.last && record.complete))
    }

    async fn queue(&self, run: &RunId, items: &[Listed]) -> Result<(), QueueError> {
        // The body is not built from a `ConvertTask`, because an entry with an invalid id or time must be queued
        // unchanged: convert makes it a dead letter. If fetch rejected it, it would be lost.
        let mut bodies: Vec<_> = items.iter().map(|listed| entries::task_body(run, listed)).collect();
        for attempt in 1.. {
            let results = self.convert_queue.send(&bodies).await;
            let failed: Vec<_> =
                bodies.into_iter().zip(results).filter_map(|(body, result)| Some((body, result.err()?))).collect();
            let (rest, mut errors): (Vec<_>, Vec<_>) = failed.into_iter().unzip();
            let Some(error) = errors.pop() else { break };
            if attempt >= Self::SEND_TRIES || matches!(error, QueueError::Configuration { .. }) {
                return Err(error);
            }
            warn!(%run, unconfirmed = rest.len(), %error, "some messages were not confirmed, sending them again");
            tokio::time::sleep(Duration::from_millis(200 << attempt)).await;
            bodies = rest;
        }
        Ok(())
    }
}

/// A chat of whose oldest messages some are known.
struct MixedIds {
    known: usize,
    unknown: usize,
    /// Key of the first unknown message.
    item: String,
}

/// Returns whether an item has an outcome. One that cannot be parsed counts: convert reports it.
async fn has_outcome(store: &Store, run: &RunId, entry: &Listed) -> Result<bool, StoreError> {
    match entries::entry_outcome(store, run, entry).await {
        Ok(EntryOutcome::Found(_)) | Err(LedgerReadError::Unreadable { .. }) => Ok(true),
        Ok(EntryOutcome::Absent | EntryOutcome::InvalidTask) => Ok(false),
        Err(LedgerReadError::Store(error)) => Err(error),
    }
}

/// The time budget of a run. Lambda kills the process at the deadline, so the run record is written before.
struct Time {
    /// The start of the invocation, by wall clock and by monotonic clock.
    started: (Timestamp, Instant),
    last_page_begins: Instant,
    stops: Instant,
}

impl Time {
    /// Time reserved for writing the run record; less if the invocation is short: a tenth of its time.
    const RECORD_RESERVE: Duration = Duration::from_secs(5);

    fn of(started: &Started) -> Self {
        let left = Duration::try_from(started.ends.duration_since(started.at)).unwrap_or_default();
        let now = Instant::now();
        Self {
            started: (started.at, now),
            last_page_begins: now + left.saturating_sub(Fetch::PAGE_RESERVE),
            stops: now + left.saturating_sub(Self::RECORD_RESERVE.min(left / 10)),
        }
    }

    fn now(&self) -> Timestamp {
        let (at, instant) = self.started;
        at + instant.elapsed()
    }

    /// Returns whether too little time is left for another page.
    fn is_short(&self) -> bool {
        Instant::now() >= self.last_page_begins
    }

    /// Waits for the source or SQS, at most until the deadline. Returns `None` if it takes longer. Not used for the
    /// bucket: if the bucket hangs, the run record cannot be written either.
    async fn bound<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout_at(self.stops, work).await.ok()
    }
}

/// Counts and logs a source clock that differs from the function's by more than the margin allows. `Date` has whole
/// seconds.
fn check_clock(source_time: Timestamp, requested_at: Timestamp, responded_at: Timestamp) {
    let ahead = source_time.duration_since(responded_at);
    let behind = requested_at.duration_since(source_time);
    if ahead.max(behind) > Fetch::MAX_CLOCK_SKEW {
        runtime::metrics::add(Metric::ClockSkew, 1);
        let seconds = ahead.as_secs();
        error!(%source_time, seconds, "the source's clock differs from the function's by more than 150 seconds: ask the source's operator to correct it");
    }
}

fn report(summary: &Summary, kind: RunKind, moved: bool) {
    let Summary { run, listed, queued, reached, to, .. } = summary;
    if summary.complete {
        info!(%run, listed, queued, "run complete");
        return;
    }
    let reached = reached.map_or_else(|| "unknown".to_owned(), |reached| reached.to_string());
    if kind == RunKind::Scheduled {
        runtime::metrics::add(Metric::Incomplete, 1);
        if !moved {
            error!(%run, listed, queued, reached, %to, "run reached its deadline without advancing the cursor");
            return;
        }
    }
    match kind {
        RunKind::Scheduled => {
            warn!(%run, listed, queued, reached, %to, "run reached its deadline, the next run continues from here");
        }
        RunKind::Backfill => {
            warn!(%run, listed, queued, reached, %to, "backfill reached its deadline: run archiver backfill from the time in reached, or shorter windows if it is unknown");
        }
    }
}

#[cfg(test)]
mod tests;
