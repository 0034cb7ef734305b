//! Configuration of the Graph adapter.

use std::time::Duration;

use url::Url;

use crate::{
    Clock, MailboxError,
    entra::{ApplicationError, Cloud},
};

/// The message class of every filed message, unless configured otherwise: `kind:externaldata` finds it.
pub const MESSAGE_CLASS: &str = "IPM.ExternalData.WhatsAppArchiver";

/// The way in which messages are filed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Creates the message from JSON, through v1.0: `MAILBOX=graph`.
    Json,
    /// Imports the MIME, through importMime of the beta: `MAILBOX=graph-import-mime`. A message that is too large for
    /// one request is created from JSON.
    Mime,
}

/// The configuration of the Graph adapter.
#[derive(Clone)]
pub struct GraphConfig {
    /// The cloud of the tenant.
    pub cloud: Cloud,
    /// Overrides the cloud's Graph host: `https`, or `http` on this machine.
    pub graph_url: Option<Url>,
    /// Overrides the cloud's login host; the same rules.
    pub login_url: Option<Url>,
    /// The tenant: an id or a domain.
    pub tenant_id: String,
    /// The application's (client) id.
    pub client_id: String,
    /// The way in which messages are filed.
    pub way: Way,
    /// Name of the archive folder.
    pub folder: String,
    /// PidTagMessageClass. If the tenant rejects it, IPM.Note is used.
    pub message_class: String,
    /// Maximum number of concurrent requests to one mailbox. Graph allows 4.
    pub requests_per_mailbox: usize,
    /// Retry budget of one call of the port.
    pub retry_budget: Duration,
    /// The first wait before a retry if Graph requests no wait. Later waits double.
    pub first_wait: Duration,
    /// Lifetime of a cached lookup that found no mailbox. Short, because an administrator may be adding the mailbox.
    pub negative_ttl: Duration,
    /// Lifetime of a cached folder id. A deleted folder keeps its id in Deleted Items, so copies may be filed there for
    /// this time.
    pub folder_ttl: Duration,
    /// Maximum time after which a message appears in the mailbox when its response was lost.
    pub settle_time: Duration,
    /// The clock of all caches.
    pub clock: Clock,
}

impl GraphConfig {
    /// Creates the configuration with defaults: 4 concurrent requests, a retry budget of 20 seconds, the folder
    /// `WhatsApp Archiver`.
    pub fn new(cloud: Cloud, tenant_id: impl Into<String>, client_id: impl Into<String>) -> Self {
        Self {
            cloud,
            graph_url: None,
            login_url: None,
            tenant_id: tenant_id.into(),
            client_id: client_id.into(),
            way: Way::Json,
            folder: "WhatsApp Archiver".into(),
            message_class: MESSAGE_CLASS.into(),
            requests_per_mailbox: 4,
            retry_budget: Duration::from_secs(20),
            first_wait: Duration::from_millis(500),
            negative_ttl: Duration::from_secs(60),
            folder_ttl: Duration::from_secs(60),
            settle_time: MailboxError::SETTLE_TIME,
            clock: Clock::default(),
        }
    }
}

/// An invalid configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A URL is not `https`, or has more parts than a host.
    #[error("invalid {which} host: expected https://<host> without a path")]
    Host {
        /// Graph or login.
        which: &'static str,
    },
    /// The id of the tenant or the application is invalid.
    #[error("invalid {which} id: expected letters, digits, dots and hyphens")]
    Id {
        /// tenant or client.
        which: &'static str,
    },
    /// The name of the archive folder is invalid.
    #[error("invalid mail folder: expected 1 to 255 characters without control characters and slashes")]
    Folder,
    /// The message class is invalid.
    #[error("invalid message class: expected 1 to 255 letters, digits, dots, hyphens and underscores")]
    MessageClass,
    /// `requests_per_mailbox` is 0.
    #[error("invalid requests_per_mailbox: expected at least 1")]
    Requests,
    /// The process has no TLS provider.
    #[error("TLS is not available: no provider is installed, or the system has no certificates")]
    Tls,
}

impl From<ApplicationError> for ConfigError {
    fn from(error: ApplicationError) -> Self {
        match error {
            ApplicationError::Host => Self::Host { which: "login" },
            ApplicationError::Id { which } => Self::Id { which },
        }
    }
}
