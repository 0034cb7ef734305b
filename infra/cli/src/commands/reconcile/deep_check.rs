//! The chain of custody, from the stored message to the copy in each mailbox.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use aws::s3::{Store, StoreError};
use futures::{StreamExt, TryStreamExt, future, stream};
use jiff::Timestamp;
use mailbox::{Identity, MailboxError, Mailboxes};
use model::{FiledMailbox, Hasher, MailboxAddress, Outcome, Sha256};
use serde::Serialize;

/// What is looked at beside the books.
pub struct Deep {
    /// The mail system; or why it cannot be asked, in which case the stored messages are looked at alone.
    pub mailboxes: Result<Arc<dyn Mailboxes>, String>,
    /// Whether what is found says whose mailboxes they are.
    pub name_mailboxes: bool,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Custody {
    /// Copies that are in the archive folder of their mailbox.
    pub copies_found: u64,
    /// Stored messages that are gone or are not what was rendered.
    pub damaged: Vec<Damaged>,
    /// Copies that were filed and are not in the archive folder of their mailbox.
    pub not_in_mailbox: Vec<Lacking>,
    /// Mailboxes that hold more than one copy of an item.
    pub duplicates: Vec<Duplicate>,
    /// Copies whose message class the mail system does not have: a search for it does not find them.
    pub without_class: Vec<Placed>,
    /// Mailboxes of which it is not known whether they have all of their copies, one entry each.
    pub not_asked: Vec<Unasked>,
}

/// An item whose stored message is not what its outcome says.
#[derive(Debug, Clone, Serialize)]
pub struct Damaged {
    /// The message's key in the bucket.
    pub mime: String,
    /// Whether it is gone; else its SHA-256 or its length differs.
    pub gone: bool,
}

/// A copy that was filed and is not in the archive folder of its mailbox.
#[derive(Debug, Clone, Serialize)]
pub struct Lacking {
    /// The key of the item's outcome, which says whose mailbox it is.
    pub outcome: String,
    /// Which of the outcome's mailboxes, counted from 1.
    pub place: usize,
    /// When it was filed.
    pub filed_at: Timestamp,
    /// The message's key in the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime: Option<String>,
    /// Whose mailbox it is, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<MailboxAddress>,
}

/// Where a copy is recorded.
#[derive(Debug, Clone, Serialize)]
pub struct Placed {
    /// The key of the item's outcome, which says whose mailbox it is.
    pub outcome: String,
    /// Which of the outcome's mailboxes, counted from 1.
    pub place: usize,
    /// Whose mailbox it is, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<MailboxAddress>,
}

/// A mailbox that holds more than one copy of an item.
#[derive(Debug, Clone, Serialize)]
pub struct Duplicate {
    /// Where the first is recorded.
    #[serde(flatten)]
    pub placed: Placed,
    /// How many there are.
    pub copies: u64,
}

/// A mailbox of which something is not known.
#[derive(Debug, Clone, Serialize)]
pub struct Unasked {
    /// How many copies it was not asked for, or did not answer.
    pub copies: u64,
    /// Why not the first of them.
    pub why: String,
    /// The key of an outcome that says whose mailbox it is.
    pub outcome: String,
    /// Which of the outcome's mailboxes, counted from 1.
    pub place: usize,
    /// Whose mailbox it is, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<MailboxAddress>,
}

/// How many stored messages are read at once, a piece of each.
const MESSAGES_AT_ONCE: usize = 8;

/// How much of a stored message is in memory.
const PIECE: u64 = 4 << 20;

/// How many copies are asked for at once, each in whatever mailbox. Of one mailbox the adapters of servers ask one at a
/// time: Graph answers an application 4, and the functions have theirs.
const COPIES_AT_ONCE: usize = 16;

/// After so many failures a mailbox is not asked any more. Each may have waited for as long as an adapter waits.
const PATIENCE: u32 = 3;

/// Looks, and keeps what it finds.
pub(super) struct Custodian<'a> {
    store: &'a Store,
    asking: Asking<'a>,
    found: Found,
    progress: &'a dyn Fn(),
}

#[derive(Default)]
struct Found {
    copies: u64,
    name_mailboxes: bool,
    damaged: Vec<Damaged>,
    not_in_mailbox: Vec<Lacking>,
    duplicates: Vec<Duplicate>,
    without_class: Vec<Placed>,
    not_asked: HashMap<MailboxAddress, Unasked>,
}

/// A copy, and where it is told of.
struct Copy<'a> {
    outcome_key: &'a str,
    outcome: &'a Outcome,
    place: usize,
    filed: &'a FiledMailbox,
}

