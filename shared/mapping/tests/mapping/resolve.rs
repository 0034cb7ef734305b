//! Resolution of an item's participants to mailboxes.

use std::{collections::HashSet, sync::Mutex};

use async_trait::async_trait;
use futures::{FutureExt, channel::oneshot, executor::block_on};
use jiff::Timestamp;
use mapping::{Directory, DirectoryLookup, Resolved, Rules, UserMap, resolve};
use model::{MailboxAddress, Participant};

/// Mailboxes by address; an address beginning with "down" cannot be looked up, and one beginning with "unlicensed" is that
/// of an account without a mailbox.
#[derive(Default)]
struct Mailboxes {
    ids: Vec<(&'static str, &'static str)>,
    requested: Mutex<Vec<String>>,
}

#[async_trait]
impl Directory for Mailboxes {
    type Mailbox = String;
    type Error = &'static str;

    async fn find(&self, address: &MailboxAddress) -> Result<DirectoryLookup<String>, &'static str> {
        self.requested.lock().unwrap().push(address.to_string());
        if address.as_str().starts_with("down") {
            return Err("down");
        }
        if address.as_str().starts_with("unlicensed") {
            return Ok(DirectoryLookup::AccountOnly);
        }
        let id = self.ids.iter().find(|(known, _)| *known == address.as_str());
        Ok(id.map_or(DirectoryLookup::Nothing, |(_, id)| DirectoryLookup::Mailbox((*id).to_owned())))
    }
}

fn mailboxes() -> Mailboxes {
    Mailboxes {
        ids: vec![
            ("ada@example.com", "ada"),
            ("ada.lovelace@example.com", "ada"),
            ("bob@example.com", "bob"),
            ("catch@example.com", "catch"),
        ],
        ..Mailboxes::default()
    }
}

fn map() -> UserMap {
    let csv = b"Phone,Mail\n+4520123456,ada@example.com\n+4520123457,gone@example.com\n+4520123458,down@example.com\n";
    UserMap::parse(csv, None).unwrap()
}

fn person(phone: &str, email: &str) -> Participant {
    let non_empty = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Participant { phone: non_empty(phone), email: non_empty(email), ..Participant::default() }
}

type Results = Vec<Resolved<String, &'static str>>;

fn mailbox(id: &str) -> Resolved<String, &'static str> {
    Resolved::Mailbox(id.to_owned())
}

const UNEXPECTED: Resolved<String, &str> = Resolved::NotFound { expected: false, has_account: false };
const EXPECTED: Resolved<String, &str> = Resolved::NotFound { expected: true, has_account: false };

fn rules<'a>(map: &'a UserMap, tenant_domains: &'a [String]) -> Rules<'a> {
    Rules { map, automatic: true, tenant_domains, at: Timestamp::UNIX_EPOCH, only: None }
}

fn resolved(participants: &[Participant], automatic: bool, confirmed_missing: &[usize]) -> Results {
    let map = map();
    let rules = Rules { automatic, ..rules(&map, &[]) };
    let confirmed_missing = confirmed_missing.iter().copied().collect();
    block_on(resolve(participants, &rules, &confirmed_missing, |_| false, &mailboxes()))
}

#[test]
fn user_map_outranks_the_participants_own_address() {
    assert_eq!(resolved(&[person("4520123456", "bob@example.com")], true, &[]), [mailbox("ada")]);
    // Mapped to a mailbox that is missing: the own address is used only after that was confirmed.
    let missing = [person("4520123457", "bob@example.com")];
    assert_eq!(resolved(&missing, true, &[]), [EXPECTED]);
    assert_eq!(resolved(&missing, true, &[0]), [mailbox("bob")]);
    assert_eq!(resolved(&missing, false, &[0]), [EXPECTED]);
    assert_eq!(resolved(&[person("4520123457", "stranger@elsewhere.example")], true, &[0]), [EXPECTED]);
}

#[test]
fn every_address_is_looked_up_once() {
    let group = [
        person("4520123456", ""),
        person("", "ADA.Lovelace@example.com"),
        person("", "bob@example.com"),
        person("+1 202 555 0123", "stranger@elsewhere.example"),
        person("+1 202 555 0124", "stranger@elsewhere.example"),
        person("4520123456", "not.requested@example.com"),
        person("no number", "no address"),
        Participant::default(),
    ];
    let (mailboxes, map) = (mailboxes(), map());
    let resolved = block_on(resolve(&group, &rules(&map, &[]), &HashSet::new(), |_| false, &mailboxes));
    let ada = || mailbox("ada");
    assert_eq!(
        resolved,
        [ada(), mailbox("ada"), mailbox("bob"), UNEXPECTED, UNEXPECTED, ada(), UNEXPECTED, UNEXPECTED],
        "in the order of the participants"
    );
    assert_eq!(
        *mailboxes.requested.lock().unwrap(),
        ["ada@example.com", "ada.lovelace@example.com", "bob@example.com", "stranger@elsewhere.example"]
    );
}

#[test]
fn address_in_a_tenant_domain_is_expected_to_have_a_mailbox() {
    let map = UserMap::empty();
    let domains = ["example.com".to_owned()];
    let group = [person("", "New@EXAMPLE.com"), person("", "new@sub.example.com"), person("", "new@notexample.com")];
    let results = block_on(resolve(&group, &rules(&map, &domains), &HashSet::new(), |_| false, &mailboxes()));
    assert_eq!(results, [EXPECTED, UNEXPECTED, UNEXPECTED]);
    let manual = Rules { automatic: false, ..rules(&map, &domains) };
    let results = block_on(resolve(&group, &manual, &HashSet::new(), |_| false, &mailboxes()));
    assert_eq!(results, [UNEXPECTED, UNEXPECTED, UNEXPECTED], "own addresses do not count");
}

