//! Reads and caches the secrets that authenticate webhooks.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws::secrets::{SecretError, Secrets};
use cloud_api::AppSecret;
use jiff::Timestamp;
use runtime::Clock;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use tracing::warn;

/// The members of the secret, for error messages.
const EXPECTED: &str = r#"{"app_secret","verify_token"} of Meta's app, or {"header_value"} of a provider"#;

/// The template's placeholder for a value that an operator fills in. It is public, so it is treated as missing.
const TO_BE_FILLED_IN: &str = "to be filled in";

/// The JSON of the secret.
#[derive(Deserialize)]
pub struct StoredSecrets {
    app_secret: Option<SecretString>,
    verify_token: Option<SecretString>,
    header_value: Option<SecretString>,
}

/// The secrets of the Function URL. A value that is not filled in is `None`.
pub struct WebhookSecrets {
    /// The key of Meta's signatures.
    pub app_secret: Option<AppSecret>,
    /// The token in Meta's verification request.
    pub verify_token: Option<AppSecret>,
    /// The value of a provider's header.
    pub header_value: Option<AppSecret>,
}

impl From<StoredSecrets> for WebhookSecrets {
    fn from(stored: StoredSecrets) -> Self {
        let filled = |secret: Option<SecretString>| {
            let text = secret?.expose_secret().trim().to_owned();
            (!text.is_empty() && text != TO_BE_FILLED_IN).then(|| AppSecret::new(text))
        };
        Self {
            app_secret: filled(stored.app_secret),
            verify_token: filled(stored.verify_token),
            header_value: filled(stored.header_value),
        }
    }
}

/// Reads the secrets.
#[async_trait]
pub trait SecretReader: Send + Sync {
    /// Reads the current secrets.
    ///
    /// # Errors
    /// [`SecretError`].
    async fn read(&self) -> Result<WebhookSecrets, SecretError>;
}

/// Reads the secrets from Secrets Manager.
pub struct InSecretsManager {
    pub secrets: Secrets,
    /// The secret's name or ARN.
    pub id: String,
}

#[async_trait]
impl SecretReader for InSecretsManager {
    async fn read(&self) -> Result<WebhookSecrets, SecretError> {
        Ok(self.secrets.get::<StoredSecrets>(&self.id, EXPECTED).await?.into())
    }
}

/// Caches the secrets, and reads them again after a rejection, because they may have been rotated.
pub struct SecretCache {
    reader: Box<dyn SecretReader>,
    clock: Clock,
    // Locked during a read, so that concurrent requests cause one read.
    cached: Mutex<Option<Cached>>,
}

struct Cached {
    secrets: Arc<WebhookSecrets>,
    read: Timestamp,
    /// Time of the last attempt to read them.
    tried: Timestamp,
}

/// Minimum time between two reads, including failed ones: a sender can cause any number of rejections.
const READ_INTERVAL: Duration = Duration::from_secs(30);

/// Time after which the secrets are read again, so that a replaced secret is soon rejected.
const LIFETIME: Duration = Duration::from_mins(10);

impl SecretCache {
    /// Creates an empty cache.
    pub fn new(reader: impl SecretReader + 'static) -> Self {
        Self { reader: Box::new(reader), clock: Clock::default(), cached: Mutex::new(None) }
    }

    /// Replaces the clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Returns the cached secrets, and reads them first if they are too old.
    pub(crate) async fn current(&self) -> Result<Arc<WebhookSecrets>, SecretError> {
        let mut cached = self.cached.lock().await;
        let Some(last) = &*cached else { return self.read(&mut cached).await };
        let secrets = Arc::clone(&last.secrets);
        if self.clock.is_fresh(last.read, LIFETIME) || self.clock.is_fresh(last.tried, READ_INTERVAL) {
            return Ok(secrets);
        }
        // While Secrets Manager is down, the last secrets are used.
        let read = self.read(&mut cached).await;
        Ok(read
            .inspect_err(|error| warn!(%error, "reading the secret failed, using the cached one"))
            .unwrap_or(secrets))
    }

    /// Returns secrets that were read after the rejected ones; `None` if the last read was less than [`READ_INTERVAL`]
    /// ago.
    pub(crate) async fn after_rejection(
        &self,
        rejected: &Arc<WebhookSecrets>,
    ) -> Result<Option<Arc<WebhookSecrets>>, SecretError> {
        let mut cached = self.cached.lock().await;
        match &*cached {
            Some(cached) if !Arc::ptr_eq(&cached.secrets, rejected) => Ok(Some(Arc::clone(&cached.secrets))),
            Some(cached) if self.clock.is_fresh(cached.tried, READ_INTERVAL) => Ok(None),
            _ => self.read(&mut cached).await.map(Some),
        }
    }

    async fn read(&self, cached: &mut Option<Cached>) -> Result<Arc<WebhookSecrets>, SecretError> {
        let now = self.clock.now();
        // Set before the read, which may fail, or be cancelled by the timeout of the request.
        if let Some(last) = cached.as_mut() {
            last.tried = now;
        }
        let secrets = Arc::new(self.reader.read().await?);
        *cached = Some(Cached { secrets: Arc::clone(&secrets), read: now, tried: now });
        Ok(secrets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholder_of_the_template_counts_as_missing() {
        let template = include_str!("../../../template.yaml");
        assert!(template.contains(&format!(r#"SecretStringTemplate: '{{"app_secret": "{TO_BE_FILLED_IN}"#)));
        let read = |json: &str| WebhookSecrets::from(serde_json::from_str::<StoredSecrets>(json).unwrap());
        let secrets = read(r#"{"app_secret": " to be filled in ", "verify_token": "", "header_value": "v"}"#);
        assert!(secrets.app_secret.is_none() && secrets.verify_token.is_none() && secrets.header_value.is_some());
        assert!(read("{}").header_value.is_none());
    }
}
