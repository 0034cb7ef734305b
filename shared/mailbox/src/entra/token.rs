//! The access token: requested once and cached until shortly before it expires, by the wall clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use reqwest::{StatusCode, header::HeaderValue};
use runtime::metrics::Metric;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use tracing::warn;
use url::Url;

use super::credentials::{Credentials, EntraSecret, assertion};
use crate::{Clock, MailboxError};
use http_client::{Http, HttpResponse, NoResponse, RetryBudget, error_code};

/// A token is renewed this long before it expires. It exceeds the time limit of a request.
const RENEWAL_MARGIN: Duration = Duration::from_secs(5 * 60);

/// An access token.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    /// `Bearer …`, marked as sensitive so that no log of headers shows it.
    pub(crate) header: HeaderValue,
    fresh_until: Timestamp,
    serial: u64,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    roles: Vec<String>,
}

impl Token {
    /// Upper bound on the permissions that are read.
    const MAX_ROLES: usize = 200;

    /// Returns the application permissions in the token, unverified; `None` if the token cannot be read.
    pub(crate) fn roles(&self) -> Option<Vec<String>> {
        let claims = self.header.to_str().ok()?.split('.').nth(1)?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        Some(claims.roles.iter().take(Self::MAX_ROLES).filter_map(|role| error_code(role)).collect())
    }
}

/// The application's tokens.
pub(crate) struct Tokens {
    url: Url,
    client_id: String,
    scope: String,
    credentials: Arc<dyn Credentials>,
    /// Held during a request for a token, so that concurrent users of it share one request.
    current: Mutex<Current>,
    /// The number of failed requests for a token.
    failures: AtomicU64,
    clock: Clock,
}

#[derive(Default)]
struct Current {
    token: Option<Token>,
    /// The error of the last request, if it failed.
    failure: Option<MailboxError>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: SecretString,
    expires_in: u64,
}

#[derive(Deserialize)]
struct Denied {
    error: String,
    #[serde(default)]
    error_codes: Vec<u64>,
    #[serde(default)]
    error_description: String,
}

/// An error of the login endpoint. Its description is dropped, because it contains ids and addresses.
struct Denial {
    error: String,
    code: Option<u64>,
}

impl Tokens {
    pub(crate) fn new(url: Url, client_id: String, scope: String, credentials: Arc<dyn Credentials>) -> Self {
        Self {
            url,
            client_id,
            scope,
            credentials,
            current: Mutex::default(),
            failures: AtomicU64::new(0),
            clock: Clock::default(),
        }
    }

    pub(crate) fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Returns a token other than `refused`, which Graph has just rejected. Waiters share a failed request instead of
    /// each retrying it.
    pub(crate) async fn get(
        &self,
        http: &Http,
        refused: Option<&Token>,
        budget: &mut RetryBudget,
    ) -> Result<Token, MailboxError> {
        let failures = self.failures.load(Ordering::Acquire);
        let mut current = self.current.lock().await;
        let serial = match &current.token {
            Some(token)
                if token.fresh_until > self.clock.now()
                    && refused.is_none_or(|refused| refused.serial != token.serial) =>
            {
                return Ok(token.clone());
            }
            Some(token) => token.serial + 1,
            None => 0,
        };
        if let Some(failure) = &current.failure
            && self.failures.load(Ordering::Acquire) != failures
        {
            return Err(failure.clone());
        }
        match self.request_token(http, serial, budget).await {
            Ok(token) => {
                *current = Current { token: Some(token.clone()), failure: None };
                Ok(token)
            }
            Err(failure) => {
                current.failure = Some(failure.clone());
                self.failures.fetch_add(1, Ordering::Release);
                Err(failure)
            }
        }
    }

    async fn request_token(&self, http: &Http, serial: u64, budget: &mut RetryBudget) -> Result<Token, MailboxError> {
        let granted = self.send_with_retries(http, budget).await?;
        let mut header = HeaderValue::try_from(format!("Bearer {}", granted.access_token.expose_secret()))
            .map_err(|_| unavailable("the token from the login endpoint is not a valid header value", None))?;
        header.set_sensitive(true);
        let fresh_until = self.clock.now() + usable(granted.expires_in);
        Ok(Token { header, fresh_until, serial })
    }

