//! Decides the mailboxes of an item, and the entries of the participants that have none.
//!
//! ```text
//!                     lookup of one participant
//!   mailbox found ────────────────────────────────▶ a copy is filed
//!   no mailbox    ─┬─ not expected, no account ────▶ unmapped
//!                  ├─ not expected, an account
//!                  │  now or in an earlier attempt ▶ missing ─ retries used up ─▶ unmapped
//!                  └─ expected ─▶ missing ─ retries used up ─▶ own e-mail's mailbox, else dead letter mailbox-not-found
//!   rejected,     ─┬─ not expected ─▶ missing ─ retries used up ─▶ unmapped and lookup_rejected
//!   or failed      └─ expected ─────▶ missing ─ retries used up ─▶ dead letter lookup-rejected
//! ```
//!
//! A mailbox is expected for a participant in the user map, with an address in one of the tenant's domains, or whose mailbox
//! an earlier attempt has found: a replica of the directory that does not have a new account yet answers "no account", and
//! one such answer excludes no participant.
//!
//! Each participant is decided independently; the others get their copies meanwhile. A lookup that is rejected or fails
//! counts only if the mail system finds another mailbox. If it finds none, the mail system is down or the configuration
//! is wrong, and the item waits.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use mapping::{Directory, DirectoryLookup, Resolved};
use message::copy::CopyAddresses;
use model::{Failure, FiledMailbox, MailboxAddress, MissingParticipant, MissingReason, Outcome, Participant, Reason};

use crate::{
    failure::from_mailbox,
    retry_limit::{RetryLimit, Series},
    waiting::Waiting,
};
use mailbox::{Mailbox, MailboxError, Mailboxes};

/// The decisions for the participants of an item.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Each mailbox once, in the order of the participants.
    pub(crate) mailboxes: Vec<Mailbox>,
    /// Participants without a copy that keep the item from being complete.
    pub(crate) missing: Vec<MissingParticipant>,
    /// Participants without a copy that are expected to have a mailbox, now or in an earlier attempt.
    pub(crate) expected: Vec<usize>,
    /// Participants whose mailbox was found, by the mailbox's id.
    pub(crate) found_in: HashMap<String, Vec<usize>>,
    /// Participants of whom an address has its copy already, by that address.
    pub(crate) filed_at: HashMap<MailboxAddress, Vec<usize>>,
    /// Participants that have no mailbox and need none.
    pub(crate) unmapped: Vec<usize>,
    /// The entries of `unmapped` whose lookup was rejected until the retries were used up.
    pub(crate) lookup_rejected: Vec<usize>,
    /// The missing participants that are retried.
    pub(crate) waiting: Waiting,
    /// The first missing participant whose retries are used up.
    pub(crate) given_up: Option<(Reason, String)>,
    /// `true` if a rejected or failed lookup would count if another lookup succeeded.
    pub(crate) requires_other_lookup: bool,
}

/// The mail system as the mapping's directory.
pub(crate) struct MailDirectory<'a>(pub(crate) &'a dyn Mailboxes);

#[async_trait]
impl Directory for MailDirectory<'_> {
    type Mailbox = Mailbox;
    type Error = MailboxError;

    async fn find(&self, address: &MailboxAddress) -> Result<DirectoryLookup<Mailbox>, MailboxError> {
        Ok(match self.0.look_up(address).await? {
            mailbox::MailboxLookup::Mailbox(mailbox) => DirectoryLookup::Mailbox(mailbox),
            mailbox::MailboxLookup::AccountOnly => DirectoryLookup::AccountOnly,
            mailbox::MailboxLookup::Nothing => DirectoryLookup::Nothing,
        })
    }
}

/// The result of earlier attempts, from the outcome.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Earlier<'a> {
    pub(crate) missing: &'a [MissingParticipant],
    pub(crate) expected: &'a [usize],
    pub(crate) unmapped: &'a [usize],
    pub(crate) lookup_rejected: &'a [usize],
}

impl<'a> Earlier<'a> {
    pub(crate) fn of(outcome: &'a Outcome) -> Self {
        let Outcome { missing, expected, unmapped, lookup_rejected, .. } = outcome;
        Self { missing, expected, unmapped, lookup_rejected }
    }

    /// Returns the participants of whom an earlier attempt expected a mailbox. If a participant's row is removed from the
    /// user map meanwhile, the participant is still expected: the item becomes a dead letter, and a replay uses the new
    /// map. `reconcile --unmapped` and earlier releases record it only by an entry.
    fn all_expected(self) -> HashSet<usize> {
        let is_expected = |missing: &&MissingParticipant| {
            matches!(missing.reason, MissingReason::MailboxNotFound | MissingReason::MappedLater)
        };
        let entries = self.missing.iter().filter(is_expected).map(|missing| missing.participant);
        self.expected.iter().copied().chain(entries).collect()
    }
}

