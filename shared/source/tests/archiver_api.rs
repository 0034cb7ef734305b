//! The adapter with a server whose responses the test chooses byte by byte.

#![expect(clippy::unwrap_used, reason = "what a test cannot set up fails it")]

mod server;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use model::{Attachment, ItemId, Sha256, Window};
use secrecy::SecretString;
use serde_json::json;
use server::{ENDLESS, Reply, Server};
use source::{ArchiverApi, Basic, Credentials, Limits, Source, SourceError};

const PASSWORD: &str = "correct horse";

/// Returns one password after the other, and then always the last one.
struct Passwords {
    left: Mutex<Vec<&'static str>>,
    reads: AtomicUsize,
}

impl Passwords {
    fn of(passwords: &[&'static str]) -> Arc<Self> {
        Arc::new(Self { left: Mutex::new(passwords.iter().rev().copied().collect()), reads: AtomicUsize::new(0) })
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Credentials for Passwords {
    async fn get(&self) -> Result<Basic, SourceError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let mut left = self.left.lock().unwrap();
        let password = if left.len() > 1 { left.pop() } else { left.last().copied() };
        Ok(Basic {
            username: SecretString::from("archiver"),
            password: SecretString::from(password.unwrap_or_default()),
        })
    }
}

fn api(server: &Server) -> ArchiverApi {
    api_with(server, Limits::default())
}

fn api_with(server: &Server, limits: Limits) -> ArchiverApi {
    ArchiverApi::new(server.url().parse().unwrap(), Passwords::of(&[PASSWORD]), limits)
}

fn id(id: &str) -> ItemId {
    id.parse().unwrap()
}

fn window() -> Window {
    Window::between("2026-11-21T07:00:00Z".parse().unwrap(), "2026-11-22T06:55:00Z".parse().unwrap()).unwrap()
}

fn attachment(sha256: Option<Sha256>) -> Attachment {
    serde_json::from_value(json!({"id": "a/1", "size": 1024, "sha256": sha256})).unwrap()
}

fn item_json(id: &str) -> String {
    json!({"id": id, "type": "text", "messageTime": "2026-11-21T09:59:58Z", "archivedTime": "2026-11-21T10:00:04.120Z",
           "chat": {"id": "c1", "type": "individual"}, "from": {"phone": "4520123456"}, "to": [], "text": "hello"})
    .to_string()
}

#[tokio::test]
async fn list_is_read_page_by_page() {
    let server = Server::start(|request, _| {
        Reply::json(if request.contains("cursor=c%2F1") {
            r#"{"items":[{"id":"WA-2","archivedTime":"2026-11-21T10:00:05Z"}]}"#
        } else {
            r#"{"items":[{"id":"WA-1","archivedTime":"2026-11-21T10:00:04Z"},7],"nextCursor":"c/1"}"#
        })
    })
    .await;
    let api = api(&server);
    let first = api.list(&window(), None).await.unwrap();
    assert_eq!((first.items.len(), first.reached), (2, "2026-11-21T09:50:04Z".parse().ok()));
    let last = api.list(&window(), first.next.as_deref()).await.unwrap();
    assert_eq!((last.items.len(), last.next, last.reached), (1, None, None));
    let requests = server.requests();
    assert!(
        requests[0].starts_with(
            "GET /api/v1/items?from=2026-11-21T07%3A00%3A00.000Z&to=2026-11-22T06%3A55%3A00.000Z&network=whatsapp&limit=1000 HTTP/1.1\r\n"
        ),
        "{}",
        requests[0]
    );
    // archiver:correct horse
    assert!(requests[0].contains("authorization: Basic YXJjaGl2ZXI6Y29ycmVjdCBob3JzZQ==\r\n"), "{}", requests[0]);
    assert!(requests[0].contains("accept-encoding: identity\r\n"));
}

#[tokio::test]
async fn page_has_the_time_of_the_server() {
    let dated = "200 OK\r\ncontent-type: application/json\r\ndate: Sat, 21 Nov 2026 10:00:30 GMT";
    for (head, expected) in
        [(dated, "2026-11-21T10:00:30Z".parse().ok()), ("200 OK\r\ndate: yesterday", None), ("200 OK", None)]
    {
        let server = Server::start(move |_, _| Reply::with(head, br#"{"items":[]}"#)).await;
        assert_eq!(api(&server).list(&window(), None).await.unwrap().source_time, expected, "{head}");
    }
}

#[tokio::test]
async fn item_with_a_lone_surrogate_keeps_its_raw_bytes() {
    let json = item_json("WA-1").replace("hello", r"hi \ud83d");
    let body = json.clone();
    let server = Server::start(move |_, _| Reply::json(&body)).await;
    let captured = api(&server).item(&id("WA-1")).await.unwrap();
    assert_eq!((captured.item.text.as_deref(), captured.anomalies.len()), (Some("hi \u{fffd}"), 1));
    assert_eq!(captured.evidence, json.as_bytes());
}

#[tokio::test]
async fn repeated_cursor_is_an_error() {
    let server = Server::start(|_, _| Reply::json(r#"{"items":[],"nextCursor":"c"}"#)).await;
    let api = api(&server);
    let first = api.list(&window(), None).await.unwrap();
    assert!(matches!(api.list(&window(), first.next.as_deref()).await, Err(SourceError::MalformedPage(_))));
}

/// Every status of the contract, and some others.
#[tokio::test]
async fn status_is_classified_by_the_request() {
    #[derive(Debug, PartialEq)]
    enum Is {
        Configuration,
        Unavailable(u64),
        Still(u64),
        NotFound,
        Erased,
        AttachmentMissing,
        AttachmentErased,
    }
    fn is(error: &SourceError) -> Is {
        let wait = error.retry_after().map(|wait| wait.as_secs()).unwrap_or_default();
        match error {
            SourceError::Configuration { .. } => Is::Configuration,
            SourceError::Unavailable { .. } => Is::Unavailable(wait),
            SourceError::StillCapturing { .. } => Is::Still(wait),
            SourceError::NotFound => Is::NotFound,
            SourceError::Erased => Is::Erased,
            SourceError::AttachmentMissing => Is::AttachmentMissing,
            SourceError::AttachmentErased => Is::AttachmentErased,
            other => panic!("{other}"),
        }
    }
    let error = r#"{"error":{"code":"x","message":"SECRET CONTENT"}}"#;
    for (head, body, list, item, file) in [
        ("400 Bad Request", error, Is::Configuration, Is::Configuration, Is::Configuration),
        ("401 Unauthorized", error, Is::Configuration, Is::Configuration, Is::Configuration),
        ("403 Forbidden", "", Is::Configuration, Is::Configuration, Is::Configuration),
        ("404 Not Found", error, Is::Configuration, Is::NotFound, Is::AttachmentMissing),
        ("404 Not Found", "", Is::Configuration, Is::NotFound, Is::AttachmentMissing),
        ("404 Not Found", "<html>nginx", Is::Configuration, Is::Configuration, Is::Configuration),
        ("410 Gone", error, Is::Configuration, Is::Erased, Is::AttachmentErased),
        ("409 Conflict\r\nretry-after: 60", error, Is::Configuration, Is::Still(60), Is::Still(60)),
        ("425 Too Early", "", Is::Configuration, Is::Still(0), Is::Still(0)),
        (
            "429 Too Many Requests\r\nretry-after: 90.5",
            error,
            Is::Unavailable(90),
            Is::Unavailable(90),
            Is::Unavailable(90),
        ),
        ("500 Internal Server Error", error, Is::Unavailable(0), Is::Unavailable(0), Is::Unavailable(0)),
        ("503 Service Unavailable\r\nretry-after: 7", "", Is::Unavailable(7), Is::Unavailable(7), Is::Unavailable(7)),
        ("507 Insufficient Storage", "", Is::Unavailable(0), Is::Unavailable(0), Is::Unavailable(0)),
        ("204 No Content", "", Is::Configuration, Is::Configuration, Is::Configuration),
        ("206 Partial Content", "half", Is::Configuration, Is::Configuration, Is::Configuration),
        ("418 I'm a teapot", "", Is::Configuration, Is::Configuration, Is::Configuration),
        ("200 OK\r\ncontent-encoding: gzip", "x", Is::Configuration, Is::Configuration, Is::Configuration),
    ] {
        let server = Server::start(move |_, _| Reply::with(head, body.as_bytes())).await;
        let api = api(&server);
        let errors = [
            api.list(&window(), None).await.err().unwrap(),
            api.item(&id("WA-1")).await.err().unwrap(),
            api.attachment(&id("WA-1"), &attachment(None), 9).await.err().unwrap(),
        ];
        assert_eq!([&errors[0], &errors[1], &errors[2]].map(is), [list, item, file], "{head}");
        for error in errors {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("SECRET") && !shown.contains("WA-1") && !shown.contains("horse"), "{shown}");
        }
    }
}

#[tokio::test]
async fn transient_failure_is_retried_up_to_three_times() {
    for (passing, tries) in [(1, 2), (2, 3), (9, 3)] {
        let server = Server::start(move |_, nth| match nth {
            0 if passing > 0 => Reply::Close,
            nth if nth < passing => Reply::with("503 Service Unavailable\r\nretry-after: 0", b""),
            _ => Reply::json(&item_json("WA-1")),
        })
        .await;
        assert_eq!(api(&server).item(&id("WA-1")).await.is_ok(), passing < 3, "{passing}");
        assert_eq!(server.requests().len(), tries);
    }
    let server = Server::start(|_, _| Reply::with("429 Too Many Requests\r\nretry-after: 60", b"")).await;
    assert!(api(&server).item(&id("WA-1")).await.is_err());
    assert_eq!(server.requests().len(), 1, "a long wait is left to the queue");
}

#[tokio::test]
async fn hostile_id_is_requested_unchanged() {
    for (hostile, path) in [
        ("../../admin", "/api/v1/items/..%2F..%2Fadmin"),
        ("a?limit=1#x", "/api/v1/items/a%3Flimit%3D1%23x"),
        ("%2F", "/api/v1/items/%252F"),
        ("\"'<>\\^`{|}", "/api/v1/items/%22%27%3C%3E%5C%5E%60%7B%7C%7D"),
        ("שלום 💬", "/api/v1/items/%D7%A9%D7%9C%D7%95%D7%9D%20%F0%9F%92%AC"),
    ] {
        let server = Server::start(move |_, _| Reply::json(&item_json(hostile))).await;
        let captured = api(&server).item(&id(hostile)).await.unwrap();
        assert_eq!(captured.item.id.as_str(), hostile);
        assert!(server.requests()[0].starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{:?}", server.requests());
    }
    let server = Server::start(|_, _| Reply::json("{}")).await;
    let error = api(&server).item(&id("..")).await.err().unwrap();
    assert!(matches!(error, SourceError::Malformed(_)) && server.requests().is_empty());
}

#[tokio::test]
async fn malformed_item_is_permanent_unless_it_is_a_web_page() {
    for body in ["", "{}", "null", "{\"id\":\"WA-1\"", &item_json("WA-2"), &"[".repeat(5000)] {
        let body = body.to_owned();
        let server = Server::start(move |_, _| Reply::json(&body)).await;
        assert!(matches!(api(&server).item(&id("WA-1")).await, Err(SourceError::Malformed(_))));
    }
    let server =
        Server::start(|_, _| Reply::with("200 OK\r\ncontent-type: text/html; charset=utf-8", b"<h1>Soon!")).await;
    assert!(matches!(api(&server).item(&id("WA-1")).await, Err(SourceError::Unavailable { .. })));
    assert!(matches!(api(&server).list(&window(), None).await, Err(SourceError::Unavailable { .. })));
}

/// A maintenance page in place of a photo would be archived as the photo, for ever.
#[tokio::test]
async fn web_page_in_place_of_a_file_is_transient() {
    const PAGE: &[u8] = b"\xef\xbb\xbf\r\n <!DOCTYPE html><h1>Soon!";
    let attachment = |content_type: Option<&str>, name: &str, sha256: Option<Sha256>| -> Attachment {
        serde_json::from_value(json!({"id": "a", "name": name, "contentType": content_type, "sha256": sha256})).unwrap()
    };
    let jpeg = Some("image/jpeg");
    for (head, body, file, is_page) in [
        ("text/html; charset=utf-8", PAGE, attachment(jpeg, "photo.jpg", None), true),
        // Although the digest differs, the page says nothing about the file.
        ("Text/HTML", PAGE, attachment(jpeg, "photo.jpg", Some(Sha256::of(b"photo"))), true),
        // The server does not know the type of its files.
        ("text/html", b"\xff\xd8\xff", attachment(jpeg, "photo.jpg", None), false),
        ("image/svg+xml", b"<svg/>", attachment(Some("image/svg+xml"), "a.svg", None), false),
        ("text/html", PAGE, attachment(Some("text/html"), "a", None), false),
        ("text/html", PAGE, attachment(Some("application/octet-stream"), "A.HTM", None), false),
        ("text/html", PAGE, attachment(None, "a", None), false),
    ] {
        let head = format!("200 OK\r\ncontent-type: {head}");
        let server = Server::start(move |_, _| Reply::with(&head, body)).await;
        let fetched = api(&server).attachment(&id("WA-1"), &file, 99).await;
        match fetched {
            Ok(fetched) => assert!(!is_page && fetched.bytes == body, "{body:?}"),
            Err(error) => assert!(is_page && matches!(error, SourceError::Unavailable { .. }), "{error}"),
        }
    }
}

#[tokio::test]
async fn attachment_is_hashed_and_compared() {
    let server = Server::start(|_, _| Reply::with("200 OK", b"abc")).await;
    let api = api(&server);
    let right = Some(Sha256::of(b"abc"));
    for declared in [None, right] {
        let fetched = api.attachment(&id("WA/1"), &attachment(declared), 3).await.unwrap();
        assert_eq!((&*fetched.bytes, Some(fetched.sha256)), (&b"abc"[..], right));
    }
    let other = attachment(Some(Sha256::of(b"abd")));
    assert!(matches!(api.attachment(&id("WA/1"), &other, 3).await, Err(SourceError::Mismatch)));
    assert!(server.requests()[0].starts_with("GET /api/v1/items/WA%2F1/attachments/a%2F1 HTTP/1.1\r\n"));
}

#[tokio::test]
async fn reading_stops_at_the_limit_whatever_size_is_declared() {
    // The response has no length, a too small one, a too large one: the item always declared 1 KB.
    for head in ["200 OK", "200 OK\r\ntransfer-encoding: chunked", "200 OK\r\ncontent-length: 1099511627776"] {
        let server = Server::start(move |_, _| Reply::Endless(head)).await;
        let error = api(&server).attachment(&id("WA-1"), &attachment(None), 100_000).await.err().unwrap();
        assert!(matches!(error, SourceError::TooLarge { limit: 100_000 }), "{error}");
        assert!(server.until_hung_up().await < ENDLESS, "{head}");
    }
    let limits = Limits { item_bytes: 10, page_bytes: 10, ..Limits::default() };
    let server = Server::start(|_, _| Reply::json(r#"{"items":[]}"#)).await;
    let api = api_with(&server, limits);
    assert!(matches!(api.item(&id("WA-1")).await, Err(SourceError::TooLarge { limit: 10 })));
    assert!(matches!(api.list(&window(), None).await, Err(SourceError::MalformedPage(_))));
}

#[tokio::test]
async fn truncated_body_is_transient() {
    for (head, body) in
        [("200 OK\r\ncontent-length: 10", &b"abc"[..]), ("200 OK\r\ntransfer-encoding: chunked", b"5\r\nabcde\r\n")]
    {
        let server = Server::start(move |_, _| Reply::Raw(head, body)).await;
        let error = api(&server).attachment(&id("WA-1"), &attachment(None), 99).await.err().unwrap();
        assert!(matches!(error, SourceError::Unavailable { .. }), "{error}");
        assert_eq!(server.requests().len(), 3);
    }
}

#[tokio::test]
async fn silent_and_dripping_responses_time_out() {
    let short = Duration::from_millis(50);
    for (reply, limits) in [
        (Reply::Silent, Limits { idle: short, ..Limits::default() }),
        (Reply::Raw("200 OK\r\ncontent-length: 9\r\nx-stay: open", b"ab"), Limits { idle: short, ..Limits::default() }),
        (Reply::Drip, Limits { total: short, ..Limits::default() }),
    ] {
        let server = Server::start(move |_, _| reply.clone()).await;
        let error = api_with(&server, limits).item(&id("WA-1")).await.err().unwrap();
        assert!(matches!(error, SourceError::Unavailable { .. }), "{error}");
        // On a busy machine the time may be over before the first attempt.
        assert!(server.requests().len() <= 1, "no time is left for a second attempt");
    }
}

#[tokio::test]
async fn credentials_are_not_sent_to_another_host() {
    let other = Server::start(|_, _| Reply::json("{}")).await;
    for status in ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let target = format!("{status}\r\nlocation: {}/SECRET", other.url());
        let server = Server::start(move |_, _| Reply::with(&target, b"")).await;
        let error = api(&server).item(&id("WA-1")).await.err().unwrap();
        assert!(matches!(error, SourceError::Configuration { .. }));
        assert!(error.to_string().contains(&status[..3]) && !error.to_string().contains("SECRET"), "{error}");
    }
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn rotated_password_is_read_again_once() {
    let old = "authorization: Basic YXJjaGl2ZXI6b2xk\r\n";
    for refusal in ["401 Unauthorized", "403 Forbidden"] {
        let reply = move |request: &str, _| {
            if request.contains(old) { Reply::with(refusal, b"") } else { Reply::json(&item_json("WA-1")) }
        };
        let server = Server::start(reply).await;
        let passwords = Passwords::of(&["old", "new"]);
        let api = ArchiverApi::new(server.url().parse().unwrap(), passwords.clone(), Limits::default());
        assert!(api.item(&id("WA-1")).await.is_ok(), "{refusal}");
        assert!(api.item(&id("WA-1")).await.is_ok());
        assert_eq!((passwords.reads(), server.requests().len()), (2, 3), "{refusal}");

        // The secret is unchanged: no second request is sent with it.
        let server = Server::start(reply).await;
        let passwords = Passwords::of(&["old"]);
        let api = ArchiverApi::new(server.url().parse().unwrap(), passwords.clone(), Limits::default());
        assert!(matches!(api.item(&id("WA-1")).await, Err(SourceError::Configuration { .. })));
        assert_eq!((passwords.reads(), server.requests().len()), (2, 1), "{refusal}");
    }
}

#[tokio::test]
async fn missing_host_is_transient_and_missing_tls_is_configuration() {
    let speaks_http = Server::start(|_, _| Reply::with("400 Bad Request", b"")).await;
    let tls = speaks_http.url().replace("http://", "https://");
    let api = ArchiverApi::new(tls.parse().unwrap(), Passwords::of(&[PASSWORD]), Limits::default());
    let error = api.item(&id("WA-1")).await.err().unwrap();
    assert!(matches!(error, SourceError::Configuration { .. }), "{error}");
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let api = ArchiverApi::new(gone.parse().unwrap(), Passwords::of(&[PASSWORD]), Limits::default());
    assert!(matches!(api.item(&id("WA-1")).await, Err(SourceError::Unavailable { .. })));
}

#[test]
fn debug_does_not_show_credentials() {
    let basic: Basic = serde_json::from_value(json!({"username": "archiver", "password": PASSWORD})).unwrap();
    let shown = format!("{basic:?}");
    assert!(!shown.contains(PASSWORD) && !shown.contains("archiver"), "{shown}");
}
