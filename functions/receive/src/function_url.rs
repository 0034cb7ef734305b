//! The Function URL: responds to Meta's verification request, and accepts webhooks from authenticated senders.
//!
//! The response to every failure has a status other than 200, so that Meta repeats the webhook, for up to 7 days.

use std::{collections::HashMap, sync::Arc, time::Duration};

use aws::secrets::SecretError;
use base64::{Engine, prelude::BASE64_STANDARD};
use cloud_api::{AppSecret, MAX_BODY_BYTES, header_matches, signature_matches};
use model::Failure;
use runtime::metrics::{self, Metric};
use tracing::{debug, error, info, warn};
use url::form_urlencoded;

use crate::{Intake, SecretCache, WebhookSecrets};

/// A request to the Function URL. It does not implement `Debug`, because its body contains messages.
pub struct HttpRequest {
    /// In upper case.
    pub method: String,
    /// Begins with a slash.
    pub path: String,
    /// Without the question mark.
    pub query: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    /// The body as Lambda passes it on.
    pub body: String,
    /// `true` if `body` is base64.
    pub is_base64: bool,
}

/// The HTTP response to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    pub status: u16,
    /// The body: Meta's challenge, or the reason of a failure.
    pub text: String,
}

impl HttpResponse {
    fn new(status: u16, text: &str) -> Self {
        Self { status, text: text.to_owned() }
    }
}

/// Authentication of senders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Meta: by the HMAC of the raw body in `X-Hub-Signature-256`.
    Signature,
    /// A provider that passes Meta's payload on: by the value of the header with this name (in lower case).
    Header(String),
}

const UNAUTHENTICATED: &str = "the sender is not authenticated";

const SIGNATURE_HEADER: &str = "x-hub-signature-256";

/// Maximum length of a challenge. Meta's is a number of ten digits.
const MAX_CHALLENGE_BYTES: usize = 256;

/// Handles the requests to the Function URL.
pub struct FunctionUrl {
    /// The secrets that authenticate senders.
    pub secrets: SecretCache,
    /// Authentication of senders.
    pub check: Check,
    /// Stores the webhooks.
    pub intake: Arc<dyn Intake>,
    /// Timeout of a request.
    pub response_timeout: Duration,
}

impl FunctionUrl {
    /// Longer than slow requests to S3 and SQS take, shorter than Meta waits.
    pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

    /// Handles a request.
    pub async fn handle(&self, request: &HttpRequest) -> HttpResponse {
        if request.path != "/" {
            return HttpResponse::new(404, "not found");
        }
        let handled = tokio::time::timeout(self.response_timeout, async {
            match request.method.as_str() {
                "GET" => self.verify(&request.query).await,
                "POST" => self.receive(request).await,
                _ => Err(HttpResponse::new(405, "method not allowed")),
            }
        });
        match handled.await {
            Ok(Ok(response)) | Ok(Err(response)) => response,
            Err(_) => {
                warn!("no response in time, the sender will send the webhook again");
                HttpResponse::new(503, "try again later")
            }
        }
    }

