//! Consecutive runs of fetch leave no gap and queue nothing twice: items of earlier manifests, a failed first
//! run, a lost cursor, a source with a wrong clock. The function runs on a test clock with an emulated
//! bucket and queue.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use anyhow::Context;
use async_trait::async_trait;
use aws::sqs::Queue;
use fetch::{Fetch, FetchError, Request, Started, Summary};
use harness::{ItemSource, MailSystem, Pipeline};
use jiff::{SignedDuration, Timestamp};
use model::{Attachment, Cursor, ItemId, ItemJson, Listed, RunRecord, Sha256, Window, WindowStart, keys};
use serde_json::json;
use source::{Page, Sink, Source, SourceError};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Behaviour of the source. Items are listed as soon as they are added, under any time.
#[derive(Default)]
struct SourceState {
    items: BTreeSet<(Timestamp, String)>,
    /// Offset of the source's clock.
    clock: Option<(Timestamp, SignedDuration)>,
    fails: bool,
}

#[derive(Clone, Default)]
struct TestSource(Arc<Mutex<SourceState>>);

impl TestSource {
    fn state(&self) -> std::sync::MutexGuard<'_, SourceState> {
        self.0.lock().expect("a thread panicked while it held the lock")
    }

    fn add(&self, id: &str, archived: Timestamp) {
        self.state().items.insert((archived, id.to_owned()));
    }
}

#[async_trait]
impl Source for TestSource {
    async fn list(&self, window: &Window, cursor: Option<&str>) -> Result<Page, SourceError> {
        let state = self.state();
        if state.fails {
            return Err(SourceError::Configuration { detail: "status 401".to_owned() });
        }
        let skip: usize = cursor.map_or(0, |cursor| cursor.parse().expect("the cursor is not a number"));
        let in_window = state.items.iter().filter(|(at, _)| (window.from..window.to).contains(at));
        let remaining: Vec<_> = in_window.skip(skip).collect();
        let page =
            remaining.iter().take(2).map(|(at, id)| Listed { item: json!(id), archived_time: json!(at) }).collect();
        let next = (remaining.len() > 2).then(|| (skip + 2).to_string());
        let reached = next.as_ref().and_then(|_| remaining.get(1).map(|(at, _)| *at));
        let source_time = state.clock.map(|(now, offset)| now + offset);
        Ok(Page { items: page, next, reached, source_time, ..Page::default() })
    }

    fn overlap(&self) -> SignedDuration {
        Window::OVERLAP
    }

    async fn item_json(&self, _: &ItemId) -> Result<ItemJson, SourceError> {
        Err(SourceError::NotFound)
    }

    async fn copy_attachment(
        &self,
        _: &ItemId,
        _: &Attachment,
        _: u64,
        _: &mut dyn Sink,
    ) -> Result<Sha256, SourceError> {
        Err(SourceError::NotFound)
    }
}

struct TestRun {
    pipeline: Pipeline,
    source: TestSource,
    fetch: Fetch,
}

impl TestRun {
    async fn start() -> anyhow::Result<Self> {
        let pipeline = Pipeline::start(ItemSource::ChatExports("UTC"), MailSystem::Maildir(Vec::new()), &[]).await?;
        let source = TestSource::default();
        let fetch = Fetch {
            source: Arc::new(source.clone()),
            source_name: "archiver-api",
            kept_for: None,
            store: pipeline.store.clone(),
            convert_queue: Queue::new(pipeline.machine.cloud.config(), pipeline.machine.resources.convert.url.clone()),
            overlap: DAY,
        };
        Ok(Self { pipeline, source, fetch })
    }

    async fn run(&self, request: Request, at: Timestamp) -> Result<Summary, FetchError> {
        let started = Started { at, function: "fetch".to_owned(), request_id: format!("{at}"), ends: at + HOUR };
        Box::pin(self.fetch.run(request, &started)).await
    }

    async fn run_daily(&self, at: Timestamp) -> Result<Summary, FetchError> {
        self.run(Request::Scheduled, at).await
    }

    async fn read_record(&self, summary: &Summary) -> anyhow::Result<RunRecord> {
        let object = self.pipeline.store.get(&keys::run(&summary.run), 4096).await?.context("no record")?;
        Ok(serde_json::from_slice(&object.bytes)?)
    }

    async fn read_cursor(&self) -> anyhow::Result<Cursor> {
        let object = self.pipeline.store.get(keys::CURSOR, 4096).await?.context("no cursor")?;
        Ok(serde_json::from_slice(&object.bytes)?)
    }