/// The limit of lookups, and the time for which the mail system's adapter repeats that an address has no mailbox.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LookupLimit {
    pub(crate) limit: RetryLimit,
    pub(crate) cached: Duration,
}

/// Returns the participants (by index) whose mailbox was confirmed missing until the limit was reached. For them the
/// address in the item is used instead of the user map's.
pub(crate) fn confirmed_missing(
    before: &[MissingParticipant],
    LookupLimit { limit, cached }: LookupLimit,
    now: Timestamp,
) -> HashSet<usize> {
    let confirmed = |missing: &&MissingParticipant| {
        missing.reason == MissingReason::MailboxNotFound
            && limit.is_reached(limit.next_cached(Some(series(missing)), now, cached), now)
    };
    before.iter().filter(confirmed).map(|missing| missing.participant).collect()
}

/// Returns the addresses for a copy: the primary address of each participant's mailbox. A participant without a mailbox
/// has the address of the stored message, and so has one that is not resolved and whose mailbox is not recorded.
pub(crate) fn copy_addresses(
    participants: &[Participant],
    resolved: &[Resolved<Mailbox, MailboxError>],
    filed: &[FiledMailbox],
) -> CopyAddresses {
    let of_place: HashMap<usize, &FiledMailbox> =
        filed.iter().flat_map(|filed| filed.participants.iter().map(move |place| (*place, filed))).collect();
    let primary_of = |filed: &FiledMailbox| filed.primary.as_ref().unwrap_or(&filed.address).clone();
    let primary = |(place, resolved): (usize, &Resolved<Mailbox, MailboxError>)| match resolved {
        Resolved::Mailbox(mailbox) => Some(mailbox.primary.clone()),
        Resolved::Filed(address) => filed.iter().find(|filed| filed.address == *address).map(primary_of),
        Resolved::Unchanged => of_place.get(&place).copied().map(primary_of),
        Resolved::NotFound { .. } | Resolved::Failed { .. } => None,
    };
    CopyAddresses::of(participants.iter().zip(resolved.iter().enumerate().map(primary)))
}

/// Decides for each participant. `before` is what earlier attempts recorded in the outcome. `other_lookup_succeeded` is true if
/// the mail system has recently found a mailbox other than those in `resolved`.
pub(crate) fn decide(
    resolved: &[Resolved<Mailbox, MailboxError>],
    before: Earlier<'_>,
    lookup_limit: LookupLimit,
    now: Timestamp,
    other_lookup_succeeded: bool,
) -> Plan {
    let limit = lookup_limit.limit;
    let mut plan = Plan::default();
    let mut ids = HashSet::new();
    let expected_before = before.all_expected();
    let (unmapped_before, rejected_before): (HashSet<_>, HashSet<_>) =
        (before.unmapped.iter().collect(), before.lookup_rejected.iter().collect());
    let other_lookup_succeeded =
        other_lookup_succeeded || resolved.iter().any(|resolved| matches!(resolved, Resolved::Mailbox(_)));
    for (participant, resolved) in resolved.iter().enumerate() {
        let earlier = before.missing.iter().find(|missing| missing.participant == participant);
        let had_account = earlier.is_some_and(|earlier| earlier.reason == MissingReason::MailboxUnconfirmed);
        // Of the participant, not of an address: a corrected row does not block the item.
        let expected = expected_before.contains(&participant) || is_expected(resolved);
        if expected && !matches!(resolved, Resolved::Filed(_) | Resolved::Unchanged) {
            plan.expected.push(participant);
        }
        match resolved {
            Resolved::Mailbox(mailbox) => {
                plan.found_in.entry(mailbox.id.clone()).or_default().push(participant);
                if ids.insert(mailbox.id.clone()) {
                    plan.mailboxes.push(mailbox.clone());
                }
            }
            Resolved::Filed(address) => plan.filed_at.entry(address.clone()).or_default().push(participant),
            Resolved::Unchanged => {
                plan.unmapped.extend(unmapped_before.get(&participant).copied());
                plan.lookup_rejected.extend(rejected_before.get(&participant).copied());
            }
            Resolved::NotFound { has_account, .. } if !expected && !has_account && !had_account => {
                plan.unmapped.push(participant);
            }
            Resolved::NotFound { .. } if !expected => {
                let limit = limit.unexpected();
                let reason = MissingReason::MailboxUnconfirmed;
                let missing = checked(earlier, participant, reason, LookupLimit { limit, ..lookup_limit }, now);
                if limit.is_reached(series(&missing), now) {
                    plan.unmapped.push(participant);
                } else {
                    let detail =
                        "an account has the address of a participant, and no mailbox is reported for it".to_owned();
                    plan.waiting.add(Failure::Transient { detail, after: limit.next_check(series(&missing)) });
                    plan.missing.push(missing);
                }
            }
            Resolved::NotFound { .. } => {
                let missing = checked(earlier, participant, MissingReason::MailboxNotFound, lookup_limit, now);
                if limit.is_reached(series(&missing), now) {
                    let detail = format!(
                        "an expected participant still lacked a mailbox after {} checks: correct the user map or have the mailbox created, then replay",
                        missing.checks
                    );
                    plan.given_up.get_or_insert((Reason::MailboxNotFound, detail));
                } else {
                    let detail = "an expected participant still lacks a mailbox".to_owned();
                    plan.waiting.add(Failure::Transient { detail, after: limit.next_check(series(&missing)) });
                }
                plan.missing.push(missing);
            }
            Resolved::Failed { error, .. } => {
                let is_answer = matches!(
                    error,
                    MailboxError::LookupRejected { .. }
                        | MailboxError::Unrecognized { .. }
                        | MailboxError::Rejected { .. }
                );
                let reason = match (is_answer, had_account) {
                    (false, _) => MissingReason::LookupFailed,
                    // A rejected lookup does not say that the account is gone.
                    (true, true) if !expected => MissingReason::MailboxUnconfirmed,
                    (true, _) => MissingReason::LookupRejected,
                };
                if !other_lookup_succeeded {
                    plan.requires_other_lookup = true;
                    plan.waiting.add(undecided(error, is_answer, None));
                    let begins = MissingParticipant { participant, reason, since: now, checks: 0, last_check: None };
                    plan.missing.push(earlier.copied().unwrap_or(begins));
                    continue;
                }
                let limit = if expected || !is_answer { limit } else { limit.unexpected() };
                let missing = checked(earlier, participant, reason, LookupLimit { limit, ..lookup_limit }, now);
                let detail = format!("{error}, after {} checks", missing.checks);
                match (limit.is_reached(series(&missing), now), expected) {
                    (true, false) => {
                        plan.unmapped.push(participant);
                        plan.lookup_rejected.push(participant);
                        continue;
                    }
                    (true, true) => {
                        plan.given_up.get_or_insert((Reason::LookupRejected, detail));
                    }
                    (false, expected) => {
                        let after = limit.next_check(series(&missing));
                        plan.waiting.add(undecided(error, is_answer && expected, after));
                    }
                }
                plan.missing.push(missing);
            }
        }
    }
    plan
}

