//! Checks stored messages and the copies in the mailboxes.

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

/// Settings of the deep check.
pub struct DeepOptions {
    /// The mail system, or the reason why it is unavailable; then only the stored messages are checked.
    pub mailboxes: Result<Arc<dyn Mailboxes>, String>,
    /// `true` if findings name the mailboxes.
    pub name_mailboxes: bool,
}

/// Findings of the deep check.
#[derive(Debug, Default, Serialize)]
pub struct DeepFindings {
    /// Number of copies that are in the archive folder of their mailbox.
    pub copies_found: u64,
    /// Stored messages that are missing or differ from the rendered message.
    pub damaged: Vec<Damaged>,
    /// Copies that were filed and are not in the archive folder of their mailbox.
    pub not_in_mailbox: Vec<AbsentCopy>,
    /// Mailboxes that hold more than one copy of an item.
    pub duplicates: Vec<Duplicate>,
    /// Copies without a message class: a search for the class does not find them.
    pub without_class: Vec<CopyLocation>,
    /// Mailboxes of which some copies could not be checked, one entry each.
    #[serde(rename = "not_asked")]
    pub unchecked_mailboxes: Vec<UncheckedMailbox>,
}

/// An item whose stored message differs from its outcome.
#[derive(Debug, Clone, Serialize)]
pub struct Damaged {
    /// Key of the message in the bucket.
    pub mime: String,
    /// `true` if the message is missing; otherwise its SHA-256 or its length differs.
    pub gone: bool,
}

/// A copy that was filed and is not in the archive folder of its mailbox.
#[derive(Debug, Clone, Serialize)]
pub struct AbsentCopy {
    /// Key of the item's outcome, which names the mailbox.
    pub outcome: String,
    /// Position in the outcome's mailboxes, counted from 1.
    pub place: usize,
    /// Time at which the copy was filed.
    pub filed_at: Timestamp,
    /// Key of the message in the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime: Option<String>,
    /// Address of the mailbox, if names were requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<MailboxAddress>,
}

/// Position of a copy in an outcome.
#[derive(Debug, Clone, Serialize)]
pub struct CopyLocation {
    /// Key of the item's outcome, which names the mailbox.
    pub outcome: String,
    /// Position in the outcome's mailboxes, counted from 1.
    pub place: usize,
    /// Address of the mailbox, if names were requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<MailboxAddress>,
}

/// A mailbox that holds more than one copy of an item.
#[derive(Debug, Clone, Serialize)]
pub struct Duplicate {
    /// Position of the first copy.
    #[serde(flatten)]
    pub placed: CopyLocation,
    /// Number of copies.
    pub copies: u64,
}

/// A mailbox of which some copies could not be checked.
#[derive(Debug, Clone, Serialize)]
pub struct UncheckedMailbox {
    /// Number of copies that could not be checked.
    pub copies: u64,
    /// Reason for the first of them.
    #[serde(rename = "why")]
    pub reason: String,
    /// Key of an outcome that names the mailbox.
    pub outcome: String,
    /// Position in the outcome's mailboxes, counted from 1.
    pub place: usize,
    /// Address of the mailbox, if names were requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<MailboxAddress>,
}

/// Concurrently read stored messages, a piece of each.
const CONCURRENT_MESSAGES: usize = 8;

/// Size of the pieces in which a stored message is read.
const PIECE_BYTES: u64 = 4 << 20;

/// Concurrently checked copies, over all mailboxes. The adapters of mail servers allow one request at a time per mailbox:
/// Graph allows an application 4, which it shares with the functions.
const CONCURRENT_COPY_QUERIES: usize = 16;

/// A mailbox is not queried any more after this many failures, each of which may take as long as the timeout of an
/// adapter.
const MAX_MAILBOX_FAILURES: u32 = 3;

/// Runs the deep check and collects its findings.
pub(super) struct DeepCheck<'a> {
    store: &'a Store,
    queries: MailboxQueries<'a>,
    found: CopiesFound,
    progress: &'a dyn Fn(),
}

#[derive(Default)]
struct CopiesFound {
    copies: u64,
    name_mailboxes: bool,
    damaged: Vec<Damaged>,
    not_in_mailbox: Vec<AbsentCopy>,
    duplicates: Vec<Duplicate>,
    without_class: Vec<CopyLocation>,
    unchecked_mailboxes: HashMap<MailboxAddress, UncheckedMailbox>,
}

/// A copy, and its position in an outcome.
struct Copy<'a> {
    outcome_key: &'a str,
    outcome: &'a Outcome,
    place: usize,
    filed: &'a FiledMailbox,
}

/// Status of a copy in its mailbox.
enum CopyStatus {
    /// Number of copies, and of those without a message class.
    Present {
        copies: u64,
        without_class: u64,
    },
    Absent,
    /// The reason why the status is unknown.
    Unknown(String),
}

