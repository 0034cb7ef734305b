//! Credentials of the application in Entra.

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{digest, rand::SystemRandom, signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::MailboxError;

/// Source of the secret.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Reads the current secret.
    ///
    /// # Errors
    /// [`MailboxError::Unavailable`] or [`MailboxError::Configuration`].
    async fn get(&self) -> Result<EntraSecret, MailboxError>;
}

/// The secret of an application in Microsoft Entra.
#[derive(Debug, Clone)]
pub enum EntraSecret {
    /// A client secret.
    ClientSecret {
        /// The value, not the id.
        client_secret: SecretString,
        /// The day on which it expires, as the operator has recorded it.
        expires: Option<String>,
    },
    /// A certificate that is registered with the application, and its key. Safer than a client secret, because the key is
    /// never sent.
    Certificate {
        /// X.509, PEM.
        certificate_pem: String,
        /// RSA of 2048 bits or more, PKCS#8 or PKCS#1, PEM, without a pass phrase.
        private_key_pem: SecretString,
    },
}

impl EntraSecret {
    /// Returns a client secret without a known expiry date.
    pub fn client_secret(client_secret: impl Into<SecretString>) -> Self {
        Self::ClientSecret { client_secret: client_secret.into(), expires: None }
    }

    /// Returns whether two secrets are equal.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::ClientSecret { client_secret: one, .. }, Self::ClientSecret { client_secret: other, .. }) => {
                one.expose_secret() == other.expose_secret()
            }
            (
                Self::Certificate { certificate_pem: one, private_key_pem: key },
                Self::Certificate { certificate_pem: other, private_key_pem: other_key },
            ) => one == other && key.expose_secret() == other_key.expose_secret(),
            (Self::ClientSecret { .. }, Self::Certificate { .. })
            | (Self::Certificate { .. }, Self::ClientSecret { .. }) => false,
        }
    }
}

/// Error of signing an assertion. Contains nothing of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum AssertionError {
    #[error("invalid certificate in the secret: expected a PEM certificate")]
    Certificate,
    #[error(
        "invalid private key in the secret: expected an RSA key of at least 2048 bits in PEM, without a pass phrase"
    )]
    Key,
    #[error("signing with the private key in the secret failed")]
    Signing,
}

/// Lifetime of an assertion. Entra accepts at most ten minutes.
const LIFETIME_SECONDS: i64 = 5 * 60;

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    #[serde(rename = "x5t#S256")]
    thumbprint: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// Creates the client assertion: a JWT that is signed with the certificate's key (PS256).
pub(super) fn assertion(
    certificate_pem: &str,
    private_key_pem: &SecretString,
    client: &str,
    audience: &str,
    now: jiff::Timestamp,
) -> Result<SecretString, AssertionError> {
    let certificate =
        CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(|_| AssertionError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(private_key_pem.expose_secret().as_bytes());
    let key = match key.map_err(|_| AssertionError::Key)? {
        PrivateKeyDer::Pkcs8(key) => signature::RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(key) => signature::RsaKeyPair::from_der(key.secret_pkcs1_der()),
        _ => return Err(AssertionError::Key),
    };
    let key = key.map_err(|_| AssertionError::Key)?;

    let thumbprint = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &certificate));
    let now = now.as_second();
    let header = Header { alg: "PS256", typ: "JWT", thumbprint: &thumbprint };
    let claims = Claims {
        aud: audience,
        iss: client,
        sub: client,
        jti: uuid::Uuid::new_v4().to_string(),
        iat: now,
        nbf: now,
        exp: now + LIFETIME_SECONDS,
    };
    let part = |json: Result<Vec<u8>, _>| json.map(|json| URL_SAFE_NO_PAD.encode(json));
    let header = part(serde_json::to_vec(&header)).map_err(|_| AssertionError::Signing)?;
    let claims = part(serde_json::to_vec(&claims)).map_err(|_| AssertionError::Signing)?;
    let signed = format!("{header}.{claims}");
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&signature::RSA_PSS_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| AssertionError::Signing)?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)).into())
}
