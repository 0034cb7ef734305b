//! From participants to mailboxes.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use item::{MailboxAddress, Participant};

use crate::UserMap;

/// Where it is known which mailboxes there are.
#[async_trait]
pub trait Directory: Send + Sync {
    /// A mailbox that exists.
    type Mailbox: Clone + Send + Sync;
    /// Why it is not known whether there is one.
    type Error: Send;

    /// The mail system's own id of a mailbox; two addresses of one mailbox have the same.
    fn id<'a>(&self, mailbox: &'a Self::Mailbox) -> &'a str;

    /// The mailbox of an address; `None` where there is none.
    ///
    /// # Errors
    /// When that is not known now. Nothing may be concluded from it about the address.
    async fn find(&self, address: &MailboxAddress) -> Result<Option<Self::Mailbox>, Self::Error>;
}

/// Whose mailboxes an item goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution<M> {
    /// Each once, in the order of the participants. Empty: nobody is mapped, and there is no catch-all mailbox, or it is not
    /// there.
    pub mailboxes: Vec<M>,
    /// The participants that have none, by their places in the list.
    pub unmapped: Vec<usize>,
}

/// How many addresses the directory is asked about at once.
const AT_ONCE: usize = 4;

/// Finds the mailboxes of an item's participants: for each the user map's address, where a mailbox is there; else, if
/// `automatic`, the participant's own e-mail property, where a mailbox is there. When nobody has one, the mailbox of
/// `catch_all`. The directory is asked at most once for each address, and about a few at a time.
///
/// # Errors
/// The directory's, at once: whether somebody is mapped is not known then.
pub async fn resolve<D: Directory>(
    participants: &[Participant],
    map: &UserMap,
    automatic: bool,
    catch_all: Option<&MailboxAddress>,
    directory: &D,
) -> Result<Resolution<D::Mailbox>, D::Error> {
    let mut answers = Answers { directory, mailboxes: HashMap::new() };
    let by_map: Vec<_> = participants.iter().map(|participant| map.address_of_participant(participant)).collect();
    answers.ask(by_map.iter().copied().flatten().collect()).await?;
    let mapped = |address: &Option<&MailboxAddress>| address.is_some_and(|address| answers.of(address).is_some());
    let own: Vec<_> = participants
        .iter()
        .zip(&by_map)
        .map(|(participant, by_map)| own_address(participant, automatic && !mapped(by_map)))
        .collect();
    answers.ask(own.iter().flatten().collect()).await?;

    let mut mailboxes = Vec::new();
    let mut ids = HashSet::new();
    let mut take = |mailbox: &D::Mailbox| {
        if ids.insert(directory.id(mailbox).to_owned()) {
            mailboxes.push(mailbox.clone());
        }
    };
    let mut unmapped = Vec::new();
    for (place, (by_map, own)) in by_map.iter().zip(&own).enumerate() {
        let mailbox = by_map.and_then(|address| answers.of(address));
        match mailbox.or_else(|| own.as_ref().and_then(|address| answers.of(address))) {
            Some(mailbox) => take(mailbox),
            None => unmapped.push(place),
        }
    }
    if mailboxes.is_empty()
        && let Some(address) = catch_all
    {
        answers.ask(vec![address]).await?;
        mailboxes.extend(answers.of(address).cloned());
    }
    Ok(Resolution { mailboxes, unmapped })
}

/// The e-mail property, where it may be used and is an address.
fn own_address(participant: &Participant, may_be_used: bool) -> Option<MailboxAddress> {
    participant.email.as_deref().filter(|_| may_be_used)?.parse().ok()
}

/// What the directory has answered so far.
struct Answers<'a, D: Directory> {
    directory: &'a D,
    mailboxes: HashMap<MailboxAddress, Option<D::Mailbox>>,
}

impl<D: Directory> Answers<'_, D> {
    /// Asks for those of the addresses that were not asked for yet.
    async fn ask(&mut self, addresses: Vec<&MailboxAddress>) -> Result<(), D::Error> {
        let mut questions: Vec<BoxFuture<'_, Result<_, D::Error>>> = Vec::new();
        let mut seen = HashSet::new();
        for address in addresses {
            if !self.mailboxes.contains_key(address) && seen.insert(address) {
                let directory = self.directory;
                questions.push(Box::pin(async move { Ok((address.clone(), directory.find(address).await?)) }));
            }
        }
        let answers: Vec<_> = stream::iter(questions).buffered(AT_ONCE).try_collect().await?;
        self.mailboxes.extend(answers);
        Ok(())
    }

    /// The mailbox of an address that was asked for.
    fn of(&self, address: &MailboxAddress) -> Option<&D::Mailbox> {
        self.mailboxes.get(address)?.as_ref()
    }
}
