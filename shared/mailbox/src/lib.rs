//! The mailbox port, which import uses, and its adapters for Microsoft Graph, IMAP and Maildir.

#![warn(missing_docs)]

mod connect;
mod credentials;
pub mod entra;
pub mod graph;
pub mod imap;
pub mod maildir;
mod recipient_cache;
mod response;
mod settings;

use std::time::Duration;

use async_trait::async_trait;
use http_client::NoCertificates;
use message::read::{CONTENT_HEADER, ITEM_HEADER, KIND_HEADER, Mime, ReadError, message_field};
use model::{FilingResult, ItemId, MailboxAddress, Sha256};

pub use connect::ConnectError;
pub use credentials::SecretCredentials;
pub use runtime::Clock;
pub use settings::{
    Domains, GraphSettings, ImapSettings, MailboxSettings, MaildirSettings, VARIABLES, retry_base, settle_time,
};

/// A mailbox that exists.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mailbox {
    /// The mail system's id of the mailbox. Two addresses of one mailbox have the same id.
    pub id: String,
    /// The address that was looked up.
    pub address: MailboxAddress,
    /// The mailbox's primary address; if the mail system does not report it, the address that was looked up.
    pub primary: MailboxAddress,
}

/// The result of a lookup of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailboxLookup {
    /// The address has this mailbox.
    Mailbox(Mailbox),
    /// An account has the address, and the mail system reports that the account has no mailbox. That is also the report
    /// while a mailbox is created or moved, so it is final only if it is repeated.
    AccountOnly,
    /// No account has the address, or more than one.
    Nothing,
}

impl MailboxLookup {
    /// Returns the mailbox.
    pub fn mailbox(self) -> Option<Mailbox> {
        match self {
            Self::Mailbox(mailbox) => Some(mailbox),
            Self::AccountOnly | Self::Nothing => None,
        }
    }
}

impl From<Option<Mailbox>> for MailboxLookup {
    fn from(mailbox: Option<Mailbox>) -> Self {
        mailbox.map_or(Self::Nothing, Self::Mailbox)
    }
}

/// Identifies the copy of an item. The Message-ID alone is not enough: the source may have captured one WhatsApp
/// message twice, once without its picture. Those are two items with the same Message-ID, and each has its own copy.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    /// The item's id.
    pub item: &'a ItemId,
    /// The Message-ID with its angle brackets.
    pub message_id: &'a str,
    /// The content digest in the message's header; `None` if it is unknown.
    pub content: Option<Sha256>,
    /// The kind in the message's header; `None` if it is unknown.
    pub kind: Option<&'a str>,
}

impl Identity<'_> {
    /// Returns whether a message with this header belongs to the item, whatever its Message-ID is; `None` if the header
    /// does not name its item, because an earlier release has filed it.
    pub(crate) fn is_named_by(&self, header: &CopyHeader) -> Option<bool> {
        header.item.as_ref().map(|item| item == self.item.key().as_str())
    }

    /// Returns whether a message with the same Message-ID and this header may be the copy.
    ///
    /// If the header does not name the item, the content digests are compared. If one of them is missing, the message
    /// counts as the copy, because a second copy could not be distinguished from the first. An upload has another
    /// digest each time, because its evidence contains the time of the upload, but its Message-ID is a hash of the
    /// item's own digits. Two files of one chat, one of them without the pictures, have that Message-ID, too: then the
    /// kinds differ.
    pub(crate) fn may_be_of(&self, header: &CopyHeader) -> bool {
        self.is_named_by(header).unwrap_or_else(|| {
            let same_content = self.content.is_none() || header.content.is_none() || self.content == header.content;
            same_content || (self.item.is_of_upload() && self.kind.is_some() && self.kind == header.kind.as_deref())
        })
    }
}

/// The fields of a stored copy's header that identify its item.
#[derive(Default)]
pub(crate) struct CopyHeader {
    item: Option<String>,
    content: Option<Sha256>,
    kind: Option<String>,
}

