//! The mailbox port: what import needs of a mail system. One adapter a folder or file beside this one.

#![warn(missing_docs)]

mod clock;
mod connect;
mod credentials;
pub mod entra;
pub mod graph;
pub mod imap;
pub mod maildir;
mod recipient_cache;
mod settings;

use std::time::Duration;

use async_trait::async_trait;
use http_client::NoCertificates;
use message::read::{Mime, ReadError, content};
use model::{FilingResult, ItemId, MailboxAddress, Sha256};

pub use clock::Clock;
pub use connect::ConnectError;
pub use credentials::SecretCredentials;
pub use settings::{
    Domains, GraphSettings, ImapSettings, MailboxSettings, MaildirSettings, VARIABLES, retry_base, settles,
};

/// A mailbox that exists.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mailbox {
    /// The mail system's own id of it. Two addresses of one mailbox have the same id: that is what makes mailboxes
    /// distinct.
    pub id: String,
    /// The address that it was found by.
    pub address: MailboxAddress,
}

/// What a copy is known by. The Message-ID alone is not enough: it names what was written on WhatsApp, and the archive
/// may have captured that twice, once without its picture. Those are two items, and each has a copy of its own.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    /// The item's id.
    pub item: &'a ItemId,
    /// The Message-ID with its angle brackets.
    pub message_id: &'a str,
    /// What the message's header says of its content; `None` where that is not known.
    pub content: Option<Sha256>,
}

impl Identity<'_> {
    /// Whether a message with the same Message-ID and a header that says this may be the copy. In doubt it is: a second
    /// copy could not be told from the first.
    pub(crate) fn may_be_of(&self, content: Option<Sha256>) -> bool {
        self.content.is_none() || content.is_none() || self.content == content
    }
}

/// What is to be filed.
#[derive(Clone)]
pub struct Message {
    /// The item's id.
    pub item: ItemId,
    /// The Message-ID with its angle brackets; the same for every mailbox and every attempt.
    pub message_id: String,
    /// The message itself.
    pub mime: Mime,
}

impl Message {
    /// What its copies are known by.
    pub fn identity(&self) -> Identity<'_> {
        let content = content(self.mime.in_memory());
        Identity { item: &self.item, message_id: &self.message_id, content }
    }
}

/// Whether an earlier attempt may have left a copy, or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// Nobody has ever tried to file this item: the look-up can be spared.
    First,
    /// Somebody may have: the mailbox is asked first whether it has the message, by its [`Identity`].
    Again,
}

/// A copy that is in the mailbox now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filed {
    /// The mailbox's own id of the message.
    pub message: String,
    /// Put there now, or found there.
    pub result: FilingResult,
}

/// A complete copy that a lookup found in the archive folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCopy {
    /// The mailbox's own id of the message.
    pub message: String,
    /// Whether the copy should have the configured message class and does not have it, so that a search for the class does
    /// not find it. Always false for a mail system without message classes.
    pub lacks_message_class: bool,
}

