//! Responses of the source's retrieval API, or of any other server at its URL.

use std::{cell::OnceCell, sync::Arc};

use async_trait::async_trait;
use model::Window;
use source::{ArchiverApi, Basic, Credentials, Limits, Source, SourceError};
use tokio::runtime::{Builder, Runtime};

use crate::http::{SECRET, Servers};

/// Size limit of every response in bytes. It is small, so that inputs reach it.
const MAX_RESPONSE_BYTES: u64 = 4 << 10;

/// The state that all inputs of a thread share.
struct Fixture {
    runtime: Runtime,
    servers: Servers,
    api: ArchiverApi,
}

thread_local! {
    static FIXTURE: OnceCell<Fixture> = const { OnceCell::new() };
}

struct FixedCredentials;

#[async_trait]
impl Credentials for FixedCredentials {
    async fn get(&self) -> Result<Basic, SourceError> {
        Ok(Basic { username: "connector".to_owned().into(), password: SECRET.to_owned().into() })
    }
}

/// Tests responses of the source: to the requests for a list, its next page, an item, and each of its attachments.
/// Every read is bounded, no error contains a secret or an id, and the password is sent only to the source.
pub fn archiver_api(input: &[u8]) {
    FIXTURE.with(|fixture| {
        let Fixture { runtime, servers, api } = fixture.get_or_init(|| {
            let runtime = Builder::new_current_thread().enable_all().build().expect("the runtime cannot be started");
            let servers = runtime.block_on(Servers::start());
            let limits = Limits { item_bytes: MAX_RESPONSE_BYTES, page_bytes: MAX_RESPONSE_BYTES, ..Limits::default() };
            let url = servers.url.parse().expect("the URL is invalid");
            let api = ArchiverApi::new(url, Arc::new(FixedCredentials), limits);
            Fixture { runtime, servers, api }
        });
        // A transient failure would be retried after seconds. Retries have their own tests.
        servers.set_responses(input, |status| !matches!(status.as_u16(), 408 | 429 | 502..=504));
        runtime.block_on(read_source(api));
        servers.assert_no_credentials_leaked();
    });
}

/// Lists two pages, and reads an item and its attachments.
async fn read_source(api: &ArchiverApi) {
    let time = |text: &str| text.parse().expect("the time is invalid");
    let window =
        Window::between(time("2026-11-21T00:00:00Z"), time("2026-11-22T00:00:00Z")).expect("the window is invalid");
    match api.list(&window, None).await {
        Ok(page) => {
            assert!(page.items.len() as u64 <= MAX_RESPONSE_BYTES);
            if let Some(next) = page.next {
                assert!(!next.is_empty(), "the cursor is empty, so it would request the first page again");
                match api.list(&window, Some(&next)).await {
                    Ok(after) => assert_ne!(after.next, Some(next), "the page leads to itself"),
                    Err(error) => assert_no_secrets(&error),
                }
            }
        }
        Err(error) => assert_no_secrets(&error),
    }
    let id = "WA-1/ø ?".parse().expect("the id is invalid");
    let captured = match api.item(&id).await {
        Ok(captured) => captured,
        Err(error) => return assert_no_secrets(&error),
    };
    assert_eq!(captured.item.id, id);
    for attachment in &captured.item.attachments {
        match api.attachment(&id, attachment, MAX_RESPONSE_BYTES).await {
            Ok(fetched) => {
                assert!(fetched.bytes.len() as u64 <= MAX_RESPONSE_BYTES);
                assert!(fetched.sha256 == model::Sha256::of(&fetched.bytes));
                assert!(attachment.sha256.is_none_or(|declared| declared == fetched.sha256));
            }
            Err(error) => assert_no_secrets(&error),
        }
    }
}

/// Asserts that an error is short and contains neither secrets nor content.
fn assert_no_secrets(error: &SourceError) {
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(text.len() < 500 && text.chars().all(|char| !char.is_control()), "{text}");
        assert!(!text.contains(SECRET) && !text.contains("WA-1"), "{text}");
    }
}
