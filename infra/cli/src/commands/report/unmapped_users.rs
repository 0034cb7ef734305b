//! Finds the users of an item that have no mailbox. Outcomes do not name them; only the evidence in stored messages does.

use std::collections::{BTreeMap, BTreeSet};

use aws::s3::Store;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use ledger::{StoredMessageError, read_participants};
use mapping::UserMap;
use model::{MailboxAddress, Participant};
use serde::Serialize;

use super::stored_message::StoredMessageRef;

/// A participant, as captured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct UserIdentity {
    /// Name in the capture.
    pub name: Option<String>,
    /// Phone number: as captured, or from the WhatsApp id.
    pub phone: Option<String>,
    pub email: Option<String>,
}

impl UserIdentity {
    fn of(participant: &Participant) -> Self {
        let known = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        Self {
            name: known(&participant.name),
            phone: known(&participant.phone).or_else(|| participant.phone_digits().map(|digits| format!("+{digits}"))),
            email: known(&participant.email),
        }
    }

    /// Formats all known values on one line.
    pub fn line(&self) -> String {
        let known: Vec<_> = [&self.name, &self.phone, &self.email].into_iter().flatten().map(String::as_str).collect();
        if known.is_empty() { "no name".to_owned() } else { known.join(", ") }
    }
}

/// Users without a mailbox.
#[derive(Debug, Default, Serialize)]
pub struct Mapping {
    /// Number of items of the period with a participant without a mailbox when they were processed last. They are filed
    /// for the other participants, if any.
    pub items: u64,
    /// Number of their stored messages that were read.
    pub looked_into: u64,
    /// Number of those messages that are missing or have changed.
    pub unreadable: u64,
    /// Users, those with failed items first.
    pub users: Vec<Unmapped>,
    /// Number of users beyond the limit.
    pub users_left_out: u64,
    /// Reason why the user map is invalid.
    pub user_map_problem: Option<String>,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct Unmapped {
    pub user: UserIdentity,
    /// Number of read items that concern the user.
    pub items: u64,
    /// Number of those items that failed.
    pub failed_items: u64,
    /// Number of those items that wait for a mailbox that the user is expected to have.
    pub waiting_items: u64,
    /// Reasons for the missing copies, if a mailbox is expected or the lookup is undecided.
    pub reasons: BTreeSet<&'static str>,
    /// Address in the user map at the time of the report: a replay files the items there.
    pub now_mapped_to: Option<MailboxAddress>,
}

/// Limit of listed users.
const MAX_USERS: usize = 10_000;

/// Concurrently read stored messages; each takes up to 14 MB of memory.
const CONCURRENT_READS: usize = 3;

/// Reads the messages, and finds the participants without a mailbox. `record` receives the sender of each failure, and
/// the participants whose expected mailbox is missing.
pub(super) async fn find_unmapped(
    store: &Store,
    (stored, items): (Vec<StoredMessageRef>, u64),
    user_map: Option<Result<UserMap, String>>,
    mut record: impl FnMut(usize, Option<UserIdentity>, Vec<UserIdentity>),
) -> Result<Mapping, StoredMessageError> {
    let mut mapping = Mapping { items, ..Mapping::default() };
    let mut users: BTreeMap<String, (Participant, Unmapped)> = BTreeMap::new();
    let read = |stored: StoredMessageRef| async move {
        let found = read_participants(store, &stored.mime, stored.sha256, stored.bytes).await?;
        Ok::<_, StoredMessageError>((stored, found.map(|found| found.participants)))
    };
    let mut messages = stream::iter(stored).map(read).buffered(CONCURRENT_READS);
    while let Some((stored, participants)) = messages.try_next().await? {
        let has_unmapped = !stored.unmapped.is_empty();
        mapping.looked_into += u64::from(has_unmapped);
        let Some(participants) = participants else {
            mapping.unreadable += u64::from(has_unmapped);
            continue;
        };
        if let Some(failure) = stored.failure {
            let missing = stored.missing.iter().filter_map(|missing| participants.get(missing.participant));
            record(failure, participants.first().map(UserIdentity::of), missing.map(UserIdentity::of).collect());
        }
        let places = stored.unmapped.iter().filter_map(|place| Some((place, participants.get(*place)?)));
        for (place, participant) in places {
            let identity = participant.identity();
            let full = users.len() >= MAX_USERS;
            if full && !users.contains_key(&identity) {
                mapping.users_left_out += 1;
                continue;
            }
            let new = || Unmapped { user: UserIdentity::of(participant), ..Unmapped::default() };
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
