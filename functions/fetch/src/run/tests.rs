//! Tests of runs, with a source of two pages and a fake of S3 and SQS.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use async_trait::async_trait;
use aws::{
    s3::{Condition, Put, Store},
    sqs::Queue,
};
use aws_fake::{Aws, BUCKET, QUEUE};
use jiff::{SignedDuration, Timestamp, ToSpan};
use ledger::StoredCursor;
use model::{Attachment, ConvertTask, Cursor, ItemId, ItemJson, Listed, Outcome, RunRecord, Sha256, Window, keys};
use runtime::metrics::{Metric, counted};
use serde_json::json;
use source::{Page, Sink, Source, SourceError};

use super::{Fetch, Request, Started};

/// The entries of each page, the earlier ids of those on the first and its oldest messages of a chat, and the time that each
/// page reaches.
struct Pages {
    pages: Vec<Vec<&'static str>>,
    earlier_ids: BTreeMap<usize, ItemId>,
    oldest: Option<Range<usize>>,
    reached_after: SignedDuration,
}

impl Pages {
    fn of(pages: Vec<Vec<&'static str>>) -> Self {
        let reached_after = SignedDuration::from_hours(1);
        Self { pages, earlier_ids: BTreeMap::new(), oldest: None, reached_after }
    }
}

