//! Any mail server, by IMAP: Exchange Online, Dovecot, Cyrus and others.
//!
//! A message is appended as it is, byte for byte, read and with its own date. IMAP has no directory, so a mailbox is
//! known by opening it: see [`ImapConfig::domains`] and [`ImapConfig::probe`] for what a refusal is taken for.

mod error;
mod folder;
mod granted;
mod host;
mod lanes;
mod login;
mod response;
mod session;
mod wire;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use item::{FilingResult, MailboxAddress};
use metrics::Metric;
use rustls::ClientConfig;
use rustls_platform_verifier::ConfigVerifierExt;

use self::{
    error::{Failure, Meaning, setup},
    lanes::{Idle, Lanes},
    login::Login,
    session::{Session, Uid},
};
use super::{
    Attempt, Filed, Identity, Mailbox, MailboxError, Mailboxes, Message, date, entra::ApplicationError, http::Http,
    known::Known, patience::Patience,
};

pub use host::{ImapHost, ImapHostError};
pub use login::{ImapAccount, ImapAccounts, ImapLogin};

/// How a server is used.
#[derive(Debug, Clone)]
pub struct ImapConfig {
    /// Where it is.
    pub host: ImapHost,
    /// The domains whose mailboxes are on it, in lower case. An address of another domain has no mailbox there, and the
    /// server is not asked.
    pub domains: Vec<String>,
    /// A mailbox that is there and ours to open. With it, an address that the server does not let us into has no
    /// mailbox, if it lets us into this one at the same moment. Without it, or where that fails too, the set-up is
    /// taken to be wrong and the item waits.
    pub probe: Option<MailboxAddress>,
    /// The archive folder's name.
    pub folder: String,
    /// How long the server has for the answer to a command.
    pub answer_time: Duration,
    /// How long one call of the port waits in all for a token.
    pub longest_wait: Duration,
    /// How long it is remembered that an address has no mailbox.
    pub remember_nobody: Duration,
    /// How long a message may take to appear in the mailbox whose answer was lost.
    pub settles: Duration,
}

impl ImapConfig {
    /// The defaults: a minute for an answer, 20 seconds of waiting, the folder `WhatsApp Archiver`, no probe.
    pub fn new(host: ImapHost, domains: Vec<String>) -> Self {
        Self {
            host,
            domains,
            probe: None,
            folder: "WhatsApp Archiver".into(),
            answer_time: Duration::from_secs(60),
            longest_wait: Duration::from_secs(20),
            remember_nobody: Duration::from_secs(60),
            settles: MailboxError::SETTLES,
        }
    }
}

/// Why a server cannot be used with a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImapConfigError {
    /// The archive folder has no usable name.
    #[error("the mail folder's name has 1 to 255 characters, none of them a control character, a slash, * or %")]
    Folder,
    /// Nobody would ever have a mailbox.
    #[error("at least one domain has to have its mailboxes on the server")]
    Domains,
    /// The application in Entra is not named as it should be.
    #[error(transparent)]
    Application(#[from] ApplicationError),
    /// The process has no TLS to use.
    #[error("TLS cannot be set up: no provider is installed, or the system has no certificates")]
    Tls,
}

/// The mail server.
pub struct Imap {
    config: ImapConfig,
    tls: Arc<ClientConfig>,
    login: Login,
    lanes: Lanes,
    known: Known,
}

