//! What the receiver writes and the source `cloud-api` reads, against the emulated bucket; files from fakes of Meta and AWS.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use anyhow::Context;
use async_trait::async_trait;
use aws::s3::Store;
use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use cloud_api::{Door, Event, PayloadPath, StoredEvent, entries, events};
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
    cloud_api::{
        AccessToken, AwsMedia, Capture, MediaDoor, MediaFetcher, MediaOutcome, MediaTask, MetaMedia, Origin,
        sent_without_content,
    },
};

const OURS: &str = "12025550143";
const CLIENT: &str = "447700900123";
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// An emulated bucket.
struct Bucket {
    store: Store,
    capture: Capture,
    source: CloudApi,
    _server: Ministack,
    _directory: tempfile::TempDir,
}

impl Bucket {
    async fn start() -> anyhow::Result<Self> {
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
        Ok(Self { store, capture, source, _server: server, _directory: directory })
    }

    /// Writes what a webhook brings, as the receiver does.
    async fn receive(&self, webhook: &Value, received: Timestamp) -> anyhow::Result<Vec<Event>> {
        let body = webhook.to_string();
        let origin = Origin { received, body: self.capture.raw(body.as_bytes(), received).await?, door: Door::Meta };
        let events: Vec<_> = events(&entries(body.as_bytes(), &PayloadPath::default())?).collect();
        let written = events.iter().map(|event| self.capture.event(event, &origin));
        stream::iter(written).buffer_unordered(32).try_collect::<()>().await?;
        Ok(events)
    }

    /// Every id that is listed in a window, page by page.
    async fn listed(&self, window: &Window) -> anyhow::Result<Vec<Vec<String>>> {
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

    async fn item(&self, id: &str) -> Result<Item, SourceError> {
        Ok(self.source.item(&id.parse::<ItemId>().expect("an id")).await?.item)
    }

    async fn bytes(&self, item: &Item, attachment: &Attachment) -> Result<Vec<u8>, SourceError> {
        Ok(self.source.attachment(&item.id, attachment, 1 << 20).await?.bytes.to_vec())
    }
}

fn webhook(field: &str, mut value: Value) -> Value {
    value["metadata"] = json!({"display_phone_number": OURS, "phone_number_id": "700"});
    json!({"object": "whatsapp_business_account",
           "entry": [{"id": "900", "changes": [{"field": field, "value": value}]}]})
}

fn message(id: &str, kind: &str, content: Value) -> Value {
    json!({"from": CLIENT, "id": id, "timestamp": "1795770843", "type": kind, kind: content})
}

fn text(id: &str) -> Value {
    webhook("messages", json!({"messages": [message(id, "text", json!({"body": "hello"}))]}))
}

fn image(field: &str, id: &str, media: &str, bytes: &[u8]) -> Value {
    let content = json!({"id": media, "mime_type": "image/jpeg", "sha256": Sha256::of(bytes), "caption": "c"});
    webhook(field, json!({"messages": [message(id, "image", content)]}))
}

fn placeholder(id: &str) -> Value {
    let message = message(id, "media_placeholder", json!({}));
    webhook("history", json!({"history": [{"threads": [{"id": CLIENT, "messages": [message]}]}]}))
}

fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).expect("a time")
}

fn around(at: Timestamp) -> anyhow::Result<Window> {
    Ok(Window::between(at - HOUR, at + HOUR)?)
}

