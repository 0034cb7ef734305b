//! Imports one item: resolves its participants and files a copy in each of their mailboxes.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use aws::s3::Store;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use ledger::{Acquired, Delivery, Leased, Outcomes, UserMapFile, identities};
use mapping::{Resolved, Rules};
use model::{
    FailedMailbox, Failure, FiledMailbox, FilingResult, ImportTask, MailboxAddress, MissingReason, Outcome,
    Participant, Reason, Stage, keys::ItemKeys,
};
use runtime::metrics::Metric;
use sqs_batch::{Invocation, Next, Record, Work};
use tracing::{debug, info, warn};

use crate::{
    failure::{from_mailbox, permanent},
    filing_errors::{self, Successes},
    memory_budget::MemoryBudget,
    participants::{self, Earlier, LookupLimit, MailDirectory, Plan},
    retry_limit::RetryLimit,
    stored_message::StoredMessage,
    waiting::{AttemptFailure, Waiting},
};
use mailbox::{Attempt, Filed, Mailbox, MailboxError, Mailboxes, Message};
use message::copy::CopyAddresses;

/// The function.
pub struct Import {
    /// The bucket with messages and outcomes.
    pub store: Store,
    /// The mail system.
    pub mailboxes: Arc<dyn Mailboxes>,
    /// The user map in use.
    pub user_map: UserMapFile,
    /// `true` if a participant's own e-mail property is used when the user map does not have the number.
    pub automatic_mapping: bool,
    /// Domains whose addresses are expected to have mailboxes.
    pub tenant_domains: Vec<String>,
    /// The mailbox for items of which no participant has a mailbox or is expected to have one.
    pub catch_all: Option<MailboxAddress>,
    /// Items that were archived before this time may have copies of another stack, whose outcomes this bucket lacks.
    pub look_up_before: Option<Timestamp>,
    /// Maximum time after which a copy appears in a mailbox when the response to its request was lost.
    pub settle_time: Duration,
    /// Retry period for undecided responses of the mail system.
    pub retry_limit: RetryLimit,
    /// The latest lookups and filings of this process that succeeded.
    pub successes: Successes,
    /// Memory for items that are filed at the same time.
    pub memory: MemoryBudget,
}

/// Number of mailboxes in which one item is filed concurrently. They are different mailboxes, so the mail system's
/// concurrency limit for one mailbox is not reached.
const MAILBOX_CONCURRENCY: usize = 4;

/// Copies of one item that are filed between two writes of its outcome. If the function is killed, the next attempt
/// looks up at most this many copies.
const COPIES_PER_SAVE: usize = 50;

#[async_trait]
impl Work for Import {
    const STAGE: Stage = Stage::Import;
    const METRICS: &'static [Metric] = &[
        Metric::Imported,
        Metric::Skipped,
        Metric::MailboxThrottles,
        Metric::CredentialExpires,
        Metric::UserMapRefused,
        Metric::WithoutMessageClass,
        Metric::MailboxMissing,
        Metric::LookupRejected,
    ];

    async fn prepare(&self) -> Result<(), Failure> {
        self.user_map.refresh().await
    }

    async fn work(&self, record: &Record, invocation: &Invocation) -> Result<Next, Failure> {
        let task =
            ImportTask::parse(&record.body).map_err(|error| permanent(Reason::TaskMalformed, error.to_string()))?;
        let keys = ItemKeys::of_import(&task);
        let outcomes = self.outcomes();
        let is_covered_by_dead_letter = |outcome: &Outcome| record.is_covered_by_dead_letter_of(outcome);
        let delivery = Delivery {
            request_id: &invocation.request_id,
            ends: invocation.ends,
            message_id: &record.message_id,
            is_covered_by_dead_letter: &is_covered_by_dead_letter,
        };
        let mut leased = match outcomes.acquire(&task, &keys, delivery).await? {
            Acquired::Leased(leased) => *leased,
            Acquired::Settled(why) => {
                info!(item = %task.key, stage = %Stage::Import, why, "task skipped");
                return Ok(Next::Done);
            }
        };
        let result = self.import(&task, task.mime.as_ref().unwrap_or(&keys.dated_mime), &mut leased, invocation).await;
        count_missing(&leased.outcome);
        match result {
            Ok(()) => outcomes.complete(leased).await.map(|()| Next::Done),
            Err(AttemptFailure { failure: Failure::Permanent { reason, detail }, hold }) => {
                let source = record.dead_letter_source(&task.run, task.archived_time);
                outcomes.dead_letter(leased, reason, source, hold).await?;
                Err(permanent(reason, detail))
            }
            Err(AttemptFailure { failure, hold }) => {
                // Prefer the import error over the error of saving the outcome.
                if let Err(save) = outcomes.wait(leased, hold).await {
                    debug!(item = %task.key, stage = %Stage::Import, ?save, "the outcome was not saved");
                }
                Err(failure)
            }
        }
    }
}

