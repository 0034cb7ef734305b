//! What went wrong, and what that means for the item.
//!
//! When in doubt an item waits. Only what a server says in so many words of the message or of the room for it is the
//! item's fault; a refusal without a reason may be anything.

use std::time::Duration;

use super::response::{Condition, Hint, Status};
use crate::mailbox::MailboxError;

/// Why a command did not do what it was for.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server said no.
    Refused(Refusal),
    /// Nobody knows whether it was done. Says why in our words.
    Lost(&'static str),
    /// Why is already clear.
    Port(MailboxError),
}

/// The server's no.
#[derive(Debug)]
pub(super) struct Refusal {
    /// To which command.
    pub(super) command: &'static str,
    pub(super) condition: Condition,
}

/// What a refusal means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Something is down, or too much at once. Wait at least so long.
    Passing(Option<Duration>),
    /// Our own set-up.
    Setup,
    /// The server does not let us into this mailbox: it is nobody's, or not ours to open, or the secret is wrong.
    NotLetIn,
    /// No room.
    Full,
    /// The message.
    Rejected,
    /// The folder is not there.
    NoFolder,
    /// The folder is there.
    FolderExists,
}

/// The response codes that errors may show. Another's name is somebody else's text.
const KNOWN: &[&str] = &[
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
        match self.condition.hint {
            Some(Hint::Throttled(wait)) => return Meaning::Passing(wait),
            Some(Hint::NotConnected) => return Meaning::Passing(None),
            Some(Hint::TooLarge) if self.command == "APPEND" => return Meaning::Rejected,
            Some(Hint::TooLarge) | None => {}
        }
        if self.condition.status == Status::Bye {
            return Meaning::Passing(None);
        }
        let entering = self.command == "AUTHENTICATE";
        let filing = self.command == "APPEND";
        match self.code() {
            Some("OVERQUOTA") if filing || self.command == "CREATE" => Meaning::Full,
            // Of anything else they say nothing about a message.
            Some("TOOBIG" | "CANNOT") if filing => Meaning::Rejected,
            Some("TRYCREATE" | "NONEXISTENT") if !entering => Meaning::NoFolder,
            Some("ALREADYEXISTS") => Meaning::FolderExists,
            Some("AUTHENTICATIONFAILED" | "AUTHORIZATIONFAILED") => Meaning::NotLetIn,
            Some("CANNOT" | "CONTACTADMIN" | "EXPIRED" | "NOPERM" | "PRIVACYREQUIRED") => Meaning::Setup,
            // A server that is asked for a way to log in that it does not have.
            None if entering && self.condition.status == Status::Bad => Meaning::Setup,
            None if entering => Meaning::NotLetIn,
            // UNAVAILABLE, INUSE, LIMIT, SERVERBUG, CORRUPTION; an ALERT may be about anything, so may no code at all.
            _ => Meaning::Passing(None),
        }
    }

    /// The code, where it is one that is known.
    fn code(&self) -> Option<&'static str> {
        let name = &self.condition.code.as_ref()?.name;
        KNOWN.iter().copied().find(|known| known == name)
    }

    /// Whether the server asks for fewer requests, in Exchange Online's words or by a code.
    pub(super) fn is_throttled(&self) -> bool {
        match self.condition.hint {
            Some(Hint::Throttled(_)) => true,
            Some(Hint::NotConnected | Hint::TooLarge) => false,
            None => self.code() == Some("LIMIT"),
        }
    }

    fn detail(&self) -> String {
        let status = match self.condition.status {
            Status::Ok => "OK",
            Status::No => "NO",
            Status::Bad => "BAD",
            Status::PreAuth => "PREAUTH",
            Status::Bye => "BYE",
        };
        let code = self.code().map(|code| format!(" [{code}]")).unwrap_or_default();
        let advice = match (self.condition.hint, self.meaning()) {
            (Some(Hint::Throttled(_)), _) => "; the server asks for fewer requests",
            (Some(Hint::NotConnected), _) => {
                "; the server knows us and does not reach the mailbox: it is busy, or the application has no right to \
                 the mailbox"
            }
            (Some(Hint::TooLarge), _) => "; the message is larger than the server takes",
            (None, Meaning::NotLetIn) => {
                "; the secret is wrong, or it may not open this mailbox, or the address has none: look at the secret, \
                 at the mailbox's permissions and at the user map"
            }
            (None, Meaning::Setup) => "; look at what the account may do, and at MAIL_FOLDER",
            (None, Meaning::Passing(_)) if self.code() == Some("ALERT") => {
                "; the server has something to say to people: log in with a mail client and read it"
            }
            (None, _) => "",
        };
        format!("{status}{code} to {}{advice}", self.command)
    }
}

impl Failure {
    pub(super) fn means(&self, meaning: Meaning) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.meaning() == meaning)
    }
}

