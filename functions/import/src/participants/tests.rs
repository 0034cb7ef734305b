//! Tests of the decision over many attempts, with a fake mail system and a clock that the tests set.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use async_trait::async_trait;
use jiff::SignedDuration;
use mapping::{Rules, UserMap};
use model::Participant;

use super::*;
use mailbox::{Attempt, Filed, Identity, Message, StoredCopy};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The responses of a mail system that are not "a mailbox with the address as its id". `None` is the response for an
/// address in `accounts` if it has an account without a mailbox.
#[derive(Default)]
struct Fake(Mutex<HashMap<&'static str, Result<Option<&'static str>, MailboxError>>>, Mutex<HashSet<&'static str>>);

impl Fake {
    fn respond(&self, address: &'static str, response: Result<Option<&'static str>, MailboxError>) {
        self.0.lock().unwrap().insert(address, response);
    }
}

#[async_trait]
impl Mailboxes for Fake {
    async fn find(&self, address: &MailboxAddress) -> Result<Option<Mailbox>, MailboxError> {
        let found = self.0.lock().unwrap().get(address.as_str()).cloned();
        let id = found.unwrap_or(Ok(Some(address.as_str())).map(|_: Option<&str>| Some("")));
        let id = id?.map(|id| if id.is_empty() { address.to_string() } else { id.to_owned() });
        Ok(id.map(|id| Mailbox { id, address: address.clone(), primary: address.clone() }))
    }

    async fn look_up(&self, address: &MailboxAddress) -> Result<mailbox::MailboxLookup, MailboxError> {
        let has_account = self.1.lock().unwrap().contains(address.as_str());
        Ok(match self.find(address).await? {
            None if has_account => mailbox::MailboxLookup::AccountOnly,
            found => found.into(),
        })
    }

    async fn file(&self, _: &Mailbox, _: &Message, _: Attempt) -> Result<Filed, MailboxError> {
        Err(MailboxError::Full)
    }

    async fn remove_incomplete(&self, _: &Mailbox, _: &Message) -> Result<(), MailboxError> {
        Ok(())
    }

    async fn holds(&self, _: &Mailbox, _: &Identity<'_>) -> Result<Option<String>, MailboxError> {
        Ok(None)
    }

    async fn copies(&self, _: &Mailbox, _: &Identity<'_>) -> Result<Vec<StoredCopy>, MailboxError> {
        Ok(Vec::new())
    }
}

/// An item whose participants are resolved again and again.
struct Item {
    mail: Fake,
    map: UserMap,
    domains: Vec<String>,
    participants: Vec<Participant>,
    missing: Vec<MissingParticipant>,
    expected: Vec<usize>,
    wait: Duration,
    /// The time for which the adapter repeats that an address has no mailbox.
    cached: Duration,
    now: Timestamp,
}

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
const CLIENT: &str = "sales#dk@client.example";

impl Item {
    /// Returns an item of the participants with these addresses as their e-mail property.
    fn of(addresses: &[&str]) -> Self {
        let participant = |address: &&str| Participant { email: Some((*address).to_owned()), ..Participant::default() };
        Self {
            mail: Fake::default(),
            map: UserMap::empty(),
            domains: vec!["example.com".to_owned()],
            participants: addresses.iter().map(participant).collect(),
            missing: Vec::new(),
            expected: Vec::new(),
            wait: DAY,
            cached: Duration::ZERO,
            now: "2026-11-22T07:00:00Z".parse().unwrap(),
        }
    }

    async fn check(&mut self, filed: &[&str], other_lookup_succeeded: bool) -> Plan {
        let limit = LookupLimit { limit: RetryLimit::new(self.wait), cached: self.cached };
        let rules = Rules { map: &self.map, automatic: true, tenant_domains: &self.domains, at: self.now, only: None };
        let confirmed_missing = confirmed_missing(&self.missing, limit, self.now);
        let filed = |address: &MailboxAddress| filed.contains(&address.as_str());
        let directory = MailDirectory(&self.mail);
        let resolved = mapping::resolve(&self.participants, &rules, &confirmed_missing, filed, &directory).await;
        let before = Earlier { missing: &self.missing, expected: &self.expected, unmapped: &[], lookup_rejected: &[] };
        let plan = decide(&resolved, before, limit, self.now, other_lookup_succeeded);
        self.missing.clone_from(&plan.missing);
        self.expected.clone_from(&plan.expected);
        plan
    }

    /// Checks once an hour, so many times.
    async fn check_hourly(&mut self, times: u32, filed: &[&str]) -> Plan {
        for _ in 1..times {
            let plan = self.check(filed, false).await;
            assert_eq!(plan.given_up, None);
            self.now += SignedDuration::from_hours(1);
        }
        self.check(filed, false).await
    }
}

fn addresses(plan: &Plan) -> Vec<&str> {
    plan.mailboxes.iter().map(|mailbox| mailbox.address.as_str()).collect()
}

fn rejected() -> MailboxError {
    MailboxError::LookupRejected { detail: "HTTP 400".to_owned() }
}

fn unavailable() -> MailboxError {
    MailboxError::Unavailable { detail: "HTTP 503".to_owned(), retry_after: None }
}

#[tokio::test]
async fn single_negative_lookup_keeps_a_participant_missing() {
    let mut item = Item::of(&[ADA, BOB]);
    item.mail.respond(BOB, Ok(None));
    let plan = item.check(&[], false).await;
    assert_eq!(addresses(&plan), [ADA], "the others get their copies");
    assert_eq!((plan.missing[0].participant, plan.missing[0].reason), (1, MissingReason::MailboxNotFound));
    assert!(plan.waiting.end().is_some() && plan.given_up.is_none());
    item.mail.respond(BOB, Ok(Some("")));
    let plan = item.check(&[ADA], false).await;
    assert_eq!(addresses(&plan), [BOB], "filed in that mailbox only");
    assert!(plan.missing.is_empty() && plan.waiting.end().is_none());
}

#[tokio::test]
async fn participant_is_final_after_a_day_of_negative_lookups() {
    let mut item = Item::of(&[ADA, BOB]);
    item.mail.respond(BOB, Ok(None));
    let plan = item.check_hourly(24, &[ADA]).await;
    assert!(plan.given_up.is_none(), "23 hours");
    item.now += SignedDuration::from_hours(1);
    let plan = item.check(&[ADA], false).await;
    assert_eq!(plan.given_up.map(|(reason, _)| reason), Some(Reason::MailboxNotFound));
    assert_eq!((plan.missing[0].checks, plan.waiting.end()), (25, None), "the outcome lists the missing participant");
}

#[tokio::test]
async fn checks_two_days_apart_do_not_count() {
    let mut item = Item::of(&[BOB]);
    item.mail.respond(BOB, Ok(None));
    item.check(&[], false).await;
    item.now += SignedDuration::from_hours(48);
    assert!(item.check(&[], false).await.given_up.is_none(), "two responses are too few");
    assert!(item.check(&[], false).await.given_up.is_none(), "and the time between them does not count");
    assert!(item.check_hourly(25, &[]).await.given_up.is_some());
}

#[tokio::test]
async fn outage_is_not_a_negative_answer() {
    let mut item = Item::of(&[ADA, BOB]);
    item.mail.respond(BOB, Err(unavailable()));
    let plan = item.check_hourly(100, &[ADA]).await;
    assert!(plan.given_up.is_none() && plan.missing[0].reason == MissingReason::LookupFailed);
    item.mail.respond(BOB, Ok(None));
    assert!(item.check(&[ADA], false).await.given_up.is_none(), "the first negative response");
    assert_eq!(item.missing[0].checks, 1);
    let since = item.missing[0].since;
    item.mail.respond(BOB, Err(unavailable()));
    item.check(&[ADA], false).await;
    assert_eq!((item.missing[0].since, item.missing[0].checks), (since, 1), "and an outage does not end the series");
}

#[tokio::test]
async fn missing_mapped_mailbox_is_replaced_only_after_a_day() {
    let csv = "Phone,Mail\n+4520123456,new@example.com\n";
    let mut item = Item::of(&[BOB]);
    item.participants[0].phone = Some("+4520123456".to_owned());
    item.map = UserMap::parse(csv.as_bytes(), None).unwrap();
    item.mail.respond("new@example.com", Ok(None));
    let plan = item.check_hourly(24, &[]).await;
    assert!(addresses(&plan).is_empty(), "bob@ is not the mailbox that the operator named");
    item.now += SignedDuration::from_hours(1);
    let plan = item.check(&[], false).await;
    assert_eq!((addresses(&plan), plan.missing.len()), (vec![BOB], 0), "confirmed: the own address is the next rule");
}

#[tokio::test]
async fn row_removed_between_attempts_drops_no_recipient_silently() {
    let csv = "Phone,Mail\n+4520123456,new@example.com\n";
    let mut item = Item::of(&[ADA, "bob@client.example"]);
    item.participants[1].phone = Some("+4520123456".to_owned());
    item.map = UserMap::parse(csv.as_bytes(), None).unwrap();
    for address in ["new@example.com", "bob@client.example"] {
        item.mail.respond(address, Ok(None));
    }
    assert_eq!(item.check(&[], false).await.missing.len(), 1);
    item.map = UserMap::empty();
    item.now += SignedDuration::from_hours(1);
    let plan = item.check_hourly(24, &[ADA]).await;
    assert!(plan.unmapped.is_empty() && plan.given_up.is_some(), "a dead letter: {plan:?}");
    // A replay starts without the earlier checks and expectations.
    item.missing.clear();
    item.expected.clear();
    assert_eq!(item.check(&[ADA], false).await.unmapped, [1]);
}

/// The first attempt records no entry that shows the expectation: the lookup failed or was rejected, or the mailbox was
/// found and the filing failed.
#[tokio::test]
async fn participant_stays_expected_after_any_first_attempt() {
    let csv = "Phone,Mail\n+4520123456,new@example.com\n";
    for first in [Err(unavailable()), Err(rejected()), Ok(Some(""))] {
        let mut item = Item::of(&[ADA, "bob@client.example"]);
        item.participants[1].phone = Some("+4520123456".to_owned());
        item.map = UserMap::parse(csv.as_bytes(), None).unwrap();
        item.mail.respond("new@example.com", first.clone());
        item.mail.respond("bob@client.example", Ok(None));
        item.check(&[], false).await;
        item.map = UserMap::empty();
        let plan = item.check(&[ADA], false).await;
        assert_eq!((plan.missing.len(), plan.unmapped.len()), (1, 0), "{first:?}");
        // A corrected row finds the mailbox under another address.
        item.map = UserMap::parse(csv.replace("new@", "newer@").as_bytes(), None).unwrap();
        let plan = item.check(&[ADA], false).await;
        assert_eq!((addresses(&plan), plan.missing.len()), (vec!["newer@example.com"], 0), "{first:?}");
        let plan = item.check(&[ADA, "newer@example.com"], false).await;
        assert!(plan.expected.is_empty() && plan.waiting.end().is_none(), "{first:?}");
    }
}

/// Graph and IMAP repeat "no mailbox" for a minute without asking the directory.
#[tokio::test]
async fn three_real_lookups_decide_although_retry_hours_is_zero() {
    let mut item = Item::of(&[BOB]);
    (item.wait, item.cached) = (Duration::ZERO, Duration::from_secs(60));
    item.mail.respond(BOB, Ok(None));
    let mut given_up = Vec::new();
    for seconds in [0, 5, 10, 50, 60] {
        item.now += SignedDuration::from_secs(seconds);
        given_up.push(item.check(&[], false).await.given_up.is_some());
    }
    assert_eq!(given_up, [false, false, false, false, true]);
}

#[tokio::test]
async fn property_that_is_no_address_in_a_tenant_domain_is_expected() {
    for property in ["Ada <ada@example.com>", "mailto:ada@Example.COM", "ada@example.com.", "ada lovelace@example.com"]
    {
        let mut item = Item::of(&[BOB, property]);
        let plan = item.check(&[], false).await;
        assert_eq!((plan.missing.len(), plan.unmapped.len()), (1, 0), "{property}");
    }
    for property in ["ada@example.com.evil.example", "ada@client.example", "example.com", "@", ""] {
        let mut item = Item::of(&[BOB, property]);
        item.mail.respond("ada@example.com.evil.example", Ok(None));
        item.mail.respond("ada@client.example", Ok(None));
        let plan = item.check(&[], false).await;
        assert_eq!((plan.missing.len(), plan.unmapped.len()), (0, 1), "{property}");
    }
}

#[tokio::test]
async fn unexpected_participant_without_mailbox_is_unmapped() {
    let mut item = Item::of(&[ADA, "someone@client.example"]);
    item.mail.respond("someone@client.example", Ok(None));
    let plan = item.check(&[], false).await;
    assert_eq!((plan.unmapped, plan.missing.len(), plan.lookup_rejected.len()), (vec![1], 0, 0));
}

#[tokio::test]
async fn account_without_mailbox_is_unmapped_after_repeated_checks() {
    let mut item = Item::of(&[ADA, CLIENT]);
    item.mail.respond(CLIENT, Ok(None));
    item.mail.1.lock().unwrap().insert(CLIENT);
    (item.domains, item.cached) = (Vec::new(), Duration::from_secs(60));
    let plan = item.check(&[], false).await;
    assert_eq!((addresses(&plan), plan.unmapped.len()), (vec![ADA], 0), "the others get their copies");
    assert_eq!((plan.missing[0].participant, plan.missing[0].reason), (1, MissingReason::MailboxUnconfirmed));
    assert_eq!(plan.expected, [0], "only the mailbox that was found");
    assert!(plan.given_up.is_none() && plan.waiting.end().is_some());
    // The mailbox is in creation for half an hour.
    item.now += SignedDuration::from_mins(30);
    item.mail.respond(CLIENT, Ok(Some("")));
    assert_eq!(addresses(&item.check(&[ADA], false).await), [CLIENT]);

    // Another item of the same participants.
    item.mail.respond(CLIENT, Ok(None));
    item.missing.clear();
    item.expected.clear();
    for minutes in [0, 30, 29] {
        item.now += SignedDuration::from_mins(minutes);
        assert!(item.check(&[ADA], false).await.unmapped.is_empty(), "{minutes}");
    }
    // A failed lookup says nothing.
    item.mail.respond(CLIENT, Err(unavailable()));
    item.now += SignedDuration::from_mins(1);
    assert!(item.check(&[ADA], true).await.unmapped.is_empty());
    item.mail.respond(CLIENT, Ok(None));
    let plan = item.check(&[ADA], false).await;
    assert_eq!((plan.unmapped.as_slice(), plan.lookup_rejected.len(), plan.missing.len()), (&[1][..], 0, 0));
    assert!(plan.given_up.is_none() && plan.waiting.end().is_none());
}

/// The account was created a moment ago, and some replicas of the directory do not have it yet.
#[tokio::test]
async fn replica_without_the_account_drops_no_participant() {
    let see_account = |item: &Item, seen: bool| {
        let mut accounts = item.mail.1.lock().unwrap();
        if seen { accounts.insert(CLIENT) } else { accounts.remove(CLIENT) }
    };
    let mut item = Item::of(&[ADA, CLIENT]);
    item.mail.respond(CLIENT, Ok(None));
    see_account(&item, true);
    assert_eq!(item.check(&[], false).await.missing[0].reason, MissingReason::MailboxUnconfirmed);
    see_account(&item, false);
    item.now += SignedDuration::from_secs(5);
    let plan = item.check(&[ADA], false).await;
    assert_eq!((plan.missing.len(), plan.unmapped.len()), (1, 0), "dropped after five seconds");
    // A rejected lookup does not say that the account is gone.
    item.mail.respond(CLIENT, Err(rejected()));
    item.now += SignedDuration::from_mins(1);
    assert!(item.check(&[ADA], true).await.unmapped.is_empty());
    item.mail.respond(CLIENT, Ok(None));
    item.now += SignedDuration::from_mins(58);
    assert!(item.check(&[ADA], false).await.unmapped.is_empty(), "the hour is not over");
    item.now += SignedDuration::from_mins(1);
    let plan = item.check(&[ADA], false).await;
    assert_eq!((plan.missing.len(), plan.unmapped), (0, vec![1]));
}

/// The mailbox is found, and filing in it fails.
#[tokio::test]
async fn participant_whose_mailbox_was_found_stays_expected() {
    let mut item = Item::of(&[ADA, CLIENT]);
    assert_eq!(addresses(&item.check(&[], false).await), [ADA, CLIENT]);
    item.mail.respond(CLIENT, Ok(None));
    let plan = item.check_hourly(24, &[ADA]).await;
    assert_eq!((plan.missing[0].reason, plan.unmapped.len()), (MissingReason::MailboxNotFound, 0));
    item.now += SignedDuration::from_hours(1);
    let plan = item.check(&[ADA], false).await;
    assert_eq!(plan.given_up.map(|(reason, _)| reason), Some(Reason::MailboxNotFound));
}

#[tokio::test]
async fn rejected_lookup_of_an_unexpected_participant_is_recorded() {
    let mut item = Item::of(&[ADA, CLIENT]);
    item.mail.respond(CLIENT, Err(rejected()));
    let plan = item.check(&[], false).await;
    assert_eq!((addresses(&plan), plan.missing[0].reason), (vec![ADA], MissingReason::LookupRejected));
    assert!(matches!(plan.waiting.end().unwrap().failure, Failure::Transient { .. }));
    item.check(&[ADA], true).await;
    item.now += SignedDuration::from_hours(1);
    let plan = item.check(&[ADA], true).await;
    assert_eq!((plan.unmapped.as_slice(), plan.lookup_rejected.as_slice()), (&[1][..], &[1][..]));
    assert!(plan.missing.is_empty() && plan.given_up.is_none() && plan.waiting.end().is_none());
}

#[tokio::test]
async fn rejected_lookup_of_an_expected_participant_is_dead_lettered() {
    let mut item = Item::of(&[ADA, BOB]);
    item.mail.respond(BOB, Err(rejected()));
    let plan = item.check_hourly(24, &[]).await;
    assert!(matches!(plan.waiting.end().unwrap().failure, Failure::Configuration { .. }), "an operator is called");
    item.now += SignedDuration::from_hours(1);
    let plan = item.check(&[], false).await;
    assert_eq!(plan.given_up.map(|(reason, _)| reason), Some(Reason::LookupRejected));
}

#[tokio::test]
async fn mail_system_that_rejects_every_lookup_decides_nothing() {
    let mut item = Item::of(&[CLIENT, BOB]);
    item.mail.respond(CLIENT, Err(rejected()));
    item.mail.respond(BOB, Err(rejected()));
    let plan = item.check_hourly(200, &[]).await;
    assert!(plan.given_up.is_none() && plan.unmapped.is_empty() && plan.missing.len() == 2);
    assert!(plan.requires_other_lookup, "another lookup would decide it");
    assert!(matches!(plan.waiting.end().unwrap().failure, Failure::Configuration { .. }));
}

/// An error that looks like an outage, while the lookups of others succeed.
#[tokio::test]
async fn lookup_that_fails_while_others_succeed_dead_letters() {
    let setup = MailboxError::Configuration { detail: "HTTP 503".to_owned() };
    for error in [unavailable(), setup] {
        let mut item = Item::of(&[ADA, BOB]);
        item.mail.respond(BOB, Err(error));
        let plan = item.check_hourly(24, &[]).await;
        assert!(plan.given_up.is_none() && plan.missing[0].reason == MissingReason::LookupFailed, "23 hours");
        item.now += SignedDuration::from_hours(1);
        let plan = item.check(&[], false).await;
        let (reason, detail) = plan.given_up.expect("24 hours");
        assert_eq!(reason, Reason::LookupRejected);
        assert!(detail.contains("HTTP 503") && detail.contains("after 25 checks"), "{detail}");
    }
}

#[tokio::test]
async fn failed_lookup_of_an_unexpected_participant_uses_the_limit() {
    let mut item = Item::of(&[ADA, CLIENT]);
    item.mail.respond(CLIENT, Err(unavailable()));
    let plan = item.check_hourly(24, &[]).await;
    assert!(plan.unmapped.is_empty() && plan.missing.len() == 1, "longer than a rejection, which is an answer");
    item.now += SignedDuration::from_hours(1);
    let plan = item.check(&[], false).await;
    assert_eq!((plan.unmapped.as_slice(), plan.lookup_rejected.as_slice()), (&[1][..], &[1][..]));
    assert!(plan.missing.is_empty() && plan.given_up.is_none() && plan.waiting.end().is_none());
}

/// The mail system is down or misconfigured for days, and recovers for one participant before the other.
#[tokio::test]
async fn first_success_after_an_outage_decides_no_lookup() {
    for error in [unavailable(), rejected()] {
        let mut item = Item::of(&[ADA, BOB]);
        for address in [ADA, BOB] {
            item.mail.respond(address, Err(error.clone()));
        }
        item.check_hourly(100, &[]).await;
        assert_eq!(item.missing.iter().map(|missing| missing.checks).collect::<Vec<_>>(), [0, 0]);
        item.mail.respond(ADA, Ok(Some("")));
        let plan = item.check_hourly(24, &[]).await;
        assert_eq!((plan.missing.len(), plan.missing[0].checks), (1, 24), "{error}: counted from the first success on");
        item.now += SignedDuration::from_hours(1);
        assert!(item.check(&[], false).await.given_up.is_some(), "{error}");
    }
}

#[tokio::test]
async fn checks_before_and_after_an_outage_do_not_add_up() {
    for error in [unavailable(), rejected()] {
        let mut item = Item::of(&[ADA, BOB]);
        item.mail.respond(ADA, Ok(Some("")));
        item.mail.respond(BOB, Err(error.clone()));
        item.check_hourly(4, &[]).await;
        item.mail.respond(ADA, Err(error.clone()));
        item.check_hourly(60, &[]).await;
        item.mail.respond(ADA, Ok(Some("")));
        let plan = item.check_hourly(19, &[]).await;
        assert!(plan.given_up.is_none() && plan.missing.len() == 1, "{error}: {plan:?}");
        assert!(item.check_hourly(4, &[]).await.given_up.is_some(), "{error}");
    }
}

#[tokio::test]
async fn two_addresses_of_one_mailbox_get_one_copy() {
    let mut item = Item::of(&[ADA, "ada.lovelace@example.com"]);
    item.mail.respond(ADA, Ok(Some("1")));
    item.mail.respond("ada.lovelace@example.com", Ok(Some("1")));
    assert_eq!(addresses(&item.check(&[], false).await), [ADA]);
}
