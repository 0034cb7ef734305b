//! One item.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use batch::{Failure, Invocation, Next, Record, Work};
use futures::{StreamExt, stream};
use item::{
    DeadLettered, FailedMailbox, FiledMailbox, FilingResult, ImportTask, MailboxAddress, Outcome, Participant, Reason,
    Sha256, Stage,
};
use jiff::Timestamp;
use mapping::{Directory, Resolution};
use metrics::Metric;
use store::{Store, StoreError, keys::ItemKeys};
use tokio::sync::{Mutex, Semaphore};
use tracing::{debug, info};

use crate::{
    evidence, large,
    mailbox::{Attempt, Filed, Mailbox, MailboxError, Mailboxes, Message, Mime},
    outcomes::{Claimed, Found, Outcomes},
    user_map_file::UserMapFile,
};

/// The function.
pub struct Import {
    /// Where messages and outcomes are.
    pub store: Store,
    /// The mail system.
    pub mailboxes: Arc<dyn Mailboxes>,
    /// Who has which mailbox.
    pub user_map: UserMapFile,
    /// Whether an item's own e-mail property counts where the user map knows nobody.
    pub automatic_mapping: bool,
    /// Where an item goes that belongs to nobody.
    pub catch_all: Option<MailboxAddress>,
    /// How long a copy may take to appear in a mailbox after the request for it was lost.
    pub settles: Duration,
}

/// How many mailboxes of one item are filed in at once. Each is another mailbox, so the mail system's limit of requests
/// at once for one mailbox is not touched.
const MAILBOXES_AT_ONCE: usize = 4;

/// How many copies of one item are filed between two notes in its outcome: what a killed function has to look up again.
const COPIES_PER_NOTE: usize = 50;

/// Room for copies that are under way, in KiB: messages are small, or there are few of them at once. The largest of the
/// usual size takes a sixth.
const ROOM: u32 = 256 << 10;

/// How many times its own size a message may take while it is filed: what is sent, in base64, and what that is made of.
const WEIGHT: usize = 3;

static FREE: Semaphore = Semaphore::const_new(ROOM as usize);

/// Held while a large message is filed.
static ALONE: Mutex<()> = Mutex::const_new(());

#[async_trait]
impl Work for Import {
    const STAGE: Stage = Stage::Import;
    const METRICS: &'static [Metric] = &[
        Metric::Imported,
        Metric::Skipped,
        Metric::MailboxThrottles,
        Metric::UserMapRefused,
        Metric::WithoutMessageClass,
    ];

    async fn prepare(&self) -> Result<(), Failure> {
        self.user_map.refresh().await
    }

    async fn work(&self, record: &Record, invocation: &Invocation) -> Result<Next, Failure> {
        let task =
            ImportTask::parse(&record.body).map_err(|error| permanent(Reason::TaskMalformed, error.to_string()))?;
        let keys = ItemKeys::of_import(&task);
        let outcomes = self.outcomes();
        let settled = |outcome: &Outcome| settled(outcome, record);
        let mut claimed = match outcomes.claim(&task, &keys, (invocation, record), settled).await? {
            Found::Ours(claimed) => *claimed,
            Found::Settled(why) => {
                info!(item = %task.key, stage = %Stage::Import, why, "nothing to do");
                return Ok(Next::Done);
            }
        };
        let result = self.import(&task, task.mime.as_ref().unwrap_or(&keys.dated_mime), &mut claimed, invocation).await;
        let outcome = &mut claimed.outcome;
        match &result {
            Ok(()) => (outcome.dead_letter, outcome.letter_of) = (None, None),
            Err(Failure::Permanent { reason, .. }) => {
                outcome.dead_letter = Some(DeadLettered { stage: Stage::Import, reason: *reason });
                outcome.letter_of = Some(record.letter_of(&task.run));
            }
            // Not decided: what stood there stands.
            Err(Failure::Transient { .. } | Failure::Setup { .. }) => {}
        }
        let released = match &result {
            Ok(()) | Err(Failure::Permanent { .. }) => outcomes.release(claimed).await,
            Err(Failure::Transient { after, .. } | Failure::Setup { after, .. }) => {
                outcomes.put_off(claimed, after.unwrap_or_default()).await
            }
        };
        // A failure that is known already says more than that it could not be noted.
        match (result, released) {
            (Err(failure @ (Failure::Transient { .. } | Failure::Setup { .. })), _) => Err(failure),
            (_, Err(failure)) => Err(failure),
            (Err(failure), Ok(())) => Err(failure),
            (Ok(()), Ok(())) => Ok(Next::Done),
        }
    }
}

