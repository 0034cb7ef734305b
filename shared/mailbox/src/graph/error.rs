//! Classifies the errors of Graph.

use std::{fmt, time::Duration};

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::codes::{Meaning, meaning_of_code, refuses_before_execution};
use crate::MailboxError;
use http_client::{HttpResponse, NoResponse, error_code};

/// The error of a request.
#[derive(Debug)]
pub(super) enum Failure {
    /// Graph, or a gateway in front of it, responded with an error.
    Refused(Refusal),
    /// The request was sent, and the response was lost or cannot be read.
    OutcomeUnknown { what: &'static str },
    /// The request was not sent.
    NotSent { what: &'static str },
    /// A step failed in an operation that has no effect before its last step. The operation can be restarted.
    StepFailed { what: &'static str },
    /// A response that contradicts the documentation of Graph.
    Protocol { what: &'static str },
    /// An error of this program.
    Internal { what: &'static str },
    /// An error of the port, before the request was sent.
    Port(MailboxError),
}

/// A response that is not a success.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// `error.code`; `None` if the response has none, so that it is not from Graph.
    pub(super) code: Option<String>,
    pub(super) retry_after: Option<Duration>,
    /// The request id, for Microsoft's support.
    request_id: Option<String>,
    text: ErrorText,
}

/// The text of an error response, in lower case. It may contain personal data, so it is only compared and never logged.
struct ErrorText(String);

/// Upper bound of an error's text that is read.
const TEXT_MAX_BYTES: usize = 64 << 10;

impl fmt::Debug for ErrorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ErrorText")
    }
}

#[derive(Deserialize)]
struct ErrorResponse {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(default)]
    code: Value,
    #[serde(default)]
    message: Value,
    #[serde(default)]
    target: Value,
    #[serde(default)]
    details: Value,
}

impl Refusal {
    pub(super) fn of(response: &HttpResponse) -> Self {
        Self::new(response.status, &response.body, response.retry_after, response.request_id.as_deref())
    }

    fn new(status: StatusCode, body: &[u8], retry_after: Option<Duration>, request_id: Option<&str>) -> Self {
        let (mut code, mut text) = (None, String::new());
        if let Ok(ErrorResponse { error }) = serde_json::from_slice::<ErrorResponse>(body) {
            code = error.code.as_str().and_then(error_code);
            for part in [&error.code, &error.message, &error.target, &error.details] {
                let part = part.as_str().map_or_else(|| part.to_string(), str::to_owned);
                text.extend(part.chars().flat_map(char::to_lowercase).take(TEXT_MAX_BYTES / 4));
                text.push(' ');
            }
        }
        let request_id = request_id.and_then(error_code);
        Self { status, code, retry_after, request_id, text: ErrorText(text) }
    }

    pub(super) fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Returns whether the text of the error contains this, case-insensitively.
    pub(super) fn mentions(&self, text: &str) -> bool {
        self.text.0.contains(&text.to_lowercase())
    }

    /// Returns whether the text of the error contains this address as a whole, not only as part of a longer address.
    pub(super) fn names_address(&self, address: &str) -> bool {
        let address = address.to_lowercase();
        let is_part = |char: char| char.is_alphanumeric() || matches!(char, '_' | '%' | '+' | '-');
        !address.is_empty()
            && self.text.0.match_indices(&address).any(|(at, found)| {
                let before = self.text.0[..at].chars().next_back();
                let after = self.text.0[at + found.len()..].chars().next();
                let joined = |char: char| is_part(char) || char == '.';
                !before.is_some_and(joined) && !after.is_some_and(is_part)
            })
    }

    pub(super) fn meaning(&self) -> Meaning {
        if let Some(meaning) = self.code.as_deref().and_then(meaning_of_code) {
            return meaning;
        }
        let is_graphs = self.code.is_some();
        match self.status.as_u16() {
            // [errors] Too Many Requests.
            429 => Meaning::Throttled,
            // [errors] Insufficient Storage: the quota.
            507 if is_graphs => Meaning::Full,
            // [errors] Request Entity Too Large.
            413 if is_graphs => Meaning::Rejected,
            // [errors] Conflict, Precondition Failed, Locked.
            409 | 412 | 423 => Meaning::Conflict,
            408 | 500..=599 => Meaning::Transient,
            // [errors] Unauthorized, Forbidden. A redirect does not come from Graph: the configured host is wrong.
            401 | 403 | 300..=399 => Meaning::Configuration,
            _ => Meaning::Unrecognized,
        }
    }

