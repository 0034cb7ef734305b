//! From participants to mailboxes.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use item::{MailboxAddress, Participant};

use crate::UserMap;

/// Where it is known which mailboxes there are.
#[async_trait]
pub trait Directory: Send + Sync {
    /// A mailbox that exists.
    type Mailbox: Send;
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

/// How the participants of an item were mapped; no identities, so it can be logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// By the user map.
    pub by_user_map: usize,
    /// By the participant's own e-mail property.
    pub by_email: usize,
    /// Not at all.
    pub unmapped: usize,
}

/// Whose mailboxes an item goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution<M> {
    /// Each once, in the order of the participants. Empty: nobody is mapped, and there is no catch-all mailbox.
    pub mailboxes: Vec<M>,
    /// How the participants were mapped.
    pub counts: Counts,
    /// Whether the one mailbox is the catch-all, because nobody is mapped.
    pub caught: bool,
}

impl<M> Resolution<M> {
    /// Whether there is nobody to give the item to.
    pub fn is_unmapped(&self) -> bool {
        self.mailboxes.is_empty()
    }
}

/// Finds the mailboxes of an item's participants: for each the user map's address, where a mailbox is there; else, if
/// `automatic`, the participant's own e-mail property, where a mailbox is there. When nobody has one, the mailbox of
/// `catch_all`. The directory is asked at most once for each address.
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
    let mut found = Found { directory, mailboxes: Vec::new(), ids: HashSet::new(), asked: HashMap::new() };
    let mut counts = Counts::default();
    for participant in participants {
        if let Some(address) = map.address_of_participant(participant)
            && found.has(address).await?
        {
            counts.by_user_map += 1;
        } else if let Some(address) = own_address(participant, automatic)
            && found.has(&address).await?
        {
            counts.by_email += 1;
        } else {
            counts.unmapped += 1;
        }
    }
    let mut caught = false;
    if found.mailboxes.is_empty()
        && let Some(address) = catch_all
    {
        caught = found.has(address).await?;
    }
    Ok(Resolution { mailboxes: found.mailboxes, counts, caught })
}

/// The e-mail property, where it may be used and is an address.
fn own_address(participant: &Participant, automatic: bool) -> Option<MailboxAddress> {
    participant.email.as_deref().filter(|_| automatic)?.parse().ok()
}

/// What the directory has answered so far.
struct Found<'a, D: Directory> {
    directory: &'a D,
    mailboxes: Vec<D::Mailbox>,
    ids: HashSet<String>,
    asked: HashMap<MailboxAddress, bool>,
}

impl<D: Directory> Found<'_, D> {
    /// Whether an address has a mailbox; if so it is among the mailboxes from now on.
    async fn has(&mut self, address: &MailboxAddress) -> Result<bool, D::Error> {
        if let Some(&there) = self.asked.get(address) {
            return Ok(there);
        }
        let mailbox = self.directory.find(address).await?;
        self.asked.insert(address.clone(), mailbox.is_some());
        let Some(mailbox) = mailbox else { return Ok(false) };
        if self.ids.insert(self.directory.id(&mailbox).to_owned()) {
            self.mailboxes.push(mailbox);
        }
        Ok(true)
    }
}
