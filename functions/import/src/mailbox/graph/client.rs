//! One request to Graph, with its token, its turn and its retries.

use bytes::Bytes;
use reqwest::{
    Method,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE},
};
use tokio::sync::Semaphore;
use url::Url;

use super::{
    ConfigError,
    error::{Failure, Refusal},
    hosts::Hosts,
};
use crate::mailbox::{
    entra::{Tokens, is_private},
    http::{self, Answer, Http},
    patience::Patience,
};

/// A request to Graph.
#[derive(Clone)]
pub(super) struct Request {
    method: Method,
    url: Url,
    body: Option<(&'static str, Bytes)>,
    longest_answer: usize,
}

impl Request {
    pub(super) fn get(url: Url) -> Self {
        Self { method: Method::GET, url, body: None, longest_answer: http::SMALL }
    }

    pub(super) fn delete(url: Url) -> Self {
        Self { method: Method::DELETE, url, body: None, longest_answer: http::SMALL }
    }

    pub(super) fn post(url: Url, json: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, url, body: Some(("application/json", json.into())), longest_answer: http::SMALL }
    }

    pub(super) fn post_text(url: Url, text: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, url, body: Some(("text/plain", text.into())), longest_answer: http::SMALL }
    }

    /// The answer shows a message, its body included.
    pub(super) fn answered_with_message(mut self) -> Self {
        self.longest_answer = http::MESSAGE;
        self
    }
}

/// What sends them.
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

    /// What the token that requests carry says of the application's permissions.
    pub(super) async fn roles(&self, patience: &mut Patience) -> Result<Option<Vec<String>>, Failure> {
        Ok(self.tokens.get(&self.http, None, patience).await?.roles())
    }

    /// A request that may be done twice without harm: tried again after whatever passes.
    pub(super) async fn ask(
        &self,
        turn: Option<&Semaphore>,
        request: &Request,
        patience: &mut Patience,
    ) -> Result<Answer, Failure> {
        loop {
            match self.once(turn, request, patience).await {
                Err(failure)
                    if (failure.is_unclear() || failure.is_throttled())
                        && patience.pause(failure.retry_after()).await => {}
                result => return result,
            }
        }
    }

    /// A request that must not be done twice: tried again only where it was certainly not done. Anything unclear is
    /// the caller's to look into.
    pub(super) async fn ask_once(
        &self,
        turn: Option<&Semaphore>,
        request: &Request,
        patience: &mut Patience,
    ) -> Result<Answer, Failure> {
        loop {
            match self.once(turn, request, patience).await {
                Err(failure) if failure.is_throttled() && patience.pause(failure.retry_after()).await => {}
                result => return result,
            }
        }
    }

    async fn once(
        &self,
        turn: Option<&Semaphore>,
        request: &Request,
        patience: &mut Patience,
    ) -> Result<Answer, Failure> {
        let mut refused = None;
        loop {
            let token = self.tokens.get(&self.http, refused.as_ref(), patience).await?;
            let mut builder = self
                .http
                .client()
                .await?
                .request(request.method.clone(), request.url.clone())
                .header(AUTHORIZATION, token.header.clone())
                .header("prefer", r#"IdType="ImmutableId""#)
                .header("client-request-id", uuid::Uuid::new_v4().to_string());
            if let Some((content_type, body)) = &request.body {
                builder = builder.header(CONTENT_TYPE, *content_type).body(body.clone());
            }
            let answer = {
                let _turn = take(turn).await?;
                http::read(builder.send().await, request.longest_answer).await?
            };
            if answer.status.is_success() {
                return Ok(answer);
            }
            if answer.status == reqwest::StatusCode::UNAUTHORIZED && refused.is_none() {
                refused = Some(token);
                continue;
            }
            return Err(Refusal::of(&answer).into());
        }
    }

    /// A piece of a file of `size` bytes, of which it is those from `start` on, to an address that Graph gave out for it.
    /// That address is a secret in itself, and is elsewhere: our token must not go there.
    pub(super) async fn upload(
        &self,
        turn: &Semaphore,
        url: &Url,
        (start, size): (usize, usize),
        piece: Bytes,
    ) -> Result<Answer, Failure> {
        if !is_private(url) {
            return Err(Failure::Undone { what: "the address for the upload is not https" });
        }
        let sent = {
            let _turn = take(Some(turn)).await?;
            let request = self
                .http
                .client()
                .await?
                .put(url.clone())
                .header(CONTENT_TYPE, "application/octet-stream")
                .header(CONTENT_LENGTH, piece.len())
                .header(CONTENT_RANGE, format!("bytes {start}-{}/{size}", start + piece.len() - 1))
                .body(piece);
            http::read(request.send().await, http::SMALL).await?
        };
        if sent.status.is_success() { Ok(sent) } else { Err(Refusal::of(&sent).into()) }
    }
}

async fn take(turn: Option<&Semaphore>) -> Result<Option<tokio::sync::SemaphorePermit<'_>>, Failure> {
    match turn {
        None => Ok(None),
        Some(turn) => turn.acquire().await.map(Some).map_err(|_| Failure::Lost { what: "the function is being ended" }),
    }
}
