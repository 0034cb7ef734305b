//! Tests of the work on one record, with a source of one item and a fake of S3.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws::s3::{Condition, Put, Store};
use aws_fake::{Aws, BUCKET};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use message::write::Renderer;
use model::{Attachment, ConvertTask, Failure, ImportTask, ItemId, ItemJson, Outcome, Reason, Sha256, Window, keys};
use serde_json::json;
use source::{Page, Sink, Source, SourceError};
use sqs_batch::{Invocation, Next, Record, Work};

use super::Convert;
use crate::MemoryBudget;

/// A source of one item that has this text, a sender of this name and one file. With `None` the source does not have the
/// item yet.
struct OneItem(Mutex<Option<&'static str>>);

const FILE: &[u8] = b"a file";
/// The text of an item whose file is declared and has not arrived, or not completely.
const WITHOUT_FILE: &str = "without the file";
const WITH_PART: &str = "with a part of the file";
/// The text for which the source responds with JSON that is not an item.
const NOT_AN_ITEM: &str = "{}";

#[async_trait]
impl Source for OneItem {
    async fn list(&self, _: &Window, _: Option<&str>) -> Result<Page, SourceError> {
        Ok(Page::default())
    }

    fn overlap(&self) -> SignedDuration {
        Window::OVERLAP
    }

    async fn item_json(&self, id: &ItemId) -> Result<ItemJson, SourceError> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner).ok_or(SourceError::NotFound)?;
        if text == NOT_AN_ITEM {
            return Ok(ItemJson::new(text.into())?);
        }
        let item = json!({
            "id": id, "type": "document", "messageTime": "2026-11-21T09:59:58Z", "archivedTime": "2026-11-21T09:59:59Z",
            "chat": {"id": "c", "type": "individual"}, "from": {"phone": "+4520123456", "name": text}, "to": [], "text": text,
            "attachments": [{"id": "1", "name": "a.bin", "size": FILE.len()}],
        });
        Ok(ItemJson::new(item.to_string().into_bytes())?)
    }

    async fn copy_attachment(
        &self,
        _: &ItemId,
        _: &Attachment,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<Sha256, SourceError> {
        if FILE.len() as u64 > limit {
            return Err(SourceError::TooLarge { limit });
        }
        let file = match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(WITHOUT_FILE) => &b""[..],
            Some(WITH_PART) => &FILE[..3],
            _ => FILE,
        };
        sink.take(Bytes::from_static(file)).await.unwrap_or_else(|error| panic!("{error}"));
        Ok(Sha256::of(file))
    }
}

struct Test {
    aws: Aws,
    source: Arc<OneItem>,
    convert: Convert,
}

impl Test {
    async fn with(text: Option<&'static str>, max_item_bytes: u64) -> Self {
        let (aws, source) = (Aws::start().await, Arc::new(OneItem(Mutex::new(text))));
        let convert = Convert {
            source: Arc::clone(&source) as Arc<dyn Source>,
            store: Store::new(aws.config(), BUCKET.to_owned()),
            renderer: Renderer::new("archive.example.com").unwrap_or_else(|error| panic!("{error}")),
            max_item_bytes,
            large_item_max_bytes: max_item_bytes,
            memory: MemoryBudget::default(),
            missing_retry: std::time::Duration::from_secs(3600),
        };
        Self { aws, source, convert }
    }

    /// Delivers the item's task.
    async fn deliver(&self) -> Result<Next, Failure> {
        let now = Timestamp::now();
        let task = ConvertTask { v: 1, run: run(), item: item(), archived_time: now };
        let body = serde_json::to_string(&task).unwrap_or_else(|error| panic!("{error}"));
        let ends = now + SignedDuration::from_mins(2);
        let invocation = Invocation::new("convert".to_owned(), "request".to_owned(), ends, now);
        self.convert.work(&Record::of_body(body, Some(now)), &invocation).await
    }

    /// Delivers the item's task and returns the import task.
    async fn import_task(&self) -> ImportTask {
        match self.deliver().await {
            Ok(Next::Forward(body)) => ImportTask::parse(&body).unwrap_or_else(|error| panic!("{error}")),
            other => panic!("{other:?}"),
        }
    }
}

fn item() -> ItemId {
    "WA-1".parse().unwrap_or_else(|error| panic!("{error}"))
}

