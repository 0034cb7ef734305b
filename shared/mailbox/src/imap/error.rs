//! Classifies errors.
//!
//! Permanent failures of a message, and the absence of a mailbox, are closed lists: response codes of RFC 5530 and the
//! wordings in `wording.rs`. Everything else is retried.

use std::{borrow::Cow, time::Duration};

use super::{
    response::{Condition, Status},
    wire::WireError,
    wording::Hint,
};
use crate::MailboxError;

/// The error of a command.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server refused the command.
    Refused(Refusal),
    /// The message was not sent, so no copy can appear later.
    NotSent(Cow<'static, str>),
    /// The message was sent and the response was lost: a copy may appear later.
    OutcomeUnknown(Cow<'static, str>),
    /// The server does not follow IMAP. The message was not sent.
    Protocol(&'static str),
    /// A bug of this program. The message was not sent.
    Internal(&'static str),
    /// An error that is already in the form of the port.
    Port(MailboxError),
}

/// A refusal of a command.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) command: &'static str,
    pub(super) condition: Condition,
    /// `true` if the refusal names the command by its tag. `* BAD` and `* BYE` do not: the command may have been
    /// executed.
    pub(super) is_tagged: bool,
}

/// The meaning of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A transient failure, or too many requests. Contains the wait that the server requests.
    Temporary(Option<Duration>),
    /// The configuration or the account is wrong.
    Configuration,
    /// The login was rejected: the address has no mailbox, the account may not open it, or the secret is wrong.
    LoginRejected,
    /// The mailbox is full.
    Full,
    /// The mailbox never accepts this message.
    Rejected,
    /// The folder does not exist.
    NoFolder,
    /// The folder already exists.
    FolderExists,
    /// Documented neither as permanent nor as transient.
    Unrecognized,
}

/// The response codes that errors may quote. Any other code is free text of the server.
const QUOTABLE_CODES: &[&str] = &[
    "ALERT",
    "ALREADYEXISTS",
    "AUTHENTICATIONFAILED",
    "AUTHORIZATIONFAILED",
    "CANNOT",
    "CLIENTBUG",
    "CONTACTADMIN",
    "CORRUPTION",
    "EXPIRED",
    "INUSE",
    "LIMIT",
    "NONEXISTENT",
    "NOPERM",
    "OVERQUOTA",
    "PRIVACYREQUIRED",
    "SERVERBUG",
    "TOOBIG",
    "TRYCREATE",
    "UNAVAILABLE",
];

impl Refusal {
    pub(super) fn meaning(&self) -> Meaning {
        let login = self.command == "AUTHENTICATE";
        let append = self.command == "APPEND";
        let create = self.command == "CREATE";
        match self.condition.hint {
            Some(Hint::Throttled(wait)) => return Meaning::Temporary(wait),
            Some(Hint::NotConnected | Hint::Temporary) => return Meaning::Temporary(None),
            _ if self.condition.status == Status::Bye => return Meaning::Temporary(None),
            Some(Hint::TooLarge | Hint::BadMessage) if append => return Meaning::Rejected,
            Some(Hint::Full) if append || create => return Meaning::Full,
            _ => {}
        }
        match self.code() {
            Some("OVERQUOTA") if append || create => Meaning::Full,
            // In response to other commands these codes do not concern a message.
            Some("TOOBIG" | "CANNOT") if append => Meaning::Rejected,
            Some("TRYCREATE" | "NONEXISTENT") if !login => Meaning::NoFolder,
            Some("ALREADYEXISTS") => Meaning::FolderExists,
            Some("AUTHENTICATIONFAILED" | "AUTHORIZATIONFAILED") => Meaning::LoginRejected,
            Some("CANNOT" | "CONTACTADMIN" | "EXPIRED" | "NOPERM" | "PRIVACYREQUIRED") => Meaning::Configuration,
            // Dovecot returns SERVERBUG for every internal error, including a full disk and a held lock.
            Some("CORRUPTION" | "INUSE" | "SERVERBUG" | "UNAVAILABLE") => Meaning::Temporary(None),
            // LIMIT means too many connections; the text of ALERT is meant for the user.
            Some("ALERT" | "LIMIT" | "OVERQUOTA") if login => Meaning::Temporary(None),
            None if login && self.condition.hint == Some(Hint::LoginRejected) => Meaning::LoginRejected,
            // The arguments of these commands (the login, the name of the archive folder) come from the configuration.
            _ if login || create || self.command == "LIST" => Meaning::Configuration,
            _ => Meaning::Unrecognized,
        }
    }

    /// Returns the code, if it may be quoted.
    fn code(&self) -> Option<&'static str> {
        let name = &self.condition.code.as_ref()?.name;
        QUOTABLE_CODES.iter().copied().find(|known| known == name)
    }

    /// Returns whether the server asks for fewer requests or connections. LIMIT means that only at the login; in
    /// response to other commands it is a storage limit (RFC 5530), such as the number of copies of a message.
    pub(super) fn is_throttled(&self) -> bool {
        match self.condition.hint {
            Some(Hint::Throttled(_)) => true,
            _ => self.command == "AUTHENTICATE" && self.code() == Some("LIMIT"),
        }
    }

    pub(super) fn detail(&self) -> String {
        let status = match self.condition.status {
            Status::Ok => "OK",
            Status::No => "NO",
            Status::Bad => "BAD",
            Status::PreAuth => "PREAUTH",
            Status::Bye => "BYE",
        };
        let code = self.code().map(|code| format!(" [{code}]")).unwrap_or_default();
        let words = match self.condition.words.as_str() {
            "" => String::new(),
            words => format!(" \"{words}\""),
        };
        let advice = match (self.condition.hint, self.meaning()) {
            (Some(Hint::Throttled(_)), _) => "; the server requests fewer requests",
            (Some(Hint::NotConnected), _) => {
                "; the login succeeded and the mailbox was not reached: the server is busy, or the application has no \
                 permission for the mailbox"
            }
            (Some(Hint::TooLarge), _) => "; the message is larger than the server accepts",
            (_, Meaning::LoginRejected) => {
                "; the secret is wrong, or it may not open this mailbox, or the address has no mailbox: check the \
                 secret, the permissions of the mailbox and the user map"
            }
            (_, Meaning::Configuration) if matches!(self.command, "CREATE" | "LIST") => {
                "; the server cannot store a folder of this name, or the account may not create it: check MAIL_FOLDER \
                 and the permissions of the account"
            }
            (_, Meaning::Configuration) => "; check the secret, the permissions of the account and MAIL_FOLDER",
            _ if self.code() == Some("ALERT") => {
                "; the server has sent an alert for the user: log in with a mail client to read it"
            }
            _ => "",
        };
        format!("{status}{code}{words} to {}{advice}", self.command)
    }
}

