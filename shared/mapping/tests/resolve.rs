//! Whose mailboxes an item goes to.
#![expect(clippy::unwrap_used, reason = "a test's helper may panic as the test may")]

use std::sync::Mutex;

use async_trait::async_trait;
use futures::{FutureExt, channel::oneshot, executor::block_on};
use item::{MailboxAddress, Participant};
use mapping::{Directory, Resolution, UserMap, resolve};

/// Mailboxes by address; an address beginning with "down" cannot be looked up.
#[derive(Default)]
struct Mailboxes {
    ids: Vec<(&'static str, &'static str)>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Directory for Mailboxes {
    type Mailbox = String;
    type Error = &'static str;

    fn id<'a>(&self, mailbox: &'a String) -> &'a str {
        mailbox
    }

    async fn find(&self, address: &MailboxAddress) -> Result<Option<String>, &'static str> {
        self.asked.lock().unwrap().push(address.to_string());
        if address.as_str().starts_with("down") {
            return Err("down");
        }
        Ok(self.ids.iter().find(|(known, _)| *known == address.as_str()).map(|(_, id)| (*id).to_owned()))
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
    let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Participant { phone: known(phone), email: known(email), ..Participant::default() }
}

fn resolved(participants: &[Participant], automatic: bool, catch_all: Option<&str>) -> Resolution<String> {
    let catch_all = catch_all.map(|address| address.parse().unwrap());
    block_on(resolve(participants, &map(), automatic, catch_all.as_ref(), &mailboxes())).unwrap()
}

#[test]
fn the_user_map_comes_before_the_participants_own_address() {
    let both = resolved(&[person("4520123456", "bob@example.com")], true, None);
    assert_eq!((both.mailboxes, both.unmapped), (vec!["ada".to_owned()], vec![]));
    // Mapped to a mailbox that is gone: the participant's own address is the next best.
    let gone = resolved(&[person("4520123457", "bob@example.com")], true, None);
    assert_eq!((gone.mailboxes, gone.unmapped), (vec!["bob".to_owned()], vec![]));
    let manual = resolved(&[person("4520123457", "bob@example.com")], false, None);
    assert_eq!((manual.mailboxes, manual.unmapped), (vec![], vec![0]));
}

#[test]
fn every_mailbox_gets_one_copy_and_every_address_one_question() {
    let group = [
        person("4520123456", ""),
        person("", "ADA.Lovelace@example.com"),
        person("", "bob@example.com"),
        person("+1 202 555 0123", "stranger@elsewhere.example"),
        person("+1 202 555 0124", "stranger@elsewhere.example"),
        person("4520123456", "not.asked@example.com"),
        person("no number", "no address"),
        Participant::default(),
    ];
    let mailboxes = mailboxes();
    let catch_all = "catch@example.com".parse().unwrap();
    let resolution = block_on(resolve(&group, &map(), true, Some(&catch_all), &mailboxes)).unwrap();
    assert_eq!(resolution.mailboxes, ["ada", "bob"]);
    assert_eq!(resolution.unmapped, [3, 4, 6, 7], "their places in the list");
    assert_eq!(
        *mailboxes.asked.lock().unwrap(),
        ["ada@example.com", "ada.lovelace@example.com", "bob@example.com", "stranger@elsewhere.example"],
        "the user map's first, then the participants' own"
    );
}

#[test]
fn nobody_is_caught_only_where_a_mailbox_is_configured_and_there() {
    let nobody = [person("+1 202 555 0123", "stranger@elsewhere.example")];
    let mailboxes = |catch_all| resolved(&nobody, true, catch_all).mailboxes;
    assert!(mailboxes(None).is_empty());
    assert_eq!(mailboxes(Some("catch@example.com")), ["catch"]);
    assert!(mailboxes(Some("nowhere@example.com")).is_empty());
    assert!(resolved(&[], true, None).mailboxes.is_empty());
}

#[test]
fn a_directory_that_does_not_answer_decides_nothing() {
    let group = [person("4520123456", ""), person("4520123458", "bob@example.com")];
    assert_eq!(block_on(resolve(&group, &map(), true, None, &mailboxes())), Err("down"));
}

#[test]
fn without_a_user_map_the_participants_own_address_counts() {
    let group = [person("4520123456", "bob@example.com")];
    let resolution = block_on(resolve(&group, &UserMap::empty(), true, None, &mailboxes())).unwrap();
    assert_eq!((resolution.mailboxes, resolution.unmapped), (vec!["bob".to_owned()], vec![]));
}

/// Answers nobody until somebody else asks too.
struct Together(Mutex<Option<oneshot::Sender<()>>>);

#[async_trait]
impl Directory for Together {
    type Mailbox = String;
    type Error = &'static str;

    fn id<'a>(&self, mailbox: &'a String) -> &'a str {
        mailbox
    }

    async fn find(&self, address: &MailboxAddress) -> Result<Option<String>, &'static str> {
        let other = self.0.lock().unwrap().take();
        match other {
            Some(waiting) => waiting.send(()).map_err(|()| "nobody waits")?,
            None => {
                let (sender, receiver) = oneshot::channel();
                *self.0.lock().unwrap() = Some(sender);
                receiver.await.map_err(|_| "nobody else came")?;
            }
        }
        Ok(Some(address.to_string()))
    }
}

#[test]
fn a_large_group_does_not_ask_for_one_address_after_the_other() {
    let group = [person("", "bob@example.com"), person("", "ada@example.com")];
    let map = UserMap::parse(b"Phone,Mail\n", None).unwrap();
    let together = Together(Mutex::default());
    let resolution = resolve(&group, &map, true, None, &together).now_or_never().expect("the second was asked too");
    assert_eq!(
        resolution.unwrap().mailboxes,
        ["bob@example.com", "ada@example.com"],
        "in the order of the participants"
    );
}
