//! Checks that an account's login opens the mailbox that it names.
//!
//! Some servers ignore the name: Courier and nginx's mail proxy skip the authorization identity of SASL PLAIN. The login
//! succeeds as the account itself, and every copy would be filed in one mailbox. IMAP has no command that returns whose
//! mailbox is open, so the account logs in for an address that has no mailbox. See `DESIGN.md`.

use std::collections::HashSet;

use model::{MailboxAddress, Sha256};

use super::{
    Imap,
    client::Client,
    error::{Failure, Meaning, configuration},
    login::{CheckedLogin, Login},
    session::{Opened, Session},
};
use crate::MailboxError;

/// Begin of the local part of the address without a mailbox.
const LOCAL_PART: &str = "no-such-mailbox-";

impl Imap {
    /// Opens a mailbox. Before the first mailbox of an account is used, checks that the login distinguishes addresses.
    pub(super) async fn open(&self, address: &MailboxAddress) -> Result<Opened, Failure> {
        let opened = self.log_in(address).await?;
        if matches!(opened, Opened::Session(_)) {
            self.check_login(address).await?;
        }
        Ok(opened)
    }

    /// Checks once for each account and domain that the server opens no mailbox for an address without one.
    /// `open_address` is an address whose mailbox the account has just opened.
    async fn check_login(&self, open_address: &MailboxAddress) -> Result<(), Failure> {
        let Some(account) = self.login.account().await else { return Ok(()) };
        let domain = open_address.as_str().rsplit('@').next().unwrap_or_default();
        // Others wait for the result.
        let mut checked = self.checked_login.lock().await;
        let CheckedLogin { domains, .. } = match &mut *checked {
            Some(checked) if checked.account.is(&account) => checked,
            other => other.insert(CheckedLogin { account, domains: HashSet::new() }),
        };
        if domains.contains(domain) {
            return Ok(());
        }
        let absent = absent_address(domain)?;
        if let Some(failure) = self.rejection(&absent).await? {
            // The server may have failed. The same pattern a second time shows that it distinguishes the addresses.
            if matches!(self.log_in(open_address).await?, Opened::NoMailbox) {
                return Err(failure);
            }
            self.rejection(&absent).await?;
        }
        domains.insert(domain.to_owned());
        Ok(())
    }

    /// Checks that an account's login opens no mailbox for an address without one. Does not prove that the login opens
    /// other mailboxes. An application of Entra has no mailbox of its own, so its login is not checked.
    ///
    /// # Errors
    /// [`MailboxError::Configuration`]: the login opens a mailbox, or the configuration is wrong.
    /// [`MailboxError::Unavailable`].
    pub async fn check_absent_address(&self) -> Result<(), MailboxError> {
        let domain = self.config.domains.first().filter(|_| matches!(self.login, Login::Account { .. }));
        let Some(domain) = domain else { return Ok(()) };
        let check = async || self.rejection(&absent_address(domain)?).await;
        check().await.map(drop).map_err(|failure| failure.into_error(self.config.settle_time))
    }

    /// Logs in with the current account. A rejection is expected, so the secret is not fetched again after one.
    async fn log_in_once(&self, address: &MailboxAddress) -> Result<Opened, Failure> {
        let sasl_response = self.login.sasl_response(address, &mut self.retry_budget()).await?;
        let client = Client::login(&self.config, &self.tls, &sasl_response).await?;
        Session::begin(client, &self.config).await
    }

    /// Logs in for an address without a mailbox. `None`: the server rejects the login or reports that there is no mailbox.
    /// Otherwise returns a refusal that may also be a failure of the server.
    async fn rejection(&self, absent: &MailboxAddress) -> Result<Option<Failure>, Failure> {
        match self.log_in_once(absent).await {
            Ok(Opened::Session(_)) => Err(configuration(
                "the server opens a mailbox for an address that does not exist (no-such-mailbox-…): it ignores the \
                 mailbox that the login names, as Courier and nginx's mail proxy do, or it accepts every address. No copy \
                 is filed, because it could be in the wrong mailbox. Add the separator of the server's master users to \
                 the secret, or use a server that supports an authorization identity and rejects unknown users",
            )),
            Ok(Opened::NoMailbox) => Ok(None),
            Err(failure) if failure.means(Meaning::LoginRejected) => Ok(None),
            Err(Failure::Refused(refusal)) if !refusal.is_throttled() => Ok(Some(Failure::Refused(refusal))),
            Err(failure) => Err(failure),
        }
    }
}

/// Returns an address of a domain that has no mailbox. It is always the same, because a server that creates mailboxes at
/// the first login creates this one.
fn absent_address(domain: &str) -> Result<MailboxAddress, Failure> {
    let digest = Sha256::of(domain.as_bytes()).to_string();
    let address = format!("{LOCAL_PART}{}@{domain}", digest.get(..16).unwrap_or_default());
    address.parse().map_err(|_| configuration("IMAP_DOMAINS contains an invalid domain"))
}