/// Counts the participants that wait for a mailbox or for their lookup.
fn count_missing(outcome: &Outcome) {
    let count = |reason| outcome.missing.iter().filter(|missing| missing.reason == reason).count() as u64;
    runtime::metrics::add(Metric::MailboxMissing, count(MissingReason::MailboxNotFound));
    runtime::metrics::add(
        Metric::LookupRejected,
        count(MissingReason::LookupRejected) + outcome.lookup_rejected.len() as u64,
    );
}

impl Import {
    fn outcomes(&self) -> Outcomes<'_> {
        Outcomes { store: &self.store, settle_time: self.settle_time }
    }

    async fn import(
        &self,
        task: &ImportTask,
        mime_key: &str,
        leased: &mut Leased,
        invocation: &Invocation,
    ) -> Result<(), AttemptFailure> {
        let mut stored = StoredMessage::new(&self.store, &self.memory, task, mime_key);
        // Different from the task's if the message was deleted by age (`MimeDays`) and rendered again. The outcome then
        // describes the message that is in the bucket now, once its digest is verified. Copies that were filed before
        // keep the bytes of the earlier rendering, and name the item. Those of earlier releases do not: if the item has
        // changed at the source, they have another content digest, and no digest of the outcome describes all copies:
        // without one, the deep check recognizes them by their Message-ID. That is another one only if `ARCHIVE_DOMAIN`
        // or the sender's data have changed.
        if leased.outcome.sha256 != Some(task.sha256) {
            let message = stored.get().await?;
            let outcome = &mut leased.outcome;
            let content = message.identity().content;
            outcome.message_id = Some(message.message_id.clone());
            outcome.content = content.filter(|_| outcome.mailboxes.is_empty() || outcome.content == content);
            outcome.sha256 = Some(task.sha256);
            outcome.bytes = Some(task.bytes);
            outcome.mime = Some(mime_key.to_owned());
        }
        let participants = stored.participants().await?;
        leased.outcome.set_identities(identities(&task.item, &participants));
        let (plan, addresses) = self.plan(&participants, &mut stored, &leased.outcome).await?;
        let Plan {
            mut mailboxes,
            missing,
            expected,
            found_in,
            filed_at,
            unmapped,
            lookup_rejected,
            waiting,
            given_up,
            ..
        } = plan;
        debug!(item = %task.key, stage = %Stage::Import, mailboxes = mailboxes.len(), missing = missing.len(), "mapped");
        let outcome = &mut leased.outcome;
        (outcome.missing, outcome.unmapped, outcome.lookup_rejected) = (missing, unmapped, lookup_rejected);
        outcome.expected = expected;
        let filed: Vec<_> = outcome.mailboxes.iter().filter_map(|filed| filed.id.clone()).collect();
        for mailbox in filed {
            remove_expected(outcome, &found_in, &mailbox);
        }
        record_participants(&mut outcome.mailboxes, &found_in, &filed_at);
        if !outcome.lookup_rejected.is_empty() {
            let count = outcome.lookup_rejected.len();
            warn!(item = %task.key, stage = %Stage::Import, count, "lookups were rejected until the retry limit, filing for the others");
        }
        if mailboxes.is_empty() && outcome.mailboxes.is_empty() && outcome.missing.is_empty() {
            mailboxes.push(self.catch_all().await?);
        }
        stored.set_addresses(addresses);
        self.file(task, &mut stored, (mailboxes, &found_in), leased, waiting, invocation).await?;
        match given_up {
            None => Ok(()),
            Some((reason, detail)) => Err(permanent(reason, detail).into()),
        }
    }

    /// Resolves the participants that have no copy yet; of an item that was complete, only those that are looked up again.
    /// Also returns the addresses for the copies.
    async fn plan(
        &self,
        participants: &[Participant],
        stored: &mut StoredMessage<'_>,
        outcome: &Outcome,
    ) -> Result<(Plan, CopyAddresses), Failure> {
        let map = self.user_map.current().await?;
        let now = Timestamp::now();
        let only: Option<HashSet<usize>> = outcome.only.as_ref().map(|only| only.iter().copied().collect());
        let rules = Rules {
            map: &map,
            automatic: self.automatic_mapping,
            tenant_domains: &self.tenant_domains,
            at: if map.has_periods() { stored.time().await? } else { now },
            only: only.as_ref(),
        };
        let contradicted = participants.iter().filter(|participant| map.is_contradicted(participant, rules.at)).count();
        if contradicted > 0 {
            warn!(item = %outcome.item.key(), stage = %Stage::Import, count = contradicted, "phone number and WhatsApp id have different mailboxes in the user map, the phone number's is used");
        }
        let directory = MailDirectory(self.mailboxes.as_ref());
        let limit = LookupLimit { limit: self.retry_limit, cached: self.mailboxes.negative_ttl() };
        let confirmed_missing = participants::confirmed_missing(&outcome.missing, limit, now);
        let filed = |address: &MailboxAddress| outcome.mailboxes.iter().any(|filed| filed.address == *address);
        let resolved = mapping::resolve(participants, &rules, &confirmed_missing, filed, &directory).await;
        let addresses = participants::copy_addresses(participants, &resolved, &outcome.mailboxes);
        if resolved.iter().any(|resolved| matches!(resolved, Resolved::Mailbox(_))) {
            self.successes.record_lookup(now);
        }
        let decide = |other_lookup_succeeded| {
            participants::decide(&resolved, Earlier::of(outcome), limit, now, other_lookup_succeeded)
        };
        let plan = decide(self.successes.has_found(now));
        // A failed lookup counts only if the mail system still finds a mailbox in which the item is filed already.
        let plan = match outcome.mailboxes.first().filter(|_| plan.requires_other_lookup) {
            Some(filed) if matches!(self.mailboxes.find(&filed.address).await, Ok(Some(_))) => decide(true),
            Some(_) | None => plan,
        };
        Ok((plan, addresses))
    }

    /// Finds the mailbox for an item of which no participant has a mailbox or is expected to have one.
    async fn catch_all(&self) -> Result<Mailbox, Failure> {
        let Some(address) = &self.catch_all else {
            return Err(permanent(
                Reason::Unmapped,
                "all participants lack a mailbox: add one to the user map, then replay",
            ));
        };
        // Each such item waits until an operator has corrected the variable.
        let missing = || Failure::Configuration {
            detail: "the address in CATCH_ALL_MAILBOX lacks a mailbox: correct CatchAllMailbox".to_owned(),
            after: None,
        };
        self.mailboxes.find(address).await.map_err(|error| from_mailbox(&error))?.ok_or_else(missing)
    }

    /// Files a copy in each mailbox that has none, and records each in the outcome.
    async fn file(
        &self,
        task: &ImportTask,
        stored: &mut StoredMessage<'_>,
        (mailboxes, found_in): (Vec<Mailbox>, &HashMap<String, Vec<usize>>),
        leased: &mut Leased,
        mut waiting: Waiting,
        invocation: &Invocation,
    ) -> Result<(), AttemptFailure> {
        let lacking: Vec<_> =
            mailboxes.into_iter().filter(|mailbox| !leased.outcome.has(&mailbox.id, &mailbox.address)).collect();
        if !lacking.is_empty() {
            // If reading the message fails, the outcome must still have the failures of earlier attempts.
            stored.copy().await?;
        }
        let attempt = attempt(leased.is_new, task, stored, self.look_up_before).await;
        let failed_before = std::mem::take(&mut leased.outcome.failed);
        let outcomes = self.outcomes();
        let (mut imported, mut skipped) = (0, 0);
        let mut refused = None;
        for (index, chunk) in lacking.chunks(COPIES_PER_SAVE).enumerate() {
            let message = stored.copy().await?;
            if index > 0 {
                // If the process is killed after this, the outcome still contains the series of mailboxes that were not
                // tried again.
                let tried = leased.outcome.failed.len();
                let pending = pending(&failed_before, &leased.outcome);
                leased.outcome.failed.extend(pending);
                let saved = outcomes.save(leased).await;
                leased.outcome.failed.truncate(tried);
                if let Err(failure) = saved {
                    // Results of the other mailboxes are reported nevertheless.
                    waiting.add(failure);
                    break;
                }
            }
            if invocation.remaining().is_zero() {
                waiting.add(Failure::Transient { detail: "deadline reached".to_owned(), after: None });
                break;
            }
            let copies = stream::iter(chunk.to_vec()).map(|mailbox| async move {
                let result = self.file_copy(&mailbox, message, attempt).await;
                (mailbox, result)
            });
            let mut copies = copies.buffer_unordered(MAILBOX_CONCURRENCY);
            while let Some((mailbox, result)) = copies.next().await {
                let error = match result {
                    Ok(filed) => {
                        match filed.result {
                            FilingResult::Imported => {
                                self.successes.record_filing(&mailbox.id, Timestamp::now());
                                imported += 1;
                            }
                            FilingResult::Skipped => {
                                skipped += 1;
                                // The copy may be that of an earlier upload, with another digest.
                                if task.item.is_of_upload() {
                                    leased.outcome.content = None;
                                }
                            }
                        }
                        remove_expected(&mut leased.outcome, found_in, &mailbox.id);
                        leased.outcome.mailboxes.push(entry(mailbox, filed, found_in));
                        continue;
                    }
                    Err(error) => error,
                };
                let before = failed_before.iter().find(|failed| failed.address == mailbox.address);
                let now = Timestamp::now();
                let others_are_filed = self.successes.has_filed(&mailbox.id, now);
                let (failed, failure) = filing_errors::decide(
                    mailbox.address.clone(),
                    &error,
                    before,
                    others_are_filed,
                    (self.retry_limit, now),
                );
                leased.outcome.failed.extend(failed);
                waiting.hold(error.settle_time());
                match failure {
                    Failure::Permanent { reason, detail } => {
                        self.remove_incomplete(task, &mailbox, message).await;
                        debug!(item = %task.key, stage = %Stage::Import, %reason, detail, "filing failed permanently in a mailbox");
                        refused.get_or_insert((reason, detail));
                    }
                    failure => waiting.add_filing(failure),
                }
            }
        }
        let failed = leased.outcome.failed.len();
        info!(item = %task.key, stage = %Stage::Import, imported, skipped, failed, "filed");
        runtime::metrics::add(Metric::Imported, imported);
        runtime::metrics::add(Metric::Skipped, skipped);
        let hold = waiting.hold;
        if let Some(undecided) = waiting.end() {
            // A mailbox that has no copy yet stays in the outcome, whatever the result of this task is.
            let pending = pending(&failed_before, &leased.outcome);
            leased.outcome.failed.extend(pending);
            return Err(undecided);
        }
        let Some((reason, detail)) = refused else { return Ok(()) };
        let all = failed + leased.outcome.mailboxes.len();
        let detail = format!("filing failed in {failed} of {all} mailboxes; the first: {detail}");
        Err(AttemptFailure { failure: permanent(reason, detail), hold })
    }

    /// Removes what an interrupted filing left in the mailbox, so that neither a replay nor a discarded item leaves an
    /// incomplete message.
    async fn remove_incomplete(&self, task: &ImportTask, mailbox: &Mailbox, message: &Message) {
        if let Err(error) = self.mailboxes.remove_incomplete(mailbox, message).await {
            warn!(item = %task.key, stage = %Stage::Import, %error, "removing an incomplete message failed, it may be left in the mailbox");
        }
    }

    async fn file_copy(&self, mailbox: &Mailbox, message: &Message, attempt: Attempt) -> Result<Filed, MailboxError> {
        let _memory = self.memory.copy(message.mime.in_memory().len()).await;
        self.mailboxes.file(mailbox, message, attempt).await
    }
}

