//! Tests the objects that `Capture` writes and the source `cloud-api` reads, with the emulated bucket.

use anyhow::Context;
use aws::s3::Store;
use cloud_api::{Channel, Event, Origin, PayloadPath, StoredEvent, entries, events};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use local::{
    cloud::{Cloud, Redelivery},
    ministack::{Ministack, MinistackOptions},
};
use model::{Attachment, Item, ItemId, Sha256, Window, keys};
use serde_json::{Value, json};
use source::{
    CloudApi, Source, SourceError,
    cloud_api::{Capture, sent_without_content},
};

pub(crate) const BUSINESS_NUMBER: &str = "12025550143";
pub(crate) const CLIENT_NUMBER: &str = "447700900123";
pub(crate) const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// An emulated bucket.
pub(crate) struct Bucket {
    pub(crate) store: Store,
    pub(crate) capture: Capture,
    pub(crate) source: CloudApi,
    cloud: Cloud,
    _server: Ministack,
    _directory: tempfile::TempDir,
}

impl Bucket {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let options = MinistackOptions {
            program: harness::ministack(),
            port: None,
            state: None,
            log: directory.path().join("ministack.log"),
            variables: Vec::new(),
        };
        let server = Ministack::start(&options).await?;
        let cloud = Cloud::at(&server.endpoint()).await;
        let redelivery = Redelivery { visibility: std::time::Duration::from_secs(60), max_receives: 3 };
        let resources = cloud.create(redelivery, false).await?;
        let store = Store::new(cloud.config(), resources.bucket);
        let (capture, source) = (Capture::new(store.clone()), CloudApi::new(store.clone()));
        Ok(Self { store, capture, source, cloud, _server: server, _directory: directory })
    }

    /// Returns the configuration of clients of the emulator.
    pub(crate) fn config(&self) -> &aws_config::SdkConfig {
        self.cloud.config()
    }

    /// Writes the objects of a webhook, as the receiver does.
    pub(crate) async fn receive(&self, webhook: &Value, received: Timestamp) -> anyhow::Result<Vec<Event>> {
        let body = webhook.to_string();
        let origin = Origin {
            received,
            written: received,
            body: self.capture.raw(body.as_bytes(), received).await?,
            channel: Channel::Meta,
        };
        let events: Vec<_> = events(&entries(body.as_bytes(), &PayloadPath::default())?).collect();
        let written = events.iter().map(|event| self.capture.event(event, &origin));
        stream::iter(written).buffer_unordered(32).try_collect::<()>().await?;
        Ok(events)
    }

    /// Returns every id that is listed in a window, page by page.
    async fn read_listed_ids(&self, window: &Window) -> anyhow::Result<Vec<Vec<String>>> {
        let (mut pages, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.source.list(window, cursor.as_deref()).await?;
            pages.push(page.items.iter().map(model::Listed::name).collect());
            cursor = page.next;
            if cursor.is_none() {
                return Ok(pages);
            }
        }
    }

    pub(crate) async fn item(&self, id: &str) -> Result<Item, SourceError> {
        Ok(self.source.item(&id.parse::<ItemId>().expect("the id is invalid")).await?.item)
    }

    pub(crate) async fn bytes(&self, item: &Item, attachment: &Attachment) -> Result<Vec<u8>, SourceError> {
        Ok(self.source.attachment(&item.id, attachment, 1 << 20).await?.bytes.to_vec())
    }
}

fn webhook(field: &str, mut value: Value) -> Value {
    value["metadata"] = json!({"display_phone_number": BUSINESS_NUMBER, "phone_number_id": "700"});
    json!({"object": "whatsapp_business_account",
           "entry": [{"id": "900", "changes": [{"field": field, "value": value}]}]})
}

fn message(id: &str, kind: &str, content: Value) -> Value {
    json!({"from": CLIENT_NUMBER, "id": id, "timestamp": "1795770843", "type": kind, kind: content})
}

