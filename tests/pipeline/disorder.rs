//! A retrieval API whose list is not quite in the order of archived times, and a page that fails: the next run, or the
//! rest of a backfill, lists what the failed page had.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::Context;
use async_trait::async_trait;
use aws::sqs::Queue;
use axum::{
    Router,
    extract::{Request as HttpRequest, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use fetch::{Fetch, FetchError, Request, Started, Summary};
use harness::{ItemSource, MailSystem, Pipeline};
use jiff::{SignedDuration, Timestamp};
use local::event_source::depth;
use model::{Cursor, RunRecord, Window, keys};
use secrecy::SecretString;
use serde_json::json;
use source::{ArchiverApi, Basic, Credentials, Limits, SourceError};

const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// An item in the order of the list: the time by which the API filters, and the time that it lists.
type Item = (Timestamp, Timestamp);

/// Lists two items per page.
struct Api {
    items: Vec<Item>,
    /// The next request for a second page fails.
    fails: AtomicBool,
}

async fn respond(State(api): State<Arc<Api>>, request: HttpRequest) -> Response {
    let query = request.uri().query().unwrap_or_default().replace("%3A", ":");
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let time = |name| value(name).and_then(|time| time.parse::<Timestamp>().ok()).expect("the query has no such time");
    let second = value("cursor").is_some();
    if second && api.fails.swap(false, Ordering::SeqCst) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let window = time("from")..time("to");
    let listed = api.items.iter().filter(|(received, _)| window.contains(received));
    let listed: Vec<_> = listed.map(|(id, at)| json!({"id": format!("WA-{id}"), "archivedTime": at})).collect();
    let (first, rest) = listed.split_at(listed.len().min(2));
    let (items, next) = if second { (rest, None) } else { (first, (!rest.is_empty()).then_some("2")) };
    ([(header::CONTENT_TYPE, "application/json")], json!({"items": items, "nextCursor": next}).to_string())
        .into_response()
}

struct AnyPassword;

#[async_trait]
impl Credentials for AnyPassword {
    async fn get(&self) -> Result<Basic, SourceError> {
        Ok(Basic { username: SecretString::from("connector"), password: SecretString::from("any") })
    }
}

struct Test {
    pipeline: Pipeline,
    fetch: Fetch,
    api: Arc<Api>,
}

impl Test {
    async fn start(items: Vec<Item>) -> anyhow::Result<Self> {
        let pipeline = Pipeline::start(ItemSource::ChatExports("UTC"), MailSystem::Maildir(Vec::new()), &[]).await?;
        let api = Arc::new(Api { items, fails: AtomicBool::new(false) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new().fallback(respond).with_state(Arc::clone(&api));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let source = ArchiverApi::new(url.parse()?, Arc::new(AnyPassword), Limits::default());
        let fetch = Fetch {
            source: Arc::new(source),
            source_name: "archiver-api",
            kept_for: None,
            store: pipeline.store.clone(),
            convert_queue: Queue::new(pipeline.machine.cloud.config(), pipeline.machine.resources.convert.url.clone()),
            overlap: DAY,
        };
        Ok(Self { pipeline, fetch, api })
    }

    async fn run(&self, request: Request, at: Timestamp, left: SignedDuration) -> Result<Summary, FetchError> {
        let started = Started { at, function: "fetch".to_owned(), request_id: format!("{at}"), ends: at + left };
        Box::pin(self.fetch.run(request, &started)).await
    }

    /// Runs daily, and the second page fails.
    async fn run_interrupted(&self, at: Timestamp) {
        self.api.fails.store(true, Ordering::SeqCst);
        let failed = self.run(Request::Scheduled, at, HOUR).await;
        assert!(matches!(failed, Err(FetchError::Source(SourceError::Unavailable { .. }))), "{failed:?}");
    }

    async fn cursor(&self) -> anyhow::Result<Cursor> {
        let object = self.pipeline.store.get(keys::CURSOR, 4096).await?.context("no cursor")?;
        Ok(serde_json::from_slice(&object.bytes)?)
    }

    async fn queued(&self) -> anyhow::Result<u64> {
        Ok(depth(&self.pipeline.machine.cloud, &self.pipeline.machine.resources.convert).await?.total())
    }
}

fn in_order(times: &[Timestamp]) -> Vec<Item> {
    times.iter().map(|time| (*time, *time)).collect()
}

#[tokio::test]
async fn older_item_after_a_failed_page_is_listed_by_the_next_run() -> anyhow::Result<()> {
    let now = Timestamp::now();
    let (last, seconds) = (now - DAY * 3, SignedDuration::from_secs);
    let times = [last, last + seconds(5), last + seconds(3), last + HOUR];
    let test = Test::start(in_order(&times)).await?;
    let before = test.run(Request::Scheduled, now - DAY * 5, HOUR).await?;
    assert_eq!((before.listed, before.complete), (0, true));

    test.run_interrupted(now).await;
    assert!(test.cursor().await?.archived_time > before.to, "the first page was not passed");
    let rest = test.run(Request::Scheduled, now + SignedDuration::from_mins(1), HOUR).await?;
    assert_eq!((rest.queued, rest.complete), (2, true), "the run left out the older item of the failed page");
    let next = test.run(Request::Scheduled, now + SignedDuration::from_mins(2), HOUR).await?;
    assert!(next.from > times[3] && next.complete, "the overlap of the next run reaches back to the items");
    assert_eq!(test.queued().await?, 4);
    Ok(())
}

/// No later run overlaps a backfill.
#[tokio::test]
async fn rest_of_a_backfill_lists_the_older_item() -> anyhow::Result<()> {
    let now = Timestamp::now();
    let first = now - DAY * 3;
    let times = [first, first + HOUR, first + HOUR - SignedDuration::from_secs(2), first + HOUR * 2];
    let test = Test::start(in_order(&times)).await?;
    let window = Window::between(first - HOUR, first + HOUR * 3)?;
    // Time for one page.
    let part = test.run(Request::Backfill(window), now, SignedDuration::from_secs(40)).await?;
    let reached = part.reached.context("no progress")?;
    assert!(!part.complete && reached < times[2], "{reached}");
    let rest = Window::between(reached, window.to)?;
    let rest = test.run(Request::Backfill(rest), now + SignedDuration::from_mins(1), HOUR).await?;
    assert_eq!((rest.listed, rest.complete), (3, true), "the rest began after the older item");
    Ok(())
}

#[tokio::test]
async fn time_after_the_window_moves_neither_cursor_nor_record() -> anyhow::Result<()> {
    let now = Timestamp::now();
    let first = now - DAY * 3;
    let wrong_clock = (first + HOUR, now + DAY * 3650);
    let items =
        [(first, first), wrong_clock, (first + HOUR * 2, first + HOUR * 2), (first + HOUR * 3, first + HOUR * 3)];
    let test = Test::start(items.to_vec()).await?;
    let before = test.run(Request::Scheduled, now - DAY * 5, HOUR).await?;
    test.run_interrupted(now).await;
    assert_eq!(test.cursor().await?.archived_time, before.to);
    let failed = model::RunId::new(now, model::RunKind::Scheduled, &format!("{now}"));
    let record = test.pipeline.store.get(&keys::run(&failed), 4096).await?.context("no record")?;
    let record: RunRecord = serde_json::from_slice(&record.bytes)?;
    assert_eq!((record.complete, record.reached), (false, None));
    let next = test.run(Request::Scheduled, now + SignedDuration::from_mins(1), HOUR).await?;
    assert_eq!((next.listed, next.complete), (4, true));
    Ok(())
}
