//! Sends requests to Graph, with a token, a permit and retries.

use bytes::Bytes;
use reqwest::{
    Method,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE},
};
use tokio::sync::Semaphore;
use url::Url;

use super::{
    config::ConfigError,
    error::{Failure, Refusal},
    hosts::Hosts,
    limits::REQUEST_MAX_BYTES,
};
use crate::{MailboxError, entra::Tokens};
use http_client::{Http, HttpResponse, RetryBudget, is_private};

/// A request to Graph.
#[derive(Clone)]
pub(super) struct Request {
    method: Method,
    url: Url,
    body: Option<(&'static str, Bytes)>,
    response_max_bytes: usize,
}

impl Request {
    pub(super) fn get(url: Url) -> Self {
        Self { method: Method::GET, url, body: None, response_max_bytes: http_client::SMALL_RESPONSE_MAX_BYTES }
    }

    pub(super) fn delete(url: Url) -> Self {
        Self { method: Method::DELETE, url, body: None, response_max_bytes: http_client::SMALL_RESPONSE_MAX_BYTES }
    }

    pub(super) fn post(url: Url, json: impl Into<Bytes>) -> Self {
        Self {
            method: Method::POST,
            url,
            body: Some(("application/json", json.into())),
            response_max_bytes: http_client::SMALL_RESPONSE_MAX_BYTES,
        }
    }

    pub(super) fn post_text(url: Url, text: impl Into<Bytes>) -> Self {
        Self {
            method: Method::POST,
            url,
            body: Some(("text/plain", text.into())),
            response_max_bytes: http_client::SMALL_RESPONSE_MAX_BYTES,
        }
    }

    /// Marks a request whose response contains a message with its body, so that a larger response is accepted.
    pub(super) fn with_message_response(mut self) -> Self {
        self.response_max_bytes = http_client::MESSAGE_RESPONSE_MAX_BYTES;
        self
    }
}

/// Sends requests.
pub(super) struct Client {
    http: Http,
    pub(super) hosts: Hosts,
    tokens: Tokens,
}

impl Client {
    pub(super) fn new(hosts: Hosts, tokens: Tokens) -> Result<Self, ConfigError> {
        let http = Http::new().map_err(|_| ConfigError::Tls)?;
        Ok(Self { http, hosts, tokens })
    }

    /// Returns the application's permissions according to its token.
    pub(super) async fn roles(&self, budget: &mut RetryBudget) -> Result<Option<Vec<String>>, Failure> {
        Ok(self.tokens.get(&self.http, None, budget).await?.roles())
    }

    /// Sends an idempotent request. It is retried after every transient failure.
    pub(super) async fn send(
        &self,
        permits: Option<&Semaphore>,
        request: &Request,
        budget: &mut RetryBudget,
    ) -> Result<HttpResponse, Failure> {
        loop {
            match self.attempt(permits, request, budget).await {
                Err(failure) if failure.should_be_retried_now() && budget.pause(failure.retry_after()).await => {}
                result => return result,
            }
        }
    }

    /// Sends a request that must not be executed twice. It is retried only if it was certainly not executed. After an
    /// unknown outcome the caller has to look up the result.
    pub(super) async fn send_once(
        &self,
        permits: Option<&Semaphore>,
        request: &Request,
        budget: &mut RetryBudget,
    ) -> Result<HttpResponse, Failure> {
        loop {
            match self.attempt(permits, request, budget).await {
                Err(failure) if failure.is_throttled() && budget.pause(failure.retry_after()).await => {}
                result => return result,
            }
        }
    }

    async fn attempt(
        &self,
        permits: Option<&Semaphore>,
        request: &Request,
        budget: &mut RetryBudget,
    ) -> Result<HttpResponse, Failure> {
        if request.body.as_ref().is_some_and(|(_, body)| body.len() > REQUEST_MAX_BYTES) {
            return Err(Failure::Internal { what: "a request would exceed 4,000,000 bytes" });
        }
        let mut refused = None;
        loop {
            let token = self.tokens.get(&self.http, refused.as_ref(), budget).await?;
            let mut builder = self
                .http
                .client()
                .await
                .map_err(MailboxError::from)?
                .request(request.method.clone(), request.url.clone())
                .header(AUTHORIZATION, token.header.clone())
                .header("prefer", r#"IdType="ImmutableId""#)
                .header("client-request-id", uuid::Uuid::new_v4().to_string());
            if let Some((content_type, body)) = &request.body {
                builder = builder.header(CONTENT_TYPE, *content_type).body(body.clone());
            }
            let response = {
                let _permit = acquire(permits).await?;
                crate::response::read(builder.send().await, request.response_max_bytes).await?
            };
            if response.status.is_success() {
                return Ok(response);
            }
            if response.status == reqwest::StatusCode::UNAUTHORIZED && refused.is_none() {
                refused = Some(token);
                continue;
            }
            return Err(Refusal::of(&response).into());
        }
    }

    /// Sends a piece of a file of `size` bytes, starting at `start`, to the URL of an upload session. The URL is a secret
    /// on another host, so the token must not be sent there.
    pub(super) async fn upload(
        &self,
        permits: &Semaphore,
        url: &Url,
        (start, size): (usize, usize),
        piece: Bytes,
    ) -> Result<HttpResponse, Failure> {
        if !is_private(url) {
            return Err(Failure::StepFailed { what: "the upload URL is not https" });
        }
        let sent = {
            let _permit = acquire(Some(permits)).await?;
            let request = self
                .http
                .client()
                .await
                .map_err(MailboxError::from)?
                .put(url.clone())
                .header(CONTENT_TYPE, "application/octet-stream")
                .header(CONTENT_LENGTH, piece.len())
                .header(CONTENT_RANGE, format!("bytes {start}-{}/{size}", start + piece.len() - 1))
                .body(piece);
            crate::response::read(request.send().await, http_client::SMALL_RESPONSE_MAX_BYTES).await?
        };
        if sent.status.is_success() { Ok(sent) } else { Err(Refusal::of(&sent).into()) }
    }
}

async fn acquire(permits: Option<&Semaphore>) -> Result<Option<tokio::sync::SemaphorePermit<'_>>, Failure> {
    match permits {
        None => Ok(None),
        Some(permits) => {
            permits.acquire().await.map(Some).map_err(|_| Failure::Internal { what: "the semaphore is closed" })
        }
    }
}
