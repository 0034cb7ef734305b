//! Whose an address is.

use item::MailboxAddress;
use serde::Deserialize;

use super::{
    Graph,
    client::Request,
    error::Failure,
    odata::{literal, with_options},
};
use crate::mailbox::{Mailbox, patience::Patience};

const MEMBERS: (&str, &str) = ("$select", "id,userPrincipalName,mail,proxyAddresses");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    id: String,
    mail: Option<String>,
    #[serde(default)]
    proxy_addresses: Vec<String>,
}

impl User {
    /// Whether the address is one that its mailbox receives at. `proxyAddresses` are unique in a tenant.
    fn owns(&self, address: &MailboxAddress) -> bool {
        self.proxy_addresses.iter().any(|proxy| {
            proxy.split_once(':').is_some_and(|(kind, proxy)| {
                kind.eq_ignore_ascii_case("smtp") && proxy.eq_ignore_ascii_case(address.as_str())
            })
        })
    }

    fn shows(&self, address: &MailboxAddress) -> bool {
        self.mail.as_deref().is_some_and(|mail| mail.eq_ignore_ascii_case(address.as_str()))
    }
}

impl Graph {
    pub(super) async fn find_mailbox(&self, address: &MailboxAddress) -> Result<Option<Mailbox>, Failure> {
        if let Some(known) = self.known.get(address) {
            return Ok(known);
        }
        let mut patience = self.patience();
        let mut owner = None;
        for user in self.users(address, &mut patience).await? {
            if !self.has_mailbox(&user, &mut patience).await? {
                continue;
            }
            let mailbox = Mailbox { id: user.id.clone(), address: address.clone() };
            // Where only `mail` says so, and says it twice, nobody knows whose it is: the wrong mailbox is worse than none.
            if owner.replace(mailbox).is_some() {
                tracing::warn!("an address is that of two accounts with mailboxes: not used");
                owner = None;
                break;
            }
        }
        self.known.put(address, owner.clone());
        Ok(owner)
    }

    /// The accounts that the address may belong to. Where one owns it, it is nobody else's: not even if that one has no
    /// mailbox (any more), and another shows it as theirs.
    async fn users(&self, address: &MailboxAddress, patience: &mut Patience) -> Result<Vec<User>, Failure> {
        let by_name = self.user_by_name(address, patience).await?;
        // A user name is an address only by custom: the mail may go to somebody else.
        if by_name.as_ref().is_some_and(|user| user.owns(address)) {
            return Ok(by_name.into_iter().collect());
        }
        let filter = format!(
            "mail eq {} or proxyAddresses/any(p:p eq {})",
            literal(address.as_str()),
            literal(&format!("smtp:{address}"))
        );
        let url = with_options(self.client.hosts.graph(&["users"]), &[("$filter", &filter), MEMBERS]);
        let mut users: Vec<User> = self.client.list(None, url, patience).await?;
        users.retain(|user| user.owns(address) || user.shows(address));
        if users.is_empty() {
            users.extend(by_name);
        }
        if users.iter().any(|user| user.owns(address)) {
            users.retain(|user| user.owns(address));
        }
        Ok(users)
    }

    async fn user_by_name(&self, address: &MailboxAddress, patience: &mut Patience) -> Result<Option<User>, Failure> {
        if !may_be_user_name(address) {
            return Ok(None);
        }
        let url = with_options(self.client.hosts.graph(&["users", address.as_str()]), &[MEMBERS]);
        match self.client.ask(None, &Request::get(url), patience).await {
            Ok(answer) => Ok(Some(answer.json()?)),
            Err(failure) if failure.is_no_mailbox() || failure.is_missing() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The mailbox itself is asked: an account may have none, or one that Graph cannot reach.
    async fn has_mailbox(&self, user: &User, patience: &mut Patience) -> Result<bool, Failure> {
        let lane = self.lanes.of(&user.id);
        match self.find_archive(&lane, &user.id, patience).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.is_no_mailbox() => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

/// Entra's user names have fewer characters than addresses. Those that have a meaning in a path are not among them: to
/// some servers they are a syntax error however they are encoded; a filter takes them.
fn may_be_user_name(address: &MailboxAddress) -> bool {
    let local = address.as_str().split('@').next().unwrap_or_default();
    local.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"'.-_!#^~".contains(&byte))
}