/// What a mailbox says.
enum Answer {
    /// So many copies, and of how many the mail system does not have the message class.
    There {
        copies: u64,
        without_class: u64,
    },
    NotThere,
    /// Nobody knows; with why.
    Unknown(String),
}

impl<'a> Custodian<'a> {
    /// `progress` is called for each copy.
    pub(super) fn new(store: &'a Store, deep: &'a Deep, progress: &'a dyn Fn()) -> Self {
        let asking = Asking { mailboxes: &deep.mailboxes, failures: Mutex::default() };
        let found = Found { name_mailboxes: deep.name_mailboxes, ..Found::default() };
        Self { store, asking, found, progress }
    }

    /// Looks at the messages and the copies of outcomes, each with its key.
    ///
    /// # Errors
    /// When the bucket cannot be read. That a mailbox cannot be asked is something that is found.
    pub(super) async fn look(&mut self, outcomes: &[(String, Outcome)]) -> Result<(), StoreError> {
        let Self { store, asking, found, progress } = self;
        let messages = stream::iter(outcomes).map(|(_, outcome)| damage(store, outcome));
        let messages = messages.buffer_unordered(MESSAGES_AT_ONCE).try_filter_map(future::ok).try_collect::<Vec<_>>();
        let copies = outcomes.iter().flat_map(|(outcome_key, outcome)| {
            let filed = outcome.mailboxes.iter().zip(1..);
            filed.map(move |(filed, place)| Copy { outcome_key, outcome, place, filed })
        });
        let answers = stream::iter(copies).map(|copy| asking.ask(copy)).buffer_unordered(COPIES_AT_ONCE);
        let notes = answers.for_each(|(copy, answer)| {
            found.note(&copy, answer);
            progress();
            future::ready(())
        });
        let (damaged, ()) = future::join(messages, notes).await;
        found.damaged.extend(damaged?);
        Ok(())
    }

    /// What was found, in an order that does not depend on who answered first.
    pub(super) fn close(self) -> Custody {
        let Found { copies, mut damaged, mut not_in_mailbox, mut duplicates, mut without_class, not_asked, .. } =
            self.found;
        let place = |placed: &Placed| (placed.outcome.clone(), placed.place);
        duplicates.sort_by_cached_key(|duplicate| place(&duplicate.placed));
        without_class.sort_by_cached_key(place);
        damaged.sort_by(|one, other| one.mime.cmp(&other.mime));
        not_in_mailbox.sort_by(|one, other| (&one.outcome, one.place).cmp(&(&other.outcome, other.place)));
        let mut not_asked: Vec<_> = not_asked.into_values().collect();
        not_asked.sort_by(|one, other| (&one.outcome, one.place).cmp(&(&other.outcome, other.place)));
        Custody { copies_found: copies, damaged, not_in_mailbox, duplicates, without_class, not_asked }
    }
}

impl Found {
    fn note(&mut self, copy: &Copy<'_>, answer: Answer) {
        let (outcome, place) = (copy.outcome_key.to_owned(), copy.place);
        let mailbox = self.name_mailboxes.then(|| copy.filed.address.clone());
        match answer {
            Answer::There { copies, without_class } => {
                self.copies += 1;
                let placed = Placed { outcome, place, mailbox };
                if without_class > 0 {
                    self.without_class.push(placed.clone());
                }
                if copies > 1 {
                    self.duplicates.push(Duplicate { placed, copies });
                }
            }
            Answer::NotThere => {
                let (filed_at, mime) = (copy.filed.at, copy.outcome.mime.clone());
                self.not_in_mailbox.push(Lacking { outcome, place, filed_at, mime, mailbox });
            }
            Answer::Unknown(why) => {
                let first = || Unasked { copies: 0, why, outcome, place, mailbox };
                self.not_asked.entry(copy.filed.address.clone()).or_insert_with(first).copies += 1;
            }
        }
    }
}

/// The mail system, and how often each mailbox has failed.
struct Asking<'a> {
    mailboxes: &'a Result<Arc<dyn Mailboxes>, String>,
    failures: Mutex<HashMap<MailboxAddress, u32>>,
}