    /// Returns whether the request was too large.
    pub(super) fn is_too_large(&self) -> bool {
        self.status == StatusCode::PAYLOAD_TOO_LARGE || self.has_code("ErrorMessageSizeExceeded")
    }

    /// Returns whether the error ends an upload session only, and says nothing about the file or the mailbox.
    pub(super) fn ends_an_upload(&self) -> bool {
        self.status.is_client_error()
            && !self.is_too_large()
            && !matches!(self.meaning(), Meaning::Full | Meaning::Throttled | Meaning::Rejected)
    }

    /// Returns whether the request may still be in progress: a gateway timed out, the response is not from Graph, or it is a
    /// server error that is not documented as a refusal. A code proves that Graph's front end wrote the response, and not
    /// that the mailbox server has stopped.
    fn leaves_outcome_unknown(&self) -> bool {
        match self.status.as_u16() {
            408 | 502 | 504 => true,
            400..=599 if self.status != StatusCode::TOO_MANY_REQUESTS => match &self.code {
                None => !matches!(self.meaning(), Meaning::Configuration),
                // [errors] Bandwidth Limit Exceeded: the request was not executed.
                Some(_) if self.status.as_u16() == 509 => false,
                Some(code) => self.meaning() == Meaning::Transient && !refuses_before_execution(code),
            },
            _ => false,
        }
    }

    pub(super) fn detail(&self) -> String {
        let status = self.status.as_u16();
        let mut detail = match &self.code {
            Some(code) => format!("{code} (HTTP {status})"),
            None => format!("HTTP {status} without an error code"),
        };
        if let Some(request_id) = &self.request_id {
            detail.push_str(", request-id ");
            detail.push_str(request_id);
        }
        detail
    }

    /// Returns the detail with advice for the operator.
    pub(super) fn detail_with_advice(&self) -> String {
        let advice = match self.status.as_u16() {
            401 => "Graph does not accept the token: check the cloud and the hosts in the configuration",
            403 => {
                "the application lacks a permission: Application Mail.ReadWrite for this mailbox (with graph-import-mime \
                 also Mail-Advanced.ReadWrite.All), User.Read.All and GroupMember.Read.All for the directory, each with an \
                 administrator's consent"
            }
            _ if self.code.is_none() => {
                "the response is not from Graph: check the hosts in the configuration and proxies in the network"
            }
            _ => return self.detail(),
        };
        format!("{}; {advice}", self.detail())
    }
}

impl Failure {
    /// Returns whether an idempotent request should be retried now. An HTTP 400 should not: the retry would fail in the
    /// same way.
    pub(super) fn should_be_retried_now(&self) -> bool {
        match self {
            Self::Refused(refusal) => match refusal.meaning() {
                Meaning::Throttled | Meaning::Transient | Meaning::Conflict => true,
                Meaning::Unrecognized => refusal.status != StatusCode::BAD_REQUEST,
                Meaning::Configuration | Meaning::Full | Meaning::NoMailbox | Meaning::Missing | Meaning::Rejected => {
                    false
                }
            },
            Self::OutcomeUnknown { .. } | Self::NotSent { .. } | Self::StepFailed { .. } => true,
            Self::Protocol { .. } | Self::Internal { .. } | Self::Port(_) => false,
        }
    }

    /// Returns whether the request may have been executed, so that a lookup has to come before a retry.
    pub(super) fn is_unclear(&self) -> bool {
        !self.is_throttled() && (self.should_be_retried_now() || self.may_be_in_progress())
    }

    /// Converts the failure of a step that has no effect without the last step.
    pub(super) fn of_a_step(self) -> Self {
        match self {
            Self::OutcomeUnknown { what } | Self::NotSent { what } => Self::StepFailed { what },
            Self::Refused(refusal) if refusal.leaves_outcome_unknown() => {
                Self::StepFailed { what: "a gateway before Graph ended the request" }
            }
            other => other,
        }
    }

    /// Returns whether the request may still be in progress, so that a lookup cannot prove that no copy will appear.
    pub(super) fn may_be_in_progress(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.leaves_outcome_unknown(),
            Self::OutcomeUnknown { .. } => true,
            Self::NotSent { .. }
            | Self::StepFailed { .. }
            | Self::Protocol { .. }
            | Self::Internal { .. }
            | Self::Port(_) => false,
        }
    }

