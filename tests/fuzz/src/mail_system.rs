//! Responses of Microsoft Graph, or of any other server at its URL.

use std::{cell::OnceCell, sync::Arc, time::Duration};

use async_trait::async_trait;
use mailbox::{
    Attempt, MailboxError, Mailboxes, Message,
    entra::{Cloud, Credentials, EntraSecret},
    graph::{Graph, GraphConfig},
};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use crate::http::{SECRET, Servers};

const ADDRESS: &str = "ada.lovelace@example.com";
const FILE: &str = "the-quarter-s-figures.bin";

/// A size in bytes that does not fit into the request that creates a message, so that the upload is tested, too.
const FILE_BYTES: usize = 3 << 20;

/// The member of Graph's response that has the URL for an upload.
const UPLOAD_URL_MEMBER: &[u8] = b"uploadUrl";

/// The state that all inputs of a thread share.
struct Fixture {
    runtime: Runtime,
    servers: Servers,
}

thread_local! {
    static FIXTURE: OnceCell<Fixture> = const { OnceCell::new() };
}

struct FixedCredentials;

#[async_trait]
impl Credentials for FixedCredentials {
    async fn get(&self) -> Result<EntraSecret, MailboxError> {
        Ok(EntraSecret::client_secret(SECRET.to_owned()))
    }
}

/// Tests responses of the login endpoint and of Graph, in the order of the requests. No error contains a secret or an
/// address, and credentials are sent only to the configured server.
pub fn graph(input: &[u8]) {
    FIXTURE.with(|fixture| {
        let Fixture { runtime, servers } = fixture.get_or_init(|| {
            // The process may already have this provider.
            rustls::crypto::ring::default_provider().install_default().ok();
            let runtime = Builder::new_current_thread().enable_all().build().expect("the runtime cannot be started");
            let servers = runtime.block_on(Servers::start());
            Fixture { runtime, servers }
        });
        servers.set_responses(input, |_| true);
        // A large message takes a hundred times as long, so it is used only if a response may have an upload URL.
        let is_large =
            input.windows(UPLOAD_URL_MEMBER.len()).any(|window| window.eq_ignore_ascii_case(UPLOAD_URL_MEMBER));
        runtime.block_on(find_and_file(servers, is_large));
        servers.assert_no_credentials_leaked();
    });
}

/// Finds a mailbox and files a message in it twice.
async fn find_and_file(servers: &Servers, is_large: bool) {
    let url = &servers.url;
    let mut config = GraphConfig::new(Cloud::Global, "tenant", "11111111-2222-3333-4444-555555555555");
    config.graph_url = url.parse().ok();
    config.login_url = url.parse().ok();
    config.retry_budget = Duration::from_millis(2);
    config.first_wait = Duration::from_micros(100);
    let graph = Graph::new(config, Arc::new(FixedCredentials)).expect("the client cannot be created");
    let address = ADDRESS.parse().expect("the address is invalid");
    let mailbox = match graph.find(&address).await {
        Ok(Some(mailbox)) => mailbox,
        Ok(None) => return,
        Err(error) => return assert_no_secrets(&error),
    };
    assert!(
        servers.sent_bodies().iter().any(|body| names_address(body)),
        "a mailbox was found, although no response has its address"
    );
    let message = message(if is_large { FILE_BYTES } else { 3 });
    for attempt in [Attempt::First, Attempt::Retry] {
        if let Err(error) = graph.file(&mailbox, &message, attempt).await {
            assert_no_secrets(&error);
        }
    }
}

/// Returns whether a JSON body has the address as a text, which may have the prefix of a proxy address.
fn names_address(body: &[u8]) -> bool {
    fn is_in(value: &Value) -> bool {
        match value {
            Value::String(text) => text.rsplit(':').next().is_some_and(|text| text.eq_ignore_ascii_case(ADDRESS)),
            Value::Array(values) => values.iter().any(is_in),
            Value::Object(members) => members.values().any(is_in),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }
    serde_json::from_slice(body).is_ok_and(|value| is_in(&value))
}

/// Asserts that an error is short and contains neither secrets nor content.
fn assert_no_secrets(error: &MailboxError) {
    for text in [error.to_string(), format!("{error:?}")] {
        for secret in [SECRET, ADDRESS, "lovelace", FILE, "Bearer "] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.len() < 1_000 && text.chars().all(|char| !char.is_control()), "{text}");
    }
}

/// Returns a message with a file of about this size.
fn message(bytes: usize) -> Message {
    // Each line of base64 has 57 bytes of NUL.
    let lines = bytes.div_ceil(57);
    let file = format!("{}\r\n", "A".repeat(76)).repeat(lines);
    let mime = format!(
        "Date: Sun, 22 Nov 2026 08:00:00 +0100\r\nFrom: \"Ada\" <4520123456@whatsapp.invalid>\r\nTo: {ADDRESS}\r\n\
         Subject: WhatsApp: Team\r\nMessage-ID: <a@archive.example>\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n\
         --i\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello\r\n\
         --i\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>hello</p>\r\n--i--\r\n\
         --o\r\nContent-Type: application/octet-stream\r\n\
         Content-Disposition: attachment; filename=\"{FILE}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{file}--o--\r\n"
    );
    Message {
        item: "WA-1".parse().expect("the id is invalid"),
        message_id: "<a@archive.example>".to_owned(),
        mime: mime.into(),
    }
}
