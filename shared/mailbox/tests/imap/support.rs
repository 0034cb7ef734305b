//! Servers, adapters and messages for the tests.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use dovecot::{Client, Copy, Dovecot, MASTER, MASTER_PASSWORD, Options};
use imap_servers::{Courier, CourierOptions, Cyrus, CyrusOptions};
use mailbox::{
    Attempt, Filed, Mailbox, MailboxError, Mailboxes, Message,
    imap::{Imap, ImapAccount, ImapAccounts, ImapConfig, ImapLogin},
};

/// The user whose mailbox most tests use.
pub(crate) const ADA: &str = "ada@example.com";
/// Another user of the same server.
pub(crate) const BOB: &str = "bob@example.com";
/// An address without a mailbox, in a domain of the server.
pub(crate) const WITHOUT_MAILBOX: &str = "absent@example.com";
/// The archive folder.
pub(crate) const FOLDER: &str = "WhatsApp Archiver";

/// A secret store that counts the requests.
pub(crate) struct SecretStore {
    pub(crate) account: Mutex<ImapAccount>,
    pub(crate) requests: Mutex<usize>,
}

impl SecretStore {
    pub(crate) fn with(password: &str, separator: Option<char>) -> Arc<Self> {
        let account = ImapAccount { username: MASTER.to_owned(), password: password.to_owned().into(), separator };
        Arc::new(Self { account: Mutex::new(account), requests: Mutex::new(0) })
    }
}

#[async_trait]
impl ImapAccounts for SecretStore {
    async fn get(&self) -> Result<ImapAccount, MailboxError> {
        *self.requests.lock().unwrap() += 1;
        Ok(self.account.lock().unwrap().clone())
    }
}

/// Returns a server with the mailboxes of Ada and Bob.
pub(crate) fn server() -> Dovecot {
    server_with(Options::default())
}

pub(crate) fn server_with(options: Options) -> Dovecot {
    Dovecot::start(&Options { users: vec![ADA.to_owned(), BOB.to_owned()], ..options }).unwrap()
}

/// A server of any kind with the mailboxes of Ada and Bob.
pub(crate) enum AnyServer {
    Dovecot(Dovecot),
    Cyrus(Cyrus),
    Courier(Courier),
}

impl AnyServer {
    /// Starts one server of each kind. `quota_kib` is the quota of each mailbox.
    pub(crate) fn each(quota_kib: Option<u64>) -> [Self; 3] {
        let users = vec![ADA.to_owned(), BOB.to_owned()];
        let quota = quota_kib.map(|kib| kib * 1024);
        [
            Self::Dovecot(server_with(Options { quota, ..Options::default() })),
            Self::Cyrus(Cyrus::start(&CyrusOptions { users: users.clone(), quota_kib }).unwrap()),
            Self::Courier(Courier::start(&CourierOptions { users, quota }).unwrap()),
        ]
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Dovecot(_) => "Dovecot",
            Self::Cyrus(_) => "Cyrus",
            Self::Courier(_) => "Courier",
        }
    }

    pub(crate) fn host(&self) -> String {
        match self {
            Self::Dovecot(server) => server.host(),
            Self::Cyrus(server) => server.host(),
            Self::Courier(server) => server.host(),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Dovecot(server) => server.port(),
            Self::Cyrus(server) => server.port(),
            Self::Courier(server) => server.port(),
        }
    }

    pub(crate) fn copies(&self) -> Vec<Copy> {
        match self {
            Self::Dovecot(server) => server.copies(ADA, FOLDER),
            Self::Cyrus(server) => server.copies(ADA, FOLDER),
            Self::Courier(server) => server.copies(ADA, FOLDER),
        }
        .unwrap()
    }

    /// Returns a connection of Ada's.
    pub(crate) fn client(&self) -> Client {
        match self {
            Self::Dovecot(server) => server.client(ADA),
            Self::Cyrus(server) => server.client(ADA),
            Self::Courier(server) => server.client(ADA),
        }
        .unwrap()
    }

    pub(crate) fn imap(&self) -> Imap {
        self.imap_with(|_| {})
    }

    pub(crate) fn imap_with(&self, change: impl FnOnce(&mut ImapConfig)) -> Imap {
        let mut config = config(&self.host());
        change(&mut config);
        imap_with(config, self.secrets())
    }

    /// Returns the account that opens every mailbox. Courier ignores the authorization identity.
    pub(crate) fn secrets(&self) -> Arc<SecretStore> {
        SecretStore::with(MASTER_PASSWORD, matches!(self, Self::Courier(_)).then_some('*'))
    }
}

