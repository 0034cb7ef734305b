//! The adapter for a retrieval API: HTTP, JSON, Basic authentication.

mod address;
mod credentials;
mod page;
mod place;
mod response;
mod retry;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use model::{Attachment, ItemId, ItemJson, Sha256, Window};
use reqwest::{
    Client, Response, StatusCode,
    header::{self, HeaderValue},
    redirect,
};
use rustls::crypto::{CryptoProvider, ring};
use tokio::sync::OnceCell;
use url::Url;

use crate::{
    Page, Sink, Source, SourceError,
    sink::{Hashed, full},
};

use self::{
    credentials::Keyring,
    place::Place,
    response::{Failure, RequestKind},
};

pub use self::{
    address::{ArchiverUrl, ArchiverUrlError},
    credentials::{Basic, Credentials, SecretCredentials},
};

/// Limits on the size of responses and on waits.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Maximum size of the JSON of one item, in bytes.
    pub item_bytes: u64,
    /// Maximum size of the JSON of one page of the list, in bytes.
    pub page_bytes: u64,
    /// RequestKind number of entries per page: 1 to 1,000.
    pub page_items: u16,
    /// Timeout of a connection attempt.
    pub connect: Duration,
    /// Maximum time without a received byte.
    pub idle: Duration,
    /// Maximum time of one request, its response and all retries. A response that arrives byte by byte is never idle,
    /// and must not occupy a function until its deadline.
    pub total: Duration,
    /// Minimum transfer rate of an attachment, in bytes per second: the timeout grows by the attachment's maximum size
    /// divided by this rate. Not 0.
    pub slowest: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            item_bytes: 12 << 20,
            page_bytes: 16 << 20,
            page_items: 1000,
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(120),
            slowest: 256 << 10,
        }
    }
}

/// A client of a retrieval API.
pub struct ArchiverApi {
    /// Created at the first request: it reads the system's certificates, which takes a large part of a function's
    /// start.
    client: OnceCell<Client>,
    base: ArchiverUrl,
    keyring: Keyring,
    limits: Limits,
}

impl ArchiverApi {
    /// Creates a client of the API at `base`. It sends no request yet.
    pub fn new(base: ArchiverUrl, credentials: Arc<dyn Credentials>, limits: Limits) -> Self {
        // reqwest uses the process's TLS provider and panics if there is none. An error here means that one is
        // installed already.
        if CryptoProvider::get_default().is_none() {
            ring::default_provider().install_default().ok();
        }
        Self { client: OnceCell::new(), base, keyring: Keyring::new(credentials), limits }
    }

    async fn client(&self) -> Result<&Client, SourceError> {
        let make = || {
            Client::builder()
                .user_agent(concat!("whatsapp-archiver/", env!("CARGO_PKG_VERSION")))
                .https_only(self.base.is_https())
                // The environment must not send the credentials through a proxy, nor a response redirect them to
                // another host.
                .no_proxy()
                .redirect(redirect::Policy::none())
                .referer(false)
                // Retries are counted here, so that there is one budget for them.
                .retry(reqwest::retry::never())
                .connect_timeout(self.limits.connect)
                .read_timeout(self.limits.idle)
                .build()
        };
        self.client.get_or_try_init(async || make()).await.map_err(|_| SourceError::Configuration {
            detail: "cannot create a TLS client: check that this machine has root certificates".to_owned(),
        })
    }

