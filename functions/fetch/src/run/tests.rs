//! Tests of runs, with a source of two pages and a fake of S3 and SQS.

use std::sync::Arc;

use async_trait::async_trait;
use aws::{s3::Store, sqs::Queue};
use aws_fake::{Aws, BUCKET, QUEUE};
use jiff::{SignedDuration, Timestamp, ToSpan};
use model::{Attachment, ConvertTask, Cursor, ItemId, ItemJson, Listed, Sha256, Window, keys};
use serde_json::json;
use source::{Page, Sink, Source, SourceError};

use super::{Fetch, Request, Started};

/// Two pages with one item each.
struct TwoPages;

#[async_trait]
impl Source for TwoPages {
    async fn list(&self, window: &Window, cursor: Option<&str>) -> Result<Page, SourceError> {
        let (id, next) = if cursor.is_none() { ("WA-1", Some("2".to_owned())) } else { ("WA-2", None) };
        let items = vec![Listed { item: json!(id), archived_time: json!("2026-11-21T09:59:59Z") }];
        Ok(Page { items, next, reached: window.from.checked_add(1.hour()).ok(), source_time: None, incidents: 0 })
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

fn fetch(aws: &Aws) -> Fetch {
    Fetch {
        source: Arc::new(TwoPages),
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
    let summary = fetch(&aws).run(Request::Daily, &started(0)).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(summary.complete && (summary.listed, summary.queued) == (2, 2));
    let writes = aws.writes().into_iter();
    let steps: Vec<_> = writes.map(|write| write.rsplit('/').next().unwrap_or_default().to_owned()).collect();
    let pages = ["items-000001.ndjson", "send", "cursor.json", "items-000002.ndjson", "send", "cursor.json"];
    assert_eq!(steps, [&["cursor.json", "begun.json"][..], &pages, &["run.json"]].concat());
    assert_eq!((queued(&aws), cursor(&aws)), (vec!["WA-1".to_owned(), "WA-2".to_owned()], summary.to));
}

#[tokio::test]
async fn entry_of_an_earlier_run_is_not_queued_again() {
    let aws = Aws::start().await;
    for seconds in [0, 60] {
        let run = fetch(&aws).run(Request::Daily, &started(seconds)).await;
        assert!(run.is_ok_and(|summary| summary.complete));
    }
    assert_eq!(queued(&aws).len(), 2);
}

#[tokio::test]
async fn page_that_cannot_be_recorded_is_neither_queued_nor_passed() {
    let aws = Aws::start().await;
    aws.fail(Some("items-000002"));
    assert!(fetch(&aws).run(Request::Daily, &started(0)).await.is_err());
    assert_eq!(queued(&aws), ["WA-1"]);
    let stopped = cursor(&aws);
    aws.fail(None);
    let next = fetch(&aws).run(Request::Daily, &started(60)).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(next.from <= stopped && next.complete);
    assert_eq!(queued(&aws), ["WA-1", "WA-2"], "nothing is lost, and nothing is queued twice");
}

/// The page exists although its write failed, so the run can go on, and reconcile finds as many items as were queued.
#[tokio::test]
async fn page_whose_response_is_lost_is_read_back() {
    let aws = Aws::start().await;
    aws.lose_response("items-000002");
    let summary = fetch(&aws).run(Request::Daily, &started(0)).await.unwrap_or_else(|error| panic!("{error}"));
    assert!(summary.complete && summary.queued == 2);
    assert_eq!(queued(&aws), ["WA-1", "WA-2"]);
}
