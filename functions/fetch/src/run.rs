//! One run.

use std::{collections::HashSet, future::Future, sync::Arc, time::Duration};

use aws::{
    s3::Store,
    sqs::{Queue, QueueError},
};
use jiff::{SignedDuration, Timestamp};
use model::{
    Cursor, Listed, Reached, RunId, RunKind, RunRecord, Sha256, TASK_VERSION, Window, WindowError, WindowStart,
};
use runtime::metrics::Metric;
use serde::Serialize;
use serde_json::json;
use source::{Page, Source, SourceError};
use tokio::time::Instant;
use tracing::{error, info, warn};

use ledger::{EarlierRuns, LedgerError, QueuedEntries, StoredCursor, manifest};

/// What a run is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// The timer: go on from the cursor.
    Daily,
    /// An operator: this window, and leave the cursor alone.
    Backfill(Window),
}

/// When and as what a run was started.
#[derive(Debug, Clone)]
pub struct Started {
    /// Now.
    pub at: Timestamp,
    /// Lambda's name of the function.
    pub function: String,
    /// Lambda's request id.
    pub request_id: String,
    /// When Lambda ends the process.
    pub ends: Timestamp,
}

/// What the function answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The run's id, which names its manifest.
    pub run: RunId,
    /// The window's beginning, inclusive.
    pub from: Timestamp,
    /// The window's end, exclusive.
    pub to: Timestamp,
    /// How many ids the source listed.
    pub listed: u64,
    /// How many of them were put on the queue.
    pub queued: u64,
    /// Whether the whole window was done; otherwise the next run goes on where this one stopped, and a backfill is
    /// asked for again from `reached`.
    pub complete: bool,
    /// Everything that reached the archive in the window before this time was listed. `None` where nothing was, and
    /// where the source does not say so.
    pub reached: Option<Timestamp>,
}

/// Why a run ended before its time. Nothing is lost: the cursor stands before the page that was not done.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The event is none that the function knows.
    #[error("the event is neither a timer's nor a backfill's: {0}")]
    Request(String),
    /// The window is empty.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// The source did not give its list.
    #[error("listing the source: {0}")]
    Source(#[from] SourceError),
    /// The cursor, or an object of a run.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The convert queue.
    #[error("queueing: {0}")]
    Queue(#[from] QueueError),
    /// The source gave a cursor that it had given before.
    #[error("listing the source: page {0} links to an earlier page")]
    PaginationLoop(u32),
    /// The source's clock is so far behind that nothing is left of the window.
    #[error(
        "the source's clock says {source_time}, which is before the window: have its clock or this function's window corrected"
    )]
    SourceClock {
        /// The source's time.
        source_time: Timestamp,
    },
    /// Something has no JSON form.
    #[error("writing JSON: {0}")]
    Json(#[source] serde_json::Error),
}

/// What the function counts.
pub const METRICS: &[Metric] = &[Metric::Listed, Metric::Queued, Metric::Incomplete, Metric::ClockSkew];

/// The function.
pub struct Fetch {
    /// Where the ids come from.
    pub source: Arc<dyn Source>,
    /// Where the cursor and the manifests are.
    pub store: Store,
    /// Where the ids go.
    pub convert_queue: Queue,
    /// How far before the cursor a run begins again, where the source does not ask for more. An item that the source shows
    /// this late is still listed.
    pub overlap: SignedDuration,
}

impl Fetch {
    /// A page is not begun with less than this left: listing, writing and queueing 1,000 ids fits in it as a rule. What
    /// takes longer is cut off, see [`Time`].
    const PAGE_RESERVE: Duration = Duration::from_secs(45);

    /// More than this is reported. Half of [`Window::MARGIN`].
    const MAX_CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(150);

    /// How often messages that SQS did not confirm are sent again within a run.
    const SEND_TRIES: u32 = 5;

