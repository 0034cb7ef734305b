//! The work on one record in memory: a fake mail system and a fake of S3.

use std::{collections::VecDeque, sync::Mutex};

use ::message::read::CONTENT_HEADER;
use aws::s3::{Condition, Put};
use aws_fake::{Aws, BUCKET};
use jiff::SignedDuration;
use mailbox::{Identity, StoredCopy};
use model::{LeaseState, Sha256, TASK_VERSION};

use super::*;

mod expired;

const SETTLES: Duration = Duration::from_secs(60);

const PARTICIPANTS: [&str; 2] = ["ada@example.com", "bob@example.com"];

/// Returns the stored message of an item. The date is also its content, and so the content digest.
fn message(item: &str, date: &str) -> Vec<u8> {
    let [from, to] = PARTICIPANTS;
    let content = Sha256::of(date.as_bytes());
    format!("Message-ID: <{item}@archive.example.com>\r\nDate: {date}\r\nFrom: {from}\r\nTo: {to}\r\n{CONTENT_HEADER}: {content}\r\n\r\nHello\r\n")
        .into()
}

/// A mail system in which every other address has a mailbox. The results of filings are taken in order.
#[derive(Default)]
struct Fake {
    results: Mutex<VecDeque<Result<(), MailboxError>>>,
    attempts: Mutex<Vec<Attempt>>,
    /// An address without a mailbox.
    absent: Mutex<Option<&'static str>>,
}

#[async_trait]
impl Mailboxes for Fake {
    async fn find(&self, address: &MailboxAddress) -> Result<Option<Mailbox>, MailboxError> {
        if *self.absent.lock().unwrap() == Some(address.as_str()) {
            return Ok(None);
        }
        Ok(Some(Mailbox { id: address.to_string(), address: address.clone(), primary: address.clone() }))
    }

