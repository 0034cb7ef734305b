//! Tests the download of webhooks' files from fakes of Meta and AWS into the emulated bucket.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use anyhow::Context;
use async_trait::async_trait;
use aws::s3::Store;
use aws_fake::{SocialFile, SocialMessaging};
use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use cloud_api::{Channel, Origin, events};
use jiff::Timestamp;
use local::cloud::{ACCESS_KEY, Cloud};
use model::Sha256;
use serde_json::{Value, json};
use source::{
    Source, SourceError,
    cloud_api::{AccessToken, AwsMedia, MediaApi, MediaFetcher, MediaOutcome, MediaTask, MetaAccount, MetaMedia},
};

use crate::cloud_capture::{BUSINESS_NUMBER, Bucket, CLIENT_NUMBER, HOUR, form, image, now};

/// A rotated token: the first read returns the old token, which is rejected.
#[derive(Default)]
struct RotatedToken(AtomicU32);

#[async_trait]
impl AccessToken for RotatedToken {
    async fn get(&self) -> Result<secrecy::SecretString, SourceError> {
        let reads = self.0.fetch_add(1, Ordering::SeqCst);
        Ok(if reads == 0 { "token-old".into() } else { "token-new".into() })
    }
}

/// A strict fake of the Graph API: each request for an id returns a new URL, and every request requires the token.
#[derive(Default)]
struct MetaServer {
    base: Mutex<String>,
    /// URL of another server, which must get no request.
    other: Mutex<String>,
    /// Number of URLs that were returned.
    urls_returned: AtomicU32,
    /// Number of the next requests to a URL that get status 404.
    expired_urls: AtomicU32,
    requests: Mutex<Vec<String>>,
}

fn is_authorized(headers: &HeaderMap) -> bool {
    headers.get("authorization").is_some_and(|value| value == "Bearer token-new")
}

