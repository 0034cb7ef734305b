//! Responses of the source's retrieval API or of another server in its place.

use std::{cell::OnceCell, sync::Arc};

use async_trait::async_trait;
use model::Window;
use source::{ArchiverApi, Basic, Credentials, Limits, Source, SourceError};
use tokio::runtime::{Builder, Runtime};

use crate::http::Servers;

const PASSWORD: &str = "correct-horse-battery-staple";

/// The size limit of every response in bytes: small, so that inputs reach it.
const LIMIT: u64 = 4 << 10;

struct Machine {
    runtime: Runtime,
    servers: Servers,
    api: ArchiverApi,
}

thread_local! {
    static MACHINE: OnceCell<Machine> = const { OnceCell::new() };
}

struct Vault;

#[async_trait]
impl Credentials for Vault {
    async fn get(&self) -> Result<Basic, SourceError> {
        Ok(Basic { username: "connector".to_owned().into(), password: PASSWORD.to_owned().into() })
    }
}

/// Responses of the source: for a list, its next page, an item, and each of its attachments.
/// Whatever they are, every read is bounded, and the password is sent only to the source.
pub fn archiver_api(input: &[u8]) {
    MACHINE.with(|machine| {
        let Machine { runtime, servers, api } = machine.get_or_init(|| {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            let servers = runtime.block_on(Servers::start());
            let limits = Limits { item_bytes: LIMIT, page_bytes: LIMIT, ..Limits::default() };
            let url = servers.own.parse().expect("a URL");
            let api = ArchiverApi::new(url, Arc::new(Vault), limits);
            Machine { runtime, servers, api }
        });
        // Transient failures would be retried after a wait of seconds. Retries have their own tests.
        servers.will_answer(input, |status| !matches!(status.as_u16(), 408 | 429 | 502..=504));
        runtime.block_on(exercise(api));
        servers.assert_no_credentials_elsewhere();
    });
}

async fn exercise(api: &ArchiverApi) {
    let time = |text: &str| text.parse().expect("a time");
    let window = Window::between(time("2026-11-21T00:00:00Z"), time("2026-11-22T00:00:00Z")).expect("a window");
    match api.list(&window, None).await {
        Ok(page) => {
            assert!(page.items.len() as u64 <= LIMIT);
            if let Some(next) = page.next {
                assert!(!next.is_empty(), "the cursor is empty and would request the first page again");
                match api.list(&window, Some(&next)).await {
                    Ok(after) => assert_ne!(after.next, Some(next), "the page leads to itself"),
                    Err(error) => assert_no_secrets(&error),
                }
            }
        }
        Err(error) => assert_no_secrets(&error),
    }
    let id = "WA-1/ø ?".parse().expect("an id");
    let captured = match api.item(&id).await {
        Ok(captured) => captured,
        Err(error) => return assert_no_secrets(&error),
    };
    assert_eq!(captured.item.id, id);
    for attachment in &captured.item.attachments {
        match api.attachment(&id, attachment, LIMIT).await {
            Ok(fetched) => {
                assert!(fetched.bytes.len() as u64 <= LIMIT);
                assert!(fetched.sha256 == model::Sha256::of(&fetched.bytes));
                assert!(attachment.sha256.is_none_or(|declared| declared == fetched.sha256));
            }
            Err(error) => assert_no_secrets(&error),
        }
    }
}

fn assert_no_secrets(error: &SourceError) {
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(text.len() < 500 && text.chars().all(|char| !char.is_control()), "{text}");
        assert!(!text.contains(PASSWORD) && !text.contains("WA-1"), "{text}");
    }
}
