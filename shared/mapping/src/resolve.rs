//! Resolves participants to mailboxes.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use futures::{StreamExt, future::BoxFuture, stream};
use jiff::Timestamp;
use model::{MailboxAddress, Participant};
use url::Host;

use crate::UserMap;

/// Looks up mailboxes by address.
#[async_trait]
pub trait Directory: Send + Sync {
    /// An existing mailbox.
    type Mailbox: Clone + Send + Sync;
    /// The error of a lookup that has no result.
    type Error: Clone + Send + Sync;

    /// Looks up the mailbox of an address.
    ///
    /// # Errors
    /// The lookup failed: it is unknown whether the address has a mailbox.
    async fn find(&self, address: &MailboxAddress) -> Result<DirectoryLookup<Self::Mailbox>, Self::Error>;
}

/// The result of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryLookup<M> {
    /// The address has this mailbox.
    Mailbox(M),
    /// An account has the address, and no mailbox is reported for it. A single report may be wrong.
    AccountOnly,
    /// No account has the address.
    Nothing,
}

/// The rules for resolving participants.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The operator's user map.
    pub map: &'a UserMap,
    /// `true` if a participant's own e-mail property is used when the user map has no address for the number.
    pub automatic: bool,
    /// Domains, in lower case and in ASCII (Punycode), whose addresses are expected to have mailboxes.
    pub tenant_domains: &'a [String],
    /// The time of the message.
    pub at: Timestamp,
    /// The participants that are resolved, by index; `None` for all.
    pub only: Option<&'a HashSet<usize>>,
}

/// Result for one participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved<M, E> {
    /// Found by the user map or by the participant's own address.
    Mailbox(M),
    /// This address of the participant has its copy already; there was no lookup.
    Filed(MailboxAddress),
    /// Not resolved, because it is not one of [`Rules::only`].
    Unchanged,
    /// The directory has no mailbox for the address, or the participant has no address.
    NotFound {
        /// `true` if a mailbox is expected: the participant is in the user map, or the own address is in a tenant
        /// domain.
        expected: bool,
        /// `true` if an account has the address, so that a single report of no mailbox may be wrong.
        has_account: bool,
    },
    /// The lookup failed: it is unknown whether the mailbox exists.
    Failed {
        /// As in `NotFound`.
        expected: bool,
        /// The directory's error for this address.
        error: E,
    },
}

/// Maximum number of concurrent lookups.
const CONCURRENT_LOOKUPS: usize = 4;

/// Resolves each participant independently, in order. A failure does not affect the others.
///
/// The address in the user map comes first. Without one, the participant's own e-mail property is used, if `automatic`.
/// If the mailbox of an address in the user map is missing, the own address is used only for the participants whose
/// indexes are in `confirmed_missing`. `filed` returns whether an address has its copy already. Each address is looked up
/// at most once, and a few are looked up concurrently.
pub async fn resolve<D: Directory>(
    participants: &[Participant],
    rules: &Rules<'_>,
    confirmed_missing: &HashSet<usize>,
    filed: impl Fn(&MailboxAddress) -> bool,
    directory: &D,
) -> Vec<Resolved<D::Mailbox, D::Error>> {
    let is_resolved = |place: usize| rules.only.is_none_or(|only| only.contains(&place));
    let candidates: Vec<_> = participants
        .iter()
        .enumerate()
        .map(|(place, participant)| is_resolved(place).then(|| Candidate::of(participant, rules)))
        .collect();
    let mut lookups = Lookups { directory, results: HashMap::new() };
    lookups
        .run(candidates.iter().flatten().filter_map(Candidate::first_address).filter(|address| !filed(address)))
        .await;
    let fallbacks = candidates.iter().enumerate().filter_map(|(place, candidate)| {
        let candidate = candidate.as_ref()?;
        let mapped_address = candidate.mapped_address.filter(|address| !filed(address))?;
        let is_missing = confirmed_missing.contains(&place) && lookups.is_missing(mapped_address);
        candidate.own_address.as_ref().filter(|address| is_missing && !filed(address))
    });
    let fallbacks: Vec<_> = fallbacks.cloned().collect();
    lookups.run(fallbacks.iter()).await;

    let resolved = candidates.iter().enumerate().map(|(place, candidate)| {
        let Some(candidate) = candidate else { return Resolved::Unchanged };
        let expected = candidate.expected;
        let not_found = |found: Option<&DirectoryLookup<_>>| {
            let has_account = matches!(found, Some(DirectoryLookup::AccountOnly));
            Resolved::NotFound { expected, has_account }
        };
        let Some(first) = candidate.first_address() else { return not_found(None) };
        if filed(first) {
            return Resolved::Filed(first.clone());
        }
        let found = match lookups.result(first) {
            Some(Ok(DirectoryLookup::Mailbox(mailbox))) => return Resolved::Mailbox(mailbox.clone()),
            Some(Err(error)) => return Resolved::Failed { expected, error: error.clone() },
            Some(Ok(found)) => Some(found),
            None => None,
        };
        match candidate.own_address.as_ref().filter(|_| candidate.mapped_address.is_some()) {
            // Filed under the own address after an earlier attempt had confirmed that the mapped mailbox is missing.
            Some(own_address) if filed(own_address) => Resolved::Filed(own_address.clone()),
            Some(own_address) if confirmed_missing.contains(&place) => match lookups.result(own_address) {
                Some(Ok(DirectoryLookup::Mailbox(mailbox))) => Resolved::Mailbox(mailbox.clone()),
                Some(Err(error)) => Resolved::Failed { expected, error: error.clone() },
                Some(Ok(found)) => not_found(Some(found)),
                None => not_found(None),
            },
            Some(_) | None => not_found(found),
        }
    });
    resolved.collect()
}

