//! Tenants, adapters and messages for the tests.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use graph_fake::{CLIENT_ID, CLIENT_SECRET, GraphFake, TENANT_ID, User};
use mailbox::{
    Attempt, Clock, Filed, Mailbox, MailboxError, Mailboxes, Message,
    entra::{Cloud, Credentials, EntraSecret},
    graph::{Graph, GraphConfig},
};

/// The owner of the mailbox that most tests file in.
pub(crate) const ADA: &str = "ada@example.com";
/// The archive folder.
pub(crate) const FOLDER: &str = "WhatsApp Archiver";

/// A secret store that counts the requests.
pub(crate) struct SecretStore {
    pub(crate) secret: Mutex<EntraSecret>,
    pub(crate) requests: Mutex<usize>,
}

impl SecretStore {
    pub(crate) fn new(secret: EntraSecret) -> Arc<Self> {
        Arc::new(Self { secret: Mutex::new(secret), requests: Mutex::default() })
    }

    pub(crate) fn with(secret: &str) -> Arc<Self> {
        Self::new(EntraSecret::client_secret(secret.to_owned()))
    }
}

#[async_trait]
impl Credentials for SecretStore {
    async fn get(&self) -> Result<EntraSecret, MailboxError> {
        *self.requests.lock().unwrap() += 1;
        Ok(self.secret.lock().unwrap().clone())
    }
}

pub(crate) async fn tenant() -> GraphFake {
    let fake = GraphFake::start().await.unwrap();
    fake.add(User::new(ADA));
    fake
}

/// Waits are a thousandth of those in production.
pub(crate) fn config(fake: &GraphFake) -> GraphConfig {
    let mut config = GraphConfig::new(Cloud::Global, TENANT_ID, CLIENT_ID);
    config.graph_url = Some(fake.url().parse().unwrap());
    config.login_url = Some(fake.login_url().parse().unwrap());
    config.first_wait = Duration::from_millis(1);
    config.retry_budget = Duration::from_millis(250);
    config.negative_ttl = Duration::ZERO;
    config
}

/// Returns a clock, and the seconds that have passed on it.
pub(crate) fn clock() -> (Clock, Arc<AtomicI64>) {
    let passed = Arc::new(AtomicI64::new(0));
    let start = jiff::Timestamp::now().as_second();
    let read = Arc::clone(&passed);
    let clock = Clock::new(move || jiff::Timestamp::from_second(start + read.load(Ordering::Relaxed)).unwrap());
    (clock, passed)
}

pub(crate) fn graph_with(config: GraphConfig, secrets: Arc<SecretStore>) -> Graph {
    // Another test may have installed it.
    drop(rustls::crypto::ring::default_provider().install_default());
    Graph::new(config, secrets).unwrap()
}

pub(crate) fn graph(fake: &GraphFake) -> Graph {
    graph_with(config(fake), SecretStore::with(CLIENT_SECRET))
}

pub(crate) async fn mailbox(graph: &Graph, address: &str) -> Mailbox {
    graph.find(&address.parse().unwrap()).await.unwrap().unwrap()
}

/// Finds Ada's mailbox and files a message in it.
pub(crate) async fn file(graph: &Graph, message: &Message, attempt: Attempt) -> Result<Filed, MailboxError> {
    let mailbox = mailbox(graph, ADA).await;
    graph.file(&mailbox, message, attempt).await
}

/// Files a message, and files it again if the outcome is unknown, without the wait between the attempts.
pub(crate) async fn file_with_retry(graph: &Graph, message: &Message, attempt: Attempt) -> Result<Filed, MailboxError> {
    match file(graph, message, attempt).await {
        Err(error @ MailboxError::OutcomeUnknown { .. }) => {
            assert_outcome_unknown(&error);
            file(graph, message, Attempt::Retry).await
        }
        result => result,
    }
}

/// Asserts that the retry waits until a copy would have appeared.
pub(crate) fn assert_outcome_unknown(error: &MailboxError) {
    assert!(error.settle_time() >= MailboxError::SETTLE_TIME, "{error:?}");
}

/// Returns a file of this length, whose parts are all different.
pub(crate) fn bytes(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[usize::from(seed) % 3] ^ seed).collect()
}

/// Returns a message as convert renders them, with these files.
pub(crate) fn message(item: &str, files: &[(&str, &[u8])]) -> Message {
    message_of(item, "4520123456@whatsapp.invalid", "Ada <ada@example.com>", files)
}

pub(crate) fn message_of(item: &str, from: &str, to: &str, files: &[(&str, &[u8])]) -> Message {
    let message_id = format!("<{item}@archive.example>");
    let mut mime = format!(
        "Date: Sun, 22 Nov 2026 08:00:00 +0100\r\nFrom: \"S. Jensen (+45 20 12 34 56)\" <{from}>\r\nTo: {to}\r\n\
         Subject: WhatsApp: Team\r\nMessage-ID: {message_id}\r\nIn-Reply-To: <root@archive.example>\r\n\
         References: <root@archive.example>\r\nX-WA-Kind: text\r\nX-WA-Chat: abc\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/alternative; boundary=i\r\n\
         \r\n--i\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello\r\n--i\r\n\
         Content-Type: text/html; charset=utf-8\r\n\r\n<p>hello</p>\r\n--i--\r\n"
    )
    .into_bytes();
    for (name, bytes) in files {
        mime.extend_from_slice(
            format!(
                "--o\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; \
                 filename=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            )
            .as_bytes(),
        );
        for line in STANDARD.encode(bytes).as_bytes().chunks(76) {
            mime.extend_from_slice(line);
            mime.extend_from_slice(b"\r\n");
        }
    }
    mime.extend_from_slice(b"--o--\r\n");
    Message { item: item.parse().unwrap(), message_id, mime: mime.into() }
}

/// Asserts that Ada sees exactly one message, that it is complete, and that it is not a draft.
pub(crate) fn assert_one_complete_copy(fake: &GraphFake, files: &[(&str, &[u8])]) {
    let visible = fake.visible(ADA);
    assert_eq!(visible.len(), 1, "copies that Ada sees");
    let message = &visible[0];
    assert_eq!(message.folder, FOLDER);
    assert!(!message.is_draft);
    assert_eq!(message.received.to_string(), "2026-11-22T07:00:00Z");
    let mut stored: Vec<_> = message.attachments.iter().map(|file| (file.name.as_str(), &file.bytes[..])).collect();
    let mut wanted = files.to_vec();
    stored.sort_unstable();
    wanted.sort_unstable();
    assert!(stored == wanted, "the attachments differ from those of the message");
}