impl<'a> DeepCheck<'a> {
    /// Creates a check. `progress` is called for each copy.
    pub(super) fn new(store: &'a Store, deep: &'a DeepOptions, progress: &'a dyn Fn()) -> Self {
        let queries = MailboxQueries { mailboxes: &deep.mailboxes, failures: Mutex::default() };
        let found = CopiesFound { name_mailboxes: deep.name_mailboxes, ..CopiesFound::default() };
        Self { store, queries, found, progress }
    }

    /// Checks the messages and the copies of outcomes, each with its key.
    ///
    /// # Errors
    /// The bucket cannot be read. A mailbox that cannot be queried is a finding.
    pub(super) async fn check(&mut self, outcomes: &[(String, Outcome)]) -> Result<(), StoreError> {
        let Self { store, queries, found, progress } = self;
        let messages = stream::iter(outcomes).map(|(_, outcome)| damage(store, outcome));
        let messages =
            messages.buffer_unordered(CONCURRENT_MESSAGES).try_filter_map(future::ok).try_collect::<Vec<_>>();
        let copies = outcomes.iter().flat_map(|(outcome_key, outcome)| {
            let filed = outcome.mailboxes.iter().zip(1..);
            filed.map(move |(filed, place)| Copy { outcome_key, outcome, place, filed })
        });
        let statuses = stream::iter(copies).map(|copy| queries.query(copy)).buffer_unordered(CONCURRENT_COPY_QUERIES);
        let notes = statuses.for_each(|(copy, status)| {
            found.note(&copy, status);
            progress();
            future::ready(())
        });
        let (damaged, ()) = future::join(messages, notes).await;
        found.damaged.extend(damaged?);
        Ok(())
    }

    /// Returns the findings in a fixed order.
    pub(super) fn close(self) -> DeepFindings {
        let CopiesFound {
            copies,
            mut damaged,
            mut not_in_mailbox,
            mut duplicates,
            mut without_class,
            unchecked_mailboxes,
            ..
        } = self.found;
        let place = |placed: &CopyLocation| (placed.outcome.clone(), placed.place);
        duplicates.sort_by_cached_key(|duplicate| place(&duplicate.placed));
        without_class.sort_by_cached_key(place);
        damaged.sort_by(|one, other| one.mime.cmp(&other.mime));
        not_in_mailbox.sort_by(|one, other| (&one.outcome, one.place).cmp(&(&other.outcome, other.place)));
        let mut unchecked_mailboxes: Vec<_> = unchecked_mailboxes.into_values().collect();
        unchecked_mailboxes.sort_by(|one, other| (&one.outcome, one.place).cmp(&(&other.outcome, other.place)));
        DeepFindings { copies_found: copies, damaged, not_in_mailbox, duplicates, without_class, unchecked_mailboxes }
    }
}

impl CopiesFound {
    fn note(&mut self, copy: &Copy<'_>, status: CopyStatus) {
        let (outcome, place) = (copy.outcome_key.to_owned(), copy.place);
        let mailbox = self.name_mailboxes.then(|| copy.filed.address.clone());
        match status {
            CopyStatus::Present { copies, without_class } => {
                self.copies += 1;
                let placed = CopyLocation { outcome, place, mailbox };
                if without_class > 0 {
                    self.without_class.push(placed.clone());
                }
                if copies > 1 {
                    self.duplicates.push(Duplicate { placed, copies });
                }
            }
            CopyStatus::Absent => {
                let (filed_at, mime) = (copy.filed.at, copy.outcome.mime.clone());
                self.not_in_mailbox.push(AbsentCopy { outcome, place, filed_at, mime, mailbox });
            }
            CopyStatus::Unknown(reason) => {
                let first = || UncheckedMailbox { copies: 0, reason, outcome, place, mailbox };
                self.unchecked_mailboxes.entry(copy.filed.address.clone()).or_insert_with(first).copies += 1;
            }
        }
    }
}

/// The mail system, and the number of failures per mailbox.
struct MailboxQueries<'a> {
    mailboxes: &'a Result<Arc<dyn Mailboxes>, String>,
    failures: Mutex<HashMap<MailboxAddress, u32>>,
}