    async fn delete(&self, key: &str) -> anyhow::Result<()> {
        let client = aws_sdk_s3::Client::new(self.pipeline.machine.cloud.config());
        client.delete_object().bucket(self.pipeline.store.bucket()).key(key).send().await?;
        Ok(())
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("the time is invalid")
}

#[tokio::test]
async fn late_item_is_queued_and_earlier_items_are_not_requeued() -> anyhow::Result<()> {
    let test = TestRun::start().await?;
    let morning = at("2026-11-22T07:00:00Z");
    for hour in 1..=5 {
        test.source.add(&format!("WA-{hour}"), morning - HOUR * hour);
    }
    let first = test.run_daily(morning).await?;
    assert_eq!((first.listed, first.queued, first.complete), (5, 5, true));
    // Received before the first run, and visible only now because the source's index was slow.
    test.source.add("late", morning - HOUR * 3);
    test.source.add("new", morning + HOUR);
    let second = test.run_daily(morning + DAY).await?;
    assert_eq!((second.listed, second.queued), (7, 2), "the second run queued items of the first run's manifest");
    let record = test.read_record(&second).await?;
    assert_eq!((record.queued, record.queued_before, record.start), (2, Some(5), Some(WindowStart::Cursor)));
    assert_eq!(record.overlap_seconds, Some(DAY.as_secs()));
    assert_eq!(record.cursor, Some(second.to));
    let third = test.run_daily(morning + DAY + HOUR).await?;
    assert_eq!(
        (third.listed, third.queued, third.complete),
        (1, 0, true),
        "the third run queued an item of the second run's manifest"
    );
    assert_eq!(test.read_record(&third).await?.pages, 0);
    Ok(())
}

#[tokio::test]
async fn backfill_requeues_items_of_earlier_runs() -> anyhow::Result<()> {
    let test = TestRun::start().await?;
    let morning = at("2026-11-22T07:00:00Z");
    test.source.add("WA-1", morning - HOUR);
    test.run_daily(morning).await?;
    let window = Window::between(morning - DAY, morning)?;
    let backfill = test.run(Request::Backfill(window), morning + HOUR).await?;
    assert_eq!((backfill.listed, backfill.queued), (1, 1));
    let record = test.read_record(&backfill).await?;
    assert_eq!((record.start, record.cursor, record.pages_queued), (Some(WindowStart::Named), None, Some(1)));
    Ok(())
}

#[tokio::test]
async fn last_page_of_an_interrupted_run_is_requeued() -> anyhow::Result<()> {
    let test = TestRun::start().await?;
    let morning = at("2026-11-22T07:00:00Z");
    for hour in 1..=4 {
        test.source.add(&format!("WA-{hour}"), morning - HOUR * hour);
    }
    let first = test.run_daily(morning).await?;
    assert_eq!((first.queued, test.read_record(&first).await?.pages), (4, 2));
    // The state of a run killed between the manifest and the queue.
    test.delete(&keys::run(&first.run)).await?;
    let second = test.run_daily(morning + HOUR).await?;
    assert_eq!((second.listed, second.queued), (4, 2));
    // A missing page does not count either.
    test.delete(&keys::manifest(&first.run, 1)).await?;
    let third = test.run_daily(morning + HOUR * 2).await?;
    assert_eq!((third.listed, third.queued), (4, 2));
    Ok(())
}

#[tokio::test]
async fn first_run_that_fails_leaves_no_gap() -> anyhow::Result<()> {
    let test = TestRun::start().await?;
    let monday = at("2026-11-23T07:00:00Z");
    test.source.add("WA-1", monday - HOUR * 2);
    test.source.state().fails = true;
    let failed = test.run_daily(monday).await;
    assert!(matches!(failed, Err(FetchError::Source(SourceError::Configuration { .. }))), "{failed:?}");
    assert_eq!(test.read_cursor().await?.archived_time, monday - Window::FIRST);
    test.source.state().fails = false;
    let thursday = test.run_daily(monday + DAY * 3).await?;
    assert_eq!((thursday.queued, thursday.complete), (1, true));
    assert!(thursday.from <= monday - Window::FIRST, "{}", thursday.from);
    Ok(())
}

#[tokio::test]
async fn lost_cursor_is_restored_from_the_run_records() -> anyhow::Result<()> {
    let test = TestRun::start().await?;
    let monday = at("2026-11-23T07:00:00Z");
    let first = test.run_daily(monday).await?;
    assert_eq!(test.read_record(&first).await?.start, Some(WindowStart::First));
    test.source.add("WA-1", monday + HOUR);
    test.delete(keys::CURSOR).await?;
    // A later backfill has not moved the cursor, and does not count.
    test.run(Request::Backfill(Window::between(monday, monday + DAY * 5)?), monday + DAY * 5).await?;
    let week_later = test.run_daily(monday + DAY * 7).await?;
    assert_eq!((week_later.from, week_later.complete), (first.to - DAY, true));
    let record = test.read_record(&week_later).await?;
    assert_eq!(record.start, Some(WindowStart::Recovered));

    // Records of release 0.1 do not have the position of the cursor. One run was complete, the other ran out of time.
    test.delete(keys::CURSOR).await?;
    for (summary, complete) in [(&first, true), (&week_later, false)] {
        let window = Window::between(summary.from, summary.to)?;
        let old = RunRecord { complete, ended: Some(summary.to), ..RunRecord::begun(summary.run.clone(), window) };
        test.pipeline.put(&keys::run(&summary.run), serde_json::to_vec(&old)?).await?;
    }
    let again = test.run_daily(monday + DAY * 8).await?;
    assert_eq!(again.from, first.to - DAY);
    Ok(())
}

#[tokio::test]
async fn window_ends_before_the_clock_of_the_source() -> anyhow::Result<()> {
    let test = TestRun::start().await?;
    let morning = at("2026-11-22T07:00:00Z");
    // The source's clock is half an hour behind: items that it receives now belong to a window that ended by the
    // function's clock.
    let offset = -SignedDuration::from_mins(30);
    test.source.state().clock = Some((morning, offset));
    let first = test.run_daily(morning).await?;
    let ends = morning + offset - Window::MARGIN;
    assert_eq!((first.to, first.complete, test.read_cursor().await?.archived_time), (ends, true, ends));
    assert_eq!(test.read_record(&first).await?.to, ends);
    // If the clock of the source is ahead, the clock of the function counts.
    test.source.state().clock = Some((morning + DAY, SignedDuration::from_mins(30)));
    let second = test.run_daily(morning + DAY).await?;
    assert_eq!(second.to, morning + DAY - Window::MARGIN);
    // If it is so far behind that the window is empty, the run is an error and the cursor does not move.
    test.source.state().clock = Some((morning, -DAY * 3));
    let third = test.run_daily(morning + DAY * 2).await;
    assert!(matches!(third, Err(FetchError::SourceClock { .. })), "{third:?}");
    assert_eq!(test.read_cursor().await?.archived_time, second.to);
    Ok(())
}