    /// Runs.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn run(&self, request: Request, started: &Started) -> Result<Summary, FetchError> {
        let result = self.pages(request, started).await;
        // Of a run that failed too: its pages before that are on the queue.
        if let Err(error) = runtime::metrics::write(&started.function, METRICS.iter().copied()) {
            warn!(%error, "the metrics could not be written");
        }
        result
    }

    async fn pages(&self, request: Request, started: &Started) -> Result<Summary, FetchError> {
        let time = Time::of(started);
        let overlap = self.overlap.max(self.source.overlap());
        let kind = match request {
            Request::Daily => RunKind::Daily,
            Request::Backfill(_) => RunKind::Backfill,
        };
        let run = RunId::new(started.at, kind, &started.request_id);
        let mut cursor = StoredCursor::read(&self.store).await?;
        let (start, mut window) = match request {
            Request::Daily => self.daily_window(&mut cursor, overlap, &run, started).await?,
            Request::Backfill(window) => (WindowStart::Named, window),
        };
        let queued_before = match kind {
            RunKind::Daily => EarlierRuns::list(&self.store, Some(window.from)).await?.queued().await?,
            // An operator asks for it because something is incomplete: everything is queued.
            RunKind::Backfill => QueuedEntries::default(),
        };
        info!(%run, from = %window.from, to = %window.to, "run started");

        let mut record = RunRecord {
            start: Some(start),
            overlap_seconds: (start != WindowStart::Named).then(|| overlap.as_secs()),
            cursor: if kind == RunKind::Daily { cursor.get().map(|cursor| cursor.archived_time) } else { None },
            ..RunRecord::begun(run.clone(), window)
        };
        manifest::record(&self.store, &record).await?;
        (record.pages_queued, record.queued_before) = (Some(0), Some(0));
        let (mut listed, mut queued, mut known, mut moved) = (0, 0, 0, false);
        let asked_for = window;
        let mut next: Option<String> = None;
        let mut seen = HashSet::new();
        let result: Result<(), FetchError> = async {
            // The first page is always tried: a function that is given too little time must say so, not do nothing for ever.
            for page in 1_u32.. {
                if page > 1 && time.is_short() {
                    break;
                }
                let asked_at = time.now();
                let Some(answer) = time.bound(self.source.list(&asked_for, next.as_deref())).await else { break };
                let Page { mut items, next: following, reached, source_time } = answer?;
                if page == 1
                    && let Some(source_time) = source_time
                {
                    check_clock(source_time, asked_at, time.now());
                    // What the source receives from now on may lie before a window's end that our clock alone has set.
                    let ends = window.to.min(source_time - Window::MARGIN);
                    window = Window::between(window.from, ends).map_err(|_| FetchError::SourceClock { source_time })?;
                    record.to = window.to;
                }
                let count = items.len() as u64;
                listed += count;
                runtime::metrics::add(Metric::Listed, count);
                items.retain(|entry| !queued_before.contains(entry));
                let new = items.len() as u64;
                known += count - new;
                record.queued_before = Some(known);
                if !items.is_empty() {
                    // Counted without the source's empty pages, so that a number that is left out is a page that is gone.
                    let number = record.pages + 1;
                    manifest::write(&self.store, &run, number, &items).await?;
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
                let within =
                    |reached: Timestamp| Some(reached.min(window.to)).filter(|reached| *reached >= window.from);
                record.reached = if complete { Some(window.to) } else { reached.and_then(within) };
                if let (RunKind::Daily, Some(at)) = (kind, record.reached) {
                    let most = Cursor::most(cursor.get(), &window);
                    moved |= cursor.advance(window.from, Reached { at, most, complete }, &run).await?;
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
        let recorded = manifest::record(&self.store, &record).await;
        // The record of a run that failed says how far it came. The error that ended the run says more than a second one.
        result?;
        recorded?;
        let RunRecord { complete, reached, .. } = record;
        let summary = Summary { run, from: window.from, to: window.to, listed, queued, complete, reached };
        report(&summary, kind, moved);
        Ok(summary)
    }

    /// The window of a daily run. The cursor is in the bucket before the first page is listed: a first run that fails leaves
    /// no gap.
    async fn daily_window(
        &self,
        cursor: &mut StoredCursor<'_>,
        overlap: SignedDuration,
        run: &RunId,
        started: &Started,
    ) -> Result<(WindowStart, Window), FetchError> {
        let start = match cursor.get() {
            Some(Cursor { rest: Some(_), .. }) => WindowStart::Rest,
            Some(Cursor { rest: None, .. }) => WindowStart::Cursor,
            None => {
                let stood = EarlierRuns::list(&self.store, None).await?.cursor().await?;
                cursor.begin(stood.unwrap_or(started.at - Window::FIRST), run).await?;
                match stood {
                    Some(stood) => {
                        error!(%run, %stood, "state/cursor.json was lost, resuming from the records of earlier runs");
                        WindowStart::Recovered
                    }
                    None => WindowStart::First,
                }
            }
        };
        // The very first window begins where its cursor was just put.
        let overlap = if start == WindowStart::First { SignedDuration::ZERO } else { overlap };
        Ok((start, Window::daily(cursor.get(), overlap, started.at)?))
    }

    async fn queue(&self, run: &RunId, items: &[Listed]) -> Result<(), QueueError> {
        // Not a `ConvertTask`: an entry whose id or time is none goes out as it came, and convert makes a dead letter
        // of it. Refused here, it would be lost.
        let body = |listed: &Listed| {
            json!({"v": TASK_VERSION, "run": run, "item": listed.item, "archived_time": listed.archived_time})
                .to_string()
        };
        let mut bodies: Vec<_> = items.iter().map(body).collect();
        for attempt in 1.. {
            let results = self.convert_queue.send(&bodies).await;
            let failed: Vec<_> =
                bodies.into_iter().zip(results).filter_map(|(body, result)| Some((body, result.err()?))).collect();
            let (rest, mut errors): (Vec<_>, Vec<_>) = failed.into_iter().unzip();
            let Some(error) = errors.pop() else { break };
            if attempt >= Self::SEND_TRIES || matches!(error, QueueError::Refused { .. }) {
                return Err(error);
            }
            warn!(%run, unconfirmed = rest.len(), %error, "sending again");
            tokio::time::sleep(Duration::from_millis(200 << attempt)).await;
            bodies = rest;
        }
        Ok(())
    }
}

/// What a run has of time. Lambda ends the process when it is over, and with it a run that has not yet said what it did.
struct Time {
    /// The invocation's start, by the clock on the wall and by the one that measures.
    started: (Timestamp, Instant),
    last_page_begins: Instant,
    stops: Instant,
}

impl Time {
    /// What is kept for writing down what the run did; of a function that has little, a tenth.
    const LAST_WORDS: Duration = Duration::from_secs(5);

    fn of(started: &Started) -> Self {
        let left = Duration::try_from(started.ends.duration_since(started.at)).unwrap_or_default();
        let now = Instant::now();
        Self {
            started: (started.at, now),
            last_page_begins: now + left.saturating_sub(Fetch::PAGE_RESERVE),
            stops: now + left.saturating_sub(Self::LAST_WORDS.min(left / 10)),
        }
    }

    fn now(&self) -> Timestamp {
        let (at, instant) = self.started;
        at + instant.elapsed()
    }

    /// Whether there is too little for another page.
    fn is_short(&self) -> bool {
        Instant::now() >= self.last_page_begins
    }

    /// Does what the archive or SQS may take long over; `None` where that is too long. Not what is written to the bucket:
    /// where that hangs, the run cannot write down either what it did.
    async fn bound<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout_at(self.stops, work).await.ok()
    }
}

/// Counts and logs a source clock that differs from ours by more than the margin allows for. `Date` has whole seconds.
fn check_clock(source_time: Timestamp, asked_at: Timestamp, answered_at: Timestamp) {
    let ahead = source_time.duration_since(answered_at);
    let behind = asked_at.duration_since(source_time);
    if ahead.max(behind) > Fetch::MAX_CLOCK_SKEW {
        runtime::metrics::add(Metric::ClockSkew, 1);
        let seconds = ahead.as_secs();
        error!(%source_time, seconds, "the source's clock and ours differ: one of them is wrong");
    }
}

fn report(summary: &Summary, kind: RunKind, moved: bool) {
    let Summary { run, listed, queued, reached, to, .. } = summary;
    if summary.complete {
        info!(%run, listed, queued, "run complete");
        return;
    }
    let reached = reached.map_or_else(|| "unknown".to_owned(), |reached| reached.to_string());
    if kind == RunKind::Daily {
        runtime::metrics::add(Metric::Incomplete, 1);
        if !moved {
            error!(%run, listed, queued, reached, %to, "run hit its deadline without advancing the cursor");
            return;
        }
    }
    warn!(%run, listed, queued, reached, %to, "run hit its deadline, the next run continues from here");
}