impl MailboxQueries<'_> {
    async fn query<'c>(&self, copy: Copy<'c>) -> (Copy<'c>, CopyStatus) {
        let address = &copy.filed.address;
        let status = match (self.mailboxes, &copy.outcome.message_id) {
            (Err(reason), _) => CopyStatus::Unknown(reason.clone()),
            (Ok(_), None) => CopyStatus::Unknown("the outcome has no Message-ID".to_owned()),
            (Ok(_), Some(_)) if self.is_over_the_failure_limit(address) => {
                CopyStatus::Unknown(format!("not checked any more after {MAX_MAILBOX_FAILURES} failures"))
            }
            (Ok(mailboxes), Some(message_id)) => {
                let content = copy.outcome.content;
                let identity = Identity { item: &copy.outcome.item, message_id, content, kind: None };
                match held(mailboxes.as_ref(), copy.filed, &identity).await {
                    Ok(status) => status,
                    Err(error) => {
                        self.note_failure(address);
                        CopyStatus::Unknown(error.to_string())
                    }
                }
            }
        };
        (copy, status)
    }

    fn is_over_the_failure_limit(&self, mailbox: &MailboxAddress) -> bool {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(mailbox).is_some_and(|failures| *failures >= MAX_MAILBOX_FAILURES)
    }

    fn note_failure(&self, mailbox: &MailboxAddress) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failures.entry(mailbox.clone()).or_default() += 1;
    }
}

async fn held(
    mailboxes: &dyn Mailboxes,
    filed: &FiledMailbox,
    copy: &Identity<'_>,
) -> Result<CopyStatus, MailboxError> {
    let Some(mailbox) = mailboxes.find(&filed.address).await? else {
        return Ok(CopyStatus::Unknown("the mailbox does not exist (any more)".to_owned()));
    };
    // The address was given to another person, whose mailbox says nothing about the copy.
    if filed.id.as_ref().is_some_and(|id| *id != mailbox.id) {
        return Ok(CopyStatus::Unknown(
            "the address belongs to another mailbox than at the time of the filing".to_owned(),
        ));
    }
    let copies = mailboxes.copies(&mailbox, copy).await?;
    let without_class = copies.iter().filter(|copy| copy.lacks_message_class).count() as u64;
    Ok(match copies.len() as u64 {
        0 => CopyStatus::Absent,
        copies => CopyStatus::Present { copies, without_class },
    })
}

/// Returns the finding for the stored message of an item, if it is missing or differs.
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