impl Failure {
    pub(super) fn means(&self, meaning: Meaning) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.meaning() == meaning)
    }

    /// Returns whether the server does not understand the command: a tagged BAD of which no other meaning is known.
    pub(super) fn is_syntax_error(&self) -> bool {
        matches!(self, Self::Refused(Refusal { is_tagged: true, condition, .. }) if condition.status == Status::Bad)
            && self.means(Meaning::Unrecognized)
    }

    /// Converts the failure of a command after the message was sent. Only a tagged refusal proves that the message was
    /// not stored.
    pub(super) fn after_the_message(self) -> Self {
        match self {
            Self::Refused(refusal) if !refusal.is_tagged => Self::OutcomeUnknown(refusal.detail().into()),
            Self::NotSent(detail) => Self::OutcomeUnknown(detail),
            Self::Protocol(detail) => Self::OutcomeUnknown(detail.into()),
            failure => failure,
        }
    }

    /// Converts to the error of the port. `settle_time` is the time that a copy may take to appear after its response
    /// was lost.
    pub(super) fn into_error(self, settle_time: Duration) -> MailboxError {
        let refusal = match self {
            Self::Refused(refusal) => refusal,
            Self::OutcomeUnknown(detail) => return unavailable(detail).with_outcome_unknown(settle_time),
            Self::NotSent(detail) => return unavailable(detail),
            Self::Protocol(detail) => return unavailable(detail.into()),
            Self::Internal(detail) => {
                return MailboxError::Unrecognized { detail: detail.to_owned(), retry_after: None };
            }
            Self::Port(error) => return error,
        };
        let detail = refusal.detail();
        match refusal.meaning() {
            Meaning::Temporary(retry_after) => MailboxError::Unavailable { detail, retry_after },
            Meaning::NoFolder | Meaning::FolderExists => MailboxError::Unavailable { detail, retry_after: None },
            Meaning::Configuration | Meaning::LoginRejected => MailboxError::Configuration { detail },
            Meaning::Full => MailboxError::Full,
            Meaning::Rejected => MailboxError::Rejected { detail },
            Meaning::Unrecognized => MailboxError::Unrecognized { detail, retry_after: None },
        }
    }
}