fn run() -> model::RunId {
    "20261121T100000Z-daily-1".parse().unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn import_task_names_the_stored_message() {
    let test = Test::with(Some("hi"), 1 << 20).await;
    let task = test.import_task().await;
    let stored = test.aws.object(&keys::mime(&item().key())).unwrap_or_else(|| panic!("no message"));
    assert_eq!((task.sha256, task.bytes), (Sha256::of(&stored), stored.len() as u64));
    assert_eq!(task.participants.map(|people| people.len()), Some(1));
}

#[tokio::test]
async fn second_delivery_keeps_the_first_rendering() {
    let test = Test::with(Some("hi"), 1 << 20).await;
    let first = test.import_task().await;
    *test.source.0.lock().unwrap_or_else(PoisonError::into_inner) = Some("changed at the source");
    assert_eq!(test.import_task().await.sha256, first.sha256);
}

/// The source names another participant when the item is rendered again. The copy goes to those whom its evidence names.
#[tokio::test]
async fn task_of_a_kept_rendering_names_no_other_participants() {
    for is_large in [false, true] {
        let mut test = Test::with(Some("hi"), 1 << 20).await;
        let first = test.import_task().await;
        assert!(first.participants.is_some() && first.message_time.is_some());
        *test.source.0.lock().unwrap_or_else(PoisonError::into_inner) = Some("Bob");
        if is_large {
            test.convert.max_item_bytes = FILE.len() as u64;
        }
        let again = test.import_task().await;
        assert_eq!((again.sha256, again.participants, again.message_time), (first.sha256, None, None));
        let stored = test.aws.object(&keys::mime(&item().key())).unwrap_or_else(|| panic!("no message"));
        let kept = message::read::evidence::participants_of(&stored).unwrap_or_default();
        assert_eq!(kept.iter().map(|kept| kept.name.as_deref()).collect::<Vec<_>>(), [Some("hi")]);
    }
}

#[tokio::test]
async fn second_delivery_of_an_unchanged_item_names_participants() {
    let test = Test::with(Some("hi"), 1 << 20).await;
    let (first, second) = (test.import_task().await, test.import_task().await);
    assert_eq!((second.participants, second.message_time), (first.participants, first.message_time));
}

#[tokio::test]
async fn oversize_item_is_recorded_before_it_is_dead_lettered() {
    let test = Test::with(Some("hi"), FILE.len() as u64).await;
    let failure = test.deliver().await;
    assert!(matches!(failure, Err(Failure::Permanent { reason: Reason::Oversize, .. })), "{failure:?}");
    let outcome = test.aws.object(&keys::outcome(&item().key())).unwrap_or_else(|| panic!("no outcome"));
    let outcome = Outcome::parse(&outcome).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(outcome.dead_letter.map(|dead_letter| dead_letter.reason), Some(Reason::Oversize));
    assert!(test.aws.keys(keys::MIME).is_empty());
}

/// Another task of the item is being filed: a replay of convert's dead letter would file it at the same time.
#[tokio::test]
async fn dead_letter_waits_while_import_holds_the_lease() {
    let test = Test::with(Some("hi"), FILE.len() as u64).await;
    let key = keys::outcome(&item().key());
    let mut outcome = Outcome::new(item());
    outcome.acquire("import".to_owned(), Timestamp::now() + SignedDuration::from_mins(1));
    let leased = outcome.to_json();
    let put = Put { key: &key, bytes: leased.clone().into(), content_type: "application/json", sha256: None };
    test.convert.store.put(put, Condition::Absent).await.unwrap_or_else(|error| panic!("{error}"));
    let failure = test.deliver().await;
    assert!(matches!(failure, Err(Failure::Transient { after: Some(_), .. })), "{failure:?}");
    assert_eq!(test.aws.object(&key), Some(leased), "the lease is not released");
}

#[tokio::test]
async fn item_that_the_source_does_not_have_yet_is_retried() {
    let test = Test::with(None, 1 << 20).await;
    assert!(matches!(test.deliver().await, Err(Failure::Transient { .. })));
    assert!(test.aws.keys("").is_empty(), "nothing is recorded");
    *test.source.0.lock().unwrap_or_else(PoisonError::into_inner) = Some("hi");
    test.import_task().await;
}

#[tokio::test]
async fn bucket_that_rejects_the_message_keeps_the_task() {
    let test = Test::with(Some("hi"), 1 << 20).await;
    test.aws.fail(Some(keys::MIME));
    assert!(matches!(test.deliver().await, Err(Failure::Transient { .. })));
    test.aws.fail(None);
    test.import_task().await;
}

/// A gateway in front of the source answers with JSON of its own: that is not a property of the item.
#[tokio::test]
async fn response_that_is_not_an_item_is_retried_while_young() {
    let mut test = Test::with(Some(NOT_AN_ITEM), 1 << 20).await;
    let failure = test.deliver().await;
    assert!(matches!(failure, Err(Failure::Transient { .. })), "{failure:?}");
    assert!(test.aws.keys("").is_empty(), "nothing is recorded");
    *test.source.0.lock().unwrap_or_else(PoisonError::into_inner) = Some("hi");
    test.import_task().await;

    *test.source.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(NOT_AN_ITEM);
    test.convert.missing_retry = std::time::Duration::ZERO;
    let failure = test.deliver().await;
    assert!(matches!(failure, Err(Failure::Permanent { reason: Reason::ItemMalformed, .. })), "{failure:?}");
}

#[tokio::test]
async fn short_file_is_retried_and_then_filed_with_an_anomaly() {
    for (text, received) in [(WITHOUT_FILE, 0), (WITH_PART, 3)] {
        for is_large in [false, true] {
            let mut test = Test::with(Some(text), 1 << 20).await;
            if is_large {
                test.convert.max_item_bytes = text.len() as u64;
            }
            let failure = test.deliver().await;
            assert!(
                matches!(&failure, Err(Failure::Transient { detail, .. }) if detail.contains("declared 6")),
                "{failure:?}"
            );
            assert!(test.aws.keys("").is_empty(), "nothing is recorded");
            if is_large {
                continue; // The fake has no multipart upload.
            }
            test.convert.missing_retry = std::time::Duration::ZERO;
            test.import_task().await;
            let stored = test.aws.object(&keys::mime(&item().key())).unwrap_or_else(|| panic!("no message"));
            let stored = String::from_utf8_lossy(&stored);
            assert!(stored.contains(&format!("Anomaly: a.bin: declared 6 bytes, received {received}")), "{stored}");
        }
    }
}