/// Why a copy is not in the mailbox. No variant's text holds personal data, content or a secret.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MailboxError {
    /// The mail system is unreachable, throttles or fails. Try again, not before `retry_after` where that is known.
    #[error("the mail system cannot be used now: {detail}")]
    Unavailable {
        /// What it answered.
        detail: String,
        /// How long it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// Our own set-up is wrong: a secret, a permission, a host name. Nothing is the item's fault; it waits until an
    /// operator has mended it.
    #[error("the mail system refuses us: {detail}")]
    Setup {
        /// What it answered, and what to look at.
        detail: String,
    },
    /// This mailbox will never take this message: the mail system said so with a code that is documented to mean that.
    #[error("the mailbox refused the message: {detail}")]
    Rejected {
        /// What it answered.
        detail: String,
    },
    /// The mailbox has no room.
    #[error("the mailbox is full")]
    Full,
    /// The mail system answered with an error that is on no list of documented permanent or transient errors. Retry with
    /// growing waits, a bounded number of times; then it is permanent, and `detail` goes into the dead letter.
    #[error("the mail system answered with an unrecognized error: {detail}")]
    Unrecognized {
        /// The code and the status; never free text of the mail system.
        detail: String,
        /// Do not retry earlier, where that is known.
        retry_after: Option<Duration>,
    },
    /// The account had a mailbox when it was looked up, and now the mail system says that it has none. Believe it only when
    /// it is repeated over the time that moving or provisioning a mailbox takes.
    #[error("the mail system has no mailbox for the account: {detail}")]
    NoMailbox {
        /// What it answered.
        detail: String,
    },
    /// The mail system rejected the lookup of this one address. It says nothing about other addresses.
    #[error("the mail system rejected the lookup of the address: {detail}")]
    LookupRejected {
        /// What it answered, and what to check.
        detail: String,
    },
}

impl MailboxError {
    /// How long a message may take to appear whose answer was lost, if nobody says otherwise.
    pub const SETTLES: Duration = Duration::from_secs(60);

    /// The answer to a filing was lost, and a look shows no copy: one may still come. Before anybody tries again, that has
    /// to be over, and then whoever tries looks first.
    pub(crate) fn late(detail: impl Into<String>, settles: Duration) -> Self {
        Self::Unavailable {
            detail: format!("{}; whether the copy is there will be seen", detail.into()),
            retry_after: Some(settles),
        }
    }
}

impl From<NoCertificates> for MailboxError {
    fn from(error: NoCertificates) -> Self {
        Self::Setup { detail: error.to_string() }
    }
}

impl From<ReadError> for MailboxError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(detail) => Self::Unavailable { detail, retry_after: None },
            ReadError::Refused(detail) => Self::Setup { detail },
            ReadError::Malformed(detail) => Self::Rejected { detail: detail.to_owned() },
        }
    }
}

/// A mail system.
#[async_trait]
pub trait Mailboxes: Send + Sync {
    /// The mailbox that an address belongs to; `None` where there is none that could hold mail.
    ///
    /// # Errors
    /// [`MailboxError::Unavailable`], [`MailboxError::Setup`], [`MailboxError::Unrecognized`] or
    /// [`MailboxError::LookupRejected`]: whether there is a mailbox is not known.
    async fn find(&self, address: &MailboxAddress) -> Result<Option<Mailbox>, MailboxError>;

    /// Puts one copy into the archive folder of the mailbox, which is made where it is missing. The copy is complete
    /// before anybody can see it, and there is only ever one: see [`Attempt`].
    ///
    /// # Errors
    /// [`MailboxError`]; after any of them a later call with [`Attempt::Again`] finishes the work.
    async fn file(&self, mailbox: &Mailbox, message: &Message, attempt: Attempt) -> Result<Filed, MailboxError>;

    /// Whether a complete copy lies in the archive folder of the mailbox, and the mailbox's own id of it. Only looks:
    /// nothing is made, moved or taken away. `None` also where there is no such folder, and where the mailbox's owner has
    /// moved the copy elsewhere.
    ///
    /// # Errors
    /// [`MailboxError`]: whether there is a copy is not known.
    async fn holds(&self, mailbox: &Mailbox, copy: &Identity<'_>) -> Result<Option<String>, MailboxError>;

    /// Lists every complete copy of an item in the archive folder of the mailbox. More than one is a duplicate. Changes
    /// nothing.
    ///
    /// # Errors
    /// [`MailboxError`]: the copies are not known.
    async fn copies(&self, mailbox: &Mailbox, copy: &Identity<'_>) -> Result<Vec<StoredCopy>, MailboxError> {
        let held = self.holds(mailbox, copy).await?;
        Ok(held.into_iter().map(|message| StoredCopy { message, lacks_message_class: false }).collect())
    }
}
