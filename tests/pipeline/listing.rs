//! fetch with sources that list items late, lists that need several runs, and services that do not respond:
//! the function runs on a test clock with an emulated bucket and queue.

use std::{
    collections::BTreeSet,
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use async_trait::async_trait;
use aws::{
    s3::Store,
    sqs::{Queue, QueueError},
};
use axum::{
    Router,
    body::to_bytes,
    extract::Request as HttpRequest,
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use fetch::{Fetch, FetchError, Request, Started, Summary};
use harness::{ItemSource, MailSystem, Pipeline};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use ledger::LedgerError;
use local::{cloud::Cloud, event_source::depth};
use model::{Attachment, Cursor, ItemId, ItemJson, Listed, RunRecord, Sha256, Window, keys};
use serde_json::{Value, json};
use source::{ChatExports, ExportSettings, Page, Sink, Source, SourceError};
use tokio::sync::Barrier;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Time that is enough for one page and not for another.
const TIME_FOR_A_PAGE: SignedDuration = SignedDuration::from_secs(40);

async fn start_pipeline() -> anyhow::Result<Pipeline> {
    Pipeline::start(ItemSource::ChatExports("UTC"), MailSystem::Maildir(Vec::new()), &[]).await
}

fn create_fetch(pipeline: &Pipeline, source: impl Source + 'static) -> Fetch {
    let resources = &pipeline.machine.resources;
    Fetch {
        source: Arc::new(source),
        source_name: "archiver-api",
        kept_for: None,
        store: pipeline.store.clone(),
        convert_queue: Queue::new(pipeline.machine.cloud.config(), resources.convert.url.clone()),
        overlap: Window::OVERLAP,
    }
}

async fn run_daily(fetch: &Fetch, at: Timestamp, time_left: SignedDuration) -> Result<Summary, FetchError> {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let request_id = RUNS.fetch_add(1, Ordering::SeqCst).to_string();
    let started = Started { at, function: "fetch".to_owned(), request_id, ends: at + time_left };
    Box::pin(fetch.run(Request::Scheduled, &started)).await
}

async fn read_cursor(store: &Store) -> anyhow::Result<Option<Cursor>> {
    let object = store.get(keys::CURSOR, 4096).await?;
    Ok(object.map(|object| serde_json::from_slice(&object.bytes)).transpose()?)
}

async fn read_record(store: &Store, summary: &Summary) -> anyhow::Result<RunRecord> {
    let object = store.get(&keys::run(&summary.run), 4096).await?.context("no record")?;
    Ok(serde_json::from_slice(&object.bytes)?)
}

fn entry(time: Timestamp) -> Listed {
    Listed { item: json!(format!("WA-{time}")), archived_time: json!(time) }
}

/// A source with one item for each hour, and one page for each item.
struct HourlySource {
    overlap: SignedDuration,
    listed: Arc<Mutex<BTreeSet<Timestamp>>>,
}

#[async_trait]
impl Source for HourlySource {
    async fn list(&self, window: &Window, cursor: Option<&str>) -> Result<Page, SourceError> {
        let from = cursor.map_or(window.from, |cursor| cursor.parse().expect("the cursor is not a time"));
        let next = from + HOUR;
        self.listed.lock().expect("a thread panicked while it held the lock").insert(from);
        let last = next >= window.to;
        let reached = (!last).then_some(next);
        Ok(Page { items: vec![entry(from)], next: reached.map(|next| next.to_string()), reached, ..Page::default() })
    }

    fn overlap(&self) -> SignedDuration {
        self.overlap
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

/// A source that never responds.
struct UnresponsiveSource;

#[async_trait]
impl Source for UnresponsiveSource {
    async fn list(&self, _: &Window, _: Option<&str>) -> Result<Page, SourceError> {
        std::future::pending().await
    }

    fn overlap(&self) -> SignedDuration {
        Window::OVERLAP
    }

    async fn item_json(&self, _: &ItemId) -> Result<ItemJson, SourceError> {
        std::future::pending().await
    }

    async fn copy_attachment(
        &self,
        _: &ItemId,
        _: &Attachment,
        _: u64,
        _: &mut dyn Sink,
    ) -> Result<Sha256, SourceError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn chat_uploaded_during_a_run_is_listed_by_the_next_run() -> anyhow::Result<()> {
    let pipeline = start_pipeline().await?;
    let fetch =
        create_fetch(&pipeline, ChatExports::new(pipeline.store.clone(), ExportSettings::in_zone(TimeZone::UTC)));
    let now = Timestamp::now();
    let first = run_daily(&fetch, now + HOUR, HOUR).await?;
    assert_eq!((first.listed, first.complete), (0, true));
    // S3 dates the object by the start of its upload: an hour before the run, which could not see it.
    pipeline.put("inbox/ada@example.com/chat.txt", "21/11/2026, 09:59 - Ada: hello\n").await?;
    let second = run_daily(&fetch, now + HOUR * 25, HOUR).await?;
    assert_eq!((second.queued, second.complete), (1, true));
    Ok(())
}

#[tokio::test]
async fn runs_advance_however_many_items_the_overlap_has() -> anyhow::Result<()> {
    let pipeline = start_pipeline().await?;
    let listed: Arc<Mutex<BTreeSet<Timestamp>>> = Arc::default();
    let fetch = create_fetch(&pipeline, HourlySource { overlap: HOUR * 3, listed: Arc::clone(&listed) });
    let at: Timestamp = "2026-11-22T07:00:00Z".parse()?;
    let from = at - Window::FIRST;
    let mut position = None;
    let mut moves = 0;
    for _ in 0..12 {
        let summary = run_daily(&fetch, at, TIME_FOR_A_PAGE).await?;
        assert!(!summary.complete && summary.listed == 1);
        let now = read_cursor(&pipeline.store).await?.context("no cursor")?;
        moves += u32::from(position.replace(now.archived_time) < Some(now.archived_time));
    }
    assert_eq!((moves, position), (12, Some(from + HOUR * 12)), "a run did not continue at the end of the run before");

    let complete = run_daily(&fetch, at, HOUR).await?;
    assert!(complete.complete);
    let complete_cursor = read_cursor(&pipeline.store).await?.context("no cursor")?;
    assert_eq!(complete_cursor.archived_time, at - Window::MARGIN);
    // An hour later: three runs for the three hours of the overlap, and one for the new one.
    listed.lock().expect("a thread panicked while it held the lock").clear();
    for _ in 0..3 {
        assert!(!run_daily(&fetch, at + HOUR, TIME_FOR_A_PAGE).await?.complete);
        let now = read_cursor(&pipeline.store).await?.context("no cursor")?;
        assert_eq!(now.archived_time, complete_cursor.archived_time);
    }
    assert!(run_daily(&fetch, at + HOUR, TIME_FOR_A_PAGE).await?.complete);
    let listed = std::mem::take(&mut *listed.lock().expect("a thread panicked while it held the lock"));
    assert!((-3..1).all(|hour| listed.contains(&(complete_cursor.archived_time + HOUR * hour))), "{listed:?}");
    let last = read_cursor(&pipeline.store).await?.context("no cursor")?;
    assert_eq!(last.archived_time, complete_cursor.archived_time + HOUR);
    Ok(())
}

#[tokio::test]
async fn unresponsive_source_ends_the_run_but_not_the_process() -> anyhow::Result<()> {
    let pipeline = start_pipeline().await?;
    let summary =
        run_daily(&create_fetch(&pipeline, UnresponsiveSource), Timestamp::now(), SignedDuration::from_millis(500))
            .await?;
    assert_eq!((summary.listed, summary.complete, summary.reached), (0, false, None));
    let record = read_record(&pipeline.store, &summary).await?;
    assert!(record.ended.is_some() && !record.complete && record.pages == 0);
    let after = read_cursor(&pipeline.store).await?.context("no cursor")?;
    assert_eq!(after.archived_time, summary.from);
    Ok(())
}

#[tokio::test]
async fn unresponsive_queue_ends_the_run_before_the_cursor_moves() -> anyhow::Result<()> {
    let pipeline = start_pipeline().await?;
    let unresponsive = TcpListener::bind("127.0.0.1:0")?;
    let cloud = Cloud::at(&format!("http://{}", unresponsive.local_addr()?)).await;
    let source = HourlySource { overlap: HOUR, listed: Arc::default() };
    let mut fetch = create_fetch(&pipeline, source);
    fetch.convert_queue = Queue::new(cloud.config(), "http://127.0.0.1/queue".to_owned());
    let summary = run_daily(&fetch, Timestamp::now(), SignedDuration::from_secs(2)).await?;
    assert_eq!((summary.listed, summary.queued, summary.complete), (1, 0, false));
    // The run record matches its manifest.
    let record = read_record(&pipeline.store, &summary).await?;
    assert_eq!((record.ended.is_some(), record.pages, record.queued), (true, 1, 1));
    assert_eq!(record.pages_queued, Some(0), "the record counts pages that were not queued");
    let after = read_cursor(&pipeline.store).await?.context("no cursor")?;
    assert_eq!(after.archived_time, summary.from);
    Ok(())
}

/// Repeats a run, as after a lost response: it finds its own objects and does not overwrite those of another run.
#[tokio::test]
async fn manifest_page_is_created_once_and_never_overwritten() -> anyhow::Result<()> {
    let pipeline = start_pipeline().await?;
    let at = Timestamp::now();
    let started = Started { at, function: "fetch".to_owned(), request_id: "one".to_owned(), ends: at + HOUR };
    let run = async || {
        let source = HourlySource { overlap: HOUR, listed: Arc::default() };
        let window = Window::between(at - HOUR, at)?;
        anyhow::Ok(create_fetch(&pipeline, source).run(Request::Backfill(window), &started).await)
    };
    let key = {
        let first = run().await??;
        keys::manifest(&first.run, 1)
    };
    let page = pipeline.store.get(&key, 4096).await?.context("no page")?;
    // The repeated run ends at another time, so its last record differs; its page does not.
    let again = run().await?;
    assert!(
        matches!(&again, Err(FetchError::Ledger(LedgerError::ManifestExists { key })) if key.ends_with("/run.json")),
        "{again:?}"
    );
    assert_eq!(pipeline.store.get(&key, 4096).await?.context("no page")?.etag, page.etag);

    pipeline.put(&key, "another").await?;
    let again = run().await?;
    assert!(
        matches!(&again, Err(FetchError::Ledger(LedgerError::ManifestExists { key: found })) if *found == key),
        "{again:?}"
    );
    assert_eq!(&pipeline.store.get(&key, 4096).await?.context("no page")?.bytes[..], b"another");
    Ok(())
}

/// Starts a server on loopback.
async fn serve(router: Router) -> anyhow::Result<Cloud> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let cloud = Cloud::at(&format!("http://{}", listener.local_addr()?)).await;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(cloud)
}

#[tokio::test]
async fn contended_cursor_write_fails_after_a_few_attempts() -> anyhow::Result<()> {
    let pipeline = start_pipeline().await?;
    let attempts = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&attempts);
    let stored_cursor = json!({"v": 1, "archived_time": Timestamp::now() - HOUR, "run": "r"}).to_string();
    let bucket = Router::new().fallback(move |request: HttpRequest| {
        let (counted, stored_cursor) = (Arc::clone(&counted), stored_cursor.clone());
        async move {
            match (request.method(), request.uri().path().ends_with(keys::CURSOR)) {
                (&Method::PUT, true) => {
                    counted.fetch_add(1, Ordering::SeqCst);
                    StatusCode::PRECONDITION_FAILED.into_response()
                }
                (&Method::PUT, false) => [(header::ETAG, "\"1\"")].into_response(),
                (&Method::GET, true) => ([(header::ETAG, "\"1\"")], stored_cursor.clone()).into_response(),
                _ if request.uri().query().is_some_and(|query| query.contains("list-type=2")) => {
                    "<ListBucketResult></ListBucketResult>".into_response()
                }
                _ => (StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>").into_response(),
            }
        }
    });
    let cloud = serve(bucket).await?;
    let mut fetch = create_fetch(&pipeline, HourlySource { overlap: HOUR, listed: Arc::default() });
    fetch.store = Store::new(cloud.config(), "archive".to_owned());
    let error = run_daily(&fetch, Timestamp::now(), HOUR).await.err().context("no error")?;
    assert!(matches!(error, FetchError::Ledger(LedgerError::CursorContested)), "{error}");
    assert_eq!(attempts.load(Ordering::SeqCst), 5);
    // Its page is queued nevertheless, and the next run lists it again.
    assert_eq!(depth(&pipeline.machine.cloud, &pipeline.machine.resources.convert).await?.total(), 1);
    Ok(())
}

/// Responds when the concurrent batches have all arrived, and confirms every message except `lost`.
async fn confirm_batch(barrier: Arc<Barrier>, request: HttpRequest) -> Response {
    let bytes = to_bytes(request.into_body(), usize::MAX).await.expect("the request is incomplete");
    let request: Value = serde_json::from_slice(&bytes).expect("the request is not JSON");
    barrier.wait().await;
    let entries = request["Entries"].as_array().expect("the request has no entries").iter();
    let sent: Vec<_> = entries
        .filter(|entry| entry["MessageBody"] != "lost")
        .map(|entry| json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "0"}))
        .collect();
    let body = json!({"Successful": sent, "Failed": []}).to_string();
    ([(header::CONTENT_TYPE, "application/x-amz-json-1.0")], body).into_response()
}

#[tokio::test]
async fn eight_batches_are_sent_concurrently() -> anyhow::Result<()> {
    let barrier = Arc::new(Barrier::new(8));
    let router = Router::new().fallback(move |request: HttpRequest| confirm_batch(Arc::clone(&barrier), request));
    let cloud = serve(router).await?;
    let queue = Queue::new(cloud.config(), "http://127.0.0.1/queue".to_owned());
    let lost = [0, 33, 159];
    let bodies: Vec<_> = (0..160).map(|at| if lost.contains(&at) { "lost" } else { "sent" }.to_owned()).collect();
    let results = tokio::time::timeout(Duration::from_secs(60), queue.send(&bodies)).await;
    let results = results.context("the batches were not sent concurrently")?;
    let failed: Vec<_> = (0..).zip(results).filter_map(|(at, result)| result.err().map(|_| at)).collect();
    assert_eq!(failed, lost);
    Ok(())
}

/// Accepts batches of up to 256 KiB, as regions do that have not raised their limit, and records what was sent.
async fn confirm_small_batch(sent: Arc<Mutex<Vec<Value>>>, request: HttpRequest) -> Response {
    const LIMIT: usize = 256 << 10;
    let bytes = to_bytes(request.into_body(), usize::MAX).await.expect("the request is incomplete");
    let request: Value = serde_json::from_slice(&bytes).expect("the request is not JSON");
    let entries = request["Entries"].as_array().expect("the request has no entries");
    let length: usize = entries.iter().filter_map(|entry| entry["MessageBody"].as_str()).map(str::len).sum();
    let json = [(header::CONTENT_TYPE, "application/x-amz-json-1.0")];
    if length > LIMIT {
        let body = json!({"__type": "com.amazonaws.sqs#BatchRequestTooLong", "message": "too long"}).to_string();
        return (StatusCode::BAD_REQUEST, json, body).into_response();
    }
    sent.lock().expect("a thread panicked while it held the lock").extend(entries.clone());
    let confirmed: Vec<_> =
        entries.iter().map(|entry| json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "0"})).collect();
    (json, json!({"Successful": confirmed, "Failed": []}).to_string()).into_response()
}