#[async_trait]
impl Source for Pages {
    async fn list(&self, window: &Window, cursor: Option<&str>) -> Result<Page, SourceError> {
        let number = cursor.map_or(0, |cursor| cursor.parse().unwrap_or_else(|error| panic!("{error}")));
        let entry = |id: &&str| Listed { item: json!(id), archived_time: json!("2026-11-21T09:59:59Z") };
        Ok(Page {
            items: self.pages[number].iter().map(entry).collect(),
            next: (number + 1 < self.pages.len()).then(|| (number + 1).to_string()),
            reached: window.from.checked_add(self.reached_after).ok(),
            earlier_ids: if number == 0 { self.earlier_ids.clone() } else { BTreeMap::new() },
            oldest: self.oldest.iter().filter(|_| number == 0).cloned().collect(),
            ..Page::default()
        })
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

/// Lists two pages with one item each.
fn fetch(aws: &Aws) -> Fetch {
    fetch_from(aws, Pages::of(vec![vec!["WA-1"], vec!["WA-2"]]))
}

fn fetch_from(aws: &Aws, source: Pages) -> Fetch {
    Fetch {
        source: Arc::new(source),
        source_name: "archiver-api",
        kept_for: None,
        store: Store::new(aws.config(), BUCKET.to_owned()),
        convert_queue: Queue::new(aws.config(), QUEUE.to_owned()),
        overlap: Window::OVERLAP,
    }
}

/// Returns the invocation that starts this many seconds from now.
fn started(seconds: i64) -> Started {
    let at = Timestamp::now() + SignedDuration::from_secs(seconds);
    let request_id = format!("request-{seconds}");
    Started { at, function: "fetch".to_owned(), request_id, ends: at + SignedDuration::from_mins(15) }
}

fn queued(aws: &Aws) -> Vec<String> {
    let item = |body: &String| ConvertTask::parse(body).map(|task| task.item.as_str().to_owned());
    aws.messages().iter().map(|body| item(body).unwrap_or_else(|error| panic!("{error}"))).collect()
}

fn cursor(aws: &Aws) -> Timestamp {
    let object = aws.object(keys::CURSOR).unwrap_or_else(|| panic!("no cursor"));
    serde_json::from_slice::<Cursor>(&object).unwrap_or_else(|error| panic!("{error}")).archived_time
}

#[tokio::test]
async fn page_is_recorded_then_queued_then_passed_by_the_cursor() {
    let aws = Aws::start().await;
    let summary = fetch(&aws).run(Request::Scheduled, &started(0)).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(summary.complete && (summary.listed, summary.queued) == (2, 2));
    let writes = aws.writes().into_iter();
    let steps: Vec<_> = writes.map(|write| write.rsplit('/').next().unwrap_or_default().to_owned()).collect();
    let pages = ["items-000001.ndjson", "send", "cursor.json", "items-000002.ndjson", "send", "cursor.json"];
    assert_eq!(steps, [&["cursor.json", "begun.json"][..], &pages, &["run.json"]].concat());
    assert_eq!((queued(&aws), cursor(&aws)), (vec!["WA-1".to_owned(), "WA-2".to_owned()], summary.to));
}

/// The cursor of one source says nothing about another.
#[tokio::test]
async fn source_continues_at_its_own_cursor_after_a_change() {
    let aws = Aws::start().await;
    let run = async |source_name, request, hours: i64| {
        let fetch = Fetch { source_name, ..fetch(&aws) };
        fetch.run(request, &started(hours * 3600)).await.unwrap_or_else(|error| panic!("{error}"))
    };
    let api = run("archiver-api", Request::Scheduled, 0).await;
    // The operator changes the source by mistake, and back after five days.
    let other = run("eml-drop", Request::Scheduled, 1).await;
    let first = started(3600).at - Window::FIRST;
    assert!(other.from.duration_since(first).abs() < 1.minute().try_into().unwrap_or_default(), "{}", other.from);
    let other = run("eml-drop", Request::Scheduled, 120).await;
    let back = run("archiver-api", Request::Last, 121).await;
    assert_eq!(back.from, api.to - Window::OVERLAP, "the days of the other source are left out");
    assert_eq!(cursor(&aws), back.to);
    for (summary, source, last) in
        [(&api, "archiver-api", false), (&other, "eml-drop", false), (&back, "archiver-api", true)]
    {
        let record = aws.object(&keys::run(&summary.run)).unwrap_or_else(|| panic!("no record"));
        let record: RunRecord = serde_json::from_slice(&record).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((record.source.as_deref(), record.last), (Some(source), last));
    }
}

/// A run of another source may have replaced the cursor while this one was listing.
#[tokio::test]
async fn run_does_not_move_the_cursor_of_another_source() {
    let aws = Aws::start().await;
    let store = Store::new(aws.config(), BUCKET.to_owned());
    let run = |seconds| model::RunId::new(started(seconds).at, model::RunKind::Scheduled, "run");
    let at = Timestamp::now();
    let (mut api, mut webhooks) = (
        StoredCursor::read(&store, "archiver-api").await.unwrap_or_else(|error| panic!("{error}")),
        StoredCursor::read(&store, "cloud-api").await.unwrap_or_else(|error| panic!("{error}")),
    );
    assert!(api.begin(at, &run(0)).await.is_ok());
    assert!(webhooks.begin(at, &run(1)).await.is_err(), "the first cursor of two sources at once");
    let mut webhooks = StoredCursor::read(&store, "cloud-api").await.unwrap_or_else(|error| panic!("{error}"));
    assert!(webhooks.begin(at - 1.hour(), &run(2)).await.is_ok());
    let reached = model::Reached { at: at + 1.hour(), limit: at + 1.hour(), complete: true };
    assert!(api.advance(at, reached, &run(0)).await.is_err());
    assert_eq!(cursor(&aws), at - 1.hour());
}

/// An older window lists nothing, and would look like one in which the source had received nothing.
#[tokio::test]
async fn window_that_the_source_has_deleted_is_not_recorded() {
    let aws = Aws::start().await;
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    let fetch = Fetch { kept_for: Some(days(30)), ..fetch(&aws) };
    let first = fetch.run(Request::Scheduled, &started(0)).await.unwrap_or_else(|error| panic!("{error}"));
    // The schedule was off for five weeks.
    let later = started(days(35).as_secs());
    let summary = fetch.run(Request::Scheduled, &later).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(summary.from, later.at - days(30), "a part without entries counts as fetched");
    assert_eq!(cursor(&aws), summary.to);
    let runs = aws.writes().len();
    let gap = Window::between(first.to, summary.from).unwrap_or_else(|error| panic!("{error}"));
    let error = fetch.run(Request::Backfill(gap), &later).await.err().map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.contains("30 days") && error.contains(&summary.from.to_string())));
    assert_eq!(aws.writes().len(), runs, "the rejected run was recorded");
}