fn text(id: &str) -> Value {
    webhook("messages", json!({"messages": [message(id, "text", json!({"body": "hello"}))]}))
}

pub(crate) fn image(field: &str, id: &str, media: &str, bytes: &[u8]) -> Value {
    let content = json!({"id": media, "mime_type": "image/jpeg", "sha256": Sha256::of(bytes), "caption": "c"});
    webhook(field, json!({"messages": [message(id, "image", content)]}))
}

/// Creates a message in which a person filled in a form with pictures.
pub(crate) fn form(id: &str, pictures: &[&str]) -> Value {
    let picture = |media: &&str| json!({"id": media, "mime_type": "image/jpeg", "file_name": format!("{media}.jpg")});
    let response = json!({"photo_picker": pictures.iter().map(picture).collect::<Vec<_>>()}).to_string();
    let content = json!({"type": "nfm_reply", "nfm_reply": {"name": "flow", "response_json": response}});
    webhook("messages", json!({"messages": [message(id, "interactive", content)]}))
}

fn placeholder(id: &str) -> Value {
    let message = message(id, "media_placeholder", json!({}));
    webhook("history", json!({"history": [{"threads": [{"id": CLIENT_NUMBER, "messages": [message]}]}]}))
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).expect("the time is invalid")
}

fn window_around(at: Timestamp) -> anyhow::Result<Window> {
    Ok(Window::between(at - HOUR, at + HOUR)?)
}

#[tokio::test]
async fn repeated_webhook_is_listed_once() -> anyhow::Result<()> {
    let bucket = Bucket::start().await?;
    let at = now();
    for _ in 0..2 {
        bucket.receive(&text("wamid.A"), at).await?;
    }
    // Meta repeats a webhook for days.
    bucket.receive(&text("wamid.A"), at + HOUR * 30).await?;
    assert_eq!(bucket.read_listed_ids(&window_around(at)?).await?, [["wamid.A"]]);
    assert_eq!(bucket.read_listed_ids(&window_around(at + HOUR * 30)?).await?, [[""; 0]]);
    let item = bucket.item("wamid.A").await?;
    assert_eq!((item.text.as_deref(), item.archived_time), (Some("hello"), at));
    let evidence = item.evidence().context("no evidence")?;
    assert_eq!(
        bucket.bytes(&item, evidence).await?,
        message("wamid.A", "text", json!({"body": "hello"})).to_string().as_bytes()
    );
    let raw = text("wamid.A").to_string();
    let webhook = item.webhook.as_ref().context("no webhook")?;
    assert_eq!(webhook.body_sha256, Sha256::of(raw.as_bytes()));
    let kept = bucket.store.get(&keys::webhook_body(at, &webhook.body_sha256), 1 << 20).await?.context("no body")?;
    assert_eq!(kept.bytes, raw.as_bytes());
    assert!(matches!(bucket.item("wamid.B").await, Err(SourceError::NotFound)));
    Ok(())
}

#[tokio::test]
async fn event_without_an_entry_is_listed_when_it_is_repeated() -> anyhow::Result<()> {
    let bucket = Bucket::start().await?;
    let (at, body) = (now(), text("wamid.A").to_string());
    let webhook = entries(body.as_bytes(), &PayloadPath::default())?;
    let event = events(&webhook).next().context("no event")?;
    let copy = StoredEvent::write(
        &event.json,
        &Origin { received: at, written: at, body: Sha256::of(body.as_bytes()), channel: Channel::Meta },
    )
    .context("no copy")?;
    let key = keys::event_copy(&event.id.key(), &Sha256::of(&event.json));
    let put = aws::s3::Put { key: &key, bytes: copy.into(), content_type: "application/json", sha256: None };
    bucket.store.put(put, aws::s3::Condition::Absent).await?;
    assert_eq!(bucket.read_listed_ids(&window_around(at)?).await?, [[""; 0]]);
    let later = at + HOUR * 72;
    bucket.receive(&text("wamid.A"), later).await?;
    assert_eq!(bucket.read_listed_ids(&window_around(later)?).await?, [["wamid.A"]]);
    Ok(())
}