/// Removes the expected participants of a mailbox that has a copy: they need none if their row of the user map is
/// removed.
fn remove_expected(outcome: &mut Outcome, found_in: &HashMap<String, Vec<usize>>, mailbox: &str) {
    if let Some(with_copy) = found_in.get(mailbox) {
        outcome.expected.retain(|participant| !with_copy.contains(participant));
    }
}

/// Adds the participants of the mailboxes that have a copy, each by its mailbox or by an address that has its copy.
fn record_participants(
    mailboxes: &mut [FiledMailbox],
    found_in: &HashMap<String, Vec<usize>>,
    filed_at: &HashMap<MailboxAddress, Vec<usize>>,
) {
    for filed in mailboxes {
        let found = filed.id.as_ref().and_then(|id| found_in.get(id));
        for place in found.into_iter().chain(filed_at.get(&filed.address)).flatten() {
            if !filed.participants.contains(place) {
                filed.participants.push(*place);
            }
        }
    }
}

/// Returns the attempt for the mailboxes of an item. Without an outcome, a copy may exist only if the outcome was deleted
/// by age, or if another stack has filed it. A message whose time cannot be read is looked up, too.
async fn attempt(
    is_new: bool,
    task: &ImportTask,
    stored: &mut StoredMessage<'_>,
    look_up_before: Option<Timestamp>,
) -> Attempt {
    if !is_new {
        return Attempt::Retry;
    }
    match stored.time().await {
        // A chat that is uploaded again has a new archived time, and the messages of before.
        Ok(time) if look_up_before.is_some_and(|before| time.min(task.archived_time) < before) => Attempt::Retry,
        Ok(time) if !Outcome::may_have_expired(time, task.archived_time, Timestamp::now()) => Attempt::First,
        Ok(_) | Err(_) => Attempt::Retry,
    }
}

/// Returns the failures of an earlier attempt for mailboxes that this attempt has neither filed in nor failed in.
fn pending(before: &[FailedMailbox], outcome: &Outcome) -> Vec<FailedMailbox> {
    let is_decided = |address: &MailboxAddress| {
        outcome.mailboxes.iter().any(|filed| filed.address == *address)
            || outcome.failed.iter().any(|failed| failed.address == *address)
    };
    before.iter().filter(|failed| !is_decided(&failed.address)).cloned().collect()
}

fn entry(mailbox: Mailbox, filed: Filed, found_in: &HashMap<String, Vec<usize>>) -> FiledMailbox {
    FiledMailbox {
        participants: found_in.get(&mailbox.id).cloned().unwrap_or_default(),
        id: Some(mailbox.id),
        primary: Some(mailbox.primary).filter(|primary| *primary != mailbox.address),
        address: mailbox.address,
        result: filed.result,
        message: filed.message,
        at: Timestamp::now(),
    }
}

#[cfg(test)]
mod in_memory;
