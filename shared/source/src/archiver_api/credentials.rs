//! Reads and caches the user name and password.

use std::sync::Arc;

use async_trait::async_trait;
use aws::secrets::{SecretError, Secrets};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::SourceError;

/// A user name and a password for HTTP Basic authentication. Deserialized from `{"username","password"}`.
#[derive(Debug, Clone, Deserialize)]
pub struct Basic {
    /// Contains no colon.
    pub username: SecretString,
    /// Any text.
    pub password: SecretString,
}

/// Provides the user name and password.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Reads the current credentials. The adapter caches them, and reads them again after a rejection, because they may
    /// have been rotated.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] or [`SourceError::Configuration`].
    async fn get(&self) -> Result<Basic, SourceError>;
}

/// Credentials in Secrets Manager, in the form `{"username","password"}`.
pub struct SecretCredentials {
    secrets: Secrets,
    id: String,
}

impl SecretCredentials {
    /// Creates the credentials. `id` is the secret's name or ARN. Sends no request yet.
    pub fn new(secrets: Secrets, id: String) -> Self {
        Self { secrets, id }
    }
}

#[async_trait]
impl Credentials for SecretCredentials {
    async fn get(&self) -> Result<Basic, SourceError> {
        let expected = r#"{"username","password"} of the retrieval API"#;
        self.secrets.get(&self.id, expected).await.map_err(|error| match error {
            SecretError::Unavailable(_) => SourceError::Unavailable { detail: error.to_string(), retry_after: None },
            SecretError::Configuration { .. } | SecretError::Shape { .. } => {
                SourceError::Configuration { detail: error.to_string() }
            }
        })
    }
}

/// Caches the credentials, and reads them again once after each rejection.
pub(super) struct Keyring {
    credentials: Arc<dyn Credentials>,
    // Locked while they are read: if many requests are rejected at the same time, the secret is read once.
    kept: Mutex<Option<Key>>,
}

/// The credentials as a header value that is marked sensitive, so that it is not printed.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) header: HeaderValue,
}

impl Keyring {
    pub(super) fn new(credentials: Arc<dyn Credentials>) -> Self {
        Self { credentials, kept: Mutex::new(None) }
    }

    pub(super) async fn current(&self) -> Result<Key, SourceError> {
        let mut kept = self.kept.lock().await;
        if let Some(key) = &*kept {
            return Ok(key.clone());
        }
        let key = Key::new(&self.credentials.get().await?)?;
        Ok(kept.insert(key).clone())
    }

    /// Credentials other than the rejected ones; `None` if the secret has not changed.
    pub(super) async fn after_rejection_of(&self, rejected: &Key) -> Result<Option<Key>, SourceError> {
        let mut kept = self.kept.lock().await;
        if let Some(key) = &*kept
            && key.header != rejected.header
        {
            return Ok(Some(key.clone()));
        }
        let key = Key::new(&self.credentials.get().await?)?;
        let other = key.header != rejected.header;
        let key = kept.insert(key).clone();
        Ok(other.then_some(key))
    }
}

impl Key {
    fn new(basic: &Basic) -> Result<Self, SourceError> {
        let (username, password) = (basic.username.expose_secret(), basic.password.expose_secret());
        if username.contains(':') || [username, password].iter().any(|text| text.chars().any(char::is_control)) {
            return Err(SourceError::Configuration {
                detail: "the user name in the source's secret contains a colon or a control character".to_owned(),
            });
        }
        let pair = SecretString::from(format!("{username}:{password}"));
        let header = SecretString::from(format!("Basic {}", BASE64.encode(pair.expose_secret())));
        let mut header = HeaderValue::from_str(header.expose_secret()).map_err(|_| SourceError::Configuration {
            detail: "the source's secret cannot be written as a header".to_owned(),
        })?;
        header.set_sensitive(true);
        Ok(Self { header })
    }
}