    async fn send_with_retries(&self, http: &Http, budget: &mut RetryBudget) -> Result<Granted, MailboxError> {
        let mut secret = self.credentials.get().await?;
        let mut rotated = false;
        loop {
            let (detail, retry_after) = match self.send(http, &secret).await? {
                Err(none) => (none.reason().to_owned(), None),
                Ok(response) if response.status == StatusCode::OK => {
                    warn_before_expiry(&secret, self.clock.now());
                    return response.json().map_err(|none| unavailable(none.reason(), None));
                }
                Ok(response)
                    if response.status == StatusCode::TOO_MANY_REQUESTS || response.status.is_server_error() =>
                {
                    (format!("HTTP {} from the login endpoint", response.status.as_u16()), response.retry_after)
                }
                Ok(response) => match denial(&response) {
                    None => {
                        let status = response.status.as_u16();
                        let detail = format!(
                            "HTTP {status}; the response is not from Entra: check the login host in the configuration \
                             and proxies in the network"
                        );
                        return Err(MailboxError::Configuration { detail });
                    }
                    Some(denial) if denial.is_transient() => (denial.name(), response.retry_after),
                    // The secret may have been rotated since it was fetched.
                    Some(denial) if denial.error == "invalid_client" && !rotated => {
                        let now = self.credentials.get().await?;
                        if now.is(&secret) {
                            return Err(MailboxError::Configuration { detail: denial.detail() });
                        }
                        (secret, rotated) = (now, true);
                        continue;
                    }
                    Some(denial) => return Err(MailboxError::Configuration { detail: denial.detail() }),
                },
            };
            if !budget.pause(retry_after).await {
                return Err(unavailable(detail, retry_after));
            }
        }
    }

    /// Sends one request.
    async fn send(&self, http: &Http, secret: &EntraSecret) -> Result<Result<HttpResponse, NoResponse>, MailboxError> {
        let signed;
        let mut form =
            vec![("client_id", self.client_id.as_str()), ("grant_type", "client_credentials"), ("scope", &self.scope)];
        match secret {
            EntraSecret::ClientSecret { client_secret, .. } => {
                form.push(("client_secret", client_secret.expose_secret()))
            }
            EntraSecret::Certificate { certificate_pem, private_key_pem } => {
                let now = Timestamp::now();
                signed = assertion(certificate_pem, private_key_pem, &self.client_id, self.url.as_str(), now)
                    .map_err(|error| MailboxError::Configuration { detail: error.to_string() })?;
                form.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
                form.push(("client_assertion", signed.expose_secret()));
            }
        }
        let sent = http.client().await?.post(self.url.clone()).form(&form).send().await;
        Ok(crate::response::read(sent, http_client::SMALL_RESPONSE_MAX_BYTES).await)
    }
}

/// Logs and counts a credential that expires soon: once per token, so about once an hour.
fn warn_before_expiry(secret: &EntraSecret, now: Timestamp) {
    if secret.expires_soon(now)
        && let Ok(Some(expires)) = secret.expires()
    {
        runtime::metrics::add(Metric::CredentialExpires, 1);
        warn!(%expires, "the certificate or client secret of the application in Entra expires soon");
    }
}

fn unavailable(detail: impl Into<String>, retry_after: Option<Duration>) -> MailboxError {
    MailboxError::Unavailable { detail: detail.into(), retry_after }
}

/// Returns the time during which a token with this lifetime in seconds is used.
fn usable(expires_in: u64) -> Duration {
    let lifetime = Duration::from_secs(expires_in.min(24 * 60 * 60));
    lifetime.saturating_sub(RENEWAL_MARGIN.min(lifetime / 10))
}

fn denial(response: &HttpResponse) -> Option<Denial> {
    let denied: Denied = serde_json::from_slice(&response.body).ok()?;
    let code = denied.error_codes.first().copied().or_else(|| {
        let digits = denied.error_description.strip_prefix("AADSTS")?;
        digits.split(|char: char| !char.is_ascii_digit()).next()?.parse().ok()
    });
    Some(Denial { error: error_code(&denied.error)?, code })
}

impl Denial {
    /// Returns whether an error is transient. Code 90033 is documented as transient; the two names are OAuth's.
    fn is_transient(&self) -> bool {
        self.code == Some(90033) || matches!(self.error.as_str(), "temporarily_unavailable" | "server_error")
    }

    fn name(&self) -> String {
        match self.code {
            Some(code) => format!("{} AADSTS{code}", self.error),
            None => self.error.clone(),
        }
    }

    fn detail(&self) -> String {
        let advice = match self.code {
            Some(7_000_215) => "wrong client secret: use its value, not its id",
            Some(7_000_222) => "the client secret has expired: create a new one in Entra and put it into the secret",
            Some(700_016) => "the tenant does not have the application: check the client id and the tenant id",
            Some(700_027) => "the certificate is not registered with the application, or the key is not its key",
            Some(90_002 | 900_023) => "the tenant does not exist: check the tenant id and the cloud",
            Some(70_011) => "the host of the mail system is in another cloud: check the cloud and the host",
            _ => "check the tenant id, the client id, the secret and the cloud",
        };
        format!("{}; {advice}", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_renewed_before_it_expires() {
        assert_eq!(usable(3599), Duration::from_secs(3299));
        assert_eq!(usable(100), Duration::from_secs(90));
        assert_eq!(usable(0), Duration::ZERO);
        assert_eq!(usable(u64::MAX), Duration::from_secs(86_400 - 300));
    }

    #[test]
    fn token_is_not_shown_in_debug() {
        let mut header = HeaderValue::from_static("Bearer secret");
        header.set_sensitive(true);
        let token = Token { header, fresh_until: Timestamp::now(), serial: 0 };
        assert!(!format!("{token:?}").contains("secret"));
    }
}