impl Imap {
    /// Connects to nobody yet. The process has to have installed rustls' default provider; who is trusted is what the
    /// system trusts, as with every other TLS connection of the product (`SSL_CERT_FILE` names another list).
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
        let known = Known::new(config.remember_nobody);
        Ok(Self { config: ImapConfig { folder, ..config }, tls: Arc::new(tls), login, lanes: Lanes::default(), known })
    }

    async fn open(&self, address: &MailboxAddress) -> Result<Session, Failure> {
        let mut patience = Patience::new(self.config.longest_wait, Duration::from_millis(500));
        Session::open(&self.config, &self.tls, &self.login, address, &mut patience).await
    }

    async fn find_mailbox(&self, address: &MailboxAddress) -> Result<Option<Mailbox>, Failure> {
        let domain = address.as_str().rsplit('@').next().unwrap_or_default();
        if !self.config.domains.iter().any(|ours| ours == domain) {
            return Ok(None);
        }
        if let Some(known) = self.known.get(address) {
            return Ok(known);
        }
        let mailbox = match self.open(address).await {
            Ok(session) => {
                // The copy that is filed next needs it.
                if let Ok(mut idle) = self.lanes.of(address.as_str()).try_lock() {
                    *idle = Some(Idle::new(session));
                }
                Some(Mailbox { id: address.as_str().to_owned(), address: address.clone() })
            }
            Err(failure) if failure.means(Meaning::NotLetIn) => {
                self.probe(address, failure).await?;
                None
            }
            Err(failure) => return Err(failure),
        };
        self.known.put(address, mailbox.clone());
        Ok(mailbox)
    }

    /// Whether it is the address that is wrong, since the server refused it: the same secret opens another mailbox.
    async fn probe(&self, refused: &MailboxAddress, failure: Failure) -> Result<(), Failure> {
        match &self.config.probe {
            Some(probe) if probe != refused => match self.open(probe).await {
                Ok(_) => Ok(()),
                Err(failure) if failure.means(Meaning::NotLetIn) => Err(setup(
                    "the server lets us neither into the mailbox nor into the probe mailbox: the secret is wrong, or \
                     what it may open has changed",
                )),
                Err(failure) => Err(failure),
            },
            _ => Err(failure),
        }
    }

    /// Works on a mailbox with its connection, which is kept if all went well.
    async fn with_session<T>(
        &self,
        mailbox: &Mailbox,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let lane = self.lanes.of(&mailbox.id);
        let mut idle = lane.lock().await;
        let awake = match idle.take() {
            Some(idle) => idle.wake().await,
            None => None,
        };
        let mut session = match awake {
            Some(session) => session,
            None => self.open(&mailbox.address).await?,
        };
        let result = work(&mut session).await;
        // After anything else nobody knows what the server says next, or whether it says anything: a new one costs less
        // than finding out.
        if result.is_ok() {
            *idle = Some(Idle::new(session));
        }
        result
    }

    async fn file_message(&self, mailbox: &Mailbox, message: &Message, attempt: Attempt) -> Result<Filed, Failure> {
        let date = date::of(message.mime.in_memory())?;
        let copy = message.identity();
        self.with_session(mailbox, async |session| {
            if attempt == Attempt::Again
                && let Some(uid) = session.find_copy(&copy).await?
            {
                return Ok(filed(uid, FilingResult::Skipped));
            }
            if !session.has_folder {
                session.make_folder().await?;
            }
            let appended = match session.append(&message.mime, date).await {
                // Its owner has deleted it since it was seen.
                Err(failure) if failure.means(Meaning::NoFolder) => {
                    session.make_folder().await?;
                    session.append(&message.mime, date).await
                }
                result => result,
            };
            let appended = appended.map_err(|failure| self.unless_late(failure))?;
            let uid = match appended {
                Some(uid) => uid,
                // A server that does not tell.
                None => session
                    .find_copy(&copy)
                    .await?
                    .ok_or(Failure::Lost("the server has taken the message and does not find it"))
                    .map_err(|failure| self.unless_late(failure))?,
            };
            Ok(filed(uid, FilingResult::Imported))
        })
        .await
    }
}

impl Imap {
    /// A message whose answer was lost may still come into the mailbox: it is looked for again when that is over.
    fn unless_late(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Lost(what) => MailboxError::late(what, self.config.settles).into(),
            failure => failure,
        }
    }
}

fn filed(uid: Uid, result: FilingResult) -> Filed {
    Filed { message: uid.to_string(), result }
}

/// Counts what the server throttled.
fn counted(failure: Failure) -> MailboxError {
    if let Failure::Refused(refusal) = &failure
        && refusal.is_throttled()
    {
        metrics::add(Metric::MailboxThrottles, 1);
    }
    failure.into()
}

impl fmt::Debug for Imap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imap").finish_non_exhaustive()
    }
}

#[async_trait]
impl Mailboxes for Imap {
    async fn find(&self, address: &MailboxAddress) -> Result<Option<Mailbox>, MailboxError> {
        self.find_mailbox(address).await.map_err(counted)
    }

    async fn file(&self, mailbox: &Mailbox, message: &Message, attempt: Attempt) -> Result<Filed, MailboxError> {
        self.file_message(mailbox, message, attempt).await.map_err(counted)
    }

    async fn holds(&self, mailbox: &Mailbox, copy: &Identity<'_>) -> Result<Option<String>, MailboxError> {
        let held = self.with_session(mailbox, async |session| session.find_copy(copy).await).await;
        Ok(held.map_err(counted)?.map(|uid| uid.to_string()))
    }
}