/// Why nothing is left to be done for an item with this outcome, if so.
fn settled(outcome: &Outcome, record: &Record) -> Option<&'static str> {
    if outcome.is_complete() {
        return Some("filed already");
    }
    let ours = outcome.dead_letter.is_some_and(|letter| letter.stage == Stage::Import);
    // Queued again by a later run's overlap or a repeated convert: it waits for an operator, and one letter is enough.
    (ours && outcome.claim.is_none() && record.needs_no_letter(outcome)).then_some("a dead letter already")
}

impl Import {
    fn outcomes(&self) -> Outcomes<'_> {
        Outcomes { store: &self.store, settles: self.settles }
    }

    async fn import(
        &self,
        task: &ImportTask,
        mime_key: &str,
        claimed: &mut Claimed,
        invocation: &Invocation,
    ) -> Result<(), Failure> {
        // Until the last copy is filed: its pieces are in memory beside messages of the usual size, whose memory it is.
        let _alone = if task.bytes > large::WHOLE { Some(ALONE.lock().await) } else { None };
        let message = self.message(task, mime_key).await?;
        let outcome = &mut claimed.outcome;
        outcome.message_id = Some(message.message_id.clone());
        outcome.content = message.identity().content;
        outcome.sha256 = Some(task.sha256);
        outcome.bytes = Some(task.bytes);
        outcome.mime = Some(mime_key.to_owned());

        let mapped = match &task.participants {
            Some(participants) => self.map(participants).await?,
            None => {
                let participants = evidence::participants(&message.mime).await.map_err(|error| from_mailbox(&error))?;
                let participants = participants.ok_or_else(|| {
                    permanent(
                        Reason::ItemMalformed,
                        "the stored message has no evidence to read participants from".to_owned(),
                    )
                })?;
                self.map(&participants).await?
            }
        };
        debug!(item = %task.key, stage = %Stage::Import, mailboxes = mapped.mailboxes.len(), "mapped");
        claimed.outcome.unmapped = mapped.unmapped;
        if mapped.mailboxes.is_empty() {
            if self.catch_all.is_some() {
                // As long as that is so, every item of nobody comes here.
                let detail = "CATCH_ALL_MAILBOX names an address that has no mailbox".to_owned();
                return Err(Failure::Setup { detail, after: None });
            }
            return Err(permanent(Reason::Unmapped, "no participant has a mailbox".to_owned()));
        }
        self.file(task, &message, mapped.mailboxes, claimed, invocation).await
    }

    /// The stored message, which must be the one that convert wrote.
    async fn message(&self, task: &ImportTask, key: &str) -> Result<Message, Failure> {
        let mime = if task.bytes > large::WHOLE {
            large::read(&self.store, key, task.sha256, task.bytes).await?
        } else {
            self.whole(task, key).await?
        };
        let mime = mime.ok_or_else(|| {
            let detail = "the rendered message is gone from the bucket; restore the object's last version, then replay";
            permanent(Reason::ItemNotFound, detail.to_owned())
        })?;
        let message_id = evidence::message_id(&mime)
            .ok_or_else(|| permanent(Reason::ItemMalformed, "the stored message has no Message-ID".to_owned()))?;
        Ok(Message { item: task.item.clone(), message_id, mime })
    }

    async fn whole(&self, task: &ImportTask, key: &str) -> Result<Option<Mime>, Failure> {
        match self.store.get(key, task.bytes).await {
            Ok(Some(object)) if Sha256::of(&object.bytes) == task.sha256 => Ok(Some(object.bytes.into())),
            Ok(Some(_)) | Err(StoreError::TooLarge { .. }) => Err(tampered()),
            Ok(None) => Ok(None),
            Err(error) => Err(crate::from_store(error)),
        }
    }

    async fn map(&self, participants: &[Participant]) -> Result<Resolution<Mailbox>, Failure> {
        let map = self.user_map.current().await?;
        let directory = MailDirectory(self.mailboxes.as_ref());
        mapping::resolve(participants, &map, self.automatic_mapping, self.catch_all.as_ref(), &directory)
            .await
            .map_err(|error| from_mailbox(&error))
    }

    /// Files a copy in each mailbox that has none, and notes each in the outcome.
    async fn file(
        &self,
        task: &ImportTask,
        message: &Message,
        mailboxes: Vec<Mailbox>,
        claimed: &mut Claimed,
        invocation: &Invocation,
    ) -> Result<(), Failure> {
        let attempt = if claimed.first { Attempt::First } else { Attempt::Again };
        let failed_before = std::mem::take(&mut claimed.outcome.failed);
        let lacking: Vec<_> =
            mailboxes.into_iter().filter(|mailbox| !claimed.outcome.has(&mailbox.id, &mailbox.address)).collect();
        let outcomes = self.outcomes();
        let weight = u32::try_from((message.mime.in_memory().len() * WEIGHT) >> 10).unwrap_or(ROOM).min(ROOM);
        let mut waiting = Waiting::default();
        let (mut imported, mut skipped) = (0, 0);
        for (index, some) in lacking.chunks(COPIES_PER_NOTE).enumerate() {
            if index > 0
                && let Err(failure) = outcomes.save(claimed).await
            {
                // What was found out so far is said all the same.
                waiting.add(failure);
                break;
            }
            if invocation.left().is_zero() {
                waiting.add(Failure::Transient { detail: "the function's time is over".to_owned(), after: None });
                break;
            }
            let copies = stream::iter(some.to_vec()).map(|mailbox| async move {
                // Never closed.
                let _room = FREE.acquire_many(weight).await.ok();
                let result = self.mailboxes.file(&mailbox, message, attempt).await;
                (mailbox, result)
            });
            let mut copies = copies.buffer_unordered(MAILBOXES_AT_ONCE);
            while let Some((mailbox, result)) = copies.next().await {
                match result {
                    Ok(filed) => {
                        match filed.result {
                            FilingResult::Imported => imported += 1,
                            FilingResult::Skipped => skipped += 1,
                        }
                        claimed.outcome.mailboxes.push(entry(mailbox, filed));
                    }
                    Err(error) => match from_mailbox(&error) {
                        Failure::Permanent { reason, detail } => {
                            debug!(item = %task.key, stage = %Stage::Import, %reason, detail, "a mailbox refused");
                            claimed.outcome.failed.push(FailedMailbox {
                                address: mailbox.address,
                                reason,
                                since: None,
                                checks: 0,
                            });
                        }
                        failure => waiting.add(failure),
                    },
                }
            }
        }
        let failed = claimed.outcome.failed.len();
        info!(item = %task.key, stage = %Stage::Import, imported, skipped, failed, "filed");
        metrics::add(Metric::Imported, imported);
        metrics::add(Metric::Skipped, skipped);
        if let Some(failure) = waiting.failure() {
            // Who lacked a copy and still does stays named, whatever becomes of this task.
            let outcome = &mut claimed.outcome;
            let decided = |address: &MailboxAddress| {
                outcome.mailboxes.iter().any(|filed| filed.address == *address)
                    || outcome.failed.iter().any(|failed| failed.address == *address)
            };
            let undecided: Vec<_> = failed_before.into_iter().filter(|failed| !decided(&failed.address)).collect();
            outcome.failed.extend(undecided);
            return Err(failure);
        }
        let Some(first) = claimed.outcome.failed.first() else { return Ok(()) };
        Err(permanent(
            first.reason,
            format!("{failed} of {} mailboxes refused the item", failed + claimed.outcome.mailboxes.len()),
        ))
    }
}