/// The addresses of one participant.
struct Candidate<'a> {
    mapped_address: Option<&'a MailboxAddress>,
    /// The e-mail property, if it is used and is a valid address.
    own_address: Option<MailboxAddress>,
    expected: bool,
}

impl<'a> Candidate<'a> {
    fn of(participant: &Participant, rules: &Rules<'a>) -> Self {
        let mapped_address = rules.map.address_of_participant(participant, rules.at);
        let given = participant.email.as_deref().filter(|_| rules.automatic);
        let own_address: Option<MailboxAddress> = given.and_then(|email| email.parse().ok());
        let in_tenant = |email| rules.tenant_domains.iter().any(|tenant| has_domain(email, tenant));
        let expected = mapped_address.is_some() || given.is_some_and(in_tenant);
        Self { mapped_address, own_address, expected }
    }

    fn first_address(&self) -> Option<&MailboxAddress> {
        self.mapped_address.or(self.own_address.as_ref())
    }
}

/// Returns whether an e-mail property has an address in a domain. An invalid address, such as `Ada <ada@example.com>`,
/// shows at least that a mailbox is expected.
fn has_domain(email: &str, domain: &str) -> bool {
    let is_part = |char: char| char.is_alphanumeric() || matches!(char, '-' | '.');
    email.split('@').skip(1).any(|rest| {
        let host = rest.split(|char| !is_part(char)).next().unwrap_or_default();
        // Not every character of an international domain is alphanumeric: accents may be characters of their own.
        let international = rest.split(|char: char| char.is_ascii() && !is_part(char)).next().unwrap_or_default();
        is_domain(host, domain) || is_domain(international, domain)
    })
}

/// Returns whether a host is a domain, which is given in ASCII.
fn is_domain(host: &str, domain: &str) -> bool {
    let host = host.trim_end_matches('.');
    let in_ascii = || matches!(Host::parse(host), Ok(Host::Domain(host)) if host == domain);
    host.eq_ignore_ascii_case(domain) || !host.is_ascii() && in_ascii()
}

/// Results of the lookups so far.
struct Lookups<'a, D: Directory> {
    directory: &'a D,
    results: HashMap<MailboxAddress, Result<DirectoryLookup<D::Mailbox>, D::Error>>,
}

impl<D: Directory> Lookups<'_, D> {
    /// Looks up the addresses that have no result yet.
    async fn run(&mut self, addresses: impl Iterator<Item = &MailboxAddress>) {
        let mut lookups: Vec<BoxFuture<'_, _>> = Vec::new();
        let mut seen = HashSet::new();
        for address in addresses {
            if !self.results.contains_key(address) && seen.insert(address) {
                let directory = self.directory;
                lookups.push(Box::pin(async move { (address.clone(), directory.find(address).await) }));
            }
        }
        let results: Vec<_> = stream::iter(lookups).buffered(CONCURRENT_LOOKUPS).collect().await;
        self.results.extend(results);
    }

    fn result(&self, address: &MailboxAddress) -> Option<&Result<DirectoryLookup<D::Mailbox>, D::Error>> {
        self.results.get(address)
    }

    fn is_missing(&self, address: &MailboxAddress) -> bool {
        matches!(self.result(address), Some(Ok(DirectoryLookup::AccountOnly | DirectoryLookup::Nothing)))
    }
}
