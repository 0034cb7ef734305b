//! Reads secrets from Secrets Manager. No SDK type leaves this crate.

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use crate::error::{RequestError, classify};

/// Error of reading a secret. Never contains the value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager is unreachable, throttles or fails: transient.
    #[error("Secrets Manager is unavailable: {0}")]
    Unavailable(String),
    /// The secret does not exist, or the permission is missing.
    #[error("secret {id} cannot be read: {problem}")]
    Configuration {
        /// The secret's name or ARN.
        id: String,
        /// The error of Secrets Manager.
        problem: String,
    },
    /// The value of the secret has the wrong form.
    #[error("secret {id} is not a JSON object of the expected form: {expected}")]
    Shape {
        /// The secret's name or ARN.
        id: String,
        /// The expected members.
        expected: &'static str,
    },
}

/// A client of Secrets Manager.
#[derive(Clone)]
pub struct Secrets(Client);

impl Secrets {
    /// Creates a client. It sends no request yet.
    pub fn new(config: &SdkConfig) -> Self {
        Self(Client::new(config))
    }

    /// Reads the current version of a secret, a JSON object. `expected` describes its members in errors. Sends one
    /// request. The caller caches the value, because only the caller detects that a value is rejected.
    ///
    /// # Errors
    /// [`SecretError`].
    pub async fn get<T: DeserializeOwned>(&self, id: &str, expected: &'static str) -> Result<T, SecretError> {
        let response = self.0.get_secret_value().secret_id(id).send().await.map_err(|error| error_of(id, &error))?;
        let shape = || SecretError::Shape { id: id.to_owned(), expected };
        let value = SecretString::from(response.secret_string.ok_or_else(shape)?);
        // serde's message would quote the value.
        serde_json::from_str(value.expose_secret()).map_err(|_| shape())
    }
}

fn error_of<E>(id: &str, error: &SdkError<E>) -> SecretError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let RequestError { is_transient, problem } = classify(error);
    if is_transient {
        SecretError::Unavailable(problem)
    } else {
        SecretError::Configuration { id: id.to_owned(), problem }
    }
}