#[tokio::test]
async fn list_is_paged_and_limited_to_the_window() -> anyhow::Result<()> {
    let bucket = Bucket::start().await?;
    let midnight: Timestamp = "2026-11-27T00:00:00Z".parse()?;
    let messages = |from: usize, count: usize| {
        let all: Vec<_> =
            (from..from + count).map(|n| message(&format!("wamid.{n}"), "text", json!({"body": "x"}))).collect();
        webhook("messages", json!({ "messages": all }))
    };
    let second = SignedDuration::from_secs(1);
    bucket.receive(&messages(0, 1), midnight - HOUR).await?;
    bucket.receive(&messages(1, 700), midnight - second).await?;
    bucket.receive(&messages(701, 300), midnight).await?;
    bucket.receive(&messages(1001, 1), midnight + HOUR).await?;
    let window = Window::between(midnight - HOUR + second, midnight + HOUR)?;
    let pages = bucket.read_listed_ids(&window).await?;
    // The first page lacks one item of the first minute, which was received before the window.
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [999, 1]);
    let first = bucket.source.list(&window, None).await?;
    assert_eq!(first.reached, Some(midnight));
    let mut all: Vec<_> = pages.into_iter().flatten().collect();
    all.sort();
    let mut expected: Vec<_> = (1..1001).map(|n| format!("wamid.{n}")).collect();
    expected.sort();
    assert_eq!(all, expected);
    assert!(matches!(bucket.source.list(&window, Some("x")).await, Err(SourceError::MalformedPage(_))));
    Ok(())
}

#[tokio::test]
async fn placeholder_item_waits_until_its_content_arrives() -> anyhow::Result<()> {
    let bucket = Bucket::start().await?;
    let at = now();
    bucket.receive(&placeholder("wamid.P"), at - HOUR).await?;
    assert!(matches!(bucket.item("wamid.P").await, Err(SourceError::StillCapturing { .. })));
    bucket.receive(&text("wamid.P"), at).await?;
    assert_eq!(bucket.item("wamid.P").await?.text.as_deref(), Some("hello"));
    Ok(())
}

/// convert's task is received 300 times for both waits.
#[tokio::test]
async fn waits_for_content_and_file_take_six_days_together() -> anyhow::Result<()> {
    let bucket = Bucket::start().await?;
    let at = now();
    bucket.receive(&placeholder("wamid.P"), at - HOUR * 2).await?;
    let half_an_hour = Some(std::time::Duration::from_secs(1800));
    let waits = bucket.item("wamid.P").await.map(|item| item.id);
    assert!(
        matches!(waits, Err(SourceError::StillCapturing { retry_after }) if retry_after == half_an_hour),
        "{waits:?}"
    );
    for (id, days, is_filed) in [("wamid.Q", 6, true), ("wamid.R", 5, false)] {
        let first = at - HOUR * 24 * days;
        bucket.receive(&placeholder(id), first).await?;
        bucket.receive(&image("history", id, "never", b"x"), first + HOUR * 22).await?;
        let files = bucket.item(id).await.map(|item| item.files().len());
        assert_eq!(files.as_ref().ok(), is_filed.then_some(&0), "{files:?}");
    }
    Ok(())
}