impl Asking<'_> {
    async fn ask<'c>(&self, copy: Copy<'c>) -> (Copy<'c>, Answer) {
        let address = &copy.filed.address;
        let answer = match (self.mailboxes, &copy.outcome.message_id) {
            (Err(why), _) => Answer::Unknown(why.clone()),
            (Ok(_), None) => Answer::Unknown("the outcome does not say which message it is".to_owned()),
            (Ok(_), Some(_)) if self.has_failed_too_often(address) => {
                Answer::Unknown(format!("it has failed {PATIENCE} times"))
            }
            (Ok(mailboxes), Some(message_id)) => {
                let identity = Identity { item: &copy.outcome.item, message_id, content: copy.outcome.content };
                match held(mailboxes.as_ref(), address, &identity).await {
                    Ok(answer) => answer,
                    Err(error) => {
                        self.note_failure(address);
                        Answer::Unknown(error.to_string())
                    }
                }
            }
        };
        (copy, answer)
    }

    fn has_failed_too_often(&self, mailbox: &MailboxAddress) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(mailbox).is_some_and(|failures| *failures >= PATIENCE)
    }

    fn note_failure(&self, mailbox: &MailboxAddress) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failures.entry(mailbox.clone()).or_default() += 1;
    }
}

async fn held(
    mailboxes: &dyn Mailboxes,
    address: &MailboxAddress,
    copy: &Identity<'_>,
) -> Result<Answer, MailboxError> {
    let Some(mailbox) = mailboxes.find(address).await? else {
        return Ok(Answer::Unknown("the mail system has no such mailbox (any more)".to_owned()));
    };
    let copies = mailboxes.copies(&mailbox, copy).await?;
    let without_class = copies.iter().filter(|copy| copy.lacks_message_class).count() as u64;
    Ok(match copies.len() as u64 {
        0 => Answer::NotThere,
        copies => Answer::There { copies, without_class },
    })
}

/// What is wrong with the stored message of an item, if anything is.
async fn damage(store: &Store, outcome: &Outcome) -> Result<Option<Damaged>, StoreError> {
    let (Some(mime), Some(sha256)) = (&outcome.mime, outcome.sha256) else { return Ok(None) };
    let damaged = |gone| Ok(Some(Damaged { mime: mime.clone(), gone }));
    match digest(store, mime, outcome.bytes).await {
        Ok(Some(found)) if found == sha256 => Ok(None),
        Ok(Some(_)) | Err(StoreError::TooLarge { .. }) => damaged(false),
        Ok(None) => damaged(true),
        Err(error) => Err(error),
    }
}

