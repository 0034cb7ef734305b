//! The report: the result of `archiver reconcile`, counted by day.

use std::collections::{BTreeMap, HashSet};

use jiff::{Timestamp, civil::Date};
use model::{RunId, Stage};
use serde::Serialize;

use super::{
    histories::PhoneHistory,
    period::{Period, day_of},
    sent::SentWithoutContent,
    stored_message::StoredMessageRef,
    unmapped_users::{Mapping, UserIdentity},
};
use crate::commands::{
    dead_letters::DeadLetterReason,
    reconcile::{Reconciled, Runs, ShortManifest, unrecognized_sentence},
};
use ledger::totals::{Counters, EntryState, ManifestEntry};

/// Content of a report.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Name of the bucket, or the directory of a one-machine run.
    pub deployment: String,
    pub from: Date,
    /// The last day, inclusive.
    pub to: Date,
    pub made_at: Timestamp,
    /// Version of this command.
    pub version: &'static str,
    /// Every day of the period, including days without items.
    pub days: Vec<Day>,
    /// Sum of all days.
    pub total: Counters,
    /// Violations of the invariant, one sentence each.
    pub does_not_add_up: Vec<String>,
    /// Items that could not be filed in all mailboxes, up to [`MAX_FAILURES`].
    pub failures: Vec<FailedItem>,
    /// Number of failures beyond that limit.
    pub failures_left_out: u64,
    /// Users without a mailbox.
    pub mapping: Mapping,
    /// Messages whose content was not captured; `None` if there are none, and for sources other than webhooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_without_content: Option<SentWithoutContent>,
    /// Phones whose history is incomplete or was declined, at the time of the report.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub incomplete_histories: Vec<PhoneHistory>,
    /// Result of the comparison.
    #[serde(rename = "books")]
    pub reconciled: Reconciled,
}

/// A day in UTC: the runs that began on it, and the counts of their items.
#[derive(Debug, Clone, Serialize)]
pub struct Day {
    pub date: Date,
    pub state: DayState,
    /// Runs that began on the day.
    pub runs: Vec<RunId>,
    /// Number of runs that did not complete their window; the next run continues there.
    pub unfinished_runs: u64,
    #[serde(flatten)]
    pub counters: Counters,
}

/// Activity on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DayState {
    /// No run began.
    NoRun,
    /// Runs began, and none of them found an item.
    FoundNothing,
    /// Runs found items.
    Ran,
}

/// An item that could not be filed in all mailboxes.
#[derive(Debug, Clone, Serialize)]
pub struct FailedItem {
    /// Day on which the item's run began.
    pub day: Date,
    /// Id as the source wrote it.
    pub item: String,
    /// Key of the item in logs and objects; empty if the id is invalid.
    pub key: String,
    pub run: RunId,
    /// Sender, read from the stored message. `None` if the message is missing or was not read.
    pub source_user: Option<UserIdentity>,
    /// Mailboxes that lack the item, and participants whose expected mailbox is missing.
    pub mailbox_users: Vec<String>,
    /// Stage that recorded the failure; `None` if it is unknown.
    pub stage: Option<Stage>,
    /// Reason of the dead letter, or `retries-exhausted` if SQS moved the task.
    pub reason: String,
    /// `true` if an operator has discarded the dead letter; otherwise it is in the queue.
    pub discarded: bool,
}

/// Limit of listed failures; the counts include all.
pub const MAX_FAILURES: usize = 10_000;

/// Limit of items that a sentence names.
const MAX_NAMED: usize = 10;

/// Collects the counts during the comparison.
pub(super) struct DailyCounts {
    days: BTreeMap<Date, Day>,
    run_days: BTreeMap<RunId, Date>,
    failures: Vec<FailedItem>,
    failures_left_out: u64,
    /// Keys of items whose outcomes name a mailbox twice.
    repeated_mailboxes: BTreeMap<Date, Vec<String>>,
    /// Stored messages of failures.
    failed: Vec<StoredMessageRef>,
    /// Stored messages of items that wait for a mailbox, up to the limit.
    waiting: Vec<StoredMessageRef>,
    /// Stored messages that were filed for some participants only, up to the limit.
    filed: Vec<StoredMessageRef>,
    max_filed: usize,
    items_with_unmapped: u64,
}

