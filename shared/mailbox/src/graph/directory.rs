//! Resolves addresses to mailboxes.

use model::MailboxAddress;
use serde::Deserialize;

use super::{
    Graph,
    client::Request,
    codes::Meaning,
    error::Failure,
    odata::{literal, with_options},
};
use crate::{Mailbox, MailboxError, MailboxLookup};
use http_client::RetryBudget;

const USER_MEMBERS: (&str, &str) = ("$select", "id,userPrincipalName,mail,proxyAddresses,userType");
const GROUP_MEMBERS: (&str, &str) = ("$select", "id,mail,proxyAddresses");

/// An account or a group.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    id: String,
    user_principal_name: Option<String>,
    mail: Option<String>,
    user_type: Option<String>,
    #[serde(default)]
    proxy_addresses: Vec<String>,
}

impl Entry {
    /// Returns whether the account receives mail for the address. `proxyAddresses` are unique in a tenant.
    fn owns(&self, address: &MailboxAddress) -> bool {
        self.proxy_addresses.iter().any(|proxy| {
            proxy.split_once(':').is_some_and(|(kind, proxy)| {
                kind.eq_ignore_ascii_case("smtp") && proxy.eq_ignore_ascii_case(address.as_str())
            })
        })
    }

    /// Returns the account's primary address, which has the prefix `SMTP:` in upper case.
    fn primary(&self) -> Option<MailboxAddress> {
        self.proxy_addresses.iter().find_map(|proxy| proxy.strip_prefix("SMTP:"))?.parse().ok()
    }

    /// Returns whether the account is that of a person of another organization, who usually has no mailbox here.
    fn is_guest(&self) -> bool {
        self.user_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("Guest"))
    }

    fn shows(&self, address: &MailboxAddress) -> bool {
        self.mail.as_deref().is_some_and(|mail| mail.eq_ignore_ascii_case(address.as_str()))
    }

    fn is_named(&self, address: &MailboxAddress) -> bool {
        self.user_principal_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(address.as_str()))
    }
}

/// The accounts that an address may belong to.
enum Candidates {
    /// The address is in the account's `proxyAddresses`.
    Owners(Vec<Entry>),
    /// The address is only the user name of the account, or only its `mail` property.
    Unproven(Vec<Entry>),
}

impl Graph {
    /// Resolves an address.
    pub(super) async fn find_mailbox(&self, address: &MailboxAddress) -> Result<MailboxLookup, MailboxError> {
        if let Some(cached) = self.recipients.get(address) {
            return Ok(cached);
        }
        let found = self.resolve(address).await.map_err(lookup_error)?;
        self.recipients.put(address, found.clone());
        Ok(found)
    }

    async fn resolve(&self, address: &MailboxAddress) -> Result<MailboxLookup, Failure> {
        let mut budget = self.retry_budget();
        let candidates = self.candidates(address, &mut budget).await?;
        let (users, is_proven) = match candidates {
            Candidates::Owners(users) => (users, true),
            Candidates::Unproven(users) => (users, false),
        };
        let (mut owner, mut has_account) = (None, false);
        for user in users {
            if !self.has_mailbox(&user, &mut budget).await? {
                has_account |= !user.is_guest();
                continue;
            }
            // A copy in the wrong mailbox is worse than none.
            if owner.replace(user).is_some() {
                tracing::warn!("address of two accounts with mailboxes, copy not filed");
                return Ok(MailboxLookup::Nothing);
            }
        }
        let Some(owner) = owner else {
            return Ok(if has_account { MailboxLookup::AccountOnly } else { MailboxLookup::Nothing });
        };
        if !is_proven && self.is_address_of_a_group(address, &mut budget).await? {
            tracing::warn!("user name of an account is the address of a group, copy not filed");
            return Ok(MailboxLookup::Nothing);
        }
        let primary = owner.primary().unwrap_or_else(|| address.clone());
        Ok(MailboxLookup::Mailbox(Mailbox { id: owner.id, address: address.clone(), primary }))
    }