/// The digest of a stored message that should have so many bytes; `None` where it is gone. A message of the usual size
/// takes one request; a larger one is read a piece at a time.
async fn digest(store: &Store, key: &str, bytes: Option<u64>) -> Result<Option<Sha256>, StoreError> {
    if let Some(bytes) = bytes.filter(|bytes| *bytes <= PIECE) {
        return Ok(store.get(key, bytes).await?.map(|object| Sha256::of(&object.bytes)));
    }
    let Some(version) = store.version(key).await? else { return Ok(None) };
    let mut hasher = Hasher::default();
    let mut from = 0;
    while from < version.bytes() {
        let piece = store.piece(&version, from..from.saturating_add(PIECE)).await?;
        from += piece.len() as u64;
        hasher.update(&piece);
    }
    Ok(Some(hasher.finish()))
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use async_trait::async_trait;
    use aws_config::{BehaviorVersion, SdkConfig};
    use mailbox::{Attempt, Filed, Mailbox, Message, StoredCopy};
    use model::FilingResult;

    use super::*;

    /// Knows everybody, has nothing of Ada's, and never answers for Bob's mailbox.
    #[derive(Default)]
    struct TwoPeople {
        asked: AtomicUsize,
    }

    #[async_trait]
    impl Mailboxes for TwoPeople {
        async fn find(&self, address: &MailboxAddress) -> Result<Option<Mailbox>, MailboxError> {
            Ok(Some(Mailbox { id: address.to_string(), address: address.clone() }))
        }

        async fn file(&self, _: &Mailbox, _: &Message, _: Attempt) -> Result<Filed, MailboxError> {
            unreachable!("nothing is ever filed here")
        }

        async fn holds(&self, mailbox: &Mailbox, _: &Identity<'_>) -> Result<Option<String>, MailboxError> {
            if mailbox.id.starts_with("ada") {
                return Ok(None);
            }
            self.asked.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Err(MailboxError::Unavailable { detail: "HTTP 503".into(), retry_after: None })
        }
    }

    fn outcome(number: usize, addresses: &[&str]) -> (String, Outcome) {
        let mut outcome = Outcome::new(format!("WA-{number}").parse().unwrap());
        outcome.message_id = Some(format!("<{number}@archive>"));
        for address in addresses {
            outcome.mailboxes.push(FiledMailbox {
                id: None,
                address: address.parse().unwrap(),
                result: FilingResult::Imported,
                message: String::new(),
                at: "2026-11-22T07:00:00Z".parse().unwrap(),
            });
        }
        (format!("outcomes/2026-11-22/{number:03}.json"), outcome)
    }

    async fn look(mailboxes: Result<Arc<dyn Mailboxes>, String>, name_mailboxes: bool) -> (Custody, u64) {
        let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build();
        let store = Store::new(&config, "none".to_owned());
        let deep = Deep { mailboxes, name_mailboxes };
        let told = Cell::new(0);
        let progress = || told.set(told.get() + 1);
        let mut custodian = Custodian::new(&store, &deep, &progress);
        let outcomes: Vec<_> =
            (0..100).map(|number| outcome(number, &["bob@example.com", "ada@example.com"])).collect();
        for some in outcomes.chunks(50) {
            custodian.look(some).await.unwrap();
        }
        (custodian.close(), told.get())
    }

    #[tokio::test]
    async fn a_mailbox_that_fails_is_given_up_and_hides_no_other() {
        let mailboxes = Arc::new(TwoPeople::default());
        let (custody, told) = look(Ok(mailboxes.clone()), false).await;
        assert_eq!((told, custody.copies_found, custody.not_in_mailbox.len()), (200, 0, 100));
        let [bob] = &custody.not_asked[..] else { panic!("{:?}", custody.not_asked) };
        assert_eq!((bob.copies, bob.place), (100, 1));
        assert!(bob.why.contains("HTTP 503"), "{}", bob.why);
        // Those that were under way when it had failed often enough are asked to their end.
        let asked = mailboxes.asked.load(Ordering::Relaxed);
        assert!((3..3 + COPIES_AT_ONCE).contains(&asked), "{asked}");
        let json = serde_json::to_string(&custody).unwrap();
        assert!(!json.contains('@'), "nobody is named unasked: {json}");
    }

    /// Has two copies of everything, the second without its message class.
    struct Twice;

    #[async_trait]
    impl Mailboxes for Twice {
        async fn find(&self, address: &MailboxAddress) -> Result<Option<Mailbox>, MailboxError> {
            Ok(Some(Mailbox { id: address.to_string(), address: address.clone() }))
        }

        async fn file(&self, _: &Mailbox, _: &Message, _: Attempt) -> Result<Filed, MailboxError> {
            unreachable!("nothing is ever filed here")
        }

        async fn holds(&self, _: &Mailbox, _: &Identity<'_>) -> Result<Option<String>, MailboxError> {
            unreachable!("copies are counted")
        }

        async fn copies(&self, _: &Mailbox, _: &Identity<'_>) -> Result<Vec<StoredCopy>, MailboxError> {
            let copy = |message: &str, lacks_message_class| StoredCopy { message: message.into(), lacks_message_class };
            Ok(vec![copy("1", false), copy("2", true)])
        }
    }

    #[tokio::test]
    async fn second_copy_and_copy_without_class_are_reported() {
        let (custody, _) = look(Ok(Arc::new(Twice)), false).await;
        assert_eq!((custody.copies_found, custody.not_in_mailbox.len()), (200, 0));
        assert_eq!((custody.duplicates.len(), custody.without_class.len()), (200, 200));
        let json = serde_json::to_value(&custody).unwrap();
        let expected = serde_json::json!({"outcome": "outcomes/2026-11-22/000.json", "place": 1, "copies": 2});
        assert_eq!(json["duplicates"][0], expected);
    }

    #[tokio::test]
    async fn mailboxes_are_named_where_that_is_asked_for() {
        let (custody, _) = look(Ok(Arc::new(TwoPeople::default())), true).await;
        assert!(
            custody
                .not_in_mailbox
                .iter()
                .all(|lacking| lacking.mailbox.as_ref().is_some_and(|ada| ada.as_str() == "ada@example.com"))
        );
        assert_eq!(custody.not_asked[0].mailbox.as_ref().unwrap().as_str(), "bob@example.com");
    }

    #[tokio::test]
    async fn a_mail_system_that_cannot_be_had_says_nothing_of_any_copy() {
        let (custody, _) = look(Err("no function is named".to_owned()), false).await;
        assert!(custody.not_in_mailbox.is_empty());
        let told: Vec<_> = custody.not_asked.iter().map(|unasked| (unasked.copies, unasked.why.as_str())).collect();
        assert_eq!(told, [(100, "no function is named"); 2]);
    }
}
