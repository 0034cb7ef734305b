//! Microsoft 365, through Microsoft Graph: v1.0, or importMime of its beta.
//!
//! A message is created as JSON, with the properties that make it a received message with its own dates and not a
//! draft. That is supported in every cloud and asks for no more than `Mail.ReadWrite` on the mailboxes and
//! `User.Read.All` on the directory. What MIME says beyond what JSON can say stays in the attached item and in the
//! bucket. importMime keeps the MIME whole ([`Way::Mime`]).

mod attachments;
mod body;
mod client;
mod directory;
mod error;
mod filing;
mod folder;
mod hosts;
mod import_mime;
mod lane;
mod look;
mod message;
mod names;
mod odata;
mod probe;
mod staging;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_trait::async_trait;
use item::MailboxAddress;
use url::Url;

use self::{client::Client, hosts::Hosts, lane::Lanes};
use super::{
    Attempt, Filed, Identity, Mailbox, MailboxError, Mailboxes, Message,
    entra::{Application, ApplicationError, Cloud, Credentials},
    known::Known,
    patience::Patience,
};

pub use attachments::PIECE;
pub use filing::create_body;

/// The message class of every filed message, unless configured otherwise: `kind:externaldata` finds it.
pub const MESSAGE_CLASS: &str = "IPM.ExternalData.WhatsAppArchiver";

/// How a message gets into a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As JSON, by v1.0: `MAILBOX=graph`.
    Json,
    /// As the MIME that it is, by importMime of the beta: `MAILBOX=graph-import-mime`. What is too large for that goes
    /// in as JSON.
    Mime,
}

/// How Graph is used.
#[derive(Clone)]
pub struct GraphConfig {
    /// Where the tenant is.
    pub cloud: Cloud,
    /// Instead of the cloud's own Graph host: `https`, or `http` on this machine.
    pub graph_url: Option<Url>,
    /// Instead of the cloud's own login host; the same rules.
    pub login_url: Option<Url>,
    /// The tenant: an id or a domain.
    pub tenant_id: String,
    /// The application's (client) id.
    pub client_id: String,
    /// How a message gets in.
    pub way: Way,
    /// The archive folder's name.
    pub folder: String,
    /// PidTagMessageClass; a tenant that refuses it gets IPM.Note.
    pub message_class: String,
    /// Requests to one mailbox at once. Graph answers no more than 4.
    pub requests_per_mailbox: usize,
    /// How long one call of the port waits in all when Graph throttles or fails.
    pub longest_wait: Duration,
    /// About how long the first wait is that Graph did not ask for; they double.
    pub first_wait: Duration,
    /// How long it is remembered that an address has no mailbox.
    pub remember_nobody: Duration,
    /// How long a folder's id is trusted. One that its owner has deleted keeps its id, and lies in the bin: so long copies
    /// may go there.
    pub remember_folder: Duration,
    /// How long a message may take to appear in the mailbox whose answer was lost.
    pub settles: Duration,
}

impl GraphConfig {
    /// The defaults: 4 requests at once, 20 seconds of waiting in all, the folder `WhatsApp Archiver`.
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
        }
    }
}

/// Why Graph cannot be used with a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A host is not `https`, or has more to it than a host.
    #[error("the {which} host has to be https://<host>, without a path")]
    Host {
        /// Graph or login.
        which: &'static str,
    },
    /// The tenant or the application is not named by an id or a domain.
    #[error("the {which} id is made of letters, digits, dots and hyphens")]
    Id {
        /// tenant or client.
        which: &'static str,
    },
    /// The archive folder has no usable name.
    #[error("the mail folder's name has 1 to 255 characters, none of them a control character or a slash")]
    Folder,
    /// The message class has no usable name.
    #[error("the message class has 1 to 255 letters, digits, dots, hyphens and underscores")]
    MessageClass,
    /// No request could ever be made.
    #[error("at least one request to a mailbox at once")]
    Requests,
    /// The process has no TLS to use.
    #[error("TLS cannot be set up: no provider is installed, or the system has no certificates")]
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

/// The mail system.
pub struct Graph {
    client: Client,
    known: Known,
    lanes: Lanes,
    way: Way,
    folder: String,
    message_class: String,
    /// Learnt from the tenant: said once in the log, and not tried again.
    class_refused: AtomicBool,
    /// Said once in the log.
    too_large_for_import: AtomicBool,
    longest_wait: Duration,
    settles: Duration,
    first_wait: Duration,
}

impl Graph {
    /// Asks nobody yet: the secret is fetched when it is first needed. The process has to have installed rustls'
    /// default provider.
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
        let tokens = application.tokens(hosts.scope(), credentials)?;
        Ok(Self {
            client: Client::new(hosts, tokens)?,
            known: Known::new(config.remember_nobody),
            lanes: Lanes::new(config.requests_per_mailbox, config.remember_folder),
            way: config.way,
            folder: folder.to_owned(),
            message_class: config.message_class,
            class_refused: AtomicBool::new(false),
            too_large_for_import: AtomicBool::new(false),
            longest_wait: config.longest_wait,
            settles: config.settles,
            first_wait: config.first_wait,
        })
    }

    fn patience(&self) -> Patience {
        Patience::new(self.longest_wait, self.first_wait)
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
        let found = self.find_mailbox(address).await.map_err(MailboxError::from);
        match found {
            // Nothing was filed that could be rejected, or need room: a look-up that is refused is a set-up that is wrong.
            Err(MailboxError::Rejected { detail }) => Err(MailboxError::Setup { detail }),
            Err(error @ MailboxError::Full) => Err(MailboxError::Setup { detail: error.to_string() }),
            result => result,
        }
    }

    async fn file(&self, mailbox: &Mailbox, message: &Message, attempt: Attempt) -> Result<Filed, MailboxError> {
        Ok(self.file_message(mailbox, message, attempt).await?)
    }

    async fn holds(&self, mailbox: &Mailbox, copy: &Identity<'_>) -> Result<Option<String>, MailboxError> {
        Ok(self.held_message(mailbox, copy).await?)
    }
}
