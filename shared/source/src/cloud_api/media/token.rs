//! Reads and caches the access token.

use std::sync::Arc;

use async_trait::async_trait;
use aws::secrets::{SecretError, Secrets};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::SourceError;

/// Provides the access token.
#[async_trait]
pub trait AccessToken: Send + Sync {
    /// Reads the current token. The adapter caches it, and reads it again after a rejection, because it may have been
    /// rotated.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] or [`SourceError::Configuration`].
    async fn get(&self) -> Result<SecretString, SourceError>;
}

/// A token in Secrets Manager: the member `access_token` of a JSON secret.
pub struct SecretToken {
    secrets: Secrets,
    id: String,
}

#[derive(Deserialize)]
struct Secret {
    access_token: SecretString,
}

impl SecretToken {
    /// Creates the token. `id` is the secret's name or ARN. Sends no request yet.
    pub fn new(secrets: Secrets, id: String) -> Self {
        Self { secrets, id }
    }
}

#[async_trait]
impl AccessToken for SecretToken {
    async fn get(&self) -> Result<SecretString, SourceError> {
        let secret: Result<Secret, _> = self.secrets.get(&self.id, r#"{"access_token"} of the Meta app"#).await;
        secret.map(|secret| secret.access_token).map_err(|error| match error {
            SecretError::Unavailable(_) => SourceError::Unavailable { detail: error.to_string(), retry_after: None },
            _ => SourceError::Configuration { detail: error.to_string() },
        })
    }
}

/// Caches the token.
pub(super) struct TokenCache {
    token: Arc<dyn AccessToken>,
    kept: Mutex<Option<HeaderValue>>,
}

impl TokenCache {
    pub(super) fn new(token: Arc<dyn AccessToken>) -> Self {
        Self { token, kept: Mutex::new(None) }
    }

    /// Returns the header with the token. If it equals `rejected`, reads the token again; `None` if it has not changed.
    pub(super) async fn header(&self, rejected: Option<&HeaderValue>) -> Result<Option<HeaderValue>, SourceError> {
        let mut kept = self.kept.lock().await;
        if let Some(header) = &*kept
            && Some(header) != rejected
        {
            return Ok(Some(header.clone()));
        }
        let token = self.token.get().await?;
        let header = SecretString::from(format!("Bearer {}", token.expose_secret()));
        let mut header = HeaderValue::from_str(header.expose_secret()).map_err(|_| SourceError::Configuration {
            detail: "the access token in the secret contains a character that is invalid in a header".to_owned(),
        })?;
        header.set_sensitive(true);
        let header = kept.insert(header).clone();
        Ok((Some(&header) != rejected).then_some(header))
    }
}