impl From<Failure> for MailboxError {
    fn from(failure: Failure) -> Self {
        let refusal = match failure {
            Failure::Refused(refusal) => refusal,
            Failure::Lost(what) => return Self::Unavailable { detail: what.into(), retry_after: None },
            Failure::Port(error) => return error,
        };
        let detail = refusal.detail();
        match refusal.meaning() {
            Meaning::Passing(retry_after) => Self::Unavailable { detail, retry_after },
            Meaning::NoFolder | Meaning::FolderExists => Self::Unavailable { detail, retry_after: None },
            Meaning::Setup | Meaning::NotLetIn => Self::Setup { detail },
            Meaning::Full => Self::Full,
            Meaning::Rejected => Self::Rejected { detail },
        }
    }
}

impl From<MailboxError> for Failure {
    fn from(error: MailboxError) -> Self {
        Self::Port(error)
    }
}

/// Our own set-up.
pub(super) fn setup(detail: &str) -> Failure {
    Failure::Port(MailboxError::Setup { detail: detail.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::imap::response::{Response, parse};

    fn refusal(command: &'static str, line: &str) -> Refusal {
        match parse(format!("{line}\r\n").as_bytes()) {
            Some(Response::Done(_, condition) | Response::Untagged(condition)) => Refusal { command, condition },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_code_says_what_a_refusal_means_and_in_doubt_the_item_waits() {
        let passing = Meaning::Passing(None);
        for (command, line, expected) in [
            ("AUTHENTICATE", "A NO [AUTHENTICATIONFAILED] x", Meaning::NotLetIn),
            ("AUTHENTICATE", "A NO [AUTHORIZATIONFAILED] x", Meaning::NotLetIn),
            ("AUTHENTICATE", "A NO AUTHENTICATE failed.", Meaning::NotLetIn),
            ("AUTHENTICATE", "A NO [UNAVAILABLE] x", passing),
            ("AUTHENTICATE", "A NO [INUSE] x", passing),
            ("AUTHENTICATE", "A NO [LIMIT] x", passing),
            ("AUTHENTICATE", "A NO [ALERT] x", passing),
            ("AUTHENTICATE", "A NO [EXPIRED] x", Meaning::Setup),
            ("AUTHENTICATE", "A NO [PRIVACYREQUIRED] x", Meaning::Setup),
            ("AUTHENTICATE", "A BAD x", Meaning::Setup),
            ("AUTHENTICATE", "* BYE x", passing),
            ("LIST", "A BAD User is authenticated but not connected.", passing),
            (
                "LIST",
                "A BAD Request is throttled. Suggested Backoff Time: 1500 milliseconds",
                Meaning::Passing(Some(Duration::from_millis(1500))),
            ),
            ("APPEND", "A NO [OVERQUOTA] x", Meaning::Full),
            ("APPEND", "A NO [TOOBIG] x", Meaning::Rejected),
            ("APPEND", "A NO [LIMIT] x", passing),
            ("APPEND", "A NO [LIMIT] Mail size is larger than the maximum size allowed", Meaning::Rejected),
            ("APPEND", "A NO [CANNOT] x", Meaning::Rejected),
            ("CREATE", "A NO [OVERQUOTA] x", Meaning::Full),
            ("AUTHENTICATE", "A NO [OVERQUOTA] x", passing),
            ("LIST", "A NO [OVERQUOTA] x", passing),
            ("LIST", "A NO [TOOBIG] x", passing),
            ("CREATE", "A NO [CANNOT] x", Meaning::Setup),
            ("CREATE", "A NO [NOPERM] x", Meaning::Setup),
            ("CREATE", "A NO [ALREADYEXISTS] x", Meaning::FolderExists),
            ("APPEND", "A NO [TRYCREATE] x", Meaning::NoFolder),
            ("APPEND", "A NO x", passing),
            ("APPEND", "A BAD x", passing),
            ("APPEND", "A NO [XSTRANGE] x", passing),
            ("APPEND", "* BYE x", passing),
        ] {
            assert_eq!(refusal(command, line).meaning(), expected, "{command}: {line}");
        }
    }

    #[test]
    fn no_text_of_the_server_gets_into_an_error() {
        for line in ["A NO [ADA@EXAMPLE.COM] ada@example.com", "A NO [ALERT] ada@example.com", "A BAD ada@example.com"]
        {
            let failure = Failure::Refused(refusal("APPEND", line));
            let shown = format!("{failure:?} {}", MailboxError::from(Failure::Refused(refusal("APPEND", line))));
            assert!(!shown.to_lowercase().contains("ada@"), "{shown}");
        }
        let error = MailboxError::from(Failure::Refused(refusal("APPEND", "A NO [ADA@EXAMPLE.COM] x")));
        assert_eq!(error.to_string(), "the mail system cannot be used now: NO to APPEND");
    }
}
