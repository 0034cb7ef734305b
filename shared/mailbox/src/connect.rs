//! Connects to the configured mail system, for the import function and for the operator's command.

use std::sync::Arc;

use aws::secrets::Secrets;

use crate::{
    MailboxError, Mailboxes, SecretCredentials,
    graph::{ConfigError, Graph},
    imap::{Imap, ImapConfigError, ImapLogin},
    maildir::Maildir,
    settings::{GraphSettings, ImapSettings, MailboxSettings, MaildirSettings},
};

/// Invalid settings of the mail system: a configuration error.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Microsoft 365.
    #[error("invalid GRAPH_… variables or MAIL_FOLDER: {0}")]
    Graph(#[from] ConfigError),
    /// A mail server.
    #[error("invalid IMAP_… variables or MAIL_FOLDER: {0}")]
    Imap(#[from] ImapConfigError),
    /// Maildir.
    #[error("invalid MAILDIR or MAIL_FOLDER: {0}")]
    Maildir(#[from] MailboxError),
}

impl MailboxSettings {
    /// Creates the adapter. Sends no request: the secret is read when it is first needed.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn connect(self, secrets: Secrets) -> Result<Arc<dyn Mailboxes>, ConnectError> {
        Ok(match self {
            Self::Graph(settings) => Arc::new(settings.connect(secrets)?),
            Self::Imap(settings) => Arc::new(settings.connect(secrets)?),
            Self::Maildir(settings) => Arc::new(settings.connect()?),
        })
    }
}

impl GraphSettings {
    /// Creates the Graph adapter; see [`MailboxSettings::connect`].
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn connect(self, secrets: Secrets) -> Result<Graph, ConfigError> {
        Graph::new(self.config, Arc::new(SecretCredentials::new(secrets, self.secret_id)))
    }
}

impl ImapSettings {
    /// Creates the IMAP adapter; see [`MailboxSettings::connect`].
    ///
    /// # Errors
    /// [`ImapConfigError`].
    pub fn connect(self, secrets: Secrets) -> Result<Imap, ImapConfigError> {
        let secret = Arc::new(SecretCredentials::new(secrets, self.secret_id));
        let login = match self.application {
            Some(application) => ImapLogin::Entra(application, secret),
            None => ImapLogin::Account(secret),
        };
        Imap::new(self.config, login)
    }
}

impl MaildirSettings {
    /// Creates the Maildir adapter; see [`MailboxSettings::connect`].
    ///
    /// # Errors
    /// [`MailboxError::Configuration`].
    pub fn connect(&self) -> Result<Maildir, MailboxError> {
        Maildir::new(&self.root, &self.folder)
    }
}