    async fn file(&self, _: &Mailbox, _: &Message, attempt: Attempt) -> Result<Filed, MailboxError> {
        self.attempts.lock().unwrap().push(attempt);
        let result = self.results.lock().unwrap().pop_front().expect("a result for this filing");
        result.map(|()| Filed { message: "1".to_owned(), result: FilingResult::Imported })
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

/// An item of two participants, its message in the bucket, and a mail system.
struct Test<F = Fake> {
    aws: Aws,
    fake: Arc<F>,
    import: Import,
    task: ImportTask,
}

impl Test {
    /// Returns an item in a mail system with these results.
    async fn with(results: impl IntoIterator<Item = Result<(), MailboxError>>) -> Self {
        let fake = Arc::new(Fake::default());
        fake.results.lock().unwrap().extend(results);
        let Test { aws, import, task, .. } =
            Test::of(Arc::clone(&fake) as Arc<dyn Mailboxes>, "WA-1", "Sat, 21 Nov 2026 10:00:00 +0000").await;
        Self { aws, fake, import, task }
    }
}

impl Test<()> {
    /// Returns an item in this mail system. The retries of an undecided response are used up after three checks.
    async fn of(mailboxes: Arc<dyn Mailboxes>, item: &str, date: &str) -> Self {
        Self::of_message(mailboxes, item, message(item, date)).await
    }

    /// Returns an item with this message.
    async fn of_message(mailboxes: Arc<dyn Mailboxes>, item: &str, message: Vec<u8>) -> Self {
        let aws = Aws::start().await;
        let store = Store::new(aws.config(), BUCKET.to_owned());
        let (bytes, sha256) = (message.len() as u64, Sha256::of(&message));
        let item: model::ItemId = item.parse().unwrap();
        let key = model::keys::mime(&item.key());
        let put = Put { key: &key, bytes: message.into(), content_type: "message/rfc822", sha256: Some(sha256) };
        store.put(put, Condition::Absent).await.unwrap();
        let participant = |address: &str| Participant {
            email: Some(address.to_owned()),
            ..serde_json::from_value(serde_json::json!({})).unwrap()
        };
        let task = ImportTask {
            v: TASK_VERSION,
            run: "20261121T100000Z-daily-1".parse().unwrap(),
            archived_time: Timestamp::now(),
            key: item.key(),
            message_id: format!("<{item}@archive.example.com>", item = item.as_str()),
            item,
            mime: Some(key),
            sha256,
            bytes,
            participants: Some(PARTICIPANTS.map(participant).into()),
            message_time: Some(Timestamp::now()),
            group: None,
        };
        let import = Import {
            user_map: UserMapFile::new(store.clone(), model::keys::USER_MAP.to_owned(), None),
            store,
            mailboxes,
            automatic_mapping: true,
            tenant_domains: Vec::new(),
            catch_all: None,
            look_up_before: None,
            settle_time: SETTLES,
            retry_limit: RetryLimit::new(Duration::ZERO),
            successes: Successes::default(),
            memory: MemoryBudget::default(),
        };
        import.prepare().await.unwrap();
        Self { aws, fake: Arc::new(()), import, task }
    }
}

impl<F> Test<F> {
    async fn deliver(&self) -> Result<Next, Failure> {
        self.deliver_as("message").await
    }

    /// Delivers the task as the queue's message with this id.
    async fn deliver_as(&self, message: &str) -> Result<Next, Failure> {
        let now = Timestamp::now();
        let ends = now + SignedDuration::from_mins(2);
        let invocation = Invocation::new("import".to_owned(), "request".to_owned(), ends, now);
        let mut record = Record::of_body(serde_json::to_string(&self.task).unwrap(), Some(now));
        record.message_id = message.to_owned();
        self.import.work(&record, &invocation).await
    }

    fn outcome(&self) -> Outcome {
        let [key] = &self.aws.keys(model::keys::OUTCOMES)[..] else { panic!("not one outcome") };
        Outcome::parse(&self.aws.object(key).unwrap()).unwrap()
    }

    /// Writes the outcome anew.
    async fn change(&self, change: impl FnOnce(&mut Outcome)) {
        let key = self.aws.keys(model::keys::OUTCOMES).remove(0);
        let stored = self.import.store.get(&key, 1 << 20).await.unwrap().unwrap();
        let mut outcome = Outcome::parse(&stored.bytes).unwrap();
        change(&mut outcome);
        let put = Put { key: &key, bytes: outcome.to_json().into(), content_type: "application/json", sha256: None };
        self.import.store.put(put, Condition::Unchanged(&stored.etag)).await.unwrap();
    }
}

fn refused() -> MailboxError {
    MailboxError::Unrecognized { detail: "HTTP 409 without an error code".to_owned(), retry_after: None }
}

/// Returns the error of a filing whose response is lost.
fn lost() -> MailboxError {
    MailboxError::OutcomeUnknown { error: Box::new(refused()), settle_time: SETTLES }
}

/// The item becomes a dead letter, and a replay comes before the copy.
#[tokio::test]
async fn replay_waits_for_a_copy_whose_response_was_lost() {
    let test = Test::with([Ok(()), Err(refused()), Err(refused()), Err(lost()), Ok(())]).await;
    for _ in 0..2 {
        assert!(matches!(test.deliver().await, Err(Failure::Transient { .. })));
    }
    let begun = Timestamp::now();
    let decided = test.deliver().await;
    assert!(matches!(decided, Err(Failure::Permanent { reason: Reason::MailboxRejected, .. })), "{decided:?}");
    let outcome = test.outcome();
    assert!(outcome.dead_letter.is_some());
    let until = outcome.held_until(Timestamp::now()).expect("the lease is held");
    assert!(until.duration_since(begun) >= SignedDuration::try_from(SETTLES).unwrap());

    let Err(Failure::Transient { after: Some(after), .. }) = test.deliver().await else { panic!("it is filed again") };
    assert!(after <= SETTLES && test.fake.attempts.lock().unwrap().len() == 4, "{after:?}");

    // The settle time passes.
    test.change(|outcome| outcome.lease.as_mut().unwrap().until = Timestamp::now()).await;
    assert!(matches!(test.outcome().state(Timestamp::now()), LeaseState::DeadLettered(_)));
    assert_eq!(test.deliver().await.ok(), Some(Next::Done));
    assert_eq!(test.fake.attempts.lock().unwrap().last(), Some(&Attempt::Retry), "it looks for the copy");
    assert!(test.outcome().is_complete());
}

/// One mailbox refuses the item for good, the response of the other one is lost: whatever is reported, the item waits.
#[tokio::test]
async fn refusal_by_one_mailbox_does_not_end_the_wait_for_another() {
    for results in [[Err(MailboxError::Full), Err(lost())], [Err(lost()), Err(MailboxError::Full)]] {
        let test = Test::with(results).await;
        assert!(matches!(test.deliver().await, Err(Failure::Transient { .. })));
        assert!(matches!(test.outcome().state(Timestamp::now()), LeaseState::Waiting { .. }));
    }
}

/// The bucket is a copy in another region, which lacks the outcomes of the last minutes.
#[tokio::test]
async fn item_of_another_stack_is_looked_up_before_it_is_filed() {
    let second = SignedDuration::from_secs(1);
    for (before, expected) in [(-second, Attempt::First), (second, Attempt::Retry)] {
        let mut test = Test::with([Ok(()), Ok(())]).await;
        let message_time = test.task.message_time.unwrap();
        test.task.archived_time = message_time + SignedDuration::from_hours(1);
        test.import.look_up_before = Some(message_time + before);
        assert_eq!(test.deliver().await.ok(), Some(Next::Done));
        assert_eq!(*test.fake.attempts.lock().unwrap(), [expected, expected]);
    }
}

#[tokio::test]
async fn dead_letter_with_known_outcomes_can_be_replayed_at_once() {
    let test = Test::with([Ok(()), Err(MailboxError::Full), Ok(())]).await;
    assert!(matches!(test.deliver().await, Err(Failure::Permanent { reason: Reason::MailboxFull, .. })));
    assert_eq!(test.outcome().held_until(Timestamp::now()), None);
    assert_eq!(test.deliver().await.ok(), Some(Next::Done));
}

/// The mailbox is unavailable, so nothing is recorded about it. Then the participant's row is removed and the mailbox too.
#[tokio::test]
async fn participant_stays_expected_after_an_unavailable_mailbox() {
    let down = MailboxError::Unavailable { detail: "HTTP 503".to_owned(), retry_after: None };
    let mut test = Test::with([Ok(()), Err(down), Ok(())]).await;
    test.import.tenant_domains = vec!["example.com".to_owned()];
    assert!(matches!(test.deliver().await, Err(Failure::Transient { .. })));
    assert_eq!(test.outcome().expected, [1], "the other participant has a copy");

    test.import.tenant_domains.clear();
    *test.fake.absent.lock().unwrap() = Some(PARTICIPANTS[1]);
    assert!(matches!(test.deliver().await, Err(Failure::Transient { .. })));
    let outcome = test.outcome();
    assert_eq!((outcome.missing.len(), outcome.unmapped.len()), (1, 0), "dropped silently");

    *test.fake.absent.lock().unwrap() = None;
    assert_eq!(test.deliver().await.ok(), Some(Next::Done));
    assert!(test.outcome().is_complete() && test.outcome().expected.is_empty());
}

/// The participant is in no user map and in no tenant domain. The mailbox is found, and does not accept the copy; a replica
/// of the directory without the account answers the next lookup.
#[tokio::test]
async fn found_mailbox_stays_expected_until_it_has_its_copy() {
    let down = MailboxError::Unavailable { detail: "HTTP 503".to_owned(), retry_after: None };
    for error in [down, refused()] {
        let test = Test::with([Ok(()), Err(error), Ok(())]).await;
        assert!(matches!(test.deliver().await, Err(Failure::Transient { .. })));
        *test.fake.absent.lock().unwrap() = Some(PARTICIPANTS[1]);
        assert!(matches!(test.deliver().await, Err(Failure::Transient { .. })), "complete without the copy");
        assert_eq!(test.outcome().unmapped, [0; 0], "dropped silently");

        *test.fake.absent.lock().unwrap() = None;
        assert_eq!(test.deliver().await.ok(), Some(Next::Done));
        assert!(test.outcome().is_complete() && test.outcome().mailboxes.len() == 2);
    }
}

/// A replayed item waits for a mailbox that is unavailable, and the participant's row is removed meanwhile.
#[tokio::test]
async fn participant_of_a_replayed_item_stays_expected() {
    let down = || Err(MailboxError::Unavailable { detail: "HTTP 503".to_owned(), retry_after: None });
    let mut test = Test::with([Ok(()), Err(MailboxError::Full), down(), down(), Ok(())]).await;
    test.import.tenant_domains = vec!["example.com".to_owned()];
    assert!(matches!(test.deliver().await, Err(Failure::Permanent { .. })));
    for _ in 0..2 {
        assert!(matches!(test.deliver_as("replay").await, Err(Failure::Transient { .. })));
        assert_eq!(test.outcome().expected, [1]);
    }

    test.import.tenant_domains.clear();
    *test.fake.absent.lock().unwrap() = Some(PARTICIPANTS[1]);
    for message in ["replay", "overlap", "replay"] {
        assert!(test.deliver_as(message).await.is_err(), "{message}: dropped silently");
        assert_eq!(test.outcome().unmapped, [0; 0], "{message}");
    }

    *test.fake.absent.lock().unwrap() = None;
    assert_eq!(test.deliver_as("replay").await.ok(), Some(Next::Done));
    assert!(test.outcome().is_complete() && !test.outcome().replayed);
}

/// The item was complete. The second participant's mailbox was missing then, and the first one's address has changed since.
#[tokio::test]
async fn complete_item_that_is_looked_up_again_files_one_copy() {
    let mut test = Test::with([Ok(()), Ok(())]).await;
    test.task.participants.as_mut().unwrap()[0].phone = Some("+4520123456".to_owned());
    *test.fake.absent.lock().unwrap() = Some(PARTICIPANTS[1]);
    assert_eq!(test.deliver().await.ok(), Some(Next::Done));
    let filed = test.outcome();
    assert_eq!((filed.mailboxes[0].participants.as_slice(), filed.unmapped.as_slice()), (&[0][..], &[1][..]));

    *test.fake.absent.lock().unwrap() = None;
    let now = Timestamp::now();
    test.change(|outcome| assert!(outcome.look_up_again(|_| true, MissingReason::MappedLater, now))).await;
    test.task.participants.as_mut().unwrap()[0].email = Some("eve@example.com".to_owned());
    assert_eq!(test.deliver().await.ok(), Some(Next::Done));
    let outcome = test.outcome();
    let addresses: Vec<_> = outcome.mailboxes.iter().map(|filed| filed.address.as_str()).collect();
    assert_eq!((addresses, outcome.mailboxes[1].participants.as_slice()), (PARTICIPANTS.to_vec(), &[1][..]));
    assert!(outcome.is_complete() && outcome.only.is_none() && outcome.unmapped.is_empty());
}

/// The stored message was deleted by age, and convert has rendered it again before the last copy was filed.
#[tokio::test]
async fn outcome_describes_the_message_that_is_in_the_bucket() {
    let mut test = Test::with([Ok(()), Err(refused()), Ok(())]).await;
    assert!(test.deliver().await.is_err());
    let (first, key) = (test.outcome(), test.task.mime.clone().unwrap());
    let again = message("WA-1", "Sat, 21 Nov 2026 11:00:00 +0100");
    (test.task.sha256, test.task.bytes) = (Sha256::of(&again), again.len() as u64);
    assert!(test.deliver().await.is_err());
    assert_eq!(test.outcome().sha256, first.sha256, "the bucket still has the first message");

    test.aws.remove(&key);
    let put = Put { key: &key, bytes: again.into(), content_type: "message/rfc822", sha256: Some(test.task.sha256) };
    test.import.store.put(put, Condition::Absent).await.unwrap();
    assert_eq!(test.deliver().await.ok(), Some(Next::Done));
    let outcome = test.outcome();
    assert_eq!((outcome.sha256, outcome.bytes), (Some(test.task.sha256), Some(test.task.bytes)));
    assert!(first.content.is_some() && outcome.content.is_none(), "the first copy has another content digest");
}