async fn serve_description(
    State(meta_server): State<Arc<MetaServer>>,
    Path(media): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    meta_server.requests.lock().expect("a thread panicked while it held the lock").push(media.clone());
    if !is_authorized(&headers) {
        return (StatusCode::UNAUTHORIZED, r#"{"error":{"code":190}}"#).into_response();
    }
    if query != [("phone_number_id".to_owned(), "700".to_owned())] {
        return (StatusCode::BAD_REQUEST, r#"{"error":{"code":100}}"#).into_response();
    }
    let base = meta_server.base.lock().expect("a thread panicked while it held the lock").clone();
    let number = meta_server.urls_returned.fetch_add(1, Ordering::SeqCst);
    let url = match media.as_str() {
        "missing" => return (StatusCode::BAD_REQUEST, r#"{"error":{"code":100,"error_subcode":33}}"#).into_response(),
        "throttled" => {
            return (StatusCode::BAD_REQUEST, [("retry-after", "7")], r#"{"error":{"code":80007}}"#).into_response();
        }
        "forbidden" => return (StatusCode::FORBIDDEN, r#"{"error":{"code":10}}"#).into_response(),
        // The same server by another name, and another server at the same address.
        "renamed" => format!("{}/files/{number}", base.replace("127.0.0.1", "localhost")),
        "foreign" => {
            let other = meta_server.other.lock().expect("a thread panicked while it held the lock");
            format!("{other}/files/{number}")
        }
        "redirected" => format!("{base}/redirect"),
        _ => format!("{base}/files/{number}"),
    };
    json!({"url": url, "mime_type": "image/jpeg", "sha256": "", "file_size": "5", "id": media})
        .to_string()
        .into_response()
}

async fn serve_file(State(meta_server): State<Arc<MetaServer>>, headers: HeaderMap) -> Response {
    meta_server.requests.lock().expect("a thread panicked while it held the lock").push("file".to_owned());
    if !is_authorized(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let is_expired =
        meta_server.expired_urls.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    if is_expired { StatusCode::NOT_FOUND.into_response() } else { "bytes".into_response() }
}

async fn serve(router: Router) -> anyhow::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(base)
}

impl MetaServer {
    async fn start() -> anyhow::Result<Arc<Self>> {
        let meta_server = Arc::new(Self::default());
        let redirect = || async { (StatusCode::FOUND, [("location", "/files/0")]).into_response() };
        let router = Router::new()
            .route("/v25.0/{media}", get(serve_description))
            .route("/files/{number}", get(serve_file))
            .route("/redirect", get(redirect))
            .with_state(Arc::clone(&meta_server));
        let base = serve(router).await?;
        let record = |State(meta_server): State<Arc<Self>>| async move {
            meta_server.requests.lock().expect("a thread panicked while it held the lock").push("other".to_owned());
            "bytes"
        };
        let other = serve(Router::new().fallback(record).with_state(Arc::clone(&meta_server))).await?;
        meta_server.other.lock().expect("a thread panicked while it held the lock").push_str(&other);
        meta_server.base.lock().expect("a thread panicked while it held the lock").push_str(&base);
        Ok(meta_server)
    }

    fn fetcher(&self, store: &Store) -> anyhow::Result<MediaFetcher> {
        let url = format!("{}/v25.0", self.base.lock().expect("a thread panicked while it held the lock")).parse()?;
        let media = MetaMedia::new(url, Arc::new(RotatedToken::default()));
        Ok(MediaFetcher::new(store.clone(), MediaApi::Meta(media)))
    }
}

fn install_tls_provider() {
    // The process has one provider. The first test installs it, and the others get an error.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// Receives a message and returns the task to fetch its file.
async fn receive_task(bucket: &Bucket, webhook: &Value, at: Timestamp) -> anyhow::Result<MediaTask> {
    let events = bucket.receive(webhook, at).await?;
    let media = events.iter().flat_map(|event| &event.media).next().context("no file")?;
    let task =
        MediaTask::new(media, &Origin { received: at, written: at, body: Sha256::of(b""), channel: Channel::Meta });
    let json = task.to_json();
    for secret in [BUSINESS_NUMBER, CLIENT_NUMBER, "wamid"] {
        assert!(!json.contains(secret), "{json}");
    }
    Ok(MediaTask::parse(&json)?)
}

#[tokio::test]
async fn file_is_fetched_from_meta_and_attached() -> anyhow::Result<()> {
    install_tls_provider();
    let (bucket, meta_server) = (Bucket::start().await?, MetaServer::start().await?);
    let fetcher = meta_server.fetcher(&bucket.store)?;
    let at = now();
    // The first two URLs have expired when they are used.
    meta_server.expired_urls.store(2, Ordering::SeqCst);
    let task = receive_task(&bucket, &image("messages", "wamid.I", "77", b"bytes"), at).await?;
    assert!(matches!(bucket.item("wamid.I").await, Err(SourceError::StillCapturing { .. })));
    assert_eq!(fetcher.fetch(&task, at).await?, MediaOutcome::Stored);
    assert_eq!(meta_server.urls_returned.load(Ordering::SeqCst), 3);
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
async fn every_file_of_a_form_is_fetched_and_attached() -> anyhow::Result<()> {
    install_tls_provider();
    let (bucket, meta_server) = (Bucket::start().await?, MetaServer::start().await?);
    let fetcher = meta_server.fetcher(&bucket.store)?;
    let at = now();
    let events = bucket.receive(&form("wamid.F", &["81", "82"]), at).await?;
    let origin = Origin { received: at, written: at, body: Sha256::of(b""), channel: Channel::Meta };
    let tasks: Vec<_> =
        events.iter().flat_map(|event| &event.media).map(|media| MediaTask::new(media, &origin)).collect();
    assert_eq!(tasks.len(), 2);
    for task in &tasks {
        let waits = bucket.item("wamid.F").await;
        assert!(matches!(waits, Err(SourceError::StillCapturing { .. })), "a file is not fetched yet");
        assert_eq!(fetcher.fetch(task, at).await?, MediaOutcome::Stored);
    }
    let item = bucket.item("wamid.F").await?;
    let names: Vec<_> = item.files().iter().map(|file| (file.id.as_str(), file.name.as_deref())).collect();
    assert_eq!(names, [("file", Some("81.jpg")), ("file-2", Some("82.jpg"))]);
    for file in item.files() {
        assert_eq!(bucket.bytes(&item, file).await?, b"bytes");
    }
    Ok(())
}

#[tokio::test]
async fn file_that_meta_does_not_have_is_lost_after_six_days() -> anyhow::Result<()> {
    install_tls_provider();
    let (bucket, meta_server) = (Bucket::start().await?, MetaServer::start().await?);
    let fetcher = meta_server.fetcher(&bucket.store)?;
    let at = now() - HOUR * 24 * 8;
    for (id, media, bytes, note) in
        [("wamid.M", "missing", &b"bytes"[..], "WhatsApp did not have it"), ("wamid.X", "other", b"other", "SHA-256")]
    {
        let task = receive_task(&bucket, &image("messages", id, media, bytes), at).await?;
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
    // Meta describes the file, and has no bytes under any of its URLs.
    meta_server.expired_urls.store(u32::MAX, Ordering::SeqCst);
    let task = receive_task(&bucket, &image("messages", "wamid.U", "78", b"bytes"), at).await?;
    let before = fetcher.fetch(&task, at + HOUR * (24 * 6 - 1)).await;
    assert!(matches!(before, Err(SourceError::Unavailable { .. })));
    let lost = fetcher.fetch(&task, at + HOUR * 24 * 6).await?;
    assert_eq!(lost, MediaOutcome::Lost(cloud_api::MissingFile::Erased));
    let notes = bucket.item("wamid.U").await?.webhook.map(|webhook| webhook.notes.join("\n")).unwrap_or_default();
    assert!(notes.contains("WhatsApp did not have it"), "{notes}");
    // A file that was not fetched in 6 days is lost.
    bucket.receive(&image("messages", "wamid.N", "never", b"x"), at).await?;
    assert_eq!(bucket.item("wamid.N").await?.files().len(), 0);
    Ok(())
}

#[tokio::test]
async fn token_is_not_sent_to_other_hosts_or_redirects() -> anyhow::Result<()> {
    install_tls_provider();
    let (bucket, meta_server) = (Bucket::start().await?, MetaServer::start().await?);
    let fetcher = meta_server.fetcher(&bucket.store)?;
    let at = now();
    for (media, is_configuration) in
        [("foreign", true), ("renamed", true), ("forbidden", true), ("redirected", false), ("throttled", false)]
    {
        let task = receive_task(&bucket, &image("messages", &format!("wamid.{media}"), media, b"bytes"), at).await?;
        let error = fetcher.fetch(&task, at).await.err().context("no error")?;
        assert_eq!(matches!(error, SourceError::Configuration { .. }), is_configuration, "{media}: {error}");
        assert_eq!(error.retry_after().map(|wait| wait.as_secs()), (media == "throttled").then_some(7));
        for secret in ["token-old", "token-new", "127.0.0.1", "localhost", "http", media] {
            assert!(!error.to_string().contains(secret), "{secret}: {error}");
        }
    }
    let requests = meta_server.requests.lock().expect("a thread panicked while it held the lock").clone();
    assert!(
        !requests.iter().any(|request| request == "file" || request == "other"),
        "a file was requested from another host or after a redirect: {requests:?}"
    );
    Ok(())
}

/// The responses of a server that does not keep to Meta's documentation.
#[tokio::test]
async fn account_is_judged_only_by_responses_about_it() -> anyhow::Result<()> {
    install_tls_provider();
    let apps = |id: &str| {
        let app = json!({"whatsapp_business_api_data": {"id": id, "name": "an app"}});
        let ours = json!({"whatsapp_business_api_data": {"id": "2"}, "override_callback_uri": "https://a.example/"});
        json!({"data": [app, ours], "paging": {}})
    };
    let respond = move |Path(path): Path<String>| async move {
        match path.as_str() {
            "1/subscribed_apps" => axum::Json(apps("1")).into_response(),
            "2/subscribed_apps" => axum::Json(json!({"data": [{"id": "1"}]})).into_response(),
            "3/subscribed_apps" => "x".repeat(2 << 20).into_response(),
            "10" | "11" => axum::Json(json!({"id": "10"})).into_response(),
            "12" => axum::Json(json!({"id": 12})).into_response(),
            _ => (StatusCode::BAD_REQUEST, r#"{"error":{"code":100,"error_subcode":33}}"#).into_response(),
        }
    };
    let base = serve(Router::new().route("/v25.0/{*path}", get(respond))).await?;
    let token: Arc<dyn AccessToken> = Arc::new(RotatedToken::default());
    let account = |id: &str| {
        let graph = format!("{base}/v25.0").parse().ok()?;
        MetaAccount::new(graph, Arc::clone(&token), id)
    };
    let subscribed = account("1").context("no account")?.subscribed_apps().await?.context("the account is not seen")?;
    let found: Vec<_> = subscribed.iter().map(|app| (app.id.as_str(), app.override_url.as_deref())).collect();
    assert_eq!(found, [("1", None), ("2", Some("https://a.example/"))]);
    assert_eq!(account("9").context("no account")?.subscribed_apps().await?, None);
    for (id, what) in [("2", "another form"), ("3", "too long")] {
        let result = account(id).context("no account")?.subscribed_apps().await;
        assert!(result.is_err(), "{what}: {result:?}");
    }
    let account = account("1").context("no account")?;
    assert_eq!((account.may_use("10").await?, account.may_use("11").await?), (true, false), "another number's id");
    assert!(!account.may_use("9").await? && !account.may_use("1/2").await?);
    assert!(matches!(account.may_use("12").await, Err(SourceError::Unavailable { .. })));
    Ok(())
}

/// Stores a picture that was received through AWS.
async fn receive_from_aws(
    bucket: &Bucket,
    id: &str,
    media: &str,
    bytes: &[u8],
    at: Timestamp,
) -> anyhow::Result<MediaTask> {
    let webhook = image("messages", id, media, bytes);
    let arn = format!("arn:aws:social-messaging:us-east-1:000000000000:phone-number-id/{}", "b".repeat(32));
    let event = json!({"context": {"MetaPhoneNumberIds": [{"metaPhoneNumberId": "700", "arn": arn}]},
        "whatsAppWebhookEntry": webhook["entry"][0].to_string()});
    let body = event.to_string();
    let sha256 = bucket.capture.raw(body.as_bytes(), at).await?;
    let origin = Origin { received: at, written: at, body: sha256, channel: Channel::Aws };
    let event = events(&cloud_api::aws_entries(body.as_bytes())?).next().context("no event")?;
    bucket.capture.event(&event, &origin).await?;
    Ok(MediaTask::new(&event.media[0], &origin))
}

#[tokio::test]
async fn file_that_aws_does_not_have_is_lost_after_six_days() -> anyhow::Result<()> {
    install_tls_provider();
    let (bucket, social) = (Bucket::start().await?, SocialMessaging::start(ACCESS_KEY).await);
    let fake = Cloud::at(social.url()).await;
    social.connect(bucket.config(), bucket.store.bucket());
    let fetcher = MediaFetcher::new(bucket.store.clone(), MediaApi::Aws(AwsMedia::new(fake.config())));
    let (number, mime) = (format!("phone-number-id-{}", "b".repeat(32)), "image/jpeg".to_owned());
    social.add(SocialFile { id: "77".to_owned(), number, mime, bytes: Bytes::from_static(b"bytes") });
    let at = now() - HOUR * 24 * 8;
    let expiry = at + HOUR * 24 * 6;
    for (id, media, bytes, note) in
        [("wamid.M", "78", &b"bytes"[..], "WhatsApp did not have it"), ("wamid.X", "77", b"another file", "SHA-256")]
    {
        let task = receive_from_aws(&bucket, id, media, bytes, at).await?;
        for early in [at, expiry - HOUR] {
            assert!(matches!(fetcher.fetch(&task, early).await, Err(SourceError::Unavailable { .. })), "{id}");
        }
        assert!(matches!(fetcher.fetch(&task, expiry).await?, MediaOutcome::Lost(_)), "{id}");
        let item = bucket.item(id).await?;
        assert_eq!((item.files().len(), item.text.as_deref()), (0, Some("c")));
        let notes = item.webhook.map(|webhook| webhook.notes.join("\n")).unwrap_or_default();
        assert!(notes.contains(note), "{notes}");
    }
    // AWS rejects an id with this character, so the file is lost.
    let task = receive_from_aws(&bucket, "wamid.U", "a_b", b"bytes", at).await?;
    assert!(matches!(fetcher.fetch(&task, expiry).await?, MediaOutcome::Lost(_)));
    assert_eq!(social.rejected(), ["invalid value"]);
    Ok(())
}

/// AWS wrote the file, and the function was killed before it stored the description.
#[tokio::test]
async fn file_that_aws_has_written_is_not_requested_again() -> anyhow::Result<()> {
    install_tls_provider();
    let (bucket, social) = (Bucket::start().await?, SocialMessaging::start(ACCESS_KEY).await);
    let fake = Cloud::at(social.url()).await;
    let fetcher = MediaFetcher::new(bucket.store.clone(), MediaApi::Aws(AwsMedia::new(fake.config())));
    let task = receive_from_aws(&bucket, "wamid.77", "77", b"bytes", now()).await?;
    let key = format!("{}/77.jpeg", task.key());
    let put = aws::s3::Put { key: &key, bytes: Bytes::from_static(b"bytes"), content_type: "image/jpeg", sha256: None };
    bucket.store.put(put, aws::s3::Condition::Always).await?;
    assert_eq!(fetcher.fetch(&task, now()).await?, MediaOutcome::Stored);
    assert_eq!(fetcher.fetch(&task, now()).await?, MediaOutcome::DoneBefore);
    let item = bucket.item("wamid.77").await?;
    assert_eq!(bucket.bytes(&item, &item.files()[0]).await?, b"bytes");
    assert_eq!((social.written(), social.rejected().len()), (0, 0));
    Ok(())
}