#[tokio::test]
async fn entry_of_an_earlier_run_is_not_queued_again() {
    let aws = Aws::start().await;
    for seconds in [0, 60] {
        let run = fetch(&aws).run(Request::Scheduled, &started(seconds)).await;
        assert!(run.is_ok_and(|summary| summary.complete));
    }
    assert_eq!(queued(&aws).len(), 2);
}

#[tokio::test]
async fn page_that_cannot_be_recorded_is_neither_queued_nor_passed() {
    let aws = Aws::start().await;
    aws.fail(Some("items-000002"));
    assert!(fetch(&aws).run(Request::Scheduled, &started(0)).await.is_err());
    assert_eq!(queued(&aws), ["WA-1"]);
    let stopped = cursor(&aws);
    aws.fail(None);
    let next = fetch(&aws).run(Request::Scheduled, &started(60)).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(next.from <= stopped && next.complete);
    assert_eq!(queued(&aws), ["WA-1", "WA-2"], "nothing is lost, and nothing is queued twice");
}

/// If it counted as the window's end, the failed page would count as fetched.
#[tokio::test]
async fn time_after_the_requested_window_is_no_progress() {
    let aws = Aws::start().await;
    aws.fail(Some("items-000002"));
    let beyond = Pages { reached_after: Window::FIRST * 2, ..Pages::of(vec![vec!["WA-1"], vec!["WA-2"]]) };
    assert!(fetch_from(&aws, beyond).run(Request::Scheduled, &started(0)).await.is_err());
    let record = aws.keys(keys::RUNS).into_iter().find(|key| key.ends_with("/run.json"));
    let record = record.and_then(|key| aws.object(&key)).unwrap_or_else(|| panic!("no record"));
    let record: RunRecord = serde_json::from_slice(&record).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((record.reached, cursor(&aws)), (None, record.from));
}

/// The page exists although its write failed, so the run can go on, and reconcile finds as many items as were queued.
#[tokio::test]
async fn page_whose_response_is_lost_is_read_back() {
    let aws = Aws::start().await;
    aws.lose_response("items-000002");
    let summary = fetch(&aws).run(Request::Scheduled, &started(0)).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(summary.complete && summary.queued == 2);
    assert_eq!(queued(&aws), ["WA-1", "WA-2"]);
}

fn item(id: &str) -> ItemId {
    id.parse().unwrap_or_else(|error| panic!("{error}"))
}

