//! Microsoft 365, through Microsoft Graph: v1.0, or importMime of its beta.
//!
//! A message is created from JSON, with the properties that make it a received message with its own dates and not a
//! draft. This is supported in every cloud and needs only `Mail.ReadWrite` on the mailboxes, and `User.Read.All` and
//! `GroupMember.Read.All` on the directory. Content that JSON cannot express is available in the attached item and in
//! the bucket. importMime files the MIME unchanged ([`Way::Mime`]).

mod attachments;
mod body;
mod client;
mod codes;
mod concession;
mod config;
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
mod rejected_addresses;
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

use self::{
    client::Client, concession::RejectedClass, hosts::Hosts, mailbox_limits::MailboxLimits, properties::PLAIN_CLASS,
    rejected_addresses::RejectedAddresses,
};
use super::{
    Attempt, Clock, Filed, Identity, Mailbox, MailboxError, MailboxLookup, Mailboxes, Message, StoredCopy,
    entra::{Application, Credentials},
    recipient_cache::RecipientCache,
};
use http_client::RetryBudget;

pub use config::{ConfigError, GraphConfig, MESSAGE_CLASS, Way};
pub use filing::create_body;
pub use limits::PIECE;
pub use write_probe::WriteProbe;

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
    /// `true` if the rejection was logged: it is logged once.
    too_large_for_import: AtomicBool,
    max_wait: Duration,
    settle_time: Duration,
    first_wait: Duration,
    clock: Clock,
}

impl Graph {
    /// Creates the adapter. Sends no request: the secret is fetched when it is first needed. The process must have
    /// installed rustls' default provider.
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
            recipients: RecipientCache::new(config.negative_ttl).with_clock(config.clock.clone()),
            limits: MailboxLimits::new(config.requests_per_mailbox, config.folder_ttl, config.clock.clone()),
            way: config.way,
            folder: folder.to_owned(),
            message_class: config.message_class,
            rejected_class: RejectedClass::default(),
            rejected_addresses: RejectedAddresses::default(),
            too_large_for_import: AtomicBool::new(false),
            max_wait: config.retry_budget,
            settle_time: config.settle_time,
            first_wait: config.first_wait,
            clock: config.clock,
        })
    }

    fn retry_budget(&self) -> RetryBudget {
        RetryBudget::new(self.max_wait, self.first_wait)
    }

    /// Returns the message class for new copies; `None` for the class of an ordinary message.
    fn class(&self) -> Option<&str> {
        Some(self.message_class.as_str()).filter(|class| !class.eq_ignore_ascii_case(PLAIN_CLASS))
    }

    /// Returns the message class that copies should have; `None` with importMime, which cannot set one.
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
        Ok(self.find_mailbox(address).await?.mailbox())
    }

    async fn look_up(&self, address: &MailboxAddress) -> Result<MailboxLookup, MailboxError> {
        self.find_mailbox(address).await
    }

    fn negative_ttl(&self) -> Duration {
        self.recipients.negative_ttl()
    }

    async fn file(&self, mailbox: &Mailbox, message: &Message, attempt: Attempt) -> Result<Filed, MailboxError> {
        Ok(self.file_message(mailbox, message, attempt).await?)
    }

    async fn remove_incomplete(&self, mailbox: &Mailbox, message: &Message) -> Result<(), MailboxError> {
        Ok(self.remove_staged(mailbox, message).await?)
    }

    async fn holds(&self, mailbox: &Mailbox, copy: &Identity<'_>) -> Result<Option<String>, MailboxError> {
        Ok(self.stored_copies(mailbox, copy).await?.into_iter().next().map(|copy| copy.message))
    }

    async fn copies(&self, mailbox: &Mailbox, copy: &Identity<'_>) -> Result<Vec<StoredCopy>, MailboxError> {
        Ok(self.stored_copies(mailbox, copy).await?)
    }
}
