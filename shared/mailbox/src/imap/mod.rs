//! The adapter for mail servers with IMAP: Exchange Online, Dovecot, Cyrus, Courier and others.
//!
//! A message is appended unchanged, with the flag \Seen and its own date. IMAP has no directory, so a mailbox is found by
//! opening it. `DESIGN.md` lists the cases in which an address has no mailbox.

mod client;
mod config;
mod connections;
mod error;
mod folder;
mod host;
mod login;
mod login_check;
mod lookup;
mod permission_check;
mod response;
mod session;
mod wire;
mod wording;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use model::{FilingResult, MailboxAddress};
use runtime::metrics::Metric;
use rustls::ClientConfig;
use rustls_platform_verifier::ConfigVerifierExt;

use self::{
    connections::{Connections, Idle},
    error::{Failure, Meaning, configuration},
    login::{CheckedLogin, Login},
    session::{Opened, Session, Uid},
};
use super::{
    Attempt, Filed, Identity, Mailbox, MailboxError, Mailboxes, Message, StoredCopy, recipient_cache::RecipientCache,
};
use http_client::{Http, RetryBudget};

pub use config::{ImapConfig, ImapConfigError};
pub use host::{ImapHost, ImapHostError};
pub use login::{ImapAccount, ImapAccounts, ImapLogin};

/// Maximum number of copies of an item that are counted.
const COPIES_MAX: usize = 1000;

/// Recorded as the id of a stored message if the server does not support UIDPLUS.
const UNKNOWN_UID: &str = "unknown";

/// A mail server as a mail system.
pub struct Imap {
    config: ImapConfig,
    tls: Arc<ClientConfig>,
    login: Login,
    connections: Connections,
    recipient_cache: RecipientCache,
    checked_login: tokio::sync::Mutex<Option<CheckedLogin>>,
}