#[tokio::test]
async fn webhook_that_comes_again_is_listed_once() -> anyhow::Result<()> {
    let bucket = Bucket::start().await?;
    let at = now();
    for _ in 0..2 {
        bucket.receive(&text("wamid.A"), at).await?;
    }
    // Meta repeats it for days.
    bucket.receive(&text("wamid.A"), at + HOUR * 30).await?;
    assert_eq!(bucket.listed(&around(at)?).await?, [["wamid.A"]]);
    assert_eq!(bucket.listed(&around(at + HOUR * 30)?).await?, [[""; 0]]);
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
async fn event_whose_entry_was_cut_off_is_listed_when_it_comes_again() -> anyhow::Result<()> {
    let bucket = Bucket::start().await?;
    let (at, body) = (now(), text("wamid.A").to_string());
    let webhook = entries(body.as_bytes(), &PayloadPath::default())?;
    let event = events(&webhook).next().context("no event")?;
    let copy = StoredEvent::write(&event.json, at, Sha256::of(body.as_bytes()), Door::Meta).context("no copy")?;
    let key = keys::event_copy(&event.id.key(), &Sha256::of(&event.json));
    let put = aws::s3::Put { key: &key, bytes: copy.into(), content_type: "application/json", sha256: None };
    bucket.store.put(put, aws::s3::Condition::Absent).await?;
    assert_eq!(bucket.listed(&around(at)?).await?, [[""; 0]]);
    let later = at + HOUR * 72;
    bucket.receive(&text("wamid.A"), later).await?;
    assert_eq!(bucket.listed(&around(later)?).await?, [["wamid.A"]]);
    Ok(())
}

#[tokio::test]
async fn list_has_pages_and_ends_at_the_window() -> anyhow::Result<()> {
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
    bucket.receive(&messages(701, 600), midnight).await?;
    bucket.receive(&messages(1301, 1), midnight + HOUR).await?;
    let window = Window::between(midnight - HOUR + second, midnight + HOUR)?;
    let pages = bucket.listed(&window).await?;
    // Of the first page, one item of the first minute came before the window.
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [999, 301]);
    let first = bucket.source.list(&window, None).await?;
    assert_eq!(first.reached, Some(midnight));
    let mut all: Vec<_> = pages.into_iter().flatten().collect();
    all.sort();
    let mut expected: Vec<_> = (1..1301).map(|n| format!("wamid.{n}")).collect();
    expected.sort();
    assert_eq!(all, expected);
    assert!(matches!(bucket.source.list(&window, Some("x")).await, Err(SourceError::MalformedPage(_))));
    Ok(())
}

#[tokio::test]
async fn placeholder_waits_and_its_file_makes_the_item_complete() -> anyhow::Result<()> {
    let bucket = Bucket::start().await?;
    let at = now();
    bucket.receive(&placeholder("wamid.P"), at - HOUR).await?;
    assert!(matches!(bucket.item("wamid.P").await, Err(SourceError::StillCapturing { .. })));
    bucket.receive(&text("wamid.P"), at).await?;
    assert_eq!(bucket.item("wamid.P").await?.text.as_deref(), Some("hello"));
    Ok(())
}

#[tokio::test]
async fn content_that_comes_after_the_placeholder_was_filed_is_another_item() -> anyhow::Result<()> {
    let bucket = Bucket::start().await?;
    let at = now();
    bucket.receive(&placeholder("wamid.P"), at - HOUR * 25).await?;
    assert!(bucket.item("wamid.P").await?.reason.is_some());
    for _ in 0..2 {
        bucket.receive(&text("wamid.P"), at).await?;
    }
    assert_eq!(bucket.listed(&around(at)?).await?, [["wamid.P#late"]]);
    assert_eq!(bucket.item("wamid.P#late").await?.text.as_deref(), Some("hello"));
    // Content that came in time keeps the id, also when it comes again after a late placeholder.
    bucket.receive(&text("wamid.Q"), at - HOUR * 50).await?;
    bucket.receive(&placeholder("wamid.Q"), at - HOUR * 49).await?;
    bucket.receive(&text("wamid.Q"), at).await?;
    assert_eq!(bucket.listed(&around(at)?).await?, [["wamid.P#late"]]);
    Ok(())
}

#[tokio::test]
async fn sent_message_without_content_is_named() -> anyhow::Result<()> {
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
    let sent = sent_without_content(&bucket.store, &around(at)?).await?;
    assert_eq!(sent.count, 1);
    assert_eq!(sent.messages[0].item.as_str(), "wamid.OUT");
    assert_eq!(sent.messages[0].statuses, ["read", "sent"]);
    Ok(())
}

