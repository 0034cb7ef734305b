//! Logs in to the server: the credentials and the SASL responses.

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::MailboxAddress;
use secrecy::{ExposeSecret, SecretString};

use super::error::{Failure, configuration};
use crate::{
    MailboxError,
    entra::{Application, Credentials, Token, Tokens},
};
use http_client::{Http, RetryBudget};

/// An account that may open every mailbox.
#[derive(Debug, Clone)]
pub struct ImapAccount {
    /// The user name. `Debug` shows it, because the account does not belong to a person.
    pub username: String,
    /// The password.
    pub password: SecretString,
    /// `None`: the mailbox is sent as the authorization identity of SASL PLAIN, which Cyrus, Dovecot and others
    /// support. Otherwise the sent user name consists of the mailbox, this character and the account's name (Dovecot's
    /// `auth_master_user_separator`).
    pub separator: Option<char>,
}

/// The source of the account.
#[async_trait]
pub trait ImapAccounts: Send + Sync {
    /// Returns the current account.
    ///
    /// # Errors
    /// [`MailboxError::Unavailable`] or [`MailboxError::Configuration`].
    async fn get(&self) -> Result<ImapAccount, MailboxError>;
}

/// The credentials of a login.
pub enum ImapLogin {
    /// Exchange Online: an application in Entra, with XOAUTH2.
    Entra(Application, Arc<dyn Credentials>),
    /// Any other server: an account that may open every mailbox, with PLAIN.
    Account(Arc<dyn ImapAccounts>),
}

/// An [`ImapLogin`] with its cached token or account.
pub(super) enum Login {
    Entra { tokens: Box<Tokens>, http: Http },
    Account { accounts: Arc<dyn ImapAccounts>, current: tokio::sync::Mutex<Option<ImapAccount>> },
}

/// An account, and the domains in which its login is known to open the mailbox that it names.
pub(super) struct CheckedLogin {
    pub(super) account: ImapAccount,
    pub(super) domains: HashSet<String>,
}

/// The response to AUTHENTICATE for one mailbox.
pub(super) struct SaslResponse {
    pub(super) mechanism: &'static str,
    /// In base64.
    pub(super) response: SecretString,
    credential: Credential,
}

enum Credential {
    Token(Token),
    Account(ImapAccount),
}

impl Login {
    /// Returns the SASL response for a mailbox.
    pub(super) async fn sasl_response(
        &self,
        mailbox: &MailboxAddress,
        budget: &mut RetryBudget,
    ) -> Result<SaslResponse, Failure> {
        match self {
            Self::Entra { tokens, http } => with_token(mailbox, tokens.get(http, None, budget).await?),
            Self::Account { accounts, current } => {
                let mut current = current.lock().await;
                let account = match &*current {
                    Some(account) => account.clone(),
                    None => current.insert(accounts.get().await?).clone(),
                };
                account.sasl_response(mailbox)
            }
        }
    }

    /// Returns the account that logs in; `None` for an application in Entra, and before the first login.
    pub(super) async fn account(&self) -> Option<ImapAccount> {
        match self {
            Self::Entra { .. } => None,
            Self::Account { current, .. } => current.lock().await.clone(),
        }
    }

    /// Returns another response after the server has rejected one: the token may have been revoked, the secret rotated.
    /// `None` if the secret is unchanged.
    pub(super) async fn another(
        &self,
        mailbox: &MailboxAddress,
        refused: &SaslResponse,
        budget: &mut RetryBudget,
    ) -> Result<Option<SaslResponse>, Failure> {
        match (self, &refused.credential) {
            (Self::Entra { tokens, http }, Credential::Token(token)) => {
                with_token(mailbox, tokens.get(http, Some(token), budget).await?).map(Some)
            }
            (Self::Account { accounts, current }, Credential::Account(refused)) => {
                let mut current = current.lock().await;
                let other = match &*current {
                    Some(account) if !account.is(refused) => account.clone(),
                    _ => current.insert(accounts.get().await?).clone(),
                };
                if other.is(refused) { Ok(None) } else { other.sasl_response(mailbox).map(Some) }
            }
            (Self::Entra { .. }, Credential::Account(_)) | (Self::Account { .. }, Credential::Token(_)) => Ok(None),
        }
    }
}

fn with_token(mailbox: &MailboxAddress, token: Token) -> Result<SaslResponse, Failure> {
    let bearer = token
        .header
        .to_str()
        .map_err(|_| configuration("invalid token: it contains characters that cannot be sent"))?;
    let response = STANDARD.encode(format!("user={mailbox}\u{1}auth={bearer}\u{1}\u{1}")).into();
    Ok(SaslResponse { mechanism: "XOAUTH2", response, credential: Credential::Token(token) })
}

impl ImapAccount {
    pub(super) fn is(&self, other: &Self) -> bool {
        self.username == other.username
            && self.separator == other.separator
            && self.password.expose_secret() == other.password.expose_secret()
    }

    fn sasl_response(self, mailbox: &MailboxAddress) -> Result<SaslResponse, Failure> {
        Ok(SaslResponse { mechanism: "PLAIN", response: self.plain(mailbox)?, credential: Credential::Account(self) })
    }

    fn plain(&self, mailbox: &MailboxAddress) -> Result<SecretString, Failure> {
        let password = self.password.expose_secret();
        if self.username.is_empty() || self.username.contains('\0') || password.contains('\0') {
            return Err(configuration(
                "invalid secret: the user name is empty, or the user name or the password contains a NUL",
            ));
        }
        let plain = match self.separator {
            None => format!("{mailbox}\0{}\0{password}", self.username),
            Some(separator) => format!("\0{mailbox}{separator}{}\0{password}", self.username),
        };
        Ok(STANDARD.encode(plain).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sasl_response_names_the_mailbox_in_either_way() {
        let account = |separator| ImapAccount {
            username: "archiver".to_owned(),
            password: "pass word".to_owned().into(),
            separator,
        };
        let plain = |account: &ImapAccount| {
            let response = account.plain(&"ada@example.com".parse().unwrap()).unwrap();
            String::from_utf8(STANDARD.decode(response.expose_secret()).unwrap()).unwrap()
        };
        assert_eq!(plain(&account(None)), "ada@example.com\0archiver\0pass word");
        assert_eq!(plain(&account(Some('*'))), "\0ada@example.com*archiver\0pass word");
        assert!(!format!("{:?}", account(None)).contains("pass word"));
    }
}
