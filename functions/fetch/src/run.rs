//! One run.

use std::{collections::HashSet, sync::Arc, time::Duration};

use item::{Cursor, ItemId, Listed, RunId, RunKind, RunRecord, Sha256, TASK_VERSION, Window, WindowError};
use jiff::Timestamp;
use metrics::Metric;
use queue::{Queue, QueueError};
use serde::Serialize;
use serde_json::{Value, json};
use source::{Source, SourceError};
use store::{Store, StoreError};
use tokio::time::Instant;
use tracing::{info, warn};

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
    /// where the source does not list in that order.
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
    /// The source gave a cursor that it had given before.
    #[error("listing the archive: page {0} leads back to an earlier one")]
    Circle(u32),
    /// Something has no JSON form.
    #[error("writing JSON: {0}")]
    Json(#[source] serde_json::Error),
}

/// What the function counts.
pub const METRICS: &[Metric] = &[Metric::Listed, Metric::Queued];

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
    /// A page is not begun with less than this left: listing, writing and queueing 1,000 ids fits in it with room for
    /// every retry that is made inside.
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
            Request::Daily => (RunKind::Daily, Window::daily(cursor.get(), started.at)?),
            Request::Backfill(window) => (RunKind::Backfill, window),
        };
        let run = RunId::new(started.at, kind, &started.request_id);
        let left = Duration::try_from(started.ends.duration_since(started.at)).unwrap_or_default();
        let last_page_begins = Instant::now() + left.saturating_sub(Self::PAGE_RESERVE);
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
        let mut order = Order { latest: None, broken: !self.source.lists_by_archived_time() };
        let mut next: Option<String> = None;
        let mut seen = HashSet::new();
        // The first page is always tried: a function that is given too little time must fail loudly, not do nothing
        // for ever.
        for page in 1_u32.. {
            if page > 1 && Instant::now() >= last_page_begins {
                break;
            }
            let mut listed = self.source.list(&window, next.as_deref()).await?;
            listed.items.iter_mut().for_each(bound);
            let count = listed.items.len() as u64;
            summary.listed += count;
            metrics::add(Metric::Listed, count);
            if !listed.items.is_empty() {
                // Counted without the source's empty pages, so that a number that is left out is a page that is gone.
                let number = record.pages + 1;
                manifest::write(&self.store, &run, number, &listed.items).await?;
                self.queue(&run, &listed.items).await?;
                summary.queued += count;
                (record.queued, record.pages) = (summary.queued, number);
                metrics::add(Metric::Queued, count);
            }
            order.take(&listed.items);
            next = listed.next;
            if next.as_ref().is_some_and(|cursor| !seen.insert(Sha256::of(cursor.as_bytes()))) {
                return Err(FetchError::Circle(page));
            }
            summary.complete = next.is_none();
            let reached = if summary.complete { Some(window.to) } else { order.reached(&window) };
            summary.reached = reached;
            if let (RunKind::Daily, Some(archived_time)) = (kind, reached) {
                cursor.advance(Cursor { v: 1, archived_time, run: run.clone() }).await?;
            }
            if summary.complete {
                break;
            }
        }
        (record.complete, record.ended) = (summary.complete, Some(Timestamp::now()));
        manifest::record(&self.store, &record).await?;
        if summary.complete {
            info!(%run, listed = summary.listed, queued = summary.queued, "run complete");
        } else {
            warn!(%run, listed = summary.listed, queued = summary.queued, "run out of time; the next one goes on from here");
        }
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

/// Cuts what no id and no time can be that long, so that even such an entry fits in a message. It still is longer than
/// an id may be, and becomes a dead letter that shows its beginning.
fn bound(listed: &mut Listed) {
    const LONGEST: usize = 2 * ItemId::MAX_CHARS;
    for value in [&mut listed.item, &mut listed.archived_time] {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if text.chars().nth(LONGEST).is_some() {
            *value = Value::String(text.chars().take(LONGEST).collect());
        }
    }
}

/// How far the pages have come, as long as the source keeps its promise to list the oldest first. Where it does not,
/// the cursor moves only when the window is done.
#[derive(Default)]
struct Order {
    latest: Option<Timestamp>,
    broken: bool,
}

impl Order {
    fn take(&mut self, items: &[Listed]) {
        for time in items.iter().filter_map(Listed::archived_at) {
            self.broken |= self.latest.is_some_and(|latest| time < latest);
            self.latest = self.latest.max(Some(time));
        }
    }

    fn reached(&self, window: &Window) -> Option<Timestamp> {
        self.latest.filter(|latest| !self.broken && (window.from..window.to).contains(latest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(time: &str) -> Listed {
        Listed { item: json!("x"), archived_time: json!(time) }
    }

    #[test]
    fn an_entry_too_long_for_a_message_is_cut_and_stays_no_id() {
        let mut entry =
            Listed { item: json!({"deep": "x".repeat(5_000_000)}), archived_time: json!("2026-11-21T01:00:00Z") };
        bound(&mut entry);
        assert!(entry.item.to_string().len() < 2048 && serde_json::from_value::<ItemId>(entry.item).is_err());
        assert_eq!(entry.archived_time, json!("2026-11-21T01:00:00Z"));
    }

    #[test]
    fn the_cursor_follows_only_a_list_that_is_in_order_and_in_the_window() {
        let window =
            Window::between("2026-11-21T00:00:00Z".parse().unwrap(), "2026-11-22T00:00:00Z".parse().unwrap()).unwrap();
        let mut order = Order::default();
        order.take(&[listed("2026-11-21T01:00:00Z"), listed("rubbish"), listed("2026-11-21T02:00:00Z")]);
        assert_eq!(order.reached(&window), "2026-11-21T02:00:00Z".parse().ok());
        order.take(&[listed("2026-11-21T01:59:59Z")]);
        assert_eq!(order.reached(&window), None);
        let mut beyond = Order::default();
        beyond.take(&[listed("2055-01-01T00:00:00Z")]);
        assert_eq!(beyond.reached(&window), None);
    }
}
