//! Responses of the source's retrieval API, or of any other server at its URL.

use std::{cell::OnceCell, sync::Arc};

use async_trait::async_trait;
use model::{ItemId, Listed, Window};
use serde_json::Value;
use source::{ArchiverApi, Basic, Credentials, Limits, Source, SourceError};
use tokio::runtime::{Builder, Runtime};

use crate::http::{SECRET, Servers};

/// Size limit of an item's JSON and of an attachment in bytes. It is small, so that inputs reach it.
const MAX_RESPONSE_BYTES: u64 = 4 << 10;

/// Size limit of a page in bytes: small too, but one entry more than [`MAX_ENTRIES`] fits.
const MAX_PAGE_BYTES: u64 = 24 << 10;

/// Maximum number of entries of a page.
const MAX_ENTRIES: usize = 10_000;

/// Maximum number of characters that are kept of an invalid id or time.
const MAX_SHOWN_CHARS: usize = 2 * ItemId::MAX_CHARS;

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
            let limits = Limits { item_bytes: MAX_RESPONSE_BYTES, page_bytes: MAX_PAGE_BYTES, ..Limits::default() };
            let url = servers.url.parse().expect("the URL is invalid");
            let api = ArchiverApi::new(url, Arc::new(FixedCredentials), limits);
            Fixture { runtime, servers, api }
        });
        // A transient failure would be retried after seconds. Retries have their own tests.
        servers.set_responses(input, |status| !matches!(status.as_u16(), 408 | 429 | 502..=504));
        runtime.block_on(read_source(api, servers));
        servers.assert_no_credentials_leaked();
    });
}

/// Lists two pages, and reads an item and its attachments.
async fn read_source(api: &ArchiverApi, servers: &Servers) {
    let time = |text: &str| text.parse().expect("the time is invalid");
    let window =
        Window::between(time("2026-11-21T00:00:00Z"), time("2026-11-22T00:00:00Z")).expect("the window is invalid");
    let mut place: Option<String> = None;
    for _ in 0..2 {
        let page = match api.list(&window, place.as_deref()).await {
            Ok(page) => page,
            Err(error) => {
                assert_no_secrets(&error);
                break;
            }
        };
        servers.assert_last_body_within(MAX_PAGE_BYTES);
        assert!(page.items.len() <= MAX_ENTRIES, "{} entries", page.items.len());
        page.items.iter().for_each(assert_entry_is_short);
        let Some(next) = page.next else { break };
        assert!(!source_cursor(&next).is_empty(), "the cursor is empty, so it would request the first page again");
        let used = place.as_deref().map(source_cursor);
        assert_ne!(used, Some(source_cursor(&next)), "the page leads to itself");
        place = Some(next);
    }
    let id = "WA-1/ø ?".parse().expect("the id is invalid");
    let captured = match api.item(&id).await {
        Ok(captured) => captured,
        Err(error) => return assert_no_secrets(&error),
    };
    servers.assert_last_body_within(MAX_RESPONSE_BYTES);
    assert_eq!(captured.item.id, id);
    for attachment in &captured.item.attachments {
        match api.attachment(&id, attachment, MAX_RESPONSE_BYTES).await {
            Ok(fetched) => {
                servers.assert_last_body_within(MAX_RESPONSE_BYTES);
                assert!(fetched.sha256 == model::Sha256::of(&fetched.bytes));
                assert!(attachment.sha256.is_none_or(|declared| declared == fetched.sha256));
            }
            Err(error) => assert_no_secrets(&error),
        }
    }
}

/// Returns the source's own cursor in the cursor of the port, which begins with the progress of the pages.
fn source_cursor(next: &str) -> &str {
    next.split_once(' ').expect("the cursor has no progress").1
}

/// Asserts that an entry fits into a message on a queue, whatever the source wrote.
fn assert_entry_is_short(entry: &Listed) {
    for value in [&entry.item, &entry.archived_time] {
        let text = match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => continue,
            Value::String(text) => text,
            other => other["entry"].as_str().expect("an invalid entry has no text"),
        };
        assert!(text.chars().count() <= MAX_SHOWN_CHARS, "an entry has {} characters", text.chars().count());
        assert!(value.as_object().is_none_or(|members| members.len() == 1), "an invalid entry has other members");
    }
}

/// Asserts that an error is short and contains neither secrets nor content.
fn assert_no_secrets(error: &SourceError) {
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(text.len() < 500 && text.chars().all(|char| !char.is_control()), "{text}");
        assert!(!text.contains(SECRET) && !text.contains("WA-1"), "{text}");
    }
}
