use std::sync::{
    Mutex,
    atomic::{AtomicI64, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use runtime::Clock;

use super::*;
use crate::{SecretReader, StoredSecrets};

const BODY: &str = r#"{"object":"whatsapp_business_account","entry":[]}"#;

/// The signature of `BODY` with the secret `app-secret-for-tests`.
const SIGNATURE: &str = "sha256=1ca363dab318df784e1963b29dca91e2098e6cf2fbf0d3c14e09580a90684a61";

const SECRET: &str =
    r#"{"app_secret":"app-secret-for-tests","verify_token":"a token/of ours","header_value":"provider"}"#;

/// Stores bodies, fails, or never returns.
#[derive(Default)]
struct FakeIntake {
    kept: Mutex<Vec<Vec<u8>>>,
    failure: Option<Failure>,
    hangs: bool,
}

#[async_trait]
impl Intake for FakeIntake {
    async fn keep(&self, body: &[u8]) -> Result<(), Failure> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        self.kept.lock().unwrap().push(body.to_vec());
        Ok(())
    }
}

/// Returns the next secret at each read, and the last one from then on.
struct Rotated {
    values: Vec<&'static str>,
    reads: Arc<AtomicUsize>,
}

#[async_trait]
impl SecretReader for Rotated {
    async fn read(&self) -> Result<WebhookSecrets, SecretError> {
        let read = self.reads.fetch_add(1, Ordering::Relaxed).min(self.values.len() - 1);
        match self.values[read] {
            "" => Err(SecretError::Unavailable("down".to_owned())),
            value => Ok(serde_json::from_str::<StoredSecrets>(value).unwrap().into()),
        }
    }
}

struct TestUrl {
    function_url: FunctionUrl,
    intake: Arc<FakeIntake>,
    reads: Arc<AtomicUsize>,
    /// Seconds since the test began.
    seconds: Arc<AtomicI64>,
}

impl TestUrl {
    fn new(check: Check, values: &[&'static str], intake: FakeIntake) -> Self {
        let (intake, reads) = (Arc::new(intake), Arc::new(AtomicUsize::new(0)));
        let seconds = Arc::new(AtomicI64::new(0));
        let (began, passed) = (Timestamp::now(), Arc::clone(&seconds));
        let clock = Clock::new(move || began + SignedDuration::from_secs(passed.load(Ordering::Relaxed)));
        let secrets =
            SecretCache::new(Rotated { values: values.to_vec(), reads: Arc::clone(&reads) }).with_clock(clock);
        Self {
            function_url: FunctionUrl {
                secrets,
                check,
                intake: Arc::clone(&intake) as Arc<dyn Intake>,
                response_timeout: FunctionUrl::RESPONSE_TIMEOUT,
            },
            intake,
            reads,
            seconds,
        }
    }

    fn signed() -> Self {
        Self::new(Check::Signature, &[SECRET], FakeIntake::default())
    }

    async fn status(&self, request: HttpRequest) -> u16 {
        self.function_url.handle(&request).await.status
    }

    fn kept(&self) -> usize {
        self.intake.kept.lock().unwrap().len()
    }
}

fn post(header: Option<(&str, &str)>, body: &str) -> HttpRequest {
    HttpRequest {
        method: "POST".to_owned(),
        path: "/".to_owned(),
        query: String::new(),
        headers: header.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: body.to_owned(),
        is_base64: false,
    }
}

fn signed(body: &str) -> HttpRequest {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"app-secret-for-tests");
    let tag = ring::hmac::sign(&key, body.as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    post(Some((SIGNATURE_HEADER, &format!("sha256={hex}"))), body)
}

fn get(query: &str) -> HttpRequest {
    HttpRequest { method: "GET".to_owned(), query: query.to_owned(), ..post(None, "") }
}

#[tokio::test]
async fn verification_returns_the_challenge_to_the_right_token() {
    let function_url = TestUrl::signed();
    let query = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=a%20token%2Fof+ours";
    let response = function_url.function_url.handle(&get(query)).await;
    assert_eq!(response, HttpResponse { status: 200, text: "1158201444".to_owned() });
    for (query, status) in [
        ("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=another", 403),
        ("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=", 403),
        ("hub.mode=subscribe&hub.challenge=1158201444", 400),
        ("hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=a%20token%2Fof+ours", 400),
        ("hub.mode=subscribe&hub.challenge=%3Cscript%3E&hub.verify_token=a%20token%2Fof+ours", 400),
        ("", 400),
    ] {
        assert_eq!(function_url.status(get(query)).await, status, "{query}");
    }
}

#[tokio::test]
async fn signed_body_is_stored_and_confirmed() {
    let function_url = TestUrl::signed();
    assert_eq!(function_url.status(post(Some((SIGNATURE_HEADER, SIGNATURE)), BODY)).await, 200);
    let base64 = HttpRequest {
        body: BASE64_STANDARD.encode(BODY),
        is_base64: true,
        ..post(Some((SIGNATURE_HEADER, SIGNATURE)), "")
    };
    assert_eq!(function_url.status(base64).await, 200, "Lambda encodes bodies of other content types");
    assert_eq!(
        *function_url.intake.kept.lock().unwrap(),
        [BODY.as_bytes(), BODY.as_bytes()],
        "a repeated webhook is confirmed"
    );
    assert_eq!(function_url.reads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn unauthenticated_sender_is_rejected_and_nothing_is_stored() {
    let function_url = TestUrl::signed();
    for (header, body) in [
        (None, BODY),
        (Some((SIGNATURE_HEADER, "")), BODY),
        (Some((SIGNATURE_HEADER, &SIGNATURE[7..])), BODY),
        (Some((SIGNATURE_HEADER, SIGNATURE)), &BODY[1..]),
        (Some(("x-hub-signature", SIGNATURE)), BODY),
        (Some(("x-provider-key", "provider")), BODY),
    ] {
        assert_eq!(function_url.status(post(header, body)).await, 401, "{header:?}");
    }
    let by_header = TestUrl::new(Check::Header("x-provider-key".to_owned()), &[SECRET], FakeIntake::default());
    for (header, status) in [
        (Some(("x-provider-key", "provider")), 200),
        (Some(("x-provider-key", "provided")), 401),
        (Some((SIGNATURE_HEADER, SIGNATURE)), 401),
        (None, 401),
    ] {
        assert_eq!(by_header.status(post(header, BODY)).await, status, "{header:?}");
    }
    assert_eq!((function_url.kept(), by_header.kept()), (0, 1));
}

#[tokio::test]
async fn other_paths_and_methods_are_rejected() {
    let function_url = TestUrl::signed();
    let elsewhere = HttpRequest { path: "/.env".to_owned(), ..signed(BODY) };
    assert_eq!(function_url.status(elsewhere).await, 404);
    for method in ["PUT", "HEAD", "OPTIONS", "post"] {
        assert_eq!(
            function_url.status(HttpRequest { method: method.to_owned(), ..signed(BODY) }).await,
            405,
            "{method}"
        );
    }
    assert_eq!((function_url.kept(), function_url.reads.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test]
async fn body_of_three_megabytes_is_stored() {
    let function_url = TestUrl::signed();
    assert_eq!(function_url.status(signed(&"x".repeat(3 << 20))).await, 200);
    assert_eq!(function_url.status(signed(&"x".repeat(MAX_BODY_BYTES))).await, 200);
    assert_eq!(function_url.status(HttpRequest { is_base64: true, ..signed("=not base64=") }).await, 400);
    assert_eq!((function_url.kept(), metrics::counted(Metric::SetupErrors)), (2, 0));
}

#[tokio::test]
async fn too_large_body_of_the_sender_is_counted() {
    let function_url = TestUrl::signed();
    let large = "x".repeat(MAX_BODY_BYTES + 1);
    // Of anyone else: neither counted nor told apart from other forged requests.
    assert_eq!(function_url.status(post(None, &large)).await, 401);
    assert_eq!(metrics::counted(Metric::SetupErrors), 0);
    assert_eq!(function_url.status(signed(&large)).await, 413);
    let HttpRequest { headers, .. } = signed(&large);
    let encoded = HttpRequest { is_base64: true, body: BASE64_STANDARD.encode(&large), ..signed("") };
    assert_eq!(function_url.status(HttpRequest { headers, ..encoded }).await, 413);
    assert_eq!((function_url.kept(), metrics::counted(Metric::SetupErrors)), (0, 2));
}

#[tokio::test]
async fn failure_to_store_is_never_confirmed() {
    let transient = Failure::Transient { detail: "down".to_owned(), after: None };
    let configuration = Failure::Configuration { detail: "denied".to_owned(), after: None };
    for failure in [transient, configuration] {
        let intake = FakeIntake { failure: Some(failure), ..FakeIntake::default() };
        assert_eq!(TestUrl::new(Check::Signature, &[SECRET], intake).status(signed(BODY)).await, 503);
    }
    // S3 does not respond: Meta receives a response before its request times out.
    let mut slow = TestUrl::new(Check::Signature, &[SECRET], FakeIntake { hangs: true, ..FakeIntake::default() });
    slow.function_url.response_timeout = Duration::ZERO;
    assert_eq!(slow.status(signed(BODY)).await, 503);
}

#[tokio::test]
async fn replaced_secret_is_rejected_after_ten_minutes() {
    let function_url = TestUrl::new(Check::Signature, &[SECRET, r#"{"app_secret":"new"}"#], FakeIntake::default());
    assert_eq!(function_url.status(signed(BODY)).await, 200);
    function_url.seconds.store(599, Ordering::Relaxed);
    assert_eq!(function_url.status(signed(BODY)).await, 200);
    function_url.seconds.store(601, Ordering::Relaxed);
    assert_eq!(function_url.status(signed(BODY)).await, 401);

    // The cached secrets are used while reading them fails.
    let function_url = TestUrl::new(Check::Signature, &[SECRET, ""], FakeIntake::default());
    for seconds in [0, 601, 1_300] {
        function_url.seconds.store(seconds, Ordering::Relaxed);
        for _ in 0..10 {
            assert_eq!(function_url.status(signed(BODY)).await, 200);
        }
    }
    assert_eq!(function_url.reads.load(Ordering::Relaxed), 3, "a failed read is not repeated by each request");
}

#[tokio::test]
async fn rotated_secret_is_read_after_a_rejection_but_not_each_time() {
    let old = r#"{"app_secret":"old"}"#;
    let function_url = TestUrl::new(Check::Signature, &[old, SECRET], FakeIntake::default());
    // The secret was just read: many invalid signatures must not cause as many reads.
    for _ in 0..100 {
        assert_eq!(function_url.status(signed(BODY)).await, 401);
    }
    assert_eq!(function_url.reads.load(Ordering::Relaxed), 1);
    function_url.seconds.store(31, Ordering::Relaxed);
    assert_eq!(function_url.status(signed(BODY)).await, 200);
    assert_eq!(function_url.reads.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn unusable_secret_has_status_503() {
    let placeholder = r#"{"app_secret":"to be filled in"}"#;
    let function_url = TestUrl::new(Check::Signature, &[placeholder], FakeIntake::default());
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"to be filled in");
    let tag = ring::hmac::sign(&key, BODY.as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(function_url.status(post(Some((SIGNATURE_HEADER, &format!("sha256={hex}"))), BODY)).await, 503);
    let down = TestUrl::new(Check::Signature, &[""], FakeIntake::default());
    assert_eq!(down.status(signed(BODY)).await, 503);
    assert_eq!((function_url.kept(), down.kept()), (0, 0));
}
