//! The mail system's secret, from Secrets Manager.

use async_trait::async_trait;
use aws::secrets::{SecretError, Secrets};
use secrecy::SecretString;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    MailboxError,
    entra::{Credentials, EntraSecret},
    imap::{ImapAccount, ImapAccounts},
};

/// Reads the secret of the application in Entra, `{"client_secret"}` with an optional `"expires"` or
/// `{"certificate","private_key"}` in PEM, or of an account on a mail server, `{"username","password"}` with an optional `"separator"`.
pub struct SecretCredentials {
    secrets: Secrets,
    id: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum EntraObject {
    Certificate {
        certificate: String,
        private_key: SecretString,
    },
    ClientSecret {
        client_secret: SecretString,
        /// Used for the expiry warning only: an invalid value must not stop imports.
        #[serde(default)]
        expires: Value,
    },
}

#[derive(Deserialize)]
struct AccountObject {
    username: String,
    password: SecretString,
    separator: Option<char>,
}

impl SecretCredentials {
    /// Creates the credentials. `id` is the secret's name or ARN. Sends no request.
    pub fn new(secrets: Secrets, id: String) -> Self {
        Self { secrets, id }
    }

    async fn read<T: DeserializeOwned>(&self, expected: &'static str) -> Result<T, MailboxError> {
        self.secrets.get(&self.id, expected).await.map_err(|error| match error {
            SecretError::Unavailable(_) => MailboxError::Unavailable { detail: error.to_string(), retry_after: None },
            SecretError::Configuration { .. } | SecretError::Shape { .. } => {
                MailboxError::Configuration { detail: error.to_string() }
            }
        })
    }
}

#[async_trait]
impl Credentials for SecretCredentials {
    async fn get(&self) -> Result<EntraSecret, MailboxError> {
        let expected = r#"{"client_secret"} or {"certificate","private_key"} of the Entra application"#;
        Ok(match self.read(expected).await? {
            EntraObject::Certificate { certificate, private_key } => {
                EntraSecret::Certificate { certificate_pem: certificate, private_key_pem: private_key }
            }
            EntraObject::ClientSecret { client_secret, expires } => {
                let expires = match expires {
                    Value::Null => None,
                    Value::String(text) => Some(text),
                    other => Some(other.to_string()),
                };
                EntraSecret::ClientSecret { client_secret, expires }
            }
        })
    }
}

#[async_trait]
impl ImapAccounts for SecretCredentials {
    async fn get(&self) -> Result<ImapAccount, MailboxError> {
        let expected = r#"{"username","password"} of the account that may open every mailbox"#;
        let AccountObject { username, password, separator } = self.read(expected).await?;
        Ok(ImapAccount { username, password, separator })
    }
}
