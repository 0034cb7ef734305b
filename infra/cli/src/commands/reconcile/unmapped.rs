//! `archiver reconcile --unmapped`: participants that had no mailbox when their items were filed are resolved again with
//! today's user map, and the copies that are missing are filed.
//!
//! Import alone decides which mailboxes get a copy of an item. This command finds the outcomes whose unmapped
//! participants are in today's user map. It records these participants as missing in the outcome, so that the item is
//! incomplete until they have their copies, and then queues an import task. If it ends between the two, `reconcile`
//! reports the incomplete item.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::bail;
use aws::{
    s3::{Put, Written},
    sqs::Queue,
};
use futures::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use jiff::Timestamp;
use ledger::{StoredOutcome, StoredParticipants, read_participants};
use mapping::UserMap;
use model::{
    ConvertTask, ImportTask, Listed, MailboxAddress, MessageGroup, MissingParticipant, MissingReason, Outcome, RunId,
    TASK_VERSION, keys::ItemKeys,
};
use serde::Serialize;

use super::{
    arguments::ReconcileArguments,
    comparison::MAX_FETCH_DURATION,
    outside_runs::OutsideRuns,
    runs::{LostPages, Runs},
    seen_items::{ItemHash, SeenItems},
};
use crate::{
    Interrupt,
    confirm::{NOT_CONFIRMED, confirmed},
    connection::Connection,
    text::{self, shown, table_of},
    user_map::{MapInBucket, UserMapSettings},
};
use ledger::entries::{self, CONCURRENT_READS, EntryOutcome, entry_outcome};

/// Stored messages that are read concurrently; each takes up to 14 MB of memory.
const MESSAGE_CONCURRENCY: usize = 3;

/// Items that are prepared before their tasks are sent.
const SEND_BATCH_ITEMS: usize = 100;

/// Limit of missing pages that are named; `--json` has all.
const NAMED_PAGES_MAX: usize = 20;

/// Exit code for a partial result.
const IN_PART: u8 = 3;

/// Result of the search.
#[derive(Debug, Default, Serialize)]
pub struct Remapped {
    /// Number of examined items.
    pub examined: u64,
    /// Number of items that lack copies.
    pub items: u64,
    /// Missing copies by mailbox.
    pub copies: BTreeMap<MailboxAddress, u64>,
    /// Number of items that are dead letters: they are replayed first.
    pub dead_letters: u64,
    /// Number of items that a function processes.
    pub in_flight: u64,
    /// Number of items whose stored message is no longer kept or has changed, so that their participants are unknown.
    pub unreadable: u64,
    /// Missing pages of manifests: the items that they listed were not examined.
    #[serde(flatten)]
    pub lost_pages: LostPages,
    /// Runs that began outside the period and list items of it.
    #[serde(skip_serializing_if = "OutsideRuns::is_empty")]
    pub outside: OutsideRuns,
    #[serde(skip)]
    candidates: Vec<Candidate>,
}

/// An item that lacks copies. Compact, because there may be a hundred thousand.
#[derive(Debug)]
struct Candidate {
    /// Body of its convert task, from which its keys are derived.
    task: Box<str>,
    /// Participants that the user map contains now.
    participants: Box<[usize]>,
}

impl Remapped {
    /// Finds the items of the runs whose unmapped participants today's user map contains.
    ///
    /// # Errors
    /// The bucket or an object cannot be read.
    pub async fn find(
        connection: &Connection,
        runs: &Runs,
        map: &UserMap,
        progress: impl Fn(u64),
    ) -> anyhow::Result<Self> {
        let store = &connection.store;
        let now = Timestamp::now();
        let kept_since = connection.outcomes_kept_since(now);
        let mut found = Self {
            lost_pages: runs.lost_pages(kept_since),
            outside: OutsideRuns::of(runs, MAX_FETCH_DURATION, now),
            ..Self::default()
        };
        let mut seen = SeenItems::default();
        for run in runs.compared() {
            for page in run.page_numbers() {
                let Some(mut listed) = entries::read_page(store, &run.id, page).await? else {
                    found.lost_pages.add(run, page, kept_since);
                    continue;
                };
                listed.retain(|listed| runs.concerns(run, listed) && seen.is_new(ItemHash::of(&listed.item)));
                found.examined += listed.len() as u64;
                found.outside.items += if runs.began_in_period(run) { 0 } else { listed.len() as u64 };
                let read =
                    |listed: Listed| async move { anyhow::Ok((entry_outcome(store, &run.id, &listed).await?, listed)) };
                let outcomes = stream::iter(listed).map(read).buffered(CONCURRENT_READS);
                let unmapped = outcomes.try_filter_map(|(entry_outcome, listed)| {
                    std::future::ready(Ok(match entry_outcome {
                        EntryOutcome::Found(stored) if concerns(&stored.outcome) => Some((*stored, listed)),
                        EntryOutcome::Found(_) | EntryOutcome::Absent | EntryOutcome::InvalidTask => None,
                    }))
                });
                let resolve = |(stored, listed): (StoredOutcome, Listed)| async move {
                    let resolved = Resolution::of(connection, &stored.outcome, map).await?;
                    anyhow::Ok((listed, resolved))
                };
                let mut resolved = unmapped.map_ok(resolve).try_buffered(MESSAGE_CONCURRENCY);
                while let Some((listed, resolved)) = resolved.try_next().await? {
                    found.add(&run.id, &listed, resolved);
                }
                progress(found.examined);
            }
        }
        Ok(found)
    }

