//! Microsoft 365, through Microsoft Graph: v1.0, or importMime of its beta.
//!
//! A message is created from JSON, with the properties that make it a received message with its own dates and not a draft.
//! That is supported in every cloud and needs only `Mail.ReadWrite` on the mailboxes and `User.Read.All` and
//! `GroupMember.Read.All` on the directory. What JSON cannot express stays in the attached item and in the bucket. importMime
//! keeps the MIME whole ([`Way::Mime`]).

mod attachments;
mod body;
mod client;
mod concession;
mod content;
mod directory;
mod error;
mod file_names;
mod filing;
mod folder;
mod hosts;
mod import_mime;
mod limits;
mod lookup;
mod mailbox_limits;
mod odata;
mod packed;
mod permission_check;
mod properties;
mod recipients;
mod staging;
mod work;
mod write_probe;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_trait::async_trait;
use model::MailboxAddress;
use url::Url;

use self::{
    client::Client, concession::RejectedClass, hosts::Hosts, mailbox_limits::MailboxLimits, properties::PLAIN_CLASS,
    recipients::RejectedAddresses,
};
use super::{
    Attempt, Clock, Filed, Identity, Mailbox, MailboxError, Mailboxes, Message, StoredCopy,
    entra::{Application, ApplicationError, Cloud, Credentials},
    recipient_cache::RecipientCache,
};
use http_client::RetryBudget;

pub use filing::create_body;
pub use limits::PIECE;
pub use write_probe::WriteProbe;

/// The message class of every filed message, unless configured otherwise: `kind:externaldata` finds it.
pub const MESSAGE_CLASS: &str = "IPM.ExternalData.WhatsAppArchiver";

/// How a message is filed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From JSON, by v1.0: `MAILBOX=graph`.
    Json,
    /// As MIME, by importMime of the beta: `MAILBOX=graph-import-mime`. A message that is too large for one request is
    /// created from JSON.
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
    /// How messages are filed.
    pub way: Way,
    /// The archive folder's name.
    pub folder: String,
    /// PidTagMessageClass; a tenant that rejects it gets IPM.Note.
    pub message_class: String,
    /// Concurrent requests to one mailbox. Graph answers at most 4.
    pub requests_per_mailbox: usize,
    /// The retry budget of one call of the port, for throttling and failures.
    pub longest_wait: Duration,
    /// About the first wait before a retry that Graph did not ask for; waits double.
    pub first_wait: Duration,
    /// How long a lookup that found no mailbox is cached. Short, because an administrator may be adding the mailbox.
    pub remember_nobody: Duration,
    /// How long a folder's id is cached. A folder that its owner deleted keeps its id in Deleted Items: copies may go there
    /// for as long.
    pub remember_folder: Duration,
    /// How long a message may take to appear in the mailbox after its response was lost.
    pub settles: Duration,
    /// The clock of all caches.
    pub clock: Clock,
}

impl GraphConfig {
    /// The defaults: 4 concurrent requests, a retry budget of 20 seconds, the folder `WhatsApp Archiver`.
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
            longest_wait: Duration::from_secs(20),
            first_wait: Duration::from_millis(500),
            remember_nobody: Duration::from_secs(60),
            remember_folder: Duration::from_secs(60),
            settles: MailboxError::SETTLES,
            clock: Clock::default(),
        }
    }
}

/// Why a configuration is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A host is not `https`, or is more than a host.
    #[error("the {which} host has to be https://<host>, without a path")]
    Host {
        /// Graph or login.
        which: &'static str,
    },
    /// The id of the tenant or the application is invalid.
    #[error("the {which} id is made of letters, digits, dots and hyphens")]
    Id {
        /// tenant or client.
        which: &'static str,
    },
    /// The name of the archive folder is invalid.
    #[error("the mail folder's name has 1 to 255 characters, none of them a control character or a slash")]
    Folder,
    /// The message class is invalid.
    #[error("the message class has 1 to 255 letters, digits, dots, hyphens and underscores")]
    MessageClass,
    /// `requests_per_mailbox` is 0.
    #[error("requests_per_mailbox has to be at least 1")]
    Requests,
    /// The process has no TLS provider.
    #[error("cannot set up TLS: no provider is installed, or the system has no certificates")]
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

