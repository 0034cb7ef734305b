//! Posts webhooks as Meta does: signed, and repeated until they are confirmed.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::{APP_SECRET, VERIFY_TOKEN, sign};

/// Pause before a webhook is repeated. Meta's pauses grow to hours.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Maximum number of attempts: five minutes, because a slow machine may handle one webhook at a time. Meta repeats a
/// webhook for seven days.
const MAX_ATTEMPTS: u32 = 1_500;

/// A sender of webhooks.
#[derive(Clone)]
pub struct Sender {
    client: reqwest::Client,
    url: String,
}

/// A confirmed webhook.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// Number of attempts.
    pub attempts: u32,
    /// Duration of the attempt that was confirmed.
    pub took: Duration,
}

impl Sender {
    /// Creates a sender for this URL.
    ///
    /// # Errors
    /// If the HTTP client cannot be created.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        // An error means that a TLS provider is installed already.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { client, url: url.to_owned() })
    }

    /// Sends the verification request, and returns the status and the body.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn verify(&self, challenge: &str) -> anyhow::Result<(u16, String)> {
        let query = [("hub.mode", "subscribe"), ("hub.challenge", challenge), ("hub.verify_token", VERIFY_TOKEN)];
        let response = self.client.get(&self.url).query(&query).send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// Sends a body once, with this header, and returns the status.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn post_with(&self, body: &[u8], header: (&str, &str)) -> anyhow::Result<u16> {
        let request = self.client.post(&self.url).header("content-type", "application/json").header(header.0, header.1);
        Ok(request.body(body.to_vec()).send().await?.status().as_u16())
    }

    /// Sends a signed body once, and returns the status.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn post(&self, body: &[u8]) -> anyhow::Result<u16> {
        self.post_with(body, ("x-hub-signature-256", &sign(body, APP_SECRET))).await
    }

    /// Sends a signed body until it is confirmed.
    ///
    /// # Errors
    /// If it is not confirmed.
    pub async fn deliver(&self, body: &[u8]) -> anyhow::Result<Sent> {
        let mut last = None;
        for attempts in 1..=MAX_ATTEMPTS {
            let began = Instant::now();
            last = Some(self.post(body).await);
            if let Some(Ok(200)) = last {
                return Ok(Sent { attempts, took: began.elapsed() });
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        let status = last.transpose().context("no response to a webhook")?.unwrap_or_default();
        bail!("a webhook was not confirmed after {MAX_ATTEMPTS} attempts: the last status was {status}")
    }
}