    /// Returns whether all items of the period were examined.
    pub fn is_examined(&self) -> bool {
        self.lost_pages.missing.is_empty() && self.outside.is_decided()
    }

    fn add(&mut self, run: &RunId, listed: &Listed, resolved: Resolution) {
        match resolved {
            Resolution::Nothing => {}
            Resolution::DeadLetter => self.dead_letters += 1,
            Resolution::InFlight => self.in_flight += 1,
            Resolution::Unreadable => self.unreadable += 1,
            Resolution::Missing(missing) => {
                self.items += 1;
                for address in missing.values() {
                    *self.copies.entry(address.clone()).or_default() += 1;
                }
                let task = entries::task_body(run, listed).into();
                self.candidates.push(Candidate { task, participants: missing.into_keys().collect() });
            }
        }
    }

    /// Records the missing copies and queues an import task for each item. Returns the number of queued items; the others
    /// have changed meanwhile or were not reached.
    ///
    /// # Errors
    /// The bucket or the queue fails. Items that were queued before stay queued.
    pub async fn queue(
        &self,
        connection: &Connection,
        interrupt: &Interrupt,
        progress: impl Fn(u64),
    ) -> anyhow::Result<u64> {
        let import = Queue::new(&connection.config, connection.queues.import.clone());
        let mut queued = 0;
        for some in self.candidates.chunks(SEND_BATCH_ITEMS) {
            if interrupt.is_set() {
                break;
            }
            let prepared =
                stream::iter(some).map(|candidate| prepare(connection, candidate)).buffered(CONCURRENT_READS);
            let bodies: Vec<_> = prepared.try_filter_map(|body| std::future::ready(Ok(body))).try_collect().await?;
            for sent in import.send(&bodies).await {
                sent?;
                queued += 1;
            }
            progress(queued);
        }
        Ok(queued)
    }
}

/// Returns whether an outcome has participants to resolve again.
fn concerns(outcome: &Outcome) -> bool {
    !outcome.unmapped.is_empty() || outcome.missing.iter().any(is_remapped)
}

fn is_remapped(missing: &MissingParticipant) -> bool {
    missing.reason == MissingReason::MappedLater
}

/// Result of resolving the participants of an item.
enum Resolution {
    /// The user map contains none of them.
    Nothing,
    DeadLetter,
    InFlight,
    Unreadable,
    /// Positions of the participants that the user map contains and whose mailbox has no copy.
    Missing(BTreeMap<usize, MailboxAddress>),
}

impl Resolution {
    async fn of(connection: &Connection, outcome: &Outcome, map: &UserMap) -> anyhow::Result<Self> {
        if outcome.held_until(Timestamp::now()).is_some() {
            return Ok(Self::InFlight);
        }
        let (Some(mime), Some(sha256), Some(bytes)) = (&outcome.mime, outcome.sha256, outcome.bytes) else {
            return Ok(Self::Nothing);
        };
        let Some(StoredParticipants { participants, message_time }) =
            read_participants(&connection.store, mime, sha256, bytes).await?
        else {
            return Ok(Self::Unreadable);
        };
        let filed = |address: &MailboxAddress| outcome.mailboxes.iter().any(|filed| filed.address == *address);
        let places = outcome.unmapped.iter().copied();
        let interrupted =
            outcome.missing.iter().filter(|missing| is_remapped(missing)).map(|missing| missing.participant);
        let missing: BTreeMap<_, _> = places
            .chain(interrupted)
            .filter_map(|place| {
                Some((place, map.address_of_participant(participants.get(place)?, message_time)?.clone()))
            })
            .filter(|(_, address)| !filed(address))
            .collect();
        Ok(match (missing.is_empty(), outcome.dead_letter) {
            (true, _) => Self::Nothing,
            (false, Some(_)) => Self::DeadLetter,
            (false, None) => Self::Missing(missing),
        })
    }
}