/// Microsoft 365 as a mail system.
pub struct Graph {
    client: Client,
    recipients: RecipientCache,
    limits: MailboxLimits,
    way: Way,
    folder: String,
    message_class: String,
    rejected_class: RejectedClass,
    rejected_addresses: RejectedAddresses,
    /// Logged once.
    too_large_for_import: AtomicBool,
    longest_wait: Duration,
    settles: Duration,
    first_wait: Duration,
    clock: Clock,
}

impl Graph {
    /// Sends no request: the secret is fetched when it is first needed. The process has to have installed rustls' default
    /// provider.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(config: GraphConfig, credentials: Arc<dyn Credentials>) -> Result<Self, ConfigError> {
        let is_class = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let folder = config.folder.trim();
        if folder.is_empty() || folder.chars().count() > 255 || folder.chars().any(|c| c.is_control() || c == '/') {
            return Err(ConfigError::Folder);
        }
        if !(1..=255).contains(&config.message_class.len()) || !config.message_class.bytes().all(is_class) {
            return Err(ConfigError::MessageClass);
        }
        if config.requests_per_mailbox == 0 {
            return Err(ConfigError::Requests);
        }
        let hosts = Hosts::new(config.cloud, config.graph_url)?;
        let application = Application {
            cloud: config.cloud,
            login_url: config.login_url,
            tenant_id: config.tenant_id,
            client_id: config.client_id,
        };
        let tokens = application.tokens(hosts.scope(), credentials)?.with_clock(config.clock.clone());
        Ok(Self {
            client: Client::new(hosts, tokens)?,
            recipients: RecipientCache::new(config.remember_nobody).with_clock(config.clock.clone()),
            limits: MailboxLimits::new(config.requests_per_mailbox, config.remember_folder, config.clock.clone()),
            way: config.way,
            folder: folder.to_owned(),
            message_class: config.message_class,
            rejected_class: RejectedClass::default(),
            rejected_addresses: RejectedAddresses::default(),
            too_large_for_import: AtomicBool::new(false),
            longest_wait: config.longest_wait,
            settles: config.settles,
            first_wait: config.first_wait,
            clock: config.clock,
        })
    }

    fn retry_budget(&self) -> RetryBudget {
        RetryBudget::new(self.longest_wait, self.first_wait)
    }

    /// The message class that copies are created with; `None` where it is that of an ordinary message.
    fn class(&self) -> Option<&str> {
        Some(self.message_class.as_str()).filter(|class| !class.eq_ignore_ascii_case(PLAIN_CLASS))
    }

    /// The message class that copies should have. importMime cannot set one.
    fn expected_class(&self) -> Option<&str> {
        self.class().filter(|_| self.way == Way::Json)
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").finish_non_exhaustive()
    }
}

#[async_trait]
impl Mailboxes for Graph {
    async fn find(&self, address: &MailboxAddress) -> Result<Option<Mailbox>, MailboxError> {
        self.find_mailbox(address).await
    }

    async fn file(&self, mailbox: &Mailbox, message: &Message, attempt: Attempt) -> Result<Filed, MailboxError> {
        Ok(self.file_message(mailbox, message, attempt).await?)
    }

    async fn holds(&self, mailbox: &Mailbox, copy: &Identity<'_>) -> Result<Option<String>, MailboxError> {
        Ok(self.stored_copies(mailbox, copy).await?.into_iter().next().map(|copy| copy.message))
    }

    async fn copies(&self, mailbox: &Mailbox, copy: &Identity<'_>) -> Result<Vec<StoredCopy>, MailboxError> {
        Ok(self.stored_copies(mailbox, copy).await?)
    }
}