/// Why an item has to wait, and how long: several of its mailboxes may have a say.
#[derive(Default)]
struct Waiting {
    /// What is told. What needs an operator comes before what passes.
    told: Option<Failure>,
    /// The longest that one of them asked for, whichever is told: a copy may be on its way to that one.
    hold: Option<Duration>,
}

impl Waiting {
    fn add(&mut self, failure: Failure) {
        let after = match &failure {
            Failure::Transient { after, .. } | Failure::Setup { after, .. } => *after,
            Failure::Permanent { .. } => None,
        };
        let rank = |failure: &Failure| matches!(failure, Failure::Setup { .. });
        if self.told.as_ref().is_none_or(|told| (rank(&failure), after) > (rank(told), self.hold)) {
            self.told = Some(failure);
        }
        self.hold = self.hold.max(after);
    }

    fn failure(self) -> Option<Failure> {
        Some(match self.told? {
            Failure::Transient { detail, .. } => Failure::Transient { detail, after: self.hold },
            Failure::Setup { detail, .. } => Failure::Setup { detail, after: self.hold },
            failure @ Failure::Permanent { .. } => failure,
        })
    }
}

fn entry(mailbox: Mailbox, filed: Filed) -> FiledMailbox {
    FiledMailbox {
        id: Some(mailbox.id),
        address: mailbox.address,
        result: filed.result,
        message: filed.message,
        at: Timestamp::now(),
    }
}

