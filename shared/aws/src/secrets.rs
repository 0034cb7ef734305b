//! Secrets Manager: where every secret comes from. The SDK's types end here.

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::{Client, error::DisplayErrorContext, error::ProvideErrorMetadata, error::SdkError};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

/// Why a secret could not be had. Nothing here shows a secret's value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager is unreachable, throttles or fails: it may work in a moment.
    #[error("Secrets Manager cannot be used now: {0}")]
    Unavailable(String),
    /// The secret is not there, or we may not read it.
    #[error("secret {id} cannot be read: {problem}")]
    Refused {
        /// The secret's name or ARN.
        id: String,
        /// What Secrets Manager answered.
        problem: String,
    },
    /// The secret is there, and its value is not what it should be.
    #[error("secret {id} is not the JSON object that it should be: {expected}")]
    Shape {
        /// The secret's name or ARN.
        id: String,
        /// What it should be.
        expected: &'static str,
    },
}

/// A client of Secrets Manager.
#[derive(Clone)]
pub struct Secrets(Client);

impl Secrets {
    /// A client; it asks for nothing yet.
    pub fn new(config: &SdkConfig) -> Self {
        Self(Client::new(config))
    }

    /// The current version of a secret, which is a JSON object. `expected` says its members, for the error's text.
    /// One request; keeping the value is the caller's business, who knows when it is stale.
    ///
    /// # Errors
    /// [`SecretError`].
    pub async fn get<T: DeserializeOwned>(&self, id: &str, expected: &'static str) -> Result<T, SecretError> {
        let answer = self.0.get_secret_value().secret_id(id).send().await.map_err(|error| refused(id, &error))?;
        let shape = || SecretError::Shape { id: id.to_owned(), expected };
        let value = SecretString::from(answer.secret_string.ok_or_else(shape)?);
        // serde's message would quote the value.
        serde_json::from_str(value.expose_secret()).map_err(|_| shape())
    }
}

fn refused<E>(id: &str, error: &SdkError<E>) -> SecretError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let permanent = [
        "ResourceNotFoundException",
        "AccessDeniedException",
        "InvalidRequestException",
        "InvalidParameterException",
        "DecryptionFailure",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "ExpiredTokenException",
    ];
    match error.code() {
        Some(code) if permanent.contains(&code) => SecretError::Refused { id: id.to_owned(), problem: code.to_owned() },
        Some(code) => SecretError::Unavailable(code.to_owned()),
        // An answer that the SDK cannot read would be quoted, the secret with it.
        None => SecretError::Unavailable(match error.raw_response() {
            Some(answer) => format!("an answer of status {} that cannot be read", answer.status()),
            None => DisplayErrorContext(error).to_string(),
        }),
    }
}