    /// Converts the failure of a filing after a lookup found no copy. While the request may still be in progress, the
    /// retry must wait for `settle_time`, and for the time that the mail system requests.
    pub(super) fn outcome_unknown(self, settle_time: Duration) -> Self {
        if !self.may_be_in_progress() {
            return self;
        }
        let wait = settle_time.max(self.retry_after().unwrap_or_default());
        let error = match self {
            // A gateway's 409 or 412 that is repeated for an item is not an outage.
            Self::Refused(refusal) if matches!(refusal.meaning(), Meaning::Unrecognized | Meaning::Conflict) => {
                MailboxError::Unrecognized { detail: refusal.detail_with_advice(), retry_after: None }
            }
            Self::Refused(refusal) => MailboxError::Unavailable { detail: refusal.detail(), retry_after: None },
            other => MailboxError::from(other),
        };
        Self::Port(error.with_outcome_unknown(wait))
    }

    /// Returns the failure of a request that followed one with an unknown outcome. `self` is the earlier failure.
    pub(super) fn outcome_unknown_before(self, later: &Self, settle_time: Duration) -> Self {
        self.outcome_unknown(settle_time.max(later.retry_after().unwrap_or_default()))
    }

    /// Returns whether the request was certainly not executed and can be retried later.
    pub(super) fn is_throttled(&self) -> bool {
        self.means(Meaning::Throttled)
    }

    /// Returns whether the folder or message of the request does not exist any more.
    pub(super) fn is_missing(&self) -> bool {
        self.means(Meaning::Missing)
    }

    /// Returns whether the account has no mailbox.
    pub(super) fn is_no_mailbox(&self) -> bool {
        self.means(Meaning::NoMailbox)
    }

    fn means(&self, meaning: Meaning) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.meaning() == meaning)
    }

    /// Returns whether a retry of the filing will probably fail in the same way, so that incomplete messages must be
    /// removed.
    pub(super) fn may_be_permanent(&self) -> bool {
        match self {
            Self::Refused(refusal) => matches!(
                refusal.meaning(),
                Meaning::Full | Meaning::NoMailbox | Meaning::Rejected | Meaning::Conflict | Meaning::Unrecognized
            ),
            Self::Protocol { .. } | Self::Internal { .. } => true,
            Self::Port(error) => matches!(
                error,
                MailboxError::Rejected { .. }
                    | MailboxError::Full
                    | MailboxError::Unrecognized { .. }
                    | MailboxError::NoMailbox { .. }
            ),
            Self::OutcomeUnknown { .. } | Self::NotSent { .. } | Self::StepFailed { .. } => false,
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            Self::Port(
                MailboxError::Unavailable { retry_after, .. } | MailboxError::Unrecognized { retry_after, .. },
            ) => *retry_after,
            Self::Port(MailboxError::OutcomeUnknown { settle_time, .. }) => Some(*settle_time),
            _ => None,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<NoResponse> for Failure {
    fn from(none: NoResponse) -> Self {
        match none {
            NoResponse::NotSent(what) => Self::NotSent { what },
            NoResponse::OutcomeUnknown(what) => Self::OutcomeUnknown { what },
        }
    }
}

impl From<MailboxError> for Failure {
    fn from(error: MailboxError) -> Self {
        Self::Port(error)
    }
}

impl From<Failure> for MailboxError {
    fn from(failure: Failure) -> Self {
        let refusal = match failure {
            Failure::Refused(refusal) => refusal,
            Failure::OutcomeUnknown { what } | Failure::NotSent { what } | Failure::StepFailed { what } => {
                return Self::Unavailable { detail: what.into(), retry_after: None };
            }
            Failure::Protocol { what } | Failure::Internal { what } => {
                return Self::Unrecognized { detail: what.into(), retry_after: None };
            }
            Failure::Port(error) => return error,
        };
        let (detail, retry_after) = (refusal.detail(), refusal.retry_after);
        match refusal.meaning() {
            Meaning::Throttled | Meaning::Transient => Self::Unavailable { detail, retry_after },
            Meaning::Conflict | Meaning::Missing | Meaning::Unrecognized => {
                Self::Unrecognized { detail: refusal.detail_with_advice(), retry_after }
            }
            Meaning::Configuration => Self::Configuration { detail: refusal.detail_with_advice() },
            Meaning::Full => Self::Full,
            Meaning::NoMailbox => Self::NoMailbox { detail },
            Meaning::Rejected => Self::Rejected { detail },
        }
    }
}

#[cfg(test)]
mod tests;
