//! The Function URL: answers Meta's verification, and takes webhooks from senders that prove who they are.
//!
//! Every failure is another answer than 200, because Meta then sends the webhook again, for 7 days.

use std::{collections::HashMap, sync::Arc, time::Duration};

use aws::secrets::SecretError;
use base64::{Engine, prelude::BASE64_STANDARD};
use cloud_api::{AppSecret, header_matches, signature_matches};
use model::Failure;
use runtime::metrics::{self, Metric};
use tracing::{debug, error, info, warn};
use url::form_urlencoded;

use crate::{DoorSecrets, Intake, SecretCache};

/// A request to the Function URL. It has no `Debug`: its body is a webhook.
pub struct HttpRequest {
    /// In upper case.
    pub method: String,
    /// Begins with a slash.
    pub path: String,
    /// Without the question mark.
    pub query: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    /// As Lambda passes it on.
    pub body: String,
    /// `true` if `body` is base64.
    pub is_base64: bool,
}

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body: Meta's challenge, or a word about the failure.
    pub text: String,
}

impl Answer {
    fn new(status: u16, text: &str) -> Self {
        Self { status, text: text.to_owned() }
    }
}

/// The proof that a sender of webhooks has to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Meta: the HMAC of the raw body in `X-Hub-Signature-256`.
    Signature,
    /// A provider that passes Meta's payload on: a value in the header of this name, in lower case.
    Header(String),
}

const UNAUTHENTICATED: &str = "the sender is not authenticated";

const SIGNATURE_HEADER: &str = "x-hub-signature-256";

/// Meta posts up to 3 MB; the envelope of a provider adds to that.
const MAX_BODY_BYTES: usize = 4 << 20;

/// Meta's challenge is a number of ten digits.
const MAX_CHALLENGE_BYTES: usize = 256;

/// Longer than S3 and SQS take on a bad day, shorter than Meta waits.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The door that webhooks come in by.
pub struct Door {
    /// The secrets to compare with.
    pub secrets: SecretCache,
    /// The proof that senders have to give.
    pub check: Check,
    /// Keeps the webhooks.
    pub intake: Arc<dyn Intake>,
}

impl Door {
    /// Answers a request.
    pub async fn answer(&self, request: &HttpRequest) -> Answer {
        if request.path != "/" {
            return Answer::new(404, "not found");
        }
        let answered = tokio::time::timeout(ANSWER_LIMIT, async {
            match request.method.as_str() {
                "GET" => self.verify(&request.query).await,
                "POST" => self.receive(request).await,
                _ => Err(Answer::new(405, "method not allowed")),
            }
        });
        match answered.await {
            Ok(Ok(answer)) | Ok(Err(answer)) => answer,
            Err(_) => {
                warn!("no answer in time, the sender will send the webhook again");
                Answer::new(503, "try again later")
            }
        }
    }

    /// Meta's handshake, when the URL is configured in the app.
    async fn verify(&self, query: &str) -> Result<Answer, Answer> {
        let parameter = |name: &str| {
            form_urlencoded::parse(query.as_bytes())
                .find_map(|(given, value)| (given == name).then(|| value.into_owned()))
        };
        let (mode, token, challenge) =
            (parameter("hub.mode"), parameter("hub.verify_token"), parameter("hub.challenge"));
        let (Some("subscribe"), Some(token), Some(challenge)) = (mode.as_deref(), token, challenge) else {
            return Err(Answer::new(400, "not a verification request"));
        };
        if challenge.len() > MAX_CHALLENGE_BYTES || !challenge.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Answer::new(400, "not a verification request"));
        }
        let matches = |secret: &AppSecret| header_matches(&token, secret);
        if self.is_proved("verify_token", |secrets| secrets.verify_token.as_ref(), matches).await? {
            info!("the URL was verified");
            return Ok(Answer { status: 200, text: challenge });
        }
        warn!("verification rejected: the verify token differs from the secret's");
        Err(Answer::new(403, "the verify token does not match"))
    }

    async fn receive(&self, request: &HttpRequest) -> Result<Answer, Answer> {
        let too_large = || Answer::new(413, "the body is too large");
        // Base64 has four characters for three bytes.
        if request.body.len() > MAX_BODY_BYTES / 3 * 4 + 4 {
            return Err(too_large());
        }
        let decoded;
        let body = if request.is_base64 {
            decoded =
                BASE64_STANDARD.decode(&request.body).map_err(|_| Answer::new(400, "the body cannot be decoded"))?;
            decoded.as_slice()
        } else {
            request.body.as_bytes()
        };
        if body.len() > MAX_BODY_BYTES {
            return Err(too_large());
        }
        self.check_sender(request, body).await?;
        match self.intake.keep(body).await {
            Ok(()) => {
                metrics::add(Metric::Webhooks, 1);
                debug!(bytes = body.len(), "webhook kept");
                Ok(Answer::new(200, ""))
            }
            Err(Failure::Configuration { detail, .. }) => Err(not_configured(&detail)),
            Err(Failure::Transient { detail, .. } | Failure::Permanent { detail, .. }) => {
                warn!(detail, "a webhook was not kept, the sender will send it again");
                Err(Answer::new(503, "try again later"))
            }
        }
    }

    async fn check_sender(&self, request: &HttpRequest, body: &[u8]) -> Result<(), Answer> {
        let name = match &self.check {
            Check::Signature => SIGNATURE_HEADER,
            Check::Header(name) => name.as_str(),
        };
        // Scanners find the URL, too: a request without the header is no sign of a wrong configuration.
        let Some(value) = request.headers.get(name) else { return Err(Answer::new(401, UNAUTHENTICATED)) };
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
        Err(Answer::new(401, UNAUTHENTICATED))
    }

    /// Compares with a member of the secret, which is read again after a rejection.
    async fn is_proved(
        &self,
        member: &'static str,
        of: impl Fn(&DoorSecrets) -> Option<&AppSecret>,
        matches: impl Fn(&AppSecret) -> bool,
    ) -> Result<bool, Answer> {
        let unreadable = |error: SecretError| match error {
            SecretError::Unavailable(_) => {
                warn!(%error, "the secret cannot be read now");
                Answer::new(503, "try again later")
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
            None => Err(not_configured(&format!("{member} of the webhooks' secret is not filled in"))),
        }
    }
}

/// Logs and counts a configuration error.
fn not_configured(detail: &str) -> Answer {
    metrics::add(Metric::SetupErrors, 1);
    error!(detail, "configuration error, webhooks are not confirmed until it is fixed");
    Answer::new(503, "not configured")
}

#[cfg(test)]
mod tests;