#[tokio::test]
async fn batch_that_a_region_rejects_is_halved() -> anyhow::Result<()> {
    let sent: Arc<Mutex<Vec<Value>>> = Arc::default();
    let all = Arc::clone(&sent);
    let cloud = serve(Router::new().fallback(move |request| confirm_small_batch(Arc::clone(&all), request))).await?;
    let queue = Queue::new(cloud.config(), "http://127.0.0.1/queue".to_owned());
    // The longest tasks of convert, of which SQS takes ten in 1 MiB; and one that is too long for such a region.
    let body = |at: usize, length: usize| format!("{at:02}{}", "x".repeat(length));
    let bodies: Vec<_> = (0..10).map(|at| body(at, if at == 7 { 300 << 10 } else { 64 << 10 })).collect();
    let results = queue.send(&bodies).await;
    let failed: Vec<_> = (0..).zip(results).filter_map(|(at, result)| Some((at, result.err()?))).collect();
    assert!(matches!(&failed[..], [(7, QueueError::Configuration { .. })]), "{failed:?}");
    let mut sent: Vec<_> = sent
        .lock()
        .expect("a thread panicked while it held the lock")
        .iter()
        .map(|entry| entry["MessageBody"].as_str().unwrap_or_default()[..2].to_owned())
        .collect();
    sent.sort_unstable();
    assert_eq!(sent, ["00", "01", "02", "03", "04", "05", "06", "08", "09"], "an item is missing or repeated");
    Ok(())
}