/// Returns the digest of a stored message that should have this many bytes; `None` if it is missing. A message of the
/// usual size takes one request; a larger one is read in pieces.
async fn digest(store: &Store, key: &str, bytes: Option<u64>) -> Result<Option<Sha256>, StoreError> {
    if let Some(bytes) = bytes.filter(|bytes| *bytes <= PIECE_BYTES) {
        return Ok(store.get(key, bytes).await?.map(|object| Sha256::of(&object.bytes)));
    }
    let Some(version) = store.find_version(key).await? else { return Ok(None) };
    let mut hasher = Hasher::default();
    let mut from = 0;
    while from < version.bytes() {
        let piece = store.read_piece(&version, from..from.saturating_add(PIECE_BYTES)).await?;
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

    /// Finds every mailbox, has no copy in Ada's, and fails for Bob's.
    #[derive(Default)]
    struct PartlyFailingMailboxes {
        requests: AtomicUsize,
    }

    #[async_trait]
    impl Mailboxes for PartlyFailingMailboxes {
        async fn find(&self, address: &MailboxAddress) -> Result<Option<Mailbox>, MailboxError> {
            Ok(Some(Mailbox { id: address.to_string(), address: address.clone(), primary: address.clone() }))
        }

        async fn file(&self, _: &Mailbox, _: &Message, _: Attempt) -> Result<Filed, MailboxError> {
            unreachable!("the deep check files nothing")
        }

        async fn remove_incomplete(&self, _: &Mailbox, _: &Message) -> Result<(), MailboxError> {
            Ok(())
        }

        async fn holds(&self, _: &Mailbox, _: &Identity<'_>) -> Result<Option<String>, MailboxError> {
            unreachable!("copies are counted")
        }

        async fn copies(&self, mailbox: &Mailbox, _: &Identity<'_>) -> Result<Vec<StoredCopy>, MailboxError> {
            if mailbox.id.starts_with("ada") {
                return Ok(Vec::new());
            }
            self.requests.fetch_add(1, Ordering::Relaxed);
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
                primary: None,
                participants: Vec::new(),
                result: FilingResult::Imported,
                message: String::new(),
                at: "2026-11-22T07:00:00Z".parse().unwrap(),
            });
        }
        (format!("outcomes/2026-11-22/{number:03}.json"), outcome)
    }

    async fn run_check(mailboxes: Result<Arc<dyn Mailboxes>, String>, name_mailboxes: bool) -> (DeepFindings, u64) {
        let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build();
        let store = Store::new(&config, "none".to_owned());
        let deep = DeepOptions { mailboxes, name_mailboxes };
        let reported = Cell::new(0);
        let progress = || reported.set(reported.get() + 1);
        let mut deep_check = DeepCheck::new(&store, &deep, &progress);
        let outcomes: Vec<_> =
            (0..100).map(|number| outcome(number, &["bob@example.com", "ada@example.com"])).collect();
        for some in outcomes.chunks(50) {
            deep_check.check(some).await.unwrap();
        }
        (deep_check.close(), reported.get())
    }

    #[tokio::test]
    async fn failing_mailbox_does_not_hide_findings_of_others() {
        let mailboxes = Arc::new(PartlyFailingMailboxes::default());
        let (deep_findings, reported) = run_check(Ok(mailboxes.clone()), false).await;
        assert_eq!((reported, deep_findings.copies_found, deep_findings.not_in_mailbox.len()), (200, 0, 100));
        let [bob] = &deep_findings.unchecked_mailboxes[..] else { panic!("{:?}", deep_findings.unchecked_mailboxes) };
        assert_eq!((bob.copies, bob.place), (100, 1));
        assert!(bob.reason.contains("HTTP 503"), "{}", bob.reason);
        // Queries that had started before the limit was reached run to their end.
        let requests = mailboxes.requests.load(Ordering::Relaxed);
        assert!((3..3 + CONCURRENT_COPY_QUERIES).contains(&requests), "{requests}");
        let json = serde_json::to_string(&deep_findings).unwrap();
        assert!(!json.contains('@'), "names appear only on request: {json}");
    }

    /// Has two copies of every item, the second without its message class.
    struct DuplicatedCopies;

    #[async_trait]
    impl Mailboxes for DuplicatedCopies {
        async fn find(&self, address: &MailboxAddress) -> Result<Option<Mailbox>, MailboxError> {
            Ok(Some(Mailbox { id: address.to_string(), address: address.clone(), primary: address.clone() }))
        }

        async fn file(&self, _: &Mailbox, _: &Message, _: Attempt) -> Result<Filed, MailboxError> {
            unreachable!("the deep check files nothing")
        }

        async fn remove_incomplete(&self, _: &Mailbox, _: &Message) -> Result<(), MailboxError> {
            Ok(())
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
        let (deep_findings, _) = run_check(Ok(Arc::new(DuplicatedCopies)), false).await;
        assert_eq!((deep_findings.copies_found, deep_findings.not_in_mailbox.len()), (200, 0));
        assert_eq!((deep_findings.duplicates.len(), deep_findings.without_class.len()), (200, 200));
        let json = serde_json::to_value(&deep_findings).unwrap();
        let expected = serde_json::json!({"outcome": "outcomes/2026-11-22/000.json", "place": 1, "copies": 2});
        assert_eq!(json["duplicates"][0], expected);
    }

    /// The new owner of an address has neither deleted the former owner's copy, nor is the new owner's own copy the former
    /// owner's.
    #[tokio::test]
    async fn address_with_a_new_owner_is_not_checked() {
        for mailboxes in [Arc::new(PartlyFailingMailboxes::default()) as Arc<dyn Mailboxes>, Arc::new(DuplicatedCopies)]
        {
            let (_, mut moved) = outcome(1, &["ada@example.com", "ada@example.com"]);
            moved.mailboxes[0].id = Some("the former owner's".to_owned());
            let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build();
            let store = Store::new(&config, "none".to_owned());
            let deep = DeepOptions { mailboxes: Ok(mailboxes), name_mailboxes: false };
            let mut deep_check = DeepCheck::new(&store, &deep, &|| ());
            deep_check.check(&[("outcomes/1.json".to_owned(), moved)]).await.unwrap();
            let found = deep_check.close();
            let [unchecked] = &found.unchecked_mailboxes[..] else { panic!("{found:?}") };
            assert_eq!((unchecked.copies, unchecked.place), (1, 1));
            assert!(unchecked.reason.contains("another mailbox"), "{}", unchecked.reason);
            assert_eq!(found.copies_found + found.not_in_mailbox.len() as u64, 1, "the other copy is checked");
        }
    }

    #[tokio::test]
    async fn findings_name_mailboxes_on_request() {
        let (deep_findings, _) = run_check(Ok(Arc::new(PartlyFailingMailboxes::default())), true).await;
        assert!(
            deep_findings
                .not_in_mailbox
                .iter()
                .all(|absent| absent.mailbox.as_ref().is_some_and(|ada| ada.as_str() == "ada@example.com"))
        );
        assert_eq!(deep_findings.unchecked_mailboxes[0].mailbox.as_ref().unwrap().as_str(), "bob@example.com");
    }

    #[tokio::test]
    async fn unavailable_mail_system_leaves_every_copy_unchecked() {
        let (deep_findings, _) = run_check(Err("no function is named".to_owned()), false).await;
        assert!(deep_findings.not_in_mailbox.is_empty());
        let reported: Vec<_> = deep_findings
            .unchecked_mailboxes
            .iter()
            .map(|unchecked| (unchecked.copies, unchecked.reason.as_str()))
            .collect();
        assert_eq!(reported, [(100, "no function is named"); 2]);
    }
}