async fn put_outcome(aws: &Aws, id: &str, json: Vec<u8>) {
    let key = keys::outcome(&item(id).key());
    let put = Put { key: &key, bytes: json.into(), content_type: "application/json", sha256: None };
    let written = Store::new(aws.config(), BUCKET.to_owned()).put(put, Condition::Absent).await;
    written.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn item_listed_under_an_earlier_id_before_keeps_it() {
    let aws = Aws::start().await;
    let page = |pages, earlier: &[&str]| Pages {
        earlier_ids: (0..).zip(earlier.iter().map(|id| item(id))).collect(),
        ..Pages::of(vec![pages])
    };
    let earlier = fetch_from(&aws, page(vec!["old-1"], &[])).run(Request::Scheduled, &started(0)).await;
    assert!(earlier.is_ok_and(|summary| summary.queued == 1));
    put_outcome(&aws, "old-2", Outcome::new(item("old-2")).to_json()).await;
    put_outcome(&aws, "old-3", b"damaged".to_vec()).await;
    let changed = page(vec!["new-1", "new-2", "new-3", "new-4", "new-5"], &["old-1", "old-2", "old-3", "old-4"]);
    let summary = fetch_from(&aws, changed).run(Request::Scheduled, &started(60)).await;
    assert!(summary.is_ok_and(|summary| (summary.listed, summary.queued) == (5, 4)));
    assert_eq!(queued(&aws), ["old-1", "old-2", "old-3", "new-4", "new-5"]);

    // What was queued is listed again without a request.
    let reads = |aws: &Aws| aws.reads().iter().filter(|read| read.contains(keys::OUTCOMES)).count();
    let before = reads(&aws);
    let again = page(vec!["new-4"], &["old-4"]);
    let summary = fetch_from(&aws, again).run(Request::Scheduled, &started(120)).await;
    assert!(summary.is_ok_and(|summary| (summary.listed, summary.queued) == (1, 0)));
    assert_eq!((before > 0, reads(&aws)), (true, before));
}

#[tokio::test]
async fn old_messages_with_new_ids_are_noticed() {
    let aws = Aws::start().await;
    for id in ["1", "2", "3"] {
        put_outcome(&aws, id, Outcome::new(item(id)).to_json()).await;
    }
    let run = "20261121T100000Z-daily-1".parse().unwrap_or_else(|error| panic!("{error}"));
    let mixed = async |ids: &[&str]| {
        let entry = |id: &&str| Listed { item: json!(id), archived_time: json!("2026-11-21T09:59:59Z") };
        let oldest: Vec<_> = ids.iter().map(entry).collect();
        let queued_before = ledger::QueuedEntries::default();
        let mixed = fetch(&aws).mixed_ids(&run, &oldest, &queued_before).await;
        let mixed = mixed.unwrap_or_else(|error| panic!("{error}"));
        mixed.map(|mixed| (mixed.known, mixed.unknown, mixed.item))
    };
    assert_eq!(mixed(&["1", "new", "2", "3"]).await, Some((3, 1, item("new").key().to_string())));
    assert_eq!(mixed(&["1", "2", "3"]).await, None);
    assert_eq!(mixed(&["new", "newer"]).await, None, "the chat was not read before");
    assert_eq!(mixed(&["1", "1", "1", "2", "3", "new"]).await, None, "few are unknown");
    assert_eq!(mixed(&[]).await, None);
}

#[tokio::test]
async fn loss_or_double_that_a_run_finds_is_counted() {
    let days = |days: i64| SignedDuration::from_hours(24 * days);
    let found = async |fetch: &Fetch, request, started: &Started| {
        let before = counted(Metric::LossOrDouble);
        // `run` writes the metrics and resets them.
        let pages = Box::pin(fetch.pages(request, started)).await;
        assert!(pages.is_ok_and(|summary| summary.complete));
        counted(Metric::LossOrDouble) - before
    };
    let aws = Aws::start().await;
    let limited = Fetch { kept_for: Some(days(30)), ..fetch(&aws) };
    assert_eq!(found(&limited, Request::Scheduled, &started(0)).await, 0);
    let later = |hours: i64| started(days(35).as_secs() + hours * 3600);
    assert_eq!(found(&limited, Request::Scheduled, &later(0)).await, 1, "entries were deleted by age");

    let other = Fetch { source_name: "cloud-api", ..fetch(&aws) };
    assert_eq!(found(&other, Request::Scheduled, &later(1)).await, 1, "SOURCE has changed");
    assert_eq!(found(&other, Request::Last, &later(2)).await, 0);
    assert_eq!(found(&fetch(&aws), Request::Scheduled, &later(3)).await, 0, "the other source had been stopped");

    put_outcome(&aws, "old-1", Outcome::new(item("old-1")).to_json()).await;
    let renamed = Pages { oldest: Some(0..2), ..Pages::of(vec![vec!["old-1", "new-1"]]) };
    assert_eq!(
        found(&fetch_from(&aws, renamed), Request::Scheduled, &later(4)).await,
        1,
        "a chat has messages with new ids"
    );
}