fn unavailable(detail: Cow<'static, str>) -> MailboxError {
    MailboxError::Unavailable { detail: detail.into_owned(), retry_after: None }
}

impl From<MailboxError> for Failure {
    fn from(error: MailboxError) -> Self {
        Self::Port(error)
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        match error {
            WireError::UntrustedCertificate | WireError::InvalidHost => {
                Self::Port(MailboxError::Configuration { detail: error.to_string() })
            }
            WireError::NoConnection
            | WireError::NoTls
            | WireError::Broken
            | WireError::Timeout
            | WireError::TooLong => Self::NotSent(error.to_string().into()),
        }
    }
}

/// Returns a configuration error.
pub(super) fn configuration(detail: &str) -> Failure {
    Failure::Port(MailboxError::Configuration { detail: detail.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::response::{Response, parse};

    fn refusal(command: &'static str, line: &str) -> Refusal {
        match parse(format!("{line}\r\n").as_bytes()) {
            Some(Response::Done(_, condition)) => Refusal { command, condition, is_tagged: true },
            Some(Response::Untagged(condition)) => Refusal { command, condition, is_tagged: false },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn refusal_is_classified_by_code_then_wording() {
        let temporary = Meaning::Temporary(None);
        for (command, line, expected) in [
            ("AUTHENTICATE", "A NO [AUTHENTICATIONFAILED] x", Meaning::LoginRejected),
            ("AUTHENTICATE", "A NO [AUTHORIZATIONFAILED] x", Meaning::LoginRejected),
            ("AUTHENTICATE", "A NO AUTHENTICATE failed.", Meaning::LoginRejected),
            ("AUTHENTICATE", "A NO [AUTHENTICATIONFAILED] Temporary authentication failure", temporary),
            ("AUTHENTICATE", "A NO generic failure", Meaning::Configuration),
            ("AUTHENTICATE", "A NO [UNAVAILABLE] x", temporary),
            ("AUTHENTICATE", "A NO [INUSE] x", temporary),
            ("AUTHENTICATE", "A NO [LIMIT] x", temporary),
            ("AUTHENTICATE", "A NO [ALERT] x", temporary),
            ("AUTHENTICATE", "A NO [EXPIRED] x", Meaning::Configuration),
            ("AUTHENTICATE", "A NO [PRIVACYREQUIRED] x", Meaning::Configuration),
            ("AUTHENTICATE", "A BAD x", Meaning::Configuration),
            ("AUTHENTICATE", "* BYE x", temporary),
            ("LIST", "A BAD User is authenticated but not connected.", temporary),
            ("LIST", "A NO Error in IMAP command received by server.", Meaning::Configuration),
            (
                "LIST",
                "A BAD Request is throttled. Suggested Backoff Time: 1500 milliseconds",
                Meaning::Temporary(Some(Duration::from_millis(1500))),
            ),
            ("APPEND", "A NO [OVERQUOTA] x", Meaning::Full),
            ("APPEND", "A NO Over quota", Meaning::Full),
            ("APPEND", "A NO [ALERT] You exceeded your mail quota.", Meaning::Full),
            ("APPEND", "A NO APPEND The 1500 MB storage limit has been exceeded.", Meaning::Full),
            ("APPEND", "A NO [OVERQUOTA] Not enough disk quota", temporary),
            ("APPEND", "A NO [OVERQUOTA] Account exceeded command or bandwidth limits.", temporary),
            ("APPEND", "A NO [TOOBIG] x", Meaning::Rejected),
            ("APPEND", "A NO [LIMIT] Message has been copied too many times", Meaning::Unrecognized),
            ("APPEND", "A NO [LIMIT] Mail size is larger than the maximum size allowed", Meaning::Rejected),
            ("APPEND", "A NO [CANNOT] x", Meaning::Rejected),
            ("APPEND", "A NO Message contains bare newlines", Meaning::Rejected),
            ("APPEND", "A NO [SERVERBUG] Internal error occurred.", temporary),
            ("APPEND", "A NO Mailbox is locked", temporary),
            ("CREATE", "A NO [OVERQUOTA] x", Meaning::Full),
            ("AUTHENTICATE", "A NO [OVERQUOTA] x", temporary),
            ("UID", "A NO [OVERQUOTA] x", Meaning::Unrecognized),
            ("UID", "A NO [TOOBIG] x", Meaning::Unrecognized),
            ("CREATE", "A NO [CANNOT] x", Meaning::Configuration),
            ("CREATE", "A NO [NOPERM] x", Meaning::Configuration),
            ("CREATE", "A NO Invalid mailbox name", Meaning::Configuration),
            ("CREATE", "A NO [ALREADYEXISTS] x", Meaning::FolderExists),
            ("APPEND", "A NO [TRYCREATE] x", Meaning::NoFolder),
            ("APPEND", "A NO x", Meaning::Unrecognized),
            ("APPEND", "A BAD Line too long", Meaning::Unrecognized),
            ("APPEND", "* BAD parse error", Meaning::Unrecognized),
            ("APPEND", "A NO [XSTRANGE] x", Meaning::Unrecognized),
            ("APPEND", "* BYE x", temporary),
        ] {
            assert_eq!(refusal(command, line).meaning(), expected, "{command}: {line}");
        }
    }

    #[test]
    fn limit_is_throttling_only_at_the_login() {
        assert!(refusal("AUTHENTICATE", "A NO [LIMIT] too many connections").is_throttled());
        assert!(!refusal("APPEND", "A NO [LIMIT] Message has been copied too many times").is_throttled());
        assert!(refusal("APPEND", "A NO Request is throttled.").is_throttled());
    }

    #[test]
    fn error_quotes_technical_words_and_no_other_text() {
        for line in ["A NO [ADA@EXAMPLE.COM] ada@example.com", "A NO [ALERT] ada@example.com", "A BAD ada@example.com"]
        {
            let refused = || Failure::Refused(refusal("APPEND", line));
            let shown = format!("{:?} {}", refused(), refused().into_error(Duration::ZERO));
            assert!(!shown.to_lowercase().contains("ada@"), "{shown}");
        }
        let error = |line| Failure::Refused(refusal("APPEND", line)).into_error(Duration::ZERO).to_string();
        assert!(error("A NO [ADA@EXAMPLE.COM] ada").ends_with(": NO to APPEND"));
        assert!(error("A BAD Line of ada@example.com too long").ends_with(": BAD \"line of … too long\" to APPEND"));
    }

    #[test]
    fn only_a_tagged_refusal_proves_that_nothing_was_stored() {
        let after = |line| Failure::Refused(refusal("APPEND", line)).after_the_message();
        assert!(matches!(after("* BYE x"), Failure::OutcomeUnknown(_)));
        assert!(matches!(after("* BAD x"), Failure::OutcomeUnknown(_)));
        assert!(matches!(after("A BAD x"), Failure::Refused(_)));
    }
}