impl CopyHeader {
    /// Reads the fields; `field` returns the value of the field with a name.
    pub(crate) fn read<'a>(field: impl Fn(&str) -> Option<&'a str>) -> Self {
        let value = |name| field(name).map(str::trim);
        Self {
            item: value(ITEM_HEADER).map(str::to_owned),
            content: value(CONTENT_HEADER).and_then(|hex| hex.parse().ok()),
            kind: value(KIND_HEADER).map(str::to_owned),
        }
    }
}

/// A message to file.
#[derive(Clone)]
pub struct Message {
    /// The item's id.
    pub item: ItemId,
    /// The Message-ID with its angle brackets; the same for every mailbox and every attempt.
    pub message_id: String,
    /// The content of the message.
    pub mime: Mime,
}

impl Message {
    /// Identifies the copies of this message.
    pub fn identity(&self) -> Identity<'_> {
        let mime = self.mime.in_memory();
        let content = message_field(mime, CONTENT_HEADER).and_then(|hex| hex.parse().ok());
        Identity { item: &self.item, message_id: &self.message_id, content, kind: message_field(mime, KIND_HEADER) }
    }
}

/// Distinguishes the first attempt from later ones, before which a copy, or a part of one, may exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// No attempt was made before, so no lookup is needed.
    First,
    /// An attempt may have been made before, or the record of it may have been deleted by age: the message is looked up
    /// by its [`Identity`] before it is filed.
    Retry,
}

/// A copy that is in the mailbox now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filed {
    /// The mailbox's id of the message.
    pub message: String,
    /// Distinguishes a copy that was filed now from one that existed before.
    pub result: FilingResult,
}

/// A complete copy that a lookup found in the archive folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCopy {
    /// The mailbox's id of the message.
    pub message: String,
    /// `true` if the copy lacks the configured message class, so that a search for the class does not find it. Always
    /// false for a mail system without message classes.
    pub lacks_message_class: bool,
}

/// The error of a lookup or a filing. No text contains personal data, content or a secret.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MailboxError {
    /// Transient failure: the mail system is unreachable, throttles requests or fails.
    #[error("the mail system is unavailable: {detail}")]
    Unavailable {
        /// The code and the status.
        detail: String,
        /// The wait before a retry, if the mail system requests one.
        retry_after: Option<Duration>,
    },
    /// Configuration error: a secret, a permission or a host name is wrong. The item waits until an operator has fixed
    /// it.
    #[error("the mail system rejects the configuration: {detail}")]
    Configuration {
        /// The code and the status, and what to check.
        detail: String,
    },
    /// The mailbox rejects the message permanently, with a code that is documented to mean that.
    #[error("the mailbox rejected the message: {detail}")]
    Rejected {
        /// The code and the status.
        detail: String,
    },
    /// The mailbox has reached its quota.
    #[error("the mailbox is full")]
    Full,
    /// An error that is not in the lists of documented permanent and transient errors. It is retried with growing waits
    /// for a limited time; after that it is permanent, and `detail` goes into the dead letter.
    #[error("unrecognized error of the mail system: {detail}")]
    Unrecognized {
        /// The code and the status, without free text of the mail system.
        detail: String,
        /// The wait before a retry, if one is requested or required.
        retry_after: Option<Duration>,
    },
    /// The response to a filing was lost, and a lookup found no copy. The copy may still appear during the settle time, so
    /// no attempt begins before its end, whatever is decided about the item. The next attempt looks the copy up first.
    #[error("{error}; outcome unknown, the retry looks up the copy first")]
    OutcomeUnknown {
        /// The error that the filing ended with: [`MailboxError::Unavailable`] or [`MailboxError::Unrecognized`].
        error: Box<Self>,
        /// Time within which the copy may appear, or the wait that the mail system requests if it is longer.
        settle_time: Duration,
    },
    /// The lookup found a mailbox, and now the mail system reports that there is none. This is final only if it is
    /// repeated for longer than moving or provisioning a mailbox takes.
    #[error("the mail system has no mailbox for the account: {detail}")]
    NoMailbox {
        /// The code and the status.
        detail: String,
    },
    /// The mail system rejected the lookup of this address. Other addresses are not affected.
    #[error("the mail system rejected the lookup of the address: {detail}")]
    LookupRejected {
        /// The code and the status, and what to check.
        detail: String,
    },
}

