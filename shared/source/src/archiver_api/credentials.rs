//! The user name and password, and when they are read.

use std::sync::Arc;

use async_trait::async_trait;
use aws::secrets::{SecretError, Secrets};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::SourceError;

/// A user name and a password, as HTTP Basic has them. Deserialised from `{"username","password"}`.
#[derive(Debug, Clone, Deserialize)]
pub struct Basic {
    /// Without a colon.
    pub username: SecretString,
    /// Any text.
    pub password: SecretString,
}

/// Where the user name and password come from.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Reads them as they are now. The adapter keeps the answer, and asks again when the archiver has refused it: it may
    /// have been rotated.
    ///
    /// # Errors
    /// [`SourceError::Unavailable`] or [`SourceError::Configuration`].
    async fn get(&self) -> Result<Basic, SourceError>;
}

/// Credentials that stand in Secrets Manager as `{"username","password"}`.
pub struct SecretCredentials {
    secrets: Secrets,
    id: String,
}

impl SecretCredentials {
    /// `id` is the secret's name or ARN. Nothing is read yet.
    pub fn new(secrets: Secrets, id: String) -> Self {
        Self { secrets, id }
    }
}

#[async_trait]
impl Credentials for SecretCredentials {
    async fn get(&self) -> Result<Basic, SourceError> {
        let expected = r#"{"username","password"} of the archiver"#;
        self.secrets.get(&self.id, expected).await.map_err(|error| match error {
            SecretError::Unavailable(_) => SourceError::Unavailable { detail: error.to_string(), retry_after: None },
            SecretError::Configuration { .. } | SecretError::Shape { .. } => {
                SourceError::Configuration { detail: error.to_string() }
            }
        })
    }
}

/// Keeps the credentials between questions, and reads them again once after each refusal.
pub(super) struct Keyring {
    credentials: Arc<dyn Credentials>,
    // Held while they are read: of many questions that are refused at once, one reads the secret again.
    kept: Mutex<Option<Key>>,
}

/// Credentials as a header, marked sensitive so that nothing prints it.
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

    /// Other credentials than the refused ones, or `None` where there are no others yet.
    pub(super) async fn after_refusal_of(&self, refused: &Key) -> Result<Option<Key>, SourceError> {
        let mut kept = self.kept.lock().await;
        if let Some(key) = &*kept
            && key.header != refused.header
        {
            return Ok(Some(key.clone()));
        }
        let key = Key::new(&self.credentials.get().await?)?;
        let other = key.header != refused.header;
        let key = kept.insert(key).clone();
        Ok(other.then_some(key))
    }
}

impl Key {
    fn new(basic: &Basic) -> Result<Self, SourceError> {
        let (username, password) = (basic.username.expose_secret(), basic.password.expose_secret());
        if username.contains(':') || [username, password].iter().any(|text| text.chars().any(char::is_control)) {
            return Err(SourceError::Configuration {
                detail: "the archiver's secret holds a user name with a colon, or a control character".to_owned(),
            });
        }
        let pair = SecretString::from(format!("{username}:{password}"));
        let header = SecretString::from(format!("Basic {}", BASE64.encode(pair.expose_secret())));
        let mut header = HeaderValue::from_str(header.expose_secret())
            .map_err(|_| SourceError::Configuration { detail: "the archiver's secret makes no header".to_owned() })?;
        header.set_sensitive(true);
        Ok(Self { header })
    }
}