impl Imap {
    /// Creates the adapter. Opens no connection yet. The process must have installed rustls' default provider. The
    /// system's certificates are trusted, as in every other TLS connection of the product (`SSL_CERT_FILE` names
    /// another list).
    ///
    /// # Errors
    /// [`ImapConfigError`].
    pub fn new(config: ImapConfig, login: ImapLogin) -> Result<Self, ImapConfigError> {
        let hostile = |char: char| char.is_control() || matches!(char, '/' | '*' | '%');
        let folder = config.folder.trim().to_owned();
        if folder.is_empty() || folder.chars().count() > 255 || folder.contains(hostile) {
            return Err(ImapConfigError::Folder);
        }
        if config.domains.is_empty() {
            return Err(ImapConfigError::Domains);
        }
        // Without a provider rustls would panic.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(ImapConfigError::Tls);
        }
        let tls = ClientConfig::with_platform_verifier().map_err(|_| ImapConfigError::Tls)?;
        let login = match login {
            ImapLogin::Entra(application, credentials) => {
                let (_, scope) = application.cloud.exchange();
                let http = Http::new().map_err(|_| ImapConfigError::Tls)?;
                Login::Entra { tokens: Box::new(application.tokens(scope.to_owned(), credentials)?), http }
            }
            ImapLogin::Account(accounts) => Login::Account { accounts, current: tokio::sync::Mutex::default() },
        };
        let recipient_cache = RecipientCache::new(config.negative_ttl);
        Ok(Self {
            config: ImapConfig { folder, ..config },
            tls: Arc::new(tls),
            login,
            connections: Connections::default(),
            recipient_cache,
            checked_login: tokio::sync::Mutex::default(),
        })
    }

    async fn log_in(&self, address: &MailboxAddress) -> Result<Opened, Failure> {
        Session::open(&self.config, &self.tls, &self.login, address, &mut self.retry_budget()).await
    }

    fn retry_budget(&self) -> RetryBudget {
        RetryBudget::new(self.config.retry_budget, Duration::from_millis(500))
    }

    async fn find_mailbox(&self, address: &MailboxAddress) -> Result<Option<Mailbox>, Failure> {
        let domain = address.as_str().rsplit('@').next().unwrap_or_default();
        if !self.config.domains.iter().any(|ours| ours == domain) {
            return Ok(None);
        }
        if let Some(cached) = self.recipient_cache.get(address) {
            return Ok(cached.mailbox());
        }
        let opened = match self.open(address).await {
            Err(failure) if failure.means(Meaning::LoginRejected) => self.confirm_rejection(address, failure).await?,
            result => self.confirm_absence(address, result?).await?,
        };
        let mailbox = match opened {
            Opened::Session(mut session) => {
                let id = session.mailbox_id().await?.unwrap_or_else(|| address.as_str().to_owned());
                // The connection is kept for the copy that is filed next.
                if let Ok(mut idle) = self.connections.of(&id).try_lock() {
                    *idle = Some(Idle::new(session));
                }
                Some(Mailbox { id, address: address.clone(), primary: address.clone() })
            }
            Opened::NoMailbox => None,
        };
        self.recipient_cache.put(address, mailbox.clone().into());
        Ok(mailbox)
    }

    /// Confirms a rejected login. The address has no mailbox only if the same secret opens the probe mailbox at the
    /// same moment, and the login is rejected again afterwards, because a directory with occasional failures also
    /// rejects logins.
    async fn confirm_rejection(&self, address: &MailboxAddress, failure: Failure) -> Result<Opened, Failure> {
        let Some(probe) = self.config.probe.as_ref().filter(|probe| *probe != address) else { return Err(failure) };
        match self.open(probe).await {
            Ok(Opened::Session(_)) => {}
            Err(failure) if !failure.means(Meaning::LoginRejected) => return Err(failure),
            Ok(Opened::NoMailbox) | Err(_) => {
                return Err(configuration(
                    "the server opens neither the mailbox nor the probe mailbox: check the secret, and the mailboxes that it may open",
                ));
            }
        }
        match self.open(address).await {
            Err(failure) if failure.means(Meaning::LoginRejected) => Ok(Opened::NoMailbox),
            result => result,
        }
    }

    /// Confirms that a user who can log in has no mailbox. If a probe mailbox is configured, it must exist: a server
    /// that has lost its list of mailboxes reports the same for every user.
    async fn confirm_absence(&self, address: &MailboxAddress, opened: Opened) -> Result<Opened, Failure> {
        let Some(probe) = self.config.probe.as_ref().filter(|_| matches!(opened, Opened::NoMailbox)) else {
            return Ok(opened);
        };
        let probed = if probe == address { Opened::NoMailbox } else { self.open(probe).await? };
        match probed {
            Opened::Session(_) => Ok(opened),
            Opened::NoMailbox => Err(configuration(
                "the server reports that the probe mailbox does not exist: check IMAP_PROBE_MAILBOX and the server",
            )),
        }
    }

    /// Runs an operation on the connection of a mailbox, and keeps the connection after a success.
    async fn with_session<T>(
        &self,
        mailbox: &Mailbox,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let slot = self.connections.of(&mailbox.id);
        let mut idle = slot.lock().await;
        let awake = match idle.take() {
            Some(idle) => idle.wake().await,
            None => None,
        };
        let mut session = match awake {
            Some(session) => session,
            None => match self.open(&mailbox.address).await? {
                Opened::Session(session) => session,
                Opened::NoMailbox => {
                    let detail = "the login succeeded and the server reports that the user has no folders".to_owned();
                    return Err(MailboxError::NoMailbox { detail }.into());
                }
            },
        };
        let result = work(&mut session).await;
        // After a failure the state of the connection is unknown, so the next operation opens a new one.
        if result.is_ok() {
            *idle = Some(Idle::new(session));
        }
        result
    }

    async fn file_message(&self, mailbox: &Mailbox, message: &Message, attempt: Attempt) -> Result<Filed, Failure> {
        let date = message::read::date::of(message.mime.in_memory()).map_err(MailboxError::from)?;
        let copy = message.identity();
        self.with_session(mailbox, async |session| {
            if attempt == Attempt::Retry
                && let Some(uid) = session.find_copy(&copy, Some(date)).await?
            {
                return Ok(Filed { message: uid.to_string(), result: FilingResult::Skipped });
            }
            if !session.has_folder {
                session.make_folder().await?;
            }
            let appended = match session.append(&message.mime, date).await {
                // The mailbox's owner has deleted the folder since the last LIST.
                Err(failure) if failure.means(Meaning::NoFolder) => {
                    session.make_folder().await?;
                    session.append(&message.mime, date).await
                }
                result => result,
            };
            // The tagged OK proves that the message is stored. A lookup of the UID could only turn that into a failure.
            let message = appended?.map_or_else(|| UNKNOWN_UID.to_owned(), |uid| uid.to_string());
            Ok(Filed { message, result: FilingResult::Imported })
        })
        .await
    }

    /// Converts to the error of the port, and counts throttled requests.
    fn error(&self, failure: Failure) -> MailboxError {
        if let Failure::Refused(refusal) = &failure
            && refusal.is_throttled()
        {
            runtime::metrics::add(Metric::MailboxThrottles, 1);
        }
        failure.into_error(self.config.settle_time)
    }
}

impl fmt::Debug for Imap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imap").finish_non_exhaustive()
    }
}

#[async_trait]
impl Mailboxes for Imap {
    async fn find(&self, address: &MailboxAddress) -> Result<Option<Mailbox>, MailboxError> {
        self.find_mailbox(address).await.map_err(|failure| self.error(failure))
    }

    fn negative_ttl(&self) -> Duration {
        self.recipient_cache.negative_ttl()
    }

    async fn file(&self, mailbox: &Mailbox, message: &Message, attempt: Attempt) -> Result<Filed, MailboxError> {
        self.file_message(mailbox, message, attempt).await.map_err(|failure| self.error(failure))
    }

    /// Does nothing: a message is appended with one command, so there are no incomplete messages.
    async fn remove_incomplete(&self, _: &Mailbox, _: &Message) -> Result<(), MailboxError> {
        Ok(())
    }

    async fn holds(&self, mailbox: &Mailbox, copy: &Identity<'_>) -> Result<Option<String>, MailboxError> {
        let held = self.with_session(mailbox, async |session| session.find_copy(copy, None).await).await;
        Ok(held.map_err(|failure| self.error(failure))?.map(|uid| uid.to_string()))
    }

    async fn copies(&self, mailbox: &Mailbox, copy: &Identity<'_>) -> Result<Vec<StoredCopy>, MailboxError> {
        let all = async |session: &mut Session| session.find_copies(copy, None, COPIES_MAX).await;
        let copies = self.with_session(mailbox, all).await.map_err(|failure| self.error(failure))?;
        let copy = |uid: Uid| StoredCopy { message: uid.to_string(), lacks_message_class: false };
        Ok(copies.into_iter().map(copy).collect())
    }
}