    /// Returns the accounts that the address may belong to. An address with an owner belongs to no other account, even
    /// if the owner has no mailbox and another account displays the address or has it as its user name.
    async fn candidates(&self, address: &MailboxAddress, budget: &mut RetryBudget) -> Result<Candidates, Failure> {
        let by_name = self.user_by_name(address, budget).await?;
        if by_name.as_ref().is_some_and(|user| user.owns(address)) {
            return Ok(Candidates::Owners(by_name.into_iter().collect()));
        }
        let mut users = self.search("users", USER_MEMBERS, address, budget).await?;
        if users.iter().any(|user| user.owns(address)) {
            users.retain(|user| user.owns(address));
            return Ok(Candidates::Owners(users));
        }
        users.retain(|user| user.shows(address));
        if let Some(user) = by_name
            && users.iter().all(|other| other.id != user.id)
        {
            users.push(user);
        }
        Ok(Candidates::Unproven(users))
    }

    async fn is_address_of_a_group(&self, address: &MailboxAddress, budget: &mut RetryBudget) -> Result<bool, Failure> {
        let groups = self.search("groups", GROUP_MEMBERS, address, budget).await?;
        Ok(groups.iter().any(|group| group.owns(address) || group.shows(address)))
    }

    async fn search(
        &self,
        collection: &str,
        members: (&str, &str),
        address: &MailboxAddress,
        budget: &mut RetryBudget,
    ) -> Result<Vec<Entry>, Failure> {
        let filter = format!(
            "mail eq {} or proxyAddresses/any(p:p eq {})",
            literal(address.as_str()),
            literal(&format!("smtp:{address}"))
        );
        let url = with_options(self.client.hosts.graph(&[collection]), &[("$filter", &filter), members]);
        self.client.list(None, url, budget).await
    }

    async fn user_by_name(&self, address: &MailboxAddress, budget: &mut RetryBudget) -> Result<Option<Entry>, Failure> {
        if !may_be_user_name(address) {
            return Ok(None);
        }
        let url = with_options(self.client.hosts.graph(&["users", address.as_str()]), &[USER_MEMBERS]);
        match self.client.send(None, &Request::get(url), budget).await {
            Ok(response) => Ok(Some(response.json::<Entry>()?).filter(|user| user.is_named(address))),
            Err(failure) if failure.is_no_mailbox() || failure.is_missing() => Ok(None),
            // The address cannot be a user name. The filter accepts every address.
            Err(Failure::Refused(refusal)) if refusal.status == reqwest::StatusCode::BAD_REQUEST => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Sends a request to the mailbox: an account may have no mailbox, or one that Graph cannot reach.
    async fn has_mailbox(&self, user: &Entry, budget: &mut RetryBudget) -> Result<bool, Failure> {
        let state = self.limits.of(&user.id);
        match self.find_archive_folder(&state, &user.id, budget).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.is_no_mailbox() => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

/// Converts the failure of a lookup. A 400 or 403 concerns this address only. Errors about a message or a quota are
/// unrecognized, because a lookup files nothing.
fn lookup_error(failure: Failure) -> MailboxError {
    match failure {
        Failure::Refused(refusal) if matches!(refusal.status.as_u16(), 400 | 403) && refusal.code.is_some() => {
            MailboxError::LookupRejected { detail: refusal.detail_with_advice() }
        }
        Failure::Refused(refusal)
            if matches!(refusal.meaning(), Meaning::Rejected | Meaning::Full | Meaning::NoMailbox) =>
        {
            let retry_after = refusal.retry_after;
            MailboxError::Unrecognized { detail: refusal.detail_with_advice(), retry_after }
        }
        failure => failure.into(),
    }
}

/// Returns whether an address can be a user name in Entra. Characters with a meaning in a path are excluded, because
/// some servers reject them in every encoding. A filter accepts them.
fn may_be_user_name(address: &MailboxAddress) -> bool {
    let local = address.as_str().split('@').next().unwrap_or_default();
    local.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"'.-_!#^~".contains(&byte))
}