impl MailboxError {
    /// Default of the maximum time after which a message appears if the response to its filing was lost.
    pub const SETTLE_TIME: Duration = Duration::from_secs(60);

    /// Returns the time within which a copy may still appear; zero unless the outcome is unknown.
    pub fn settle_time(&self) -> Duration {
        if let Self::OutcomeUnknown { settle_time, .. } = self { *settle_time } else { Duration::ZERO }
    }

    /// Returns the error that a filing ended with, without the unknown outcome.
    pub fn cause(&self) -> &Self {
        if let Self::OutcomeUnknown { error, .. } = self { error } else { self }
    }

    /// Returns the error of a filing whose response was lost; `self` is the error that the filing ended with.
    pub(crate) fn with_outcome_unknown(self, settle_time: Duration) -> Self {
        Self::OutcomeUnknown { error: Box::new(self), settle_time }
    }
}

impl From<NoCertificates> for MailboxError {
    fn from(error: NoCertificates) -> Self {
        Self::Configuration { detail: error.to_string() }
    }
}

impl From<ReadError> for MailboxError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(detail) => Self::Unavailable { detail, retry_after: None },
            ReadError::Configuration(detail) => Self::Configuration { detail },
            ReadError::Malformed(detail) => Self::Rejected { detail: detail.to_owned() },
        }
    }
}

/// A mail system.
#[async_trait]
pub trait Mailboxes: Send + Sync {
    /// Resolves an address to a mailbox; `None` if the address has no mailbox.
    ///
    /// # Errors
    /// [`MailboxError::Unavailable`], [`MailboxError::Configuration`], [`MailboxError::Unrecognized`] or
    /// [`MailboxError::LookupRejected`]: it is unknown whether the address has a mailbox.
    async fn find(&self, address: &MailboxAddress) -> Result<Option<Mailbox>, MailboxError>;

    /// Like [`find`](Self::find), and distinguishes an account without a mailbox from an address that no account has, if
    /// the mail system has a directory.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    async fn look_up(&self, address: &MailboxAddress) -> Result<MailboxLookup, MailboxError> {
        Ok(self.find(address).await?.into())
    }

    /// Returns the time for which [`find`](Self::find) may repeat "no mailbox" without a request to the mail system.
    fn negative_ttl(&self) -> Duration {
        Duration::ZERO
    }

    /// Files one copy in the archive folder of the mailbox, and creates the folder if it is missing. The copy becomes
    /// visible when it is complete. A retry creates no second copy: see [`Attempt`].
    ///
    /// # Errors
    /// [`MailboxError`]; after each of them a later call with [`Attempt::Retry`] completes the filing.
    async fn file(&self, mailbox: &Mailbox, message: &Message, attempt: Attempt) -> Result<Filed, MailboxError>;

    /// Removes incomplete messages that interrupted filings of the message have left in hidden places. Called when the
    /// item becomes a dead letter. Complete copies are kept.
    ///
    /// # Errors
    /// [`MailboxError`]: an incomplete message may be left.
    async fn remove_incomplete(&self, mailbox: &Mailbox, message: &Message) -> Result<(), MailboxError>;

    /// Returns the id of a complete copy in the archive folder of the mailbox. Changes nothing. `None` also if the
    /// folder does not exist, or the mailbox's owner has moved the copy to another folder.
    ///
    /// # Errors
    /// [`MailboxError`]: it is unknown whether there is a copy.
    async fn holds(&self, mailbox: &Mailbox, copy: &Identity<'_>) -> Result<Option<String>, MailboxError>;

    /// Lists the complete copies of an item in the archive folder of the mailbox. More than one is a duplicate. Changes
    /// nothing.
    ///
    /// # Errors
    /// [`MailboxError`]: the copies are unknown.
    async fn copies(&self, mailbox: &Mailbox, copy: &Identity<'_>) -> Result<Vec<StoredCopy>, MailboxError>;
}
