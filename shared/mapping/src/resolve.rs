//! From participants to mailboxes.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use futures::{StreamExt, future::BoxFuture, stream};
use jiff::Timestamp;
use model::{MailboxAddress, Participant};

use crate::UserMap;

/// Where it is known which mailboxes there are.
#[async_trait]
pub trait Directory: Send + Sync {
    /// A mailbox that exists.
    type Mailbox: Clone + Send + Sync;
    /// Why it is not known whether there is one.
    type Error: Clone + Send + Sync;

    /// The mailbox of an address; `None` where there is none.
    ///
    /// # Errors
    /// When that is not known now. Nothing may be concluded from it about the address.
    async fn find(&self, address: &MailboxAddress) -> Result<Option<Self::Mailbox>, Self::Error>;
}

/// By which rules participants are resolved.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The operator's table.
    pub map: &'a UserMap,
    /// Whether a participant's own e-mail property counts where the user map has no address for the number.
    pub automatic: bool,
    /// Domains, in lower case, whose addresses are expected to have mailboxes.
    pub tenant_domains: &'a [String],
    /// When the message was written.
    pub at: Timestamp,
}

/// What is known of one participant's mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved<M, E> {
    /// Found, by the user map or by the participant's own address.
    Mailbox(M),
    /// This address of the participant has its copy already; the directory was not asked.
    Filed(MailboxAddress),
    /// The directory has no mailbox for the address, or the participant has no address.
    NotFound {
        /// Whether there should be one: the user map has the participant, or the own address is in a tenant domain.
        expected: bool,
    },
    /// The lookup failed, so that it is not known whether there is a mailbox.
    Failed {
        /// As for `NotFound`.
        expected: bool,
        /// The directory's error, for this address alone.
        error: E,
    },
}

/// How many addresses the directory is asked about at once.
const AT_ONCE: usize = 4;

/// Resolves each participant by itself, in their order: one that fails does not affect the others.
///
/// The user map's address comes first; without one the own e-mail property counts, if `automatic`. A user map row outranks the
/// own address even where its mailbox is missing: the own address is used only for the places in `believed`, for which the
/// missing mailbox has been confirmed over time. `filed` says whether an address has its copy already. The directory is asked
/// at most once for each address, and about a few at a time.
pub async fn resolve<D: Directory>(
    participants: &[Participant],
    rules: &Rules<'_>,
    believed: &HashSet<usize>,
    filed: impl Fn(&MailboxAddress) -> bool,
    directory: &D,
) -> Vec<Resolved<D::Mailbox, D::Error>> {
    let candidates: Vec<_> = participants.iter().map(|participant| Candidate::of(participant, rules)).collect();
    let mut lookups = Lookups { directory, results: HashMap::new() };
    lookups.run(candidates.iter().filter_map(Candidate::first).filter(|address| !filed(address))).await;
    let fallbacks = candidates.iter().enumerate().filter_map(|(place, candidate)| {
        let mapped = candidate.mapped.filter(|address| !filed(address))?;
        let is_missing = believed.contains(&place) && matches!(lookups.result(mapped), Some(Ok(None)));
        candidate.own.as_ref().filter(|address| is_missing && !filed(address))
    });
    let fallbacks: Vec<_> = fallbacks.cloned().collect();
    lookups.run(fallbacks.iter()).await;

    let resolved = candidates.iter().enumerate().map(|(place, candidate)| {
        let expected = candidate.expected;
        let Some(first) = candidate.first() else { return Resolved::NotFound { expected } };
        if filed(first) {
            return Resolved::Filed(first.clone());
        }
        match lookups.result(first) {
            Some(Ok(Some(mailbox))) => return Resolved::Mailbox(mailbox.clone()),
            Some(Err(error)) => return Resolved::Failed { expected, error: error.clone() },
            Some(Ok(None)) | None => {}
        }
        match candidate.own.as_ref().filter(|_| candidate.mapped.is_some()) {
            // Filed by the own address after an earlier attempt had confirmed that the mapped mailbox is missing.
            Some(own) if filed(own) => Resolved::Filed(own.clone()),
            Some(own) if believed.contains(&place) => match lookups.result(own) {
                Some(Ok(Some(mailbox))) => Resolved::Mailbox(mailbox.clone()),
                Some(Err(error)) => Resolved::Failed { expected, error: error.clone() },
                Some(Ok(None)) | None => Resolved::NotFound { expected },
            },
            Some(_) | None => Resolved::NotFound { expected },
        }
    });
    resolved.collect()
}

/// The addresses of one participant.
struct Candidate<'a> {
    mapped: Option<&'a MailboxAddress>,
    /// The e-mail property, where it counts and is an address.
    own: Option<MailboxAddress>,
    expected: bool,
}

impl<'a> Candidate<'a> {
    fn of(participant: &Participant, rules: &Rules<'a>) -> Self {
        let mapped = rules.map.address_of_participant(participant, rules.at);
        let given = participant.email.as_deref().filter(|_| rules.automatic);
        let own: Option<MailboxAddress> = given.and_then(|email| email.parse().ok());
        let in_tenant = |email| rules.tenant_domains.iter().any(|tenant| has_domain(email, tenant));
        let expected = mapped.is_some() || given.is_some_and(in_tenant);
        Self { mapped, own, expected }
    }

    fn first(&self) -> Option<&MailboxAddress> {
        self.mapped.or(self.own.as_ref())
    }
}

/// Whether an e-mail property has an address in a domain. A property that is no address, such as `Ada <ada@example.com>`, shows
/// at least that there should be a mailbox.
fn has_domain(email: &str, domain: &str) -> bool {
    let is_part = |char: char| char.is_alphanumeric() || matches!(char, '-' | '.');
    email.split('@').skip(1).any(|rest| {
        let host = rest.split(|char| !is_part(char)).next().unwrap_or_default();
        host.trim_end_matches('.').eq_ignore_ascii_case(domain)
    })
}

/// What the directory has answered so far.
struct Lookups<'a, D: Directory> {
    directory: &'a D,
    results: HashMap<MailboxAddress, Result<Option<D::Mailbox>, D::Error>>,
}

impl<D: Directory> Lookups<'_, D> {
    /// Looks up those of the addresses that were not looked up yet.
    async fn run(&mut self, addresses: impl Iterator<Item = &MailboxAddress>) {
        let mut lookups: Vec<BoxFuture<'_, _>> = Vec::new();
        let mut seen = HashSet::new();
        for address in addresses {
            if !self.results.contains_key(address) && seen.insert(address) {
                let directory = self.directory;
                lookups.push(Box::pin(async move { (address.clone(), directory.find(address).await) }));
            }
        }
        let results: Vec<_> = stream::iter(lookups).buffered(AT_ONCE).collect().await;
        self.results.extend(results);
    }

    fn result(&self, address: &MailboxAddress) -> Option<&Result<Option<D::Mailbox>, D::Error>> {
        self.results.get(address)
    }
}