/// Such an address is no valid mailbox address, and `TENANT_DOMAINS` has the domain in ASCII.
#[test]
fn international_address_in_a_tenant_domain_is_expected() {
    let map = UserMap::empty();
    let domains = ["xn--mller-kva.example".to_owned()];
    let resolved = |email| {
        let person = [person("", email)];
        block_on(resolve(&person, &rules(&map, &domains), &HashSet::new(), |_| false, &mailboxes()))
    };
    for email in
        ["ada@müller.example", "Ada <ada@MÜLLER.example>", "ada@mu\u{308}ller.example.", "ada@xn--mller-kva.example"]
    {
        assert_eq!(resolved(email), [EXPECTED], "{email}");
    }
    for email in ["ada@müllers.example", "ada@muller.example", "ada@sub.müller.example"] {
        assert_eq!(resolved(email), [UNEXPECTED], "{email}");
    }
}

#[test]
fn lookup_that_fails_does_not_affect_other_participants() {
    let group = [person("4520123456", ""), person("4520123458", "bob@example.com"), person("", "down2@example.com")];
    assert_eq!(
        resolved(&group, true, &[1]),
        [
            mailbox("ada"),
            Resolved::Failed { expected: true, error: "down" },
            Resolved::Failed { expected: false, error: "down" }
        ]
    );
}

#[test]
fn filed_address_is_not_looked_up() {
    let (mailboxes, map) = (mailboxes(), map());
    let group = [person("4520123456", ""), person("", "bob@example.com"), person("4520123457", "bob@example.com")];
    let filed = |address: &MailboxAddress| ["ada@example.com", "bob@example.com"].contains(&address.as_str());
    let resolved = block_on(resolve(&group, &rules(&map, &[]), &HashSet::new(), filed, &mailboxes));
    let filed = ["ada@example.com", "bob@example.com", "bob@example.com"];
    assert_eq!(resolved, filed.map(|address| Resolved::Filed(address.parse().unwrap())));
    assert_eq!(*mailboxes.requested.lock().unwrap(), ["gone@example.com"], "a missing mailbox is looked up again");
}

#[test]
fn only_the_selected_participants_are_looked_up() {
    let (mailboxes, map) = (mailboxes(), map());
    let group = [person("4520123456", ""), person("", "bob@example.com"), person("4520123457", "ada@example.com")];
    let only = HashSet::from([1]);
    let rules = Rules { only: Some(&only), ..rules(&map, &[]) };
    let resolved = block_on(resolve(&group, &rules, &HashSet::from([2]), |_| false, &mailboxes));
    assert_eq!(resolved, [Resolved::Unchanged, mailbox("bob"), Resolved::Unchanged]);
    assert_eq!(*mailboxes.requested.lock().unwrap(), ["bob@example.com"]);
}

#[test]
fn user_map_row_counts_for_messages_of_its_period() {
    let csv = b"Phone,Mail,valid_to\n+4520123456,ada@example.com,2026-06-30\n";
    let map = UserMap::parse(csv, None).unwrap();
    let at = |time: &str| Rules { at: time.parse().unwrap(), ..rules(&map, &[]) };
    let group = [person("4520123456", "bob@example.com")];
    let results = |time| block_on(resolve(&group, &at(time), &HashSet::new(), |_| false, &mailboxes()));
    assert_eq!(results("2026-06-30T23:59:59Z"), [mailbox("ada")]);
    assert_eq!(results("2026-07-01T00:00:00Z"), [mailbox("bob")]);
}

#[test]
fn account_without_mailbox_differs_from_an_unknown_address() {
    let map = UserMap::parse(b"Phone,Mail\n+4520123456,unlicensed@example.com\n", None).unwrap();
    let group =
        [person("+4520123456", "bob@example.com"), person("", "unlicensed@example.com"), person("", "no@example.com")];
    let resolved =
        |confirmed: &HashSet<usize>| block_on(resolve(&group, &rules(&map, &[]), confirmed, |_| false, &mailboxes()));
    let account = |expected| Resolved::NotFound { expected, has_account: true };
    assert_eq!(resolved(&HashSet::new()), [account(true), account(false), UNEXPECTED]);
    assert_eq!(resolved(&HashSet::from([0])), [mailbox("bob"), account(false), UNEXPECTED]);
}

/// A directory that responds to a lookup only when a second one has arrived.
struct RespondsToPairs(Mutex<Option<oneshot::Sender<()>>>);

#[async_trait]
impl Directory for RespondsToPairs {
    type Mailbox = String;
    type Error = &'static str;

    async fn find(&self, address: &MailboxAddress) -> Result<DirectoryLookup<String>, &'static str> {
        let other = self.0.lock().unwrap().take();
        match other {
            Some(waiting) => waiting.send(()).map_err(|()| "the first lookup was dropped")?,
            None => {
                let (sender, receiver) = oneshot::channel();
                *self.0.lock().unwrap() = Some(sender);
                receiver.await.map_err(|_| "no second lookup arrived")?;
            }
        }
        Ok(DirectoryLookup::Mailbox(address.to_string()))
    }
}

#[test]
fn addresses_are_looked_up_concurrently() {
    let group = [person("", "bob@example.com"), person("", "ada@example.com")];
    let map = UserMap::parse(b"Phone,Mail\n", None).unwrap();
    let directory = RespondsToPairs(Mutex::default());
    let resolved = resolve(&group, &rules(&map, &[]), &HashSet::new(), |_| false, &directory).now_or_never();
    assert_eq!(
        resolved.expect("the second address was not looked up concurrently"),
        [mailbox("bob@example.com"), mailbox("ada@example.com")]
    );
}