/// Returns whether the user map or the tenant's domains expect a mailbox now, or it was found. `false` for a participant with
/// a copy, and for one that is not resolved.
fn is_expected(resolved: &Resolved<Mailbox, MailboxError>) -> bool {
    match resolved {
        Resolved::Mailbox(_) => true,
        Resolved::NotFound { expected, .. } | Resolved::Failed { expected, .. } => *expected,
        Resolved::Filed(_) | Resolved::Unchanged => false,
    }
}

fn series(missing: &MissingParticipant) -> Series {
    Series { since: missing.since, checks: missing.checks, last: missing.last_check }
}

/// Returns the failure of a lookup that is retried. `calls_operator`: it is a configuration error, whatever the error
/// says.
fn undecided(error: &MailboxError, calls_operator: bool, after: Option<Duration>) -> Failure {
    let (detail, requested, is_configuration) = match from_mailbox(error) {
        Failure::Configuration { detail, after } => (detail, after, true),
        Failure::Transient { detail, after } => (detail, after, false),
        // A lookup sends no message, so its failure is not the item's.
        Failure::Permanent { detail, .. } => (detail, None, false),
    };
    let after = requested.max(after);
    if is_configuration || calls_operator {
        Failure::Configuration { detail, after }
    } else {
        Failure::Transient { detail, after }
    }
}

/// Returns the entry of a participant after another check.
fn checked(
    earlier: Option<&MissingParticipant>,
    participant: usize,
    reason: MissingReason,
    LookupLimit { limit, cached }: LookupLimit,
    now: Timestamp,
) -> MissingParticipant {
    // An entry without a check: the lookup failed while no other lookup succeeded.
    let earlier = earlier.filter(|earlier| earlier.checks > 0);
    let negative = |reason| match reason {
        MissingReason::MailboxNotFound | MissingReason::MailboxUnconfirmed | MissingReason::LookupRejected => true,
        MissingReason::LookupFailed | MissingReason::MappedLater => false,
    };
    let before = match earlier {
        // A failed lookup says nothing, so it neither ends nor prolongs a series of responses.
        Some(earlier) if negative(earlier.reason) && reason == MissingReason::LookupFailed => return *earlier,
        Some(earlier) if earlier.reason == reason || negative(earlier.reason) && negative(reason) => {
            Some(series(earlier))
        }
        Some(_) | None => None,
    };
    // Only "no mailbox" is cached.
    let is_cached = matches!(reason, MissingReason::MailboxNotFound | MissingReason::MailboxUnconfirmed);
    let cached = if is_cached { cached } else { Duration::ZERO };
    let Series { since, checks, last } = limit.next_cached(before, now, cached);
    MissingParticipant { participant, reason, since, checks, last_check: last }
}

#[cfg(test)]
mod tests;
