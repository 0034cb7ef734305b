//! What went wrong, and what that means for the item.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;

use crate::mailbox::{
    MailboxError,
    http::{Answer, Lost, word},
};

/// Why a request did not do what it was for.
#[derive(Debug)]
pub(super) enum Failure {
    /// Graph, or something before it, said no.
    Refused(Refusal),
    /// Nobody knows whether it was done: no answer, or one that cannot be read.
    Lost {
        /// In our words.
        what: &'static str,
    },
    /// A step of something that takes several, and has come to nothing without its last. It can begin anew.
    Undone {
        /// In our words.
        what: &'static str,
    },
    /// It was not even sent, and why is already clear.
    Port(MailboxError),
}

/// An answer that is not a success.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// Graph's `error.code`; `None` where the answer has none, and so is not Graph's own.
    pub(super) code: Option<String>,
    pub(super) retry_after: Option<Duration>,
    /// What Microsoft's support asks for.
    request: Option<String>,
}

/// What a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Too much at once: nothing was done.
    Throttled,
    /// Something is down. It may have been done all the same.
    Passing,
    /// Our own set-up.
    Setup,
    /// No room.
    Full,
    /// The account has no mailbox that Graph can reach.
    NoMailbox,
    /// A thing that was asked for is not there.
    Missing,
    /// The message.
    Rejected,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: ErrorBody,
}

#[derive(Deserialize)]
struct ErrorBody {
    code: String,
}

impl Refusal {
    /// What an answer means that is no success.
    pub(super) fn of(answer: &Answer) -> Self {
        Self::new(answer.status, &answer.body, answer.retry_after, answer.request.as_deref())
    }

    fn new(status: StatusCode, body: &[u8], retry_after: Option<Duration>, request: Option<&str>) -> Self {
        let code = serde_json::from_slice::<ErrorAnswer>(body).ok().and_then(|answer| word(&answer.error.code));
        Self { status, code, retry_after, request: request.and_then(word) }
    }

    pub(super) fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    pub(super) fn meaning(&self) -> Meaning {
        match self.code.as_deref() {
            Some("ErrorQuotaExceeded") => return Meaning::Full,
            Some(
                "Request_ResourceNotFound"
                | "ResourceNotFound"
                | "ErrorInvalidUser"
                | "MailboxNotEnabledForRESTAPI"
                | "MailboxNotSupportedForRESTAPI",
            ) => return Meaning::NoMailbox,
            Some("ErrorAccessDenied" | "Authorization_RequestDenied" | "InvalidAuthenticationToken") => {
                return Meaning::Setup;
            }
            Some("ErrorItemNotFound" | "ErrorFolderNotFound") => return Meaning::Missing,
            Some("ErrorMessageSizeExceeded") => return Meaning::Rejected,
            _ => {}
        }
        match self.status.as_u16() {
            429 => Meaning::Throttled,
            507 => Meaning::Full,
            413 => Meaning::Rejected,
            // 409 and 423: somebody else was at it in the same moment.
            408 | 409 | 423 | 500..=599 => Meaning::Passing,
            401 | 403 => Meaning::Setup,
            // An answer without a code is not Graph's but a proxy's or another host's: not the item's fault.
            400..=499 if self.code.is_some() => Meaning::Rejected,
            _ => Meaning::Setup,
        }
    }

    /// Whether it is about the size of what was sent.
    pub(super) fn is_too_large(&self) -> bool {
        self.status == StatusCode::PAYLOAD_TOO_LARGE || self.has_code("ErrorMessageSizeExceeded")
    }

    /// Whether it says of an address for an upload that it is good no longer, and nothing of the file or the mailbox.
    pub(super) fn ends_an_upload(&self) -> bool {
        self.status.is_client_error()
            && !self.is_too_large()
            && !matches!(self.meaning(), Meaning::Full | Meaning::Throttled)
    }

    /// Whether nobody knows if what was asked for is still being done: what stands before Graph could not wait any
    /// longer, or its answer did not get through. Graph's own words, with a code, come when it has ended.
    fn leaves_open_what_was_done(&self) -> bool {
        match self.status.as_u16() {
            408 | 502 | 504 => true,
            500..=599 => self.code.is_none(),
            _ => false,
        }
    }

    fn detail(&self) -> String {
        let mut detail = format!("HTTP {}", self.status.as_u16());
        if let Some(code) = &self.code {
            detail = format!("{code} ({detail})");
        }
        if let Some(request) = &self.request {
            detail.push_str(", request-id ");
            detail.push_str(request);
        }
        detail
    }

    fn advice(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "Graph does not take the token: look at the cloud and at the hosts in the configuration",
            403 => {
                "the application lacks a permission: Application Mail.ReadWrite for this mailbox (with graph-import-mime \
                 Mail-Advanced.ReadWrite.All too), User.Read.All for the directory, each with an administrator's consent"
            }
            _ => "this is not Graph's answer: look at the hosts in the configuration and at proxies on the way",
        }
    }
}