pub(crate) fn config(host: &str) -> ImapConfig {
    let mut config = ImapConfig::new(host.parse().unwrap(), vec!["example.com".to_owned()]);
    config.negative_ttl = Duration::ZERO;
    config
}

pub(crate) fn imap_with(config: ImapConfig, secrets: Arc<SecretStore>) -> Imap {
    imap_by(config, ImapLogin::Account(secrets))
}

pub(crate) fn imap_by(config: ImapConfig, login: ImapLogin) -> Imap {
    // Another test may have installed it.
    drop(rustls::crypto::ring::default_provider().install_default());
    Imap::new(config, login).unwrap()
}

pub(crate) fn imap(server: &Dovecot) -> Imap {
    imap_with(config(&server.host()), SecretStore::with(MASTER_PASSWORD, None))
}

pub(crate) async fn mailbox(imap: &Imap, address: &str) -> Mailbox {
    imap.find(&address.parse().unwrap()).await.unwrap().unwrap()
}

/// Returns Ada's mailbox without a request to the server.
pub(crate) fn ada_mailbox() -> Mailbox {
    Mailbox { id: ADA.to_owned(), address: ADA.parse().unwrap(), primary: ADA.parse().unwrap() }
}

pub(crate) async fn file(imap: &Imap, message: &Message, attempt: Attempt) -> Result<Filed, MailboxError> {
    imap.file(&ada_mailbox(), message, attempt).await
}

/// Returns a message with every kind of byte that a rendered message may have, and with this many further bytes.
pub(crate) fn message(item: &str, more: usize) -> Message {
    let message_id = format!("<{item}@archive.example>");
    let mut mime = format!(
        "Date: Sun, 1 Nov 2026 08:00:00 +0100\r\nFrom: S. Jensen <4520123456@whatsapp.invalid>\r\n\
         To: Ada <ada@example.com>\r\nSubject: =?utf-8?q?Caf=C3=A9?=\r\nMessage-ID: {message_id}\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         .\r\n..\r\nFrom here\r\n\tcaf\u{e9} \u{1f600}\r\nA1 OK {{3}}\r\n\r\n"
    )
    .into_bytes();
    let end = mime.len() + more;
    while mime.len() < end {
        let line = 76.min(end - mime.len());
        mime.extend(std::iter::repeat_n(b'x', line.saturating_sub(2)));
        mime.extend_from_slice(b"\r\n");
    }
    Message { item: item.parse().unwrap(), message_id, mime: mime.into() }
}

/// Asserts that Ada has exactly one copy: the message with the flag \Seen and its own date.
pub(crate) fn assert_one_copy(server: &Dovecot, message: &Message) -> Copy {
    let copies = server.copies(ADA, FOLDER).unwrap();
    assert_eq!(copies.len(), 1, "Ada's copies");
    assert!(copies[0].bytes == message.mime.in_memory()[..], "the copy differs from the message");
    assert!(copies[0].flags.contains("\\Seen"));
    assert_eq!(copies[0].date, "01-Nov-2026 07:00:00 +0000");
    copies[0].clone()
}

pub(crate) fn setup(error: &MailboxError) -> &str {
    match error {
        MailboxError::Configuration { detail } => detail,
        other => panic!("not a configuration error: {other:?}"),
    }
}

pub(crate) fn unavailable(error: &MailboxError) -> &str {
    match error {
        MailboxError::Unavailable { detail, .. } => detail,
        other => panic!("not unavailable: {other:?}"),
    }
}

pub(crate) fn unrecognized(error: &MailboxError) -> &str {
    match error {
        MailboxError::Unrecognized { detail, .. } => detail,
        other => panic!("not an unrecognized error: {other:?}"),
    }
}

/// Asserts that the outcome is unknown: the retry waits until a copy would have appeared.
pub(crate) fn assert_outcome_unknown(error: &MailboxError) {
    assert_eq!(error.settle_time(), MailboxError::SETTLE_TIME, "{error:?}");
}

/// Asserts that the message was not sent.
pub(crate) fn assert_not_sent(error: &MailboxError) {
    assert!(matches!(error, MailboxError::Unavailable { retry_after: None, .. }), "{error:?}");
}