impl DailyCounts {
    /// Creates the counts of a period and its runs; at most `max_filed` filed messages are read.
    pub(super) fn new(period: Period, runs: &Runs, max_filed: usize) -> Self {
        let day = |date| Day {
            date,
            state: DayState::NoRun,
            runs: Vec::new(),
            unfinished_runs: 0,
            counters: Counters::default(),
        };
        let mut days: BTreeMap<_, _> = period.days().map(|date| (date, day(date))).collect();
        let mut run_days = BTreeMap::new();
        for run in &runs.runs {
            let date = day_of(run.began);
            let Some(day) = days.get_mut(&date) else { continue };
            day.state = DayState::FoundNothing;
            day.runs.push(run.id.clone());
            day.unfinished_runs += u64::from(run.record.as_ref().is_some_and(|record| !record.complete));
            run_days.insert(run.id.clone(), date);
        }
        Self {
            days,
            run_days,
            failures: Vec::new(),
            failures_left_out: 0,
            repeated_mailboxes: BTreeMap::new(),
            failed: Vec::new(),
            waiting: Vec::new(),
            filed: Vec::new(),
            max_filed,
            items_with_unmapped: 0,
        }
    }

    /// Counts an entry of a manifest.
    pub(super) fn add(&mut self, entry: &ManifestEntry<'_>) {
        let Some(date) = self.run_days.get(entry.run).copied() else { return };
        let Some(day) = self.days.get_mut(&date) else { return };
        day.state = DayState::Ran;
        let mut counted = Counters::default();
        counted.add(entry);
        day.counters += counted;
        if !counted.copies_add_up() {
            self.repeated_mailboxes.entry(date).or_default().push(key(entry));
        }
        if entry.is_duplicate() {
            return;
        }
        let unmapped = entry.outcome.is_some_and(|outcome| !outcome.unmapped.is_empty() || !outcome.missing.is_empty());
        self.items_with_unmapped += u64::from(unmapped);
        let (reason, discarded) = match entry.state {
            EntryState::InDeadLetterQueue(reason) => (reason, false),
            EntryState::Discarded(reason) => (reason, true),
            EntryState::ListedAgain(_)
            | EntryState::Filed
            | EntryState::InFlight
            | EntryState::Expired
            | EntryState::Unproven
            | EntryState::Missing => {
                let list = if entry.state == EntryState::Filed { &mut self.filed } else { &mut self.waiting };
                if unmapped && list.len() < self.max_filed {
                    list.extend(entry.outcome.and_then(|outcome| StoredMessageRef::of(outcome, None)));
                }
                return;
            }
        };
        if self.failures.len() >= MAX_FAILURES {
            self.failures_left_out += 1;
            return;
        }
        self.failed.extend(entry.outcome.and_then(|outcome| StoredMessageRef::of(outcome, Some(self.failures.len()))));
        let dead_letter = entry.outcome.and_then(|outcome| outcome.dead_letter);
        let absent = entry.outcome.map(|outcome| &outcome.failed[..]).unwrap_or_default();
        self.failures.push(FailedItem {
            day: date,
            item: entry.listed.name(),
            key: key(entry),
            run: entry.run.clone(),
            source_user: None,
            mailbox_users: absent.iter().map(|absent| absent.address.to_string()).collect(),
            stage: dead_letter.map(|dead_letter| dead_letter.stage).or(reason.map(|_| Stage::Convert)),
            reason: reason.map_or(DeadLetterReason::RetriesExhausted.as_str(), model::Reason::as_str).to_owned(),
            discarded,
        });
    }

    /// Returns the messages to read, at most `max`, those of failures first; and the number of items with a participant
    /// without a mailbox.
    pub(super) fn take_messages(&mut self, max: usize) -> (Vec<StoredMessageRef>, u64) {
        let mut stored = std::mem::take(&mut self.failed);
        stored.append(&mut self.waiting);
        stored.append(&mut self.filed);
        stored.truncate(max);
        (stored, self.items_with_unmapped)
    }

    /// Records the sender of a failure, and its participants whose expected mailbox is missing.
    pub(super) fn record_users(&mut self, failure: usize, source: Option<UserIdentity>, missing: Vec<UserIdentity>) {
        if let Some(failure) = self.failures.get_mut(failure) {
            failure.source_user = source;
            failure.mailbox_users.extend(missing.iter().map(UserIdentity::line));
        }
    }