/// The mail system as the mapping's directory.
struct MailDirectory<'a>(&'a dyn Mailboxes);

#[async_trait]
impl Directory for MailDirectory<'_> {
    type Mailbox = Mailbox;
    type Error = MailboxError;

    fn id<'a>(&self, mailbox: &'a Mailbox) -> &'a str {
        &mailbox.id
    }

    async fn find(&self, address: &MailboxAddress) -> Result<Option<Mailbox>, MailboxError> {
        self.0.find(address).await
    }
}

fn permanent(reason: Reason, detail: String) -> Failure {
    Failure::Permanent { reason, detail }
}

pub(crate) fn tampered() -> Failure {
    permanent(
        Reason::ItemMalformed,
        "the stored message is not the one that was rendered: its SHA-256 differs".to_owned(),
    )
}

fn from_mailbox(error: &MailboxError) -> Failure {
    let detail = error.to_string();
    match error {
        MailboxError::Unavailable { retry_after, .. } | MailboxError::Unrecognized { retry_after, .. } => {
            Failure::Transient { detail, after: *retry_after }
        }
        MailboxError::NoMailbox { .. } | MailboxError::LookupRejected { .. } => {
            Failure::Transient { detail, after: None }
        }
        MailboxError::Setup { .. } => Failure::Setup { detail, after: None },
        MailboxError::Rejected { .. } => permanent(Reason::MailboxRejected, detail),
        MailboxError::Full => permanent(Reason::MailboxFull, detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Option<Duration> = Some(Duration::from_secs(60));
    const LONG: Option<Duration> = Some(Duration::from_secs(600));

    fn transient(after: Option<Duration>) -> Failure {
        Failure::Transient { detail: format!("{after:?}"), after }
    }

    fn setup() -> Failure {
        Failure::Setup { detail: "set-up".to_owned(), after: None }
    }

    fn waits(failures: impl IntoIterator<Item = Failure>) -> Failure {
        let mut waiting = Waiting::default();
        failures.into_iter().for_each(|failure| waiting.add(failure));
        waiting.failure().unwrap()
    }

    #[test]
    fn a_mailbox_that_needs_an_operator_does_not_shorten_the_wait_for_another() {
        let both = Failure::Setup { detail: "set-up".to_owned(), after: MINUTE };
        assert_eq!(waits([transient(MINUTE), setup()]), both);
        assert_eq!(waits([setup(), transient(MINUTE)]), both);
        assert_eq!(waits([setup(), transient(MINUTE), setup()]), both);
        assert_eq!(waits([transient(None), setup()]), setup());
    }

    #[test]
    fn the_longest_wait_counts_and_is_told_of() {
        assert_eq!(waits([transient(MINUTE), transient(LONG), transient(None)]), transient(LONG));
        assert_eq!(waits([transient(LONG), transient(MINUTE)]), transient(LONG));
        assert!(Waiting::default().failure().is_none());
    }
}
