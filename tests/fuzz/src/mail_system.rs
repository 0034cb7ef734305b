//! Responses of Microsoft Graph or of another server in its place.

use std::{cell::OnceCell, sync::Arc, time::Duration};

use async_trait::async_trait;
use mailbox::{
    Attempt, MailboxError, Mailboxes, Message,
    entra::{Cloud, Credentials, EntraSecret},
    graph::{Graph, GraphConfig},
};
use tokio::runtime::{Builder, Runtime};

use crate::http::Servers;

const SECRET: &str = "correct-horse-battery-staple";
const ADDRESS: &str = "ada.lovelace@example.com";
const FILE: &str = "the-quarter-s-figures.bin";

/// A size in bytes that does not fit into the request that creates a message, so that the upload is tested, too.
const FILE_BYTES: usize = 3 << 20;

/// Required part of Graph's response to a request for an upload URL.
const UPLOAD: &[u8] = b"uploadUrl";

struct Machine {
    runtime: Runtime,
    servers: Servers,
}

thread_local! {
    static MACHINE: OnceCell<Machine> = const { OnceCell::new() };
}

struct Vault;

#[async_trait]
impl Credentials for Vault {
    async fn get(&self) -> Result<EntraSecret, MailboxError> {
        Ok(EntraSecret::client_secret(SECRET.to_owned()))
    }
}

/// Responses of the login endpoint and Graph in the order of the requests. Whatever they are, a mailbox is found or not,
/// a message is filed or not, no error contains an address, and the token is sent only to Graph.
pub fn graph(input: &[u8]) {
    MACHINE.with(|machine| {
        let Machine { runtime, servers } = machine.get_or_init(|| {
            // A second installation of the same provider fails and is ignored.
            rustls::crypto::ring::default_provider().install_default().ok();
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            let servers = runtime.block_on(Servers::start());
            Machine { runtime, servers }
        });
        servers.will_answer(input, |_| true);
        // A large message takes a hundred times as long, so it is tried only if a response could belong to it.
        let large = input.windows(UPLOAD.len()).any(|window| window.eq_ignore_ascii_case(UPLOAD));
        runtime.block_on(exercise(&servers.own, large));
        servers.assert_no_credentials_elsewhere();
    });
}

async fn exercise(url: &str, large: bool) {
    let mut config = GraphConfig::new(Cloud::Global, "tenant", "11111111-2222-3333-4444-555555555555");
    config.graph_url = url.parse().ok();
    config.login_url = url.parse().ok();
    config.retry_budget = Duration::from_millis(2);
    config.first_wait = Duration::from_micros(100);
    let graph = Graph::new(config, Arc::new(Vault)).expect("a client");
    let address = ADDRESS.parse().expect("an address");
    let mailbox = match graph.find(&address).await {
        Ok(Some(mailbox)) => mailbox,
        Ok(None) => return,
        Err(error) => return assert_no_secrets(&error),
    };
    assert_eq!(mailbox.address, address);
    let message = message(if large { FILE_BYTES } else { 3 });
    for attempt in [Attempt::First, Attempt::Retry] {
        if let Err(error) = graph.file(&mailbox, &message, attempt).await {
            assert_no_secrets(&error);
        }
    }
}

fn assert_no_secrets(error: &MailboxError) {
    for text in [error.to_string(), format!("{error:?}")] {
        for secret in [SECRET, ADDRESS, "lovelace", FILE, "Bearer "] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.len() < 1_000 && text.chars().all(|char| !char.is_control()), "{text}");
    }
}

fn message(bytes: usize) -> Message {
    // Base64 of NUL.
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
    Message { item: "WA-1".parse().expect("an id"), message_id: "<a@archive.example>".to_owned(), mime: mime.into() }
}