    /// Builds the report.
    pub(super) fn close(
        mut self,
        deployment: String,
        period: Period,
        mapping: Mapping,
        reconciled: Reconciled,
    ) -> Report {
        self.failures.sort_by(|one, other| (one.day, &one.item).cmp(&(other.day, &other.item)));
        let mut total = Counters::default();
        let mut does_not_add_up = Vec::new();
        for (date, day) in &self.days {
            total += day.counters;
            does_not_add_up.extend(copies_mismatch(*date, &day.counters, self.repeated_mailboxes.get(date)));
            if !day.counters.items_add_up() {
                let available = day.counters.available;
                does_not_add_up.push(format!(
                    "{date}: {available} items are available, but filed, failed and waiting items do not add up to this number."
                ));
            }
        }
        // More than those of the days if a run outside the period lists items of it.
        let missing = total.items_missing.max(reconciled.missing.len() as u64);
        if missing > 0 {
            does_not_add_up
                .push(format!("{missing} items were listed and have neither a copy nor a dead letter nor a task: archiver reconcile lists them."));
        }
        if !reconciled.lost_pages.missing.is_empty() {
            let lost = named(reconciled.lost_pages.missing.iter());
            does_not_add_up.push(format!("Pages of manifests are missing, so their items are unknown: {lost}."));
        }
        for ShortManifest { run, queued, listed } in &reconciled.short {
            does_not_add_up.push(format!("The run {run} queued {queued} items, but its manifest lists {listed}."));
        }
        let not_fetched = reconciled.coverage.gaps.iter().map(|gap| format!("{gap}."));
        does_not_add_up.extend(not_fetched);
        let open = reconciled.incidents.iter().filter(|incident| incident.closed.is_none());
        let (values, open): (Vec<_>, Vec<_>) = open.partition(|incident| incident.is_unrecognized_value());
        if !values.is_empty() {
            does_not_add_up.push(format!("{}.", unrecognized_sentence(values.len())));
        }
        does_not_add_up.extend(open.into_iter().map(|incident| format!("{}.", incident.sentence())));
        let unprocessed = reconciled.webhooks.as_ref().and_then(|webhooks| webhooks.problem());
        does_not_add_up.extend(unprocessed.map(|sentence| sentence + "."));
        if reconciled.coverage.from.is_none() {
            does_not_add_up.extend(reconciled.coverage.sentences());
        }
        Report {
            deployment,
            from: period.first(),
            to: period.last(),
            made_at: Timestamp::now(),
            version: env!("CARGO_PKG_VERSION"),
            days: self.days.into_values().collect(),
            total,
            does_not_add_up,
            failures: self.failures,
            failures_left_out: self.failures_left_out,
            mapping,
            sent_without_content: None,
            incomplete_histories: Vec::new(),
            reconciled,
        }
    }
}

impl Report {
    /// Returns whether the invariant holds for all decided items.
    pub fn holds(&self) -> bool {
        self.does_not_add_up.is_empty()
    }

    /// Returns whether no item is in flight or unproven, and the whole period is fetched.
    pub fn is_decided(&self) -> bool {
        self.items_in_flight() == 0 && self.items_unproven() == 0 && self.reconciled.is_decided()
    }

    /// Returns the number of items in flight, those that runs outside the period list included.
    pub(super) fn items_in_flight(&self) -> u64 {
        self.total.items_in_flight.max(self.reconciled.undecided)
    }

    /// Returns the number of unproven items, those that runs outside the period list included.
    pub(super) fn items_unproven(&self) -> u64 {
        self.total.items_unproven.max(self.reconciled.unproven.len() as u64)
    }

    /// Returns the number of items whose outcome was deleted by age, those that runs outside the period list included.
    pub(super) fn items_expired(&self) -> u64 {
        self.total.items_expired.max(self.reconciled.expired)
    }
}

fn key(entry: &ManifestEntry<'_>) -> String {
    entry
        .listed
        .item
        .as_str()
        .and_then(|id| id.parse().ok())
        .map_or_else(String::new, |id: model::ItemId| id.key().to_string())
}

fn copies_mismatch(date: Date, counters: &Counters, repeated_mailboxes: Option<&Vec<String>>) -> Option<String> {
    let Counters { after_fan_out, imported, skipped, failed, .. } = counters;
    let keys: HashSet<_> = repeated_mailboxes?.iter().collect();
    Some(format!(
        "{date}: {after_fan_out} items are available after fan-out, and {imported} imported + {skipped} skipped + {failed} \
         failed are {}: the outcome of {} names a mailbox twice.",
        imported + skipped + failed,
        named(keys.into_iter())
    ))
}

fn named<'a>(all: impl Iterator<Item = &'a String>) -> String {
    let mut all: Vec<_> = all.map(String::as_str).collect();
    all.sort_unstable();
    let more = all.len().saturating_sub(MAX_NAMED);
    let mut text = all[..all.len() - more].join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}
