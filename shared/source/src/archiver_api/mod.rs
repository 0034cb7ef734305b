//! The adapter for the archiver's retrieval API: HTTP, JSON, Basic authentication.

mod address;
mod answer;
mod credentials;
mod page;
mod place;
mod retry;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use model::{Answer, Attachment, ItemId, Sha256, Window};
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
    answer::{Asked, Failure},
    credentials::Keyring,
    place::Place,
};

pub use self::{
    address::{ArchiverUrl, ArchiverUrlError},
    credentials::{Basic, Credentials, SecretCredentials},
};

/// How much of the archiver's answers is taken, and how long each is waited for.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest JSON of one item, in bytes.
    pub item_bytes: u64,
    /// The largest JSON of one page of the list, in bytes.
    pub page_bytes: u64,
    /// How many entries a page is asked to have: 1 to 1,000.
    pub page_items: u16,
    /// How long a connection may take.
    pub connect: Duration,
    /// How long nothing may come before the exchange is given up.
    pub idle: Duration,
    /// How long one question may take with its answer and all its tries. An answer that drips in byte by byte never is
    /// idle, and must not hold a function until its own time is over.
    pub total: Duration,
    /// How much longer an attachment may take for each of the bytes that it may have: so many of them a second. Not 0.
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

/// The archiver's retrieval API.
pub struct ArchiverApi {
    /// Made when it is first needed: it reads the system's certificates, which would be a good part of a function's start.
    client: OnceCell<Client>,
    base: ArchiverUrl,
    keyring: Keyring,
    limits: Limits,
}

impl ArchiverApi {
    /// A client of the API at `base`. It connects to nothing yet.
    pub fn new(base: ArchiverUrl, credentials: Arc<dyn Credentials>, limits: Limits) -> Self {
        // reqwest takes its cryptography from the process and panics where there is none. Losing the race to install
        // it means that it is there.
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
                // Neither may the environment send the credentials through a proxy, nor an answer send them to another
                // host.
                .no_proxy()
                .redirect(redirect::Policy::none())
                .referer(false)
                // The tries are counted here, so that there is one budget for them.
                .retry(reqwest::retry::never())
                .connect_timeout(self.limits.connect)
                .read_timeout(self.limits.idle)
                .build()
        };
        self.client.get_or_try_init(async || make()).await.map_err(|_| SourceError::Configuration {
            detail: "no TLS client can be made: does this machine have root certificates?".to_owned(),
        })
    }

    /// Asks until there is an answer that is worth keeping, and pours at most `limit` bytes of it into the sink.
    /// Returns the server's time.
    async fn ask(
        &self,
        asked: Asked,
        request: &Question,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<Option<Timestamp>, SourceError> {
        // Before the clock runs: it is the archive's time, not ours.
        self.client().await?;
        let tries = async {
            let mut tried = 1;
            loop {
                let failure = match self.attempt(asked, request, limit, sink).await {
                    Ok(date) => return Ok(date),
                    Err(failure) => failure,
                };
                let Some(wait) = retry::wait(tried, &failure) else { return Err(failure.error) };
                tokio::time::sleep(wait).await;
                tried += 1;
            }
        };
        let more = match asked {
            Asked::Attachment => Duration::from_secs(limit / self.limits.slowest.max(1)),
            Asked::List | Asked::Item => Duration::ZERO,
        };
        match tokio::time::timeout(self.limits.total.saturating_add(more), tries).await {
            Ok(answer) => answer,
            Err(_) => Err(answer::unavailable("the answer takes too long")),
        }
    }

    async fn attempt(
        &self,
        asked: Asked,
        request: &Question,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<Option<Timestamp>, Failure> {
        sink.restart().await.map_err(|error| full(&error))?;
        let response = self.send(request).await?;
        if response.status() != StatusCode::OK {
            return Err(answer::refusal(asked, response).await);
        }
        answer::check_form(asked, &response)?;
        let date = answer::date(&response);
        answer::copy_body(response, limit, sink).await?;
        Ok(date)
    }

    /// One exchange; two where the password was rotated since it was read.
    async fn send(&self, question: &Question) -> Result<Response, Failure> {
        let key = self.keyring.current().await?;
        let response = self.send_with(question, key.header.clone()).await?;
        // The contract has both for credentials that are not taken.
        if !matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Ok(response);
        }
        match self.keyring.after_refusal_of(&key).await? {
            Some(key) => self.send_with(question, key.header).await,
            None => Ok(response),
        }
    }

    async fn send_with(&self, question: &Question, authorization: HeaderValue) -> Result<Response, Failure> {
        self.client()
            .await?
            .get(question.url.clone())
            .query(&question.query)
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::AUTHORIZATION, authorization)
            .send()
            .await
            .map_err(answer::broken)
    }
}

/// What is asked, as often as it takes.
struct Question {
    url: Url,
    query: Vec<(&'static str, String)>,
}

#[async_trait]
impl Source for ArchiverApi {
    async fn list(&self, window: &Window, cursor: Option<&str>) -> Result<Page, SourceError> {
        let place = cursor.map(Place::read).transpose()?;
        let query = page::query(window, self.limits.page_items, place.as_ref().map(|place| place.cursor.as_str()));
        let question = Question { url: self.base.items(), query };
        let mut body = Vec::new();
        let listed = self.ask(Asked::List, &question, self.limits.page_bytes, &mut body).await;
        let source_time = listed.map_err(|error| match error {
            // No item is to blame for it.
            SourceError::TooLarge { limit } => SourceError::MalformedPage(format!("more than {limit} bytes")),
            other => other,
        })?;
        Ok(Page { source_time, ..page::parse(&body, place.as_ref())? })
    }

    fn overlap(&self) -> SignedDuration {
        Window::OVERLAP
    }

    async fn answer(&self, id: &ItemId) -> Result<Answer, SourceError> {
        let question = Question { url: self.base.item(id)?, query: Vec::new() };
        let mut body = Vec::new();
        self.ask(Asked::Item, &question, self.limits.item_bytes, &mut body).await?;
        Ok(Answer::new(body)?)
    }

    async fn copy_attachment(
        &self,
        id: &ItemId,
        attachment: &Attachment,
        limit: u64,
        sink: &mut dyn Sink,
    ) -> Result<Sha256, SourceError> {
        let question = Question { url: self.base.attachment(id, &attachment.id)?, query: Vec::new() };
        let mut hashed = Hashed::new(sink);
        self.ask(Asked::Attachment, &question, limit, &mut hashed).await?;
        hashed.finish(attachment.sha256)
    }
}