    /// Sends a request, with retries, and copies at most `limit` bytes of the response into the sink. Returns the
    /// server's time.
    async fn request(
        &self,
        kind: RequestKind,
        request: &Endpoint,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<Option<Timestamp>, SourceError> {
        // Before the timeout starts: reading the secret must not use up the time of the source.
        self.client().await?;
        let tries = async {
            let mut tried = 1;
            loop {
                let failure = match self.attempt(kind, request, limit, sink).await {
                    Ok(date) => return Ok(date),
                    Err(failure) => failure,
                };
                let Some(wait) = retry::wait(tried, &failure) else { return Err(failure.error) };
                tokio::time::sleep(wait).await;
                tried += 1;
            }
        };
        let more = match kind {
            RequestKind::Attachment { .. } => Duration::from_secs(limit / self.limits.slowest.max(1)),
            RequestKind::List | RequestKind::Item => Duration::ZERO,
        };
        match tokio::time::timeout(self.limits.total.saturating_add(more), tries).await {
            Ok(answer) => answer,
            Err(_) => Err(response::unavailable("the response takes too long")),
        }
    }

    async fn attempt(
        &self,
        kind: RequestKind,
        request: &Endpoint,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<Option<Timestamp>, Failure> {
        sink.restart().await.map_err(|error| full(&error))?;
        let response = self.send(request).await?;
        if response.status() != StatusCode::OK {
            return Err(response::refusal(kind, response).await);
        }
        let rejects_html = response::check_form(kind, &response)?;
        let date = response::date(&response);
        response::copy_checked_body(response, limit, rejects_html, sink).await?;
        Ok(date)
    }

    /// Sends a request once; twice if the password was rotated since it was read.
    async fn send(&self, endpoint: &Endpoint) -> Result<Response, Failure> {
        let key = self.keyring.current().await?;
        let response = self.send_with(endpoint, key.header.clone()).await?;
        // The contract has both 401 and 403 for rejected credentials.
        if !matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Ok(response);
        }
        match self.keyring.after_rejection_of(&key).await? {
            Some(key) => self.send_with(endpoint, key.header).await,
            None => Ok(response),
        }
    }

    async fn send_with(&self, endpoint: &Endpoint, authorization: HeaderValue) -> Result<Response, Failure> {
        self.client()
            .await?
            .get(endpoint.url.clone())
            .query(&endpoint.query)
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::AUTHORIZATION, authorization)
            .send()
            .await
            .map_err(response::broken)
    }
}

/// Returns whether a file may be HTML, by its declared type or its name.
fn may_be_html(attachment: &Attachment) -> bool {
    let ends = |name: &str| [".html", ".htm"].iter().any(|end| name.to_ascii_lowercase().ends_with(end));
    attachment.content_type.as_deref().is_none_or(|declared| declared.to_ascii_lowercase().contains("html"))
        || attachment.name.as_deref().is_some_and(ends)
}

/// A request that can be repeated.
struct Endpoint {
    url: Url,
    query: Vec<(&'static str, String)>,
}

#[async_trait]
impl Source for ArchiverApi {
    async fn list(&self, window: &Window, cursor: Option<&str>) -> Result<Page, SourceError> {
        let place = cursor.map(Place::read).transpose()?;
        let query = page::query(window, self.limits.page_items, place.as_ref().map(|place| place.cursor.as_str()));
        let endpoint = Endpoint { url: self.base.items(), query };
        let mut body = Vec::new();
        let listed = self.request(RequestKind::List, &endpoint, self.limits.page_bytes, &mut body).await;
        let source_time = listed.map_err(|error| match error {
            // The list is not an item, so no item may become a dead letter.
            SourceError::TooLarge { limit } => {
                SourceError::MalformedPage(format!("it exceeds the limit of {limit} bytes"))
            }
            other => other,
        })?;
        Ok(Page { source_time, ..page::parse(&body, window, place.as_ref())? })
    }

    fn overlap(&self) -> SignedDuration {
        Window::OVERLAP
    }

    async fn item_json(&self, id: &ItemId) -> Result<ItemJson, SourceError> {
        let endpoint = Endpoint { url: self.base.item(id)?, query: Vec::new() };
        let mut body = Vec::new();
        self.request(RequestKind::Item, &endpoint, self.limits.item_bytes, &mut body).await?;
        Ok(ItemJson::new(body)?)
    }

    async fn copy_attachment(
        &self,
        id: &ItemId,
        attachment: &Attachment,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<Sha256, SourceError> {
        let endpoint = Endpoint { url: self.base.attachment(id, &attachment.id)?, query: Vec::new() };
        let mut hashed = Hashed::new(sink);
        let kind = RequestKind::Attachment { may_be_html: may_be_html(attachment) };
        self.request(kind, &endpoint, limit, &mut hashed).await?;
        hashed.finish(attachment.sha256)
    }
}
