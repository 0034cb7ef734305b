//! Configuration of the IMAP adapter.

use std::time::Duration;

use model::MailboxAddress;

use super::host::ImapHost;
use crate::{MailboxError, entra::ApplicationError};

/// Configuration of the adapter.
#[derive(Debug, Clone)]
pub struct ImapConfig {
    /// The server.
    pub host: ImapHost,
    /// The domains whose mailboxes are on the server, in lower case. An address of another domain has no mailbox there;
    /// no request is sent for it.
    pub domains: Vec<String>,
    /// The probe mailbox: a mailbox that exists and that the account may open. If the login for an address is rejected
    /// and this mailbox opens at the same moment, the address has no mailbox. Without a probe mailbox, or if it does
    /// not open either, a rejected login counts as a configuration error and the item waits.
    pub probe: Option<MailboxAddress>,
    /// Name of the archive folder.
    pub folder: String,
    /// Time limit for the response to a command. Every untagged response starts it again.
    pub response_timeout: Duration,
    /// Retry budget of one call of the port, for requests for a token.
    pub retry_budget: Duration,
    /// Lifetime of a cached lookup that found no mailbox. Short, because an administrator may be adding the mailbox.
    pub negative_ttl: Duration,
    /// Maximum time after which a copy appears in the mailbox when the response was lost.
    pub settle_time: Duration,
}

impl ImapConfig {
    /// Creates the configuration with defaults: a minute for a response, 20 seconds of waiting, the folder `WhatsApp
    /// Archiver`, no probe.
    pub fn new(host: ImapHost, domains: Vec<String>) -> Self {
        Self {
            host,
            domains,
            probe: None,
            folder: "WhatsApp Archiver".into(),
            response_timeout: Duration::from_secs(60),
            retry_budget: Duration::from_secs(20),
            negative_ttl: Duration::from_secs(60),
            settle_time: MailboxError::SETTLE_TIME,
        }
    }
}

/// An invalid configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImapConfigError {
    /// The name of the archive folder is invalid.
    #[error("invalid mail folder: expected 1 to 255 characters without control characters, slashes, * and %")]
    Folder,
    /// The list of domains is empty.
    #[error("missing domains: at least one domain must have its mailboxes on the server")]
    Domains,
    /// The application in Entra is invalid.
    #[error(transparent)]
    Application(#[from] ApplicationError),
    /// The process cannot use TLS.
    #[error("TLS is not available: no provider is installed, or the system has no certificates")]
    Tls,
}