/// Records the missing copies of an item in its outcome. Returns the body of its import task, or `None` if the outcome
/// has changed meanwhile.
async fn prepare(connection: &Connection, candidate: &Candidate) -> anyhow::Result<Option<String>> {
    let store = &connection.store;
    let task = ConvertTask::parse(&candidate.task)?;
    let keys = ItemKeys::of_convert(&task);
    let Some(stored) = ledger::read_outcome(store, &keys).await? else { return Ok(None) };
    let now = Timestamp::now();
    let mut outcome = stored.outcome.clone();
    if outcome.dead_letter.is_some() || outcome.held_until(now).is_some() {
        return Ok(None);
    }
    let (Some(mime), Some(sha256), Some(bytes), Some(message_id)) =
        (outcome.mime.clone(), outcome.sha256, outcome.bytes, outcome.message_id.clone())
    else {
        return Ok(None);
    };
    if outcome.look_up_again(|place| candidate.participants.contains(&place), MissingReason::MappedLater, now) {
        let put =
            Put { key: &keys.outcome, bytes: outcome.to_json().into(), content_type: "application/json", sha256: None };
        if !matches!(store.put(put, stored.condition()).await?, Written::Yes(_)) {
            return Ok(None);
        }
    } else if !outcome.missing.iter().any(is_remapped) {
        return Ok(None);
    }
    let task = ImportTask {
        v: TASK_VERSION,
        run: task.run,
        key: task.item.key(),
        item: task.item,
        archived_time: task.archived_time,
        mime: Some(mime),
        sha256,
        bytes,
        message_id,
        message_time: None,
        // Import reads the participants from the evidence of the stored message.
        participants: None,
        group: Some(MessageGroup::remapped()),
    };
    Ok(Some(serde_json::to_string(&task)?))
}

/// Runs the command: shows the missing copies, then files them after confirmation.
pub(super) async fn run(connection: &Connection, arguments: &ReconcileArguments) -> anyhow::Result<ExitCode> {
    let settings = UserMapSettings::deployed(connection)?;
    let MapInBucket { map, problem, .. } = settings.read_as_import(&connection.store).await?;
    if let Some(problem) = problem {
        bail!("import rejects the user map {}, and files nothing until it is fixed:\n{problem}", settings.key);
    }
    let Some(map) = map else {
        bail!("the user map {} is missing in the bucket: upload one with archiver mapping upload", settings.key)
    };
    let (from, to) = (arguments.from.unwrap_or(Timestamp::MIN), arguments.to.unwrap_or(Timestamp::MAX));
    let runs = Runs::between(&connection.store, from, to).await?;
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let found = Remapped::find(connection, &runs, &map, |examined| bar.set_message(format!("{examined} items"))).await;
    bar.finish_and_clear();
    let found = found?;
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", text::json(&found)?)?;
    } else {
        writeln!(out, "{}", table(&found, runs.compared().count()))?;
    }
    let partial = found.unreadable > 0 || found.in_flight > 0 || !found.is_examined();
    let done = if partial { ExitCode::from(IN_PART) } else { ExitCode::SUCCESS };
    if found.items == 0 {
        return Ok(done);
    }
    let copies: u64 = found.copies.values().sum();
    if !confirmed(&format!("File {copies} copies of {} items?", found.items), arguments.yes)? {
        writeln!(io::stderr(), "Nothing was changed.")?;
        return Ok(ExitCode::from(NOT_CONFIRMED));
    }
    let (interrupt, bar) = (Interrupt::listen(), ProgressBar::new(found.items));
    let queued = found.queue(connection, &interrupt, |queued| bar.set_position(queued)).await;
    bar.finish_and_clear();
    let queued = queued?;
    let mut notes = io::stderr().lock();
    writeln!(notes, "{queued} of {} items are on the import queue.", found.items)?;
    if queued < found.items {
        writeln!(notes, "The others have changed meanwhile or were not reached: run the same command again.")?;
        return Ok(ExitCode::from(IN_PART));
    }
    Ok(done)
}

fn table(found: &Remapped, runs: usize) -> String {
    let mut text = format!("{} items of {runs} runs were examined.", found.examined);
    if found.items == 0 {
        text += " No unmapped participant is in the user map now.";
    } else {
        text += &format!(" {} items lack copies:", found.items);
        let mut table = table_of(&["mailbox", "missing copies"]);
        for (address, copies) in &found.copies {
            table.add_row([shown(address.as_str()), copies.to_string()]);
        }
        text += &format!("\n{table}");
    }
    for (count, what) in [
        (
            found.dead_letters,
            "wait as dead letters: replay them (archiver dead-letters replay), then run the same command again",
        ),
        (found.in_flight, "are in flight: run the same command again"),
        (found.unreadable, "have no readable stored message any more, so their participants are unknown"),
    ] {
        if count > 0 {
            text += &format!("\n{count} items {what}.");
        }
    }
    for sentence in found.outside.sentences().into_iter().chain(found.lost_pages.expired_sentence()) {
        text += &format!("\n{sentence}.");
    }
    let lost = &found.lost_pages.missing;
    if !lost.is_empty() {
        text += &format!(
            "\n{} pages of manifests are missing, so their items were not examined: restore the oldest version of each object:",
            lost.len()
        );
        text.extend(lost.iter().take(NAMED_PAGES_MAX).map(|key| format!("\n  {key}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_without_a_page_is_partial_and_names_the_page() {
        let mut found = Remapped::default();
        assert!(found.is_examined());
        found.lost_pages.expired.push("runs/old/items-000001.ndjson".to_owned());
        assert!(found.is_examined() && table(&found, 1).contains("deleted by age"));
        found.lost_pages.missing.push("runs/r/items-000001.ndjson".to_owned());
        let text = table(&found, 1);
        assert!(!found.is_examined() && text.contains("runs/r/items-000001.ndjson"), "{text}");
    }
}