#[tokio::test]
async fn keys_hold_no_id_and_no_number() -> anyhow::Result<()> {
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
    for secret in ["SECRET", "wamid", OURS, CLIENT, "4711"] {
        assert!(keys.iter().all(|key| !key.contains(secret)), "{secret}: {keys:?}");
    }
    Ok(())
}

/// A token that was rotated: the first one is rejected.
#[derive(Default)]
struct Rotated(AtomicU32);

#[async_trait]
impl AccessToken for Rotated {
    async fn get(&self) -> Result<secrecy::SecretString, SourceError> {
        let reads = self.0.fetch_add(1, Ordering::SeqCst);
        Ok(if reads == 0 { "token-old".into() } else { "token-new".into() })
    }
}

/// A strict fake of the Graph API: an id gives a URL, which works once and with the token alone.
#[derive(Default)]
struct Graph {
    base: Mutex<String>,
    /// URLs that were given.
    given: AtomicU32,
    /// URLs that are gone when they are used.
    gone: AtomicU32,
    requests: Mutex<Vec<String>>,
}

fn authorized(headers: &HeaderMap) -> bool {
    headers.get("authorization").is_some_and(|value| value == "Bearer token-new")
}

async fn describe(
    State(graph): State<Arc<Graph>>,
    Path(media): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    graph.requests.lock().expect("a lock").push(media.clone());
    if !authorized(&headers) {
        return (StatusCode::UNAUTHORIZED, r#"{"error":{"code":190}}"#).into_response();
    }
    if query != [("phone_number_id".to_owned(), "700".to_owned())] {
        return (StatusCode::BAD_REQUEST, r#"{"error":{"code":100}}"#).into_response();
    }
    let base = graph.base.lock().expect("a lock").clone();
    let place = graph.given.fetch_add(1, Ordering::SeqCst);
    let url = match media.as_str() {
        "missing" => return (StatusCode::BAD_REQUEST, r#"{"error":{"code":100,"error_subcode":33}}"#).into_response(),
        "throttled" => {
            return (StatusCode::BAD_REQUEST, [("retry-after", "7")], r#"{"error":{"code":80007}}"#).into_response();
        }
        "forbidden" => return (StatusCode::FORBIDDEN, r#"{"error":{"code":10}}"#).into_response(),
        "foreign" => format!("{}/files/{place}", base.replace("127.0.0.1", "localhost")),
        "redirected" => format!("{base}/redirect"),
        _ => format!("{base}/files/{place}"),
    };
    json!({"url": url, "mime_type": "image/jpeg", "sha256": "", "file_size": "5", "id": media})
        .to_string()
        .into_response()
}

async fn file(State(graph): State<Arc<Graph>>, headers: HeaderMap) -> Response {
    graph.requests.lock().expect("a lock").push("file".to_owned());
    if !authorized(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let is_gone = graph.gone.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    if is_gone { StatusCode::NOT_FOUND.into_response() } else { "bytes".into_response() }
}

async fn served(router: Router) -> anyhow::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(base)
}

impl Graph {
    async fn start() -> anyhow::Result<Arc<Self>> {
        let graph = Arc::new(Self::default());
        let redirect = || async { (StatusCode::FOUND, [("location", "/files/0")]).into_response() };
        let router = Router::new()
            .route("/v25.0/{media}", get(describe))
            .route("/files/{place}", get(file))
            .route("/redirect", get(redirect))
            .with_state(Arc::clone(&graph));
        let base = served(router).await?;
        graph.base.lock().expect("a lock").push_str(&base);
        Ok(graph)
    }

    fn fetcher(&self, store: &Store) -> anyhow::Result<MediaFetcher> {
        let url = format!("{}/v25.0", self.base.lock().expect("a lock")).parse()?;
        let meta = MetaMedia::new(url, Arc::new(Rotated::default()));
        Ok(MediaFetcher::new(store.clone(), MediaDoor::Meta(meta)))
    }
}

fn tls() {
    // The process has one provider, whichever test comes first.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// The task to fetch the file of a message that is received.
async fn task(bucket: &Bucket, webhook: &Value, at: Timestamp) -> anyhow::Result<MediaTask> {
    let events = bucket.receive(webhook, at).await?;
    let media = events.iter().flat_map(|event| &event.media).next().context("no file")?;
    let task = MediaTask::new(media, &Origin { received: at, body: Sha256::of(b""), door: Door::Meta });
    let json = task.to_json();
    for secret in [OURS, CLIENT, "wamid"] {
        assert!(!json.contains(secret), "{json}");
    }
    Ok(MediaTask::parse(&json)?)
}

#[tokio::test]
async fn file_is_fetched_from_meta_and_attached() -> anyhow::Result<()> {
    tls();
    let (bucket, graph) = (Bucket::start().await?, Graph::start().await?);
    let fetcher = graph.fetcher(&bucket.store)?;
    let at = now();
    // The first two URLs are gone when they are used.
    graph.gone.store(2, Ordering::SeqCst);
    let task = task(&bucket, &image("messages", "wamid.I", "77", b"bytes"), at).await?;
    assert!(matches!(bucket.item("wamid.I").await, Err(SourceError::StillCapturing { .. })));
    assert_eq!(fetcher.fetch(&task, at).await?, MediaOutcome::Stored);
    assert_eq!(graph.given.load(Ordering::SeqCst), 3);
    assert_eq!(fetcher.fetch(&task, at).await?, MediaOutcome::DoneBefore);
    let item = bucket.item("wamid.I").await?;
    let [file] = item.files() else { anyhow::bail!("no file") };
    assert_eq!((file.size, file.sha256), (Some(5), Some(Sha256::of(b"bytes"))));
    assert_eq!(bucket.bytes(&item, file).await?, b"bytes");
    let small = bucket.source.attachment(&item.id, file, 4).await;
    assert!(matches!(small, Err(SourceError::TooLarge { limit: 4 })));
    Ok(())
}

#[tokio::test]
async fn file_that_meta_does_not_have_is_lost_after_six_days() -> anyhow::Result<()> {
    tls();
    let (bucket, graph) = (Bucket::start().await?, Graph::start().await?);
    let fetcher = graph.fetcher(&bucket.store)?;
    let at = now() - HOUR * 24 * 8;
    for (id, media, bytes, note) in
        [("wamid.M", "missing", &b"bytes"[..], "WhatsApp did not have it"), ("wamid.X", "other", b"other", "SHA-256")]
    {
        let task = task(&bucket, &image("messages", id, media, bytes), at).await?;
        let early = fetcher.fetch(&task, at + HOUR).await;
        assert!(matches!(early, Err(SourceError::Unavailable { .. })), "{id}");
        let before = fetcher.fetch(&task, at + HOUR * (24 * 6 - 1)).await;
        assert!(matches!(before, Err(SourceError::Unavailable { .. })), "{id}");
        assert!(matches!(fetcher.fetch(&task, at + HOUR * 24 * 6).await?, MediaOutcome::Lost(_)), "{id}");
        let item = bucket.item(id).await?;
        assert_eq!((item.files().len(), item.text.as_deref()), (0, Some("c")));
        let notes = item.webhook.map(|webhook| webhook.notes.join("\n")).unwrap_or_default();
        assert!(notes.contains(note), "{notes}");
    }
    // It was not fetched in 6 days.
    bucket.receive(&image("messages", "wamid.N", "never", b"x"), at).await?;
    assert_eq!(bucket.item("wamid.N").await?.files().len(), 0);
    Ok(())
}

#[tokio::test]
async fn token_is_not_sent_to_other_hosts_or_redirects() -> anyhow::Result<()> {
    tls();
    let (bucket, graph) = (Bucket::start().await?, Graph::start().await?);
    let fetcher = graph.fetcher(&bucket.store)?;
    let at = now();
    for (media, is_configuration) in
        [("foreign", true), ("forbidden", true), ("redirected", false), ("throttled", false)]
    {
        let task = task(&bucket, &image("messages", &format!("wamid.{media}"), media, b"bytes"), at).await?;
        let error = fetcher.fetch(&task, at).await.err().context("an error")?;
        assert_eq!(matches!(error, SourceError::Configuration { .. }), is_configuration, "{media}: {error}");
        assert_eq!(error.retry_after().map(|wait| wait.as_secs()), (media == "throttled").then_some(7));
        for secret in ["token-old", "token-new", "127.0.0.1", "localhost", "http", media] {
            assert!(!error.to_string().contains(secret), "{secret}: {error}");
        }
    }
    assert!(!graph.requests.lock().expect("a lock").contains(&"file".to_owned()));
    Ok(())
}

/// A fake of AWS End User Messaging Social: it writes into the bucket, under the key, the file's id and an extension.
async fn written_by_aws(State(store): State<Store>, headers: HeaderMap, body: Bytes) -> Response {
    let rejected = |code: &'static str| (StatusCode::BAD_REQUEST, [("x-amzn-errortype", code)]).into_response();
    let signed = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !signed.starts_with("AWS4-HMAC-SHA256 ") || !signed.contains("/social-messaging/aws4_request") {
        return rejected("IncompleteSignatureException");
    }
    let Ok(request) = serde_json::from_slice::<Value>(&body) else { return rejected("ValidationException") };
    if request["originationPhoneNumberId"] != "phone-number-id-bb" || request["mediaId"] != "77" {
        return rejected("ResourceNotFoundException:http://internal.amazon.com/");
    }
    let key = format!("{}77.jpeg", request["destinationS3File"]["key"].as_str().unwrap_or_default());
    let put = aws::s3::Put { key: &key, bytes: Bytes::from_static(b"bytes"), content_type: "image/jpeg", sha256: None };
    match store.put(put, aws::s3::Condition::Always).await {
        Ok(_) => r#"{"mimeType":"image/jpeg","fileSize":5}"#.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[tokio::test]
async fn file_is_written_by_aws_and_attached() -> anyhow::Result<()> {
    tls();
    let bucket = Bucket::start().await?;
    let router = Router::new().route("/v1/whatsapp/media/get", post(written_by_aws)).with_state(bucket.store.clone());
    let fake = Cloud::at(&served(router).await?).await;
    let fetcher = MediaFetcher::new(bucket.store.clone(), MediaDoor::Aws(AwsMedia::new(fake.config())));
    let at = now();
    let of_aws = |media: &str, bytes: &[u8]| {
        let webhook = image("messages", &format!("wamid.{media}"), media, bytes);
        let numbers = json!([{"metaPhoneNumberId": "700", "arn": "arn:x:phone-number-id/bb"}]);
        json!({"context": {"MetaPhoneNumberIds": numbers}, "whatsAppWebhookEntry": webhook["entry"][0].to_string()})
    };
    let mut outcomes = Vec::new();
    for (media, bytes) in [("77", &b"bytes"[..]), ("78", b"bytes"), ("77", b"bytes")] {
        let body = of_aws(media, bytes).to_string();
        let origin = Origin { received: at, body: bucket.capture.raw(body.as_bytes(), at).await?, door: Door::Aws };
        let event = events(&cloud_api::aws_entries(body.as_bytes())?).next().context("no event")?;
        bucket.capture.event(&event, &origin).await?;
        let task = MediaTask::new(&event.media[0], &origin);
        outcomes.push(fetcher.fetch(&task, at).await);
    }
    assert!(matches!(outcomes[0], Ok(MediaOutcome::Stored)), "{:?}", outcomes[0]);
    assert!(matches!(outcomes[1], Err(SourceError::Unavailable { .. })), "{:?}", outcomes[1]);
    assert!(matches!(outcomes[2], Ok(MediaOutcome::DoneBefore)), "{:?}", outcomes[2]);
    let item = bucket.item("wamid.77").await?;
    assert_eq!(bucket.bytes(&item, &item.files()[0]).await?, b"bytes");
    Ok(())
}