#[tokio::test]
async fn content_after_a_filed_placeholder_is_another_item() -> anyhow::Result<()> {
    let bucket = Bucket::start().await?;
    let at = now();
    bucket.receive(&placeholder("wamid.P"), at - HOUR * 25).await?;
    assert!(bucket.item("wamid.P").await?.reason.is_some());
    for _ in 0..2 {
        bucket.receive(&text("wamid.P"), at).await?;
    }
    assert_eq!(bucket.read_listed_ids(&window_around(at)?).await?, [["wamid.P#late"]]);
    assert_eq!(bucket.item("wamid.P#late").await?.text.as_deref(), Some("hello"));
    // Content that came in time keeps the id, also when it is repeated after a late placeholder.
    bucket.receive(&text("wamid.Q"), at - HOUR * 50).await?;
    bucket.receive(&placeholder("wamid.Q"), at - HOUR * 49).await?;
    bucket.receive(&text("wamid.Q"), at).await?;
    assert_eq!(bucket.read_listed_ids(&window_around(at)?).await?, [["wamid.P#late"]]);
    // A sent file comes without the thread; the placeholder has it.
    let mut sent = message("wamid.S", "media_placeholder", json!({}));
    sent["from"] = json!(BUSINESS_NUMBER);
    let thread = json!({"threads": [{"id": CLIENT_NUMBER, "messages": [sent]}]});
    bucket.receive(&webhook("history", json!({ "history": [thread] })), at - HOUR * 25).await?;
    let mut sent = message("wamid.S", "text", json!({"body": "sent"}));
    sent["from"] = json!(BUSINESS_NUMBER);
    bucket.receive(&webhook("history", json!({ "messages": [sent] })), at).await?;
    let late = bucket.item("wamid.S#late").await?;
    assert_eq!(late.to.iter().map(|to| to.phone_digits()).collect::<Vec<_>>(), [Some(CLIENT_NUMBER.to_owned())]);
    Ok(())
}

#[tokio::test]
async fn sent_message_without_content_is_counted() -> anyhow::Result<()> {
    let bucket = Bucket::start().await?;
    let at = now();
    let status = |id: &str, status: &str| json!({"id": id, "status": status, "timestamp": "1795770843"});
    let call = json!({"id": "wacid.C", "type": "call", "status": "RINGING"});
    let statuses = json!([
        status("wamid.OUT", "sent"),
        status("wamid.OUT", "read"),
        status("wamid.FAILED", "failed"),
        status("wamid.A", "delivered"),
        call
    ]);
    bucket.receive(&webhook("messages", json!({ "statuses": statuses })), at).await?;
    bucket.receive(&text("wamid.A"), at).await?;
    // The content of this message has expired, but not its outcome.
    let expired = json!({"statuses": [status("wamid.EXPIRED", "read")]});
    bucket.receive(&webhook("messages", expired), at).await?;
    let outcome = keys::outcome(&"wamid.EXPIRED".parse::<ItemId>()?.key());
    let put = aws::s3::Put { key: &outcome, bytes: "{}".into(), content_type: "application/json", sha256: None };
    bucket.store.put(put, aws::s3::Condition::Absent).await?;
    let sent = sent_without_content(&bucket.store, &window_around(at)?).await?;
    assert_eq!(sent.count, 1);
    assert_eq!(sent.messages[0].item.as_str(), "wamid.OUT");
    assert_eq!(sent.messages[0].statuses, ["read", "sent"]);
    Ok(())
}

#[tokio::test]
async fn object_keys_contain_no_id_and_no_number() -> anyhow::Result<()> {
    let bucket = Bucket::start().await?;
    bucket.receive(&image("messages", "wamid.SECRET", "4711", b"x"), now()).await?;
    bucket.receive(&placeholder("wamid.SECRET2"), now()).await?;
    let status = json!({"id": "wamid.SECRET3", "status": "sent"});
    bucket.receive(&webhook("messages", json!({"statuses": [status]})), now()).await?;
    let mut keys = Vec::new();
    let list = bucket.store.list("", |page| {
        keys.extend(page.into_iter().map(|object| object.key));
        async { Ok::<_, aws::s3::StoreError>(()) }
    });
    list.await?;
    assert!(keys.len() >= 8, "{keys:?}");
    for secret in ["SECRET", "wamid", BUSINESS_NUMBER, CLIENT_NUMBER, "4711"] {
        assert!(keys.iter().all(|key| !key.contains(secret)), "{secret}: {keys:?}");
    }
    Ok(())
}
