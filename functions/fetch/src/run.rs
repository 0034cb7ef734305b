//! One run.

use std::{collections::HashSet, future::Future, sync::Arc, time::Duration};

use item::{Cursor, Listed, Reached, RunId, RunKind, RunRecord, Sha256, TASK_VERSION, Window, WindowError};
use jiff::Timestamp;
use metrics::Metric;
use queue::{Queue, QueueError};
use serde::Serialize;
use serde_json::json;
use source::{Source, SourceError};
use store::{Store, StoreError};
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::{cursor::StoredCursor, manifest};

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
    #[error("listing the archive: {0}")]
    Source(#[from] SourceError),
    /// The bucket.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The convert queue.
    #[error("queueing: {0}")]
    Queue(#[from] QueueError),
    /// `state/cursor.json` is not what this release writes.
    #[error(
        "state/cursor.json is not a cursor of version 1: restore an earlier version of the object, or delete it to begin again 24 hours back"
    )]
    Cursor,
    /// Another writer created an object of this run.
    #[error("{key} exists with other content: does another deployment write to this bucket?")]
    ManifestExists {
        /// The object.
        key: String,
    },
    /// Somebody else writes `state/cursor.json` again and again.
    #[error(
        "state/cursor.json is written by somebody else again and again: does another deployment work on this bucket?"
    )]
    CursorContested,
    /// The source gave a cursor that it had given before.
    #[error("listing the archive: page {0} leads back to an earlier one")]
    Circle(u32),
    /// Something has no JSON form.
    #[error("writing JSON: {0}")]
    Json(#[source] serde_json::Error),
}

/// What the function counts.
pub const METRICS: &[Metric] = &[Metric::Listed, Metric::Queued, Metric::Incomplete];

/// The function.
pub struct Fetch {
    /// Where the ids come from.
    pub source: Arc<dyn Source>,
    /// Where the cursor and the manifests are.
    pub store: Store,
    /// Where the ids go.
    pub convert_queue: Queue,
}

impl Fetch {
    /// A page is not begun with less than this left: listing, writing and queueing 1,000 ids fits in it as a rule. What
    /// takes longer is cut off, see [`Time`].
    const PAGE_RESERVE: Duration = Duration::from_secs(45);

    /// How often messages that SQS did not confirm are sent again within a run.
    const SEND_TRIES: u32 = 5;

    /// Runs.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn run(&self, request: Request, started: &Started) -> Result<Summary, FetchError> {
        let result = self.pages(request, started).await;
        // Of a run that failed too: its pages before that are on the queue.
        if let Err(error) = metrics::write(&started.function, METRICS.iter().copied()) {
            warn!(%error, "the metrics could not be written");
        }
        result
    }

    async fn pages(&self, request: Request, started: &Started) -> Result<Summary, FetchError> {
        let mut cursor = StoredCursor::read(&self.store).await?;
        let (kind, window) = match request {
            Request::Daily => (RunKind::Daily, Window::daily(cursor.get(), self.source.overlap(), started.at)?),
            Request::Backfill(window) => (RunKind::Backfill, window),
        };
        let most = Cursor::most(cursor.get(), &window);
        let run = RunId::new(started.at, kind, &started.request_id);
        let time = Time::of(started);
        info!(%run, from = %window.from, to = %window.to, "run begins");

        let mut summary = Summary {
            run: run.clone(),
            from: window.from,
            to: window.to,
            listed: 0,
            queued: 0,
            complete: false,
            reached: None,
        };
        let mut record = RunRecord::begun(run.clone(), window);
        manifest::record(&self.store, &record).await?;
        let mut moved = false;
        let mut next: Option<String> = None;
        let mut seen = HashSet::new();
        let listed: Result<(), FetchError> = async {
            // The first page is always tried: a function that is given too little time must say so, not do nothing for ever.
            for page in 1_u32.. {
                if page > 1 && time.is_short() {
                    break;
                }
                let Some(listed) = time.bound(self.source.list(&window, next.as_deref())).await else { break };
                let listed = listed?;
                let count = listed.items.len() as u64;
                summary.listed += count;
                metrics::add(Metric::Listed, count);
                if !listed.items.is_empty() {
                    // Counted without the source's empty pages, so that a number that is left out is a page that is gone.
                    let number = record.pages + 1;
                    manifest::write(&self.store, &run, number, &listed.items).await?;
                    (record.queued, record.pages) = (record.queued + count, number);
                    let Some(queued) = time.bound(self.queue(&run, &listed.items)).await else { break };
                    queued?;
                    summary.queued += count;
                    metrics::add(Metric::Queued, count);
                }
                next = listed.next;
                if next.as_ref().is_some_and(|cursor| !seen.insert(Sha256::of(cursor.as_bytes()))) {
                    return Err(FetchError::Circle(page));
                }
                let complete = next.is_none();
                summary.complete = complete;
                let inside = |reached: &Timestamp| (window.from..window.to).contains(reached);
                summary.reached = if complete { Some(window.to) } else { listed.reached.filter(inside) };
                if let (RunKind::Daily, Some(at)) = (kind, summary.reached) {
                    moved |= cursor.advance(window.from, Reached { at, most, complete }, &run).await?;
                }
                if complete {
                    break;
                }
            }
            Ok(())
        }
        .await;
        (record.complete, record.ended) = (summary.complete, Some(Timestamp::now()));
        record.reached = summary.reached;
        let recorded = manifest::record(&self.store, &record).await;
        // The record of a run that failed says how far it came. The error that ended the run says more than a second one.
        listed?;
        recorded?;
        tell(&summary, kind, moved);
        Ok(summary)
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
            last_page_begins: now + left.saturating_sub(Fetch::PAGE_RESERVE),
            stops: now + left.saturating_sub(Self::LAST_WORDS.min(left / 10)),
        }
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

fn tell(summary: &Summary, kind: RunKind, moved: bool) {
    let Summary { run, listed, queued, reached, to, .. } = summary;
    if summary.complete {
        info!(%run, listed, queued, "run complete");
        return;
    }
    let reached = reached.map_or_else(|| "unknown".to_owned(), |reached| reached.to_string());
    if kind == RunKind::Daily {
        metrics::add(Metric::Incomplete, 1);
        if !moved {
            error!(%run, listed, queued, reached, %to, "run out of time, and no further than the one before");
            return;
        }
    }
    warn!(%run, listed, queued, reached, %to, "run out of time; the next one goes on from here");
}