    /// Responds to Meta's verification request, which is sent when the URL is configured in the app.
    async fn verify(&self, query: &str) -> Result<HttpResponse, HttpResponse> {
        let parameter = |name: &str| {
            form_urlencoded::parse(query.as_bytes())
                .find_map(|(given, value)| (given == name).then(|| value.into_owned()))
        };
        let (mode, token, challenge) =
            (parameter("hub.mode"), parameter("hub.verify_token"), parameter("hub.challenge"));
        let (Some("subscribe"), Some(token), Some(challenge)) = (mode.as_deref(), token, challenge) else {
            return Err(HttpResponse::new(400, "not a verification request"));
        };
        if challenge.len() > MAX_CHALLENGE_BYTES || !challenge.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(HttpResponse::new(400, "not a verification request"));
        }
        let matches = |secret: &AppSecret| header_matches(&token, secret);
        if self.is_proved("verify_token", |secrets| secrets.verify_token.as_ref(), matches).await? {
            info!("the URL was verified");
            return Ok(HttpResponse { status: 200, text: challenge });
        }
        warn!("verification rejected: the verify token differs from the one in the secret");
        Err(HttpResponse::new(403, "the verify token does not match"))
    }

    async fn receive(&self, request: &HttpRequest) -> Result<HttpResponse, HttpResponse> {
        // Lambda limits the size of the request.
        let decoded;
        let body = if request.is_base64 {
            decoded = BASE64_STANDARD
                .decode(&request.body)
                .map_err(|_| HttpResponse::new(400, "the body cannot be decoded"))?;
            decoded.as_slice()
        } else {
            request.body.as_bytes()
        };
        self.check_sender(request, body).await?;
        if body.len() > MAX_BODY_BYTES {
            metrics::add(Metric::SetupErrors, 1);
            error!(
                bytes = body.len(),
                limit = MAX_BODY_BYTES,
                "an authenticated webhook exceeds the limit and is not stored: let the provider split it"
            );
            return Err(HttpResponse::new(413, "the body is too large"));
        }
        match self.intake.keep(body).await {
            Ok(()) => {
                metrics::add(Metric::Webhooks, 1);
                debug!(bytes = body.len(), "webhook stored");
                Ok(HttpResponse::new(200, ""))
            }
            Err(Failure::Configuration { detail, .. }) => Err(not_configured(&detail)),
            Err(Failure::Transient { detail, .. } | Failure::Permanent { detail, .. }) => {
                warn!(detail, "a webhook was not stored, the sender will send it again");
                Err(HttpResponse::new(503, "try again later"))
            }
        }
    }

    async fn check_sender(&self, request: &HttpRequest, body: &[u8]) -> Result<(), HttpResponse> {
        let name = match &self.check {
            Check::Signature => SIGNATURE_HEADER,
            Check::Header(name) => name.as_str(),
        };
        // Requests without the header come from scanners. They are not counted as rejected webhooks, which would alarm
        // an operator about a wrong secret.
        let Some(value) = request.headers.get(name) else { return Err(HttpResponse::new(401, UNAUTHENTICATED)) };
        let proved = match &self.check {
            Check::Signature => {
                let matches = |secret: &AppSecret| signature_matches(body, value, secret);
                self.is_proved("app_secret", |secrets| secrets.app_secret.as_ref(), matches).await?
            }
            Check::Header(_) => {
                let matches = |secret: &AppSecret| header_matches(value, secret);
                self.is_proved("header_value", |secrets| secrets.header_value.as_ref(), matches).await?
            }
        };
        if proved {
            return Ok(());
        }
        metrics::add(Metric::WebhooksRejected, 1);
        warn!(header = name, "webhook rejected: its signature or value does not match the secret");
        Err(HttpResponse::new(401, UNAUTHENTICATED))
    }

    /// Compares a request with a member of the secret. After a mismatch the secret is read again, because it may have
    /// been rotated.
    async fn is_proved(
        &self,
        member: &'static str,
        of: impl Fn(&WebhookSecrets) -> Option<&AppSecret>,
        matches: impl Fn(&AppSecret) -> bool,
    ) -> Result<bool, HttpResponse> {
        let unreadable = |error: SecretError| match error {
            SecretError::Unavailable(_) => {
                warn!(%error, "reading the secret failed, the sender will send the webhook again");
                HttpResponse::new(503, "try again later")
            }
            SecretError::Configuration { .. } | SecretError::Shape { .. } => not_configured(&error.to_string()),
        };
        let secrets = self.secrets.current().await.map_err(unreadable)?;
        if of(&secrets).is_some_and(&matches) {
            return Ok(true);
        }
        let secrets = match self.secrets.after_rejection(&secrets).await.map_err(unreadable)? {
            Some(newer) => newer,
            None => secrets,
        };
        match of(&secrets) {
            Some(secret) => Ok(matches(secret)),
            None => Err(not_configured(&format!("the webhooks' secret lacks {member}: fill it in"))),
        }
    }
}

/// Logs and counts a configuration error.
fn not_configured(detail: &str) -> HttpResponse {
    metrics::add(Metric::SetupErrors, 1);
    error!(detail, "configuration error, webhooks are not confirmed until it is fixed");
    HttpResponse::new(503, "not configured")
}

#[cfg(test)]
mod tests;
