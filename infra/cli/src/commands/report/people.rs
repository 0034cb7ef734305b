//! Who the people of an item are. The outcomes do not know: it stands in the evidence of the stored messages alone.

use std::collections::{BTreeMap, BTreeSet};

use aws::s3::Store;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use ledger::{StoredError, participants_of};
use mapping::UserMap;
use model::{MailboxAddress, Participant};
use serde::Serialize;

use super::stored::Stored;

/// Somebody, as captured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Person {
    /// The name that the capture knows.
    pub name: Option<String>,
    /// The phone number: as captured, or as the WhatsApp id has it.
    pub phone: Option<String>,
    /// The e-mail property.
    pub email: Option<String>,
}

impl Person {
    fn of(participant: &Participant) -> Self {
        let known = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        Self {
            name: known(&participant.name),
            phone: known(&participant.phone).or_else(|| participant.phone_digits().map(|digits| format!("+{digits}"))),
            email: known(&participant.email),
        }
    }

    /// All that is known, in a line.
    pub fn line(&self) -> String {
        let known: Vec<_> = [&self.name, &self.phone, &self.email].into_iter().flatten().map(String::as_str).collect();
        if known.is_empty() { "nobody is named".to_owned() } else { known.join(", ") }
    }
}

/// Who has no mailbox.
#[derive(Debug, Default, Serialize)]
pub struct Mapping {
    /// Items of the period in which somebody had no mailbox when they were worked on last. They are filed for the others,
    /// where there are others.
    pub items: u64,
    /// How many of their stored messages were looked into for who that is.
    pub looked_into: u64,
    /// How many of those are gone or are not what was rendered.
    pub unreadable: u64,
    /// Each user once, those with items that nobody has first.
    pub users: Vec<Unmapped>,
    /// Users that were found and are not in the list, because it is full.
    pub users_left_out: u64,
    /// Why it is not known whom the user map has now.
    pub user_map_problem: Option<String>,
}

/// A user without a mailbox.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Unmapped {
    /// Who.
    pub user: Person,
    /// In how many of the items that were looked into.
    pub items: u64,
    /// How many of those are failures.
    pub failed_items: u64,
    /// How many of those wait for a mailbox that the user is expected to have.
    pub waiting_items: u64,
    /// Why the user's copies are missing, where a mailbox is expected or the lookup is undecided.
    pub reasons: BTreeSet<&'static str>,
    /// The address that the user map has for them at the time of the report: after a replay they have their items.
    pub now_mapped_to: Option<MailboxAddress>,
}

/// The most users that are named.
const MOST_USERS: usize = 10_000;

/// How many stored messages are read at once; of each some 14 MB may be in memory.
const AT_ONCE: usize = 3;

/// Reads the messages, and finds which of the participants have no mailbox. `note` is given the sender of each failure, and
/// the participants who are expected to have a mailbox and have none.
pub(super) async fn look(
    store: &Store,
    (stored, items): (Vec<Stored>, u64),
    user_map: Option<Result<UserMap, String>>,
    mut note: impl FnMut(usize, Option<Person>, Vec<Person>),
) -> Result<Mapping, StoredError> {
    let mut mapping = Mapping { items, ..Mapping::default() };
    let mut users: BTreeMap<String, (Participant, Unmapped)> = BTreeMap::new();
    let read = |stored: Stored| async move {
        let found = participants_of(store, &stored.mime, stored.sha256, stored.bytes).await?;
        Ok::<_, StoredError>((stored, found.map(|found| found.participants)))
    };
    let mut messages = stream::iter(stored).map(read).buffered(AT_ONCE);
    while let Some((stored, participants)) = messages.try_next().await? {
        let concerns_users = !stored.unmapped.is_empty();
        mapping.looked_into += u64::from(concerns_users);
        let Some(participants) = participants else {
            mapping.unreadable += u64::from(concerns_users);
            continue;
        };
        if let Some(failure) = stored.failure {
            let missing = stored.missing.iter().filter_map(|missing| participants.get(missing.participant));
            note(failure, participants.first().map(Person::of), missing.map(Person::of).collect());
        }
        let places = stored.unmapped.iter().filter_map(|place| Some((place, participants.get(*place)?)));
        for (place, participant) in places {
            let identity = participant.identity();
            let full = users.len() >= MOST_USERS;
            if full && !users.contains_key(&identity) {
                mapping.users_left_out += 1;
                continue;
            }
            let new = || Unmapped { user: Person::of(participant), ..Unmapped::default() };
            let (_, unmapped) = users.entry(identity).or_insert_with(|| (participant.clone(), new()));
            unmapped.items += 1;
            unmapped.failed_items += u64::from(stored.failure.is_some());
            if let Some(missing) = stored.missing.iter().find(|missing| missing.participant == *place) {
                unmapped.waiting_items += u64::from(stored.failure.is_none());
                unmapped.reasons.insert(missing.reason.as_str());
            }
        }
    }
    let mut named: Vec<_> = users.into_values().collect();
    match user_map {
        Some(Ok(map)) => {
            for (participant, unmapped) in &mut named {
                unmapped.now_mapped_to = map.address_of_participant(participant, Timestamp::now()).cloned();
            }
        }
        Some(Err(problem)) => mapping.user_map_problem = Some(problem),
        None => {}
    }
    mapping.users = named.into_iter().map(|(_, unmapped)| unmapped).collect();
    mapping
        .users
        .sort_by_key(|unmapped| std::cmp::Reverse((unmapped.failed_items, unmapped.waiting_items, unmapped.items)));
    Ok(mapping)
}
