//! The mail system's secret, from Secrets Manager.

use async_trait::async_trait;
use secrecy::SecretString;
use secrets::{SecretError, Secrets};
use serde::Deserialize;

use crate::mailbox::{
    MailboxError,
    entra::{Credentials, EntraSecret},
};

/// Graph's secret: `{"client_secret"}`, or `{"certificate","private_key"}` in PEM.
pub struct SecretCredentials {
    secrets: Secrets,
    id: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Certificate { certificate: String, private_key: SecretString },
    ClientSecret { client_secret: SecretString },
}

impl SecretCredentials {
    /// `id` is the secret's name or ARN. Nothing is read yet.
    pub fn new(secrets: Secrets, id: String) -> Self {
        Self { secrets, id }
    }
}

#[async_trait]
impl Credentials for SecretCredentials {
    async fn get(&self, _refresh: bool) -> Result<EntraSecret, MailboxError> {
        let expected = r#"{"client_secret"} or {"certificate","private_key"} of the Entra application"#;
        let stored = self.secrets.get(&self.id, expected).await.map_err(|error| match error {
            SecretError::Unavailable(_) => MailboxError::Unavailable { detail: error.to_string(), retry_after: None },
            SecretError::Refused { .. } | SecretError::Shape { .. } => {
                MailboxError::Setup { detail: error.to_string() }
            }
        })?;
        Ok(match stored {
            Stored::Certificate { certificate, private_key } => {
                EntraSecret::Certificate { certificate_pem: certificate, private_key_pem: private_key }
            }
            Stored::ClientSecret { client_secret } => EntraSecret::ClientSecret(client_secret),
        })
    }
}