impl Failure {
    /// Whether it may have been done all the same, so that one has to look before doing it again.
    pub(super) fn is_unclear(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.meaning() == Meaning::Passing,
            Self::Lost { .. } | Self::Undone { .. } => true,
            Self::Port(_) => false,
        }
    }

    /// The same of a step that does nothing without the last.
    pub(super) fn of_a_step(self) -> Self {
        match self {
            Self::Lost { what } => Self::Undone { what },
            Self::Refused(refusal) if refusal.leaves_open_what_was_done() => {
                Self::Undone { what: "something before Graph gave up on it" }
            }
            other => other,
        }
    }

    /// Whether it may still be under way: nobody has answered, or nobody who knows. A look that shows nothing proves
    /// nothing then.
    pub(super) fn may_come_late(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.leaves_open_what_was_done(),
            Self::Lost { .. } => true,
            Self::Undone { .. } | Self::Port(_) => false,
        }
    }

    /// What is left to be said of a filing that was not seen to have taken place: where it may still be under way, that
    /// nobody may try again before that is over, nor before a time that was named.
    pub(super) fn late(self, settles: Duration) -> Self {
        let detail = match &self {
            Self::Refused(refusal) if self.may_come_late() => refusal.detail(),
            Self::Lost { what } => (*what).to_owned(),
            Self::Refused(_) | Self::Undone { .. } | Self::Port(_) => return self,
        };
        Self::Port(MailboxError::late(detail, settles.max(self.retry_after().unwrap_or_default())))
    }

    /// Whether it was certainly not done, and can be later.
    pub(super) fn is_throttled(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.meaning() == Meaning::Throttled)
    }

    /// Whether a thing that was asked for is not there.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.meaning() == Meaning::Missing)
    }

    /// Whether the account has no mailbox.
    pub(super) fn is_no_mailbox(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.meaning() == Meaning::NoMailbox)
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            Self::Port(MailboxError::Unavailable { retry_after, .. }) => *retry_after,
            Self::Lost { .. } | Self::Undone { .. } | Self::Port(_) => None,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Lost> for Failure {
    fn from(Lost(what): Lost) -> Self {
        Self::Lost { what }
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
            Failure::Lost { what } | Failure::Undone { what } => {
                return Self::Unavailable { detail: what.into(), retry_after: None };
            }
            Failure::Port(error) => return error,
        };
        let detail = refusal.detail();
        match refusal.meaning() {
            Meaning::Throttled | Meaning::Passing | Meaning::Missing => {
                Self::Unavailable { detail, retry_after: refusal.retry_after }
            }
            Meaning::Setup => Self::Setup { detail: format!("{detail}; {}", refusal.advice()) },
            Meaning::Full => Self::Full,
            Meaning::NoMailbox | Meaning::Rejected => Self::Rejected { detail },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(status: u16, code: &str) -> Meaning {
        let body = format!(r#"{{"error":{{"code":"{code}","message":"…"}}}}"#);
        Refusal::new(StatusCode::from_u16(status).unwrap(), body.as_bytes(), None, None).meaning()
    }

    #[test]
    fn the_code_says_what_it_means_and_the_status_only_where_the_code_does_not() {
        for (status, code, expected) in [
            (404, "Request_ResourceNotFound", Meaning::NoMailbox),
            (404, "ResourceNotFound", Meaning::NoMailbox),
            (404, "ErrorInvalidUser", Meaning::NoMailbox),
            (404, "MailboxNotEnabledForRESTAPI", Meaning::NoMailbox),
            (400, "MailboxNotEnabledForRESTAPI", Meaning::NoMailbox),
            (404, "ErrorItemNotFound", Meaning::Missing),
            (403, "ErrorAccessDenied", Meaning::Setup),
            (403, "Whatever", Meaning::Setup),
            (401, "InvalidAuthenticationToken", Meaning::Setup),
            (429, "ApplicationThrottled", Meaning::Throttled),
            (503, "ErrorServerBusy", Meaning::Passing),
            (509, "Bandwidth", Meaning::Passing),
            (409, "ErrorIrresolvableConflict", Meaning::Passing),
            (507, "Whatever", Meaning::Full),
            (403, "ErrorQuotaExceeded", Meaning::Full),
            (400, "ErrorMessageSizeExceeded", Meaning::Rejected),
            (413, "Whatever", Meaning::Rejected),
            (400, "ErrorInvalidRecipients", Meaning::Rejected),
            (302, "Whatever", Meaning::Setup),
        ] {
            assert_eq!(meaning(status, code), expected, "{status} {code}");
        }
    }

    #[test]
    fn an_answer_that_is_not_graphs_is_no_fault_of_the_item() {
        let page = b"<html>404</html>";
        for (status, expected) in
            [(404, Meaning::Setup), (400, Meaning::Setup), (413, Meaning::Rejected), (502, Meaning::Passing)]
        {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Refusal::new(status, page, None, None).meaning(), expected, "{status}");
        }
    }

    #[test]
    fn a_filing_whose_answer_is_nobodys_who_knows_may_come_late() {
        let code = br#"{"error":{"code":"ErrorServerBusy","message":"x"}}"#;
        let late = |status, body: &[u8]| {
            let status = StatusCode::from_u16(status).unwrap();
            Failure::from(Refusal::new(status, body, None, None)).may_come_late()
        };
        for status in [408, 502, 504] {
            assert!(late(status, code) && late(status, b"<html>"), "{status}");
        }
        for status in [500, 503, 509] {
            assert!(!late(status, code) && late(status, b"<html>"), "{status}");
        }
        for status in [400, 404, 409, 413, 423, 429] {
            assert!(!late(status, code) && !late(status, b"<html>"), "{status}");
        }
    }

    #[test]
    fn the_longer_wait_counts() {
        let late = |asked| {
            let asked = Duration::from_secs(asked);
            let refusal = Refusal::new(StatusCode::GATEWAY_TIMEOUT, b"", Some(asked), None);
            Failure::from(refusal).late(Duration::from_secs(60)).retry_after()
        };
        assert_eq!((late(5), late(600)), (Some(Duration::from_secs(60)), Some(Duration::from_secs(600))));
    }

    #[test]
    fn no_free_text_gets_into_an_error() {
        let body = br#"{"error":{"code":"ada@example.com is not known","message":"ada@example.com"}}"#;
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, body, None, Some("a b"));
        assert!(!format!("{refusal:?}").contains("ada"));
        assert_eq!(refusal.detail(), "HTTP 400");
    }
}
