//! The secrets of the webhooks, and when they are read.

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

/// The members of the secret, as a person fills them in.
const EXPECTED: &str = r#"{"app_secret","verify_token"} of Meta's app, or {"header_value"} of a provider"#;

/// The template's placeholder for a value that an operator has to fill in. It is public, so it opens nothing.
const TO_BE_FILLED_IN: &str = "to be filled in";

/// The secret's JSON.
#[derive(Deserialize)]
pub struct StoredSecrets {
    app_secret: Option<SecretString>,
    verify_token: Option<SecretString>,
    header_value: Option<SecretString>,
}

/// The secrets that the door needs, as far as they are filled in.
pub struct DoorSecrets {
    /// Meta signs bodies with it.
    pub app_secret: Option<AppSecret>,
    /// Meta sends it when the URL is configured.
    pub verify_token: Option<AppSecret>,
    /// A provider sends it in a header.
    pub header_value: Option<AppSecret>,
}

impl From<StoredSecrets> for DoorSecrets {
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

/// Where the secrets are.
#[async_trait]
pub trait SecretReader: Send + Sync {
    /// Reads them as they are now.
    ///
    /// # Errors
    /// [`SecretError`].
    async fn read(&self) -> Result<DoorSecrets, SecretError>;
}

/// In Secrets Manager.
pub struct InSecretsManager {
    /// The client.
    pub secrets: Secrets,
    /// The secret's name or ARN.
    pub id: String,
}

#[async_trait]
impl SecretReader for InSecretsManager {
    async fn read(&self) -> Result<DoorSecrets, SecretError> {
        Ok(self.secrets.get::<StoredSecrets>(&self.id, EXPECTED).await?.into())
    }
}

/// Keeps the secrets, and reads them again after a rejection: they may have been rotated.
pub struct SecretCache {
    reader: Box<dyn SecretReader>,
    clock: Clock,
    // Locked while they are read: of many concurrent requests, one reads them.
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    secrets: Arc<DoorSecrets>,
    read: Timestamp,
    /// The last attempt to read them.
    tried: Timestamp,
}

/// Minimum time between two reads, also if they fail: requests that are rejected cost their sender nothing.
const READ_INTERVAL: Duration = Duration::from_secs(30);

/// Time after which the secrets are read again, so that one that was replaced soon opens nothing.
const LIFETIME: Duration = Duration::from_mins(10);

impl SecretCache {
    /// Nothing is read yet.
    pub fn new(reader: impl SecretReader + 'static) -> Self {
        Self { reader: Box::new(reader), clock: Clock::default(), kept: Mutex::new(None) }
    }

    /// The same with another clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The secrets as they were read last.
    pub(crate) async fn current(&self) -> Result<Arc<DoorSecrets>, SecretError> {
        let mut kept = self.kept.lock().await;
        let Some(last) = &*kept else { return self.read(&mut kept).await };
        let secrets = Arc::clone(&last.secrets);
        if self.clock.is_fresh(last.read, LIFETIME) || self.clock.is_fresh(last.tried, READ_INTERVAL) {
            return Ok(secrets);
        }
        // While Secrets Manager is down, the last secrets are used.
        let read = self.read(&mut kept).await;
        Ok(read
            .inspect_err(|error| warn!(%error, "reading the secret failed, its last value is used"))
            .unwrap_or(secrets))
    }

    /// Secrets that were read after the rejected ones; `None` where it is too early to read them again.
    pub(crate) async fn after_rejection(
        &self,
        rejected: &Arc<DoorSecrets>,
    ) -> Result<Option<Arc<DoorSecrets>>, SecretError> {
        let mut kept = self.kept.lock().await;
        match &*kept {
            Some(kept) if !Arc::ptr_eq(&kept.secrets, rejected) => Ok(Some(Arc::clone(&kept.secrets))),
            Some(kept) if self.clock.is_fresh(kept.tried, READ_INTERVAL) => Ok(None),
            _ => self.read(&mut kept).await.map(Some),
        }
    }

    async fn read(&self, kept: &mut Option<Kept>) -> Result<Arc<DoorSecrets>, SecretError> {
        let now = self.clock.now();
        // Before the read, which may fail or be cancelled when the door's time is over.
        if let Some(last) = kept.as_mut() {
            last.tried = now;
        }
        let secrets = Arc::new(self.reader.read().await?);
        *kept = Some(Kept { secrets: Arc::clone(&secrets), read: now, tried: now });
        Ok(secrets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholder_of_the_template_opens_nothing() {
        let template = include_str!("../../../template.yaml");
        assert!(template.contains(&format!(r#"SecretStringTemplate: '{{"app_secret": "{TO_BE_FILLED_IN}"#)));
        let read = |json: &str| DoorSecrets::from(serde_json::from_str::<StoredSecrets>(json).unwrap());
        let secrets = read(r#"{"app_secret": " to be filled in ", "verify_token": "", "header_value": "v"}"#);
        assert!(secrets.app_secret.is_none() && secrets.verify_token.is_none() && secrets.header_value.is_some());
        assert!(read("{}").header_value.is_none());
    }
}
