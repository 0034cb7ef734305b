//! The report: what the comparison of `archiver reconcile` tells, counted by day.

use std::collections::{BTreeMap, HashSet};

use jiff::{Timestamp, civil::Date};
use model::{RunId, Stage};
use serde::Serialize;

use super::{
    people::{Mapping, Person},
    period::{Period, day_of},
    stored::Stored,
};
use crate::commands::{
    dead_letters::Why,
    reconcile::{Reconciled, Runs, Short},
};
use ledger::totals::{Counters, Place, Told};

/// All that a report says.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which deployment: its bucket, or the directory of a one-machine run.
    pub deployment: String,
    /// The first day.
    pub from: Date,
    /// The last day, itself included.
    pub to: Date,
    /// When the report was made.
    pub made_at: Timestamp,
    /// By which version of this command.
    pub version: &'static str,
    /// Each day, also those on which nothing happened.
    pub days: Vec<Day>,
    /// The days together.
    pub total: Counters,
    /// What does not add up, a sentence each. Empty where the invariant holds.
    pub does_not_add_up: Vec<String>,
    /// Each item that could not be filed everywhere, up to [`MOST_FAILURES`].
    pub failures: Vec<Failure>,
    /// How many more there are.
    pub failures_left_out: u64,
    /// Who has no mailbox.
    pub mapping: Mapping,
    /// What the comparison found.
    pub books: Reconciled,
}

/// A day, in UTC: the runs that began on it, and what became of what they listed.
#[derive(Debug, Clone, Serialize)]
pub struct Day {
    /// Which.
    pub date: Date,
    /// Whether there was a run, and whether it found anything.
    pub state: DayState,
    /// The runs that began on it.
    pub runs: Vec<RunId>,
    /// How many of them did not do their whole window; the next run goes on where they stopped.
    pub unfinished_runs: u64,
    /// The counters.
    #[serde(flatten)]
    pub counters: Counters,
}

/// Whether there was a run on a day.
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

/// An item that could not be filed everywhere.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// The day of its run.
    pub day: Date,
    /// Its id, as the source wrote it.
    pub item: String,
    /// What logs and objects call it; empty for what is no id.
    pub key: String,
    /// Its run.
    pub run: RunId,
    /// Who sent it, read from the stored message. `None` where there is none (any more), or it was not looked into.
    pub source_user: Option<Person>,
    /// The mailboxes that should have it and do not; and the participants who should have a mailbox and have none.
    pub mailbox_users: Vec<String>,
    /// Who gave up. `None` where nobody says.
    pub stage: Option<Stage>,
    /// Why: the reason of the dead letter, or `retries-exhausted` where SQS itself moved it.
    pub reason: String,
    /// Whether an operator has discarded its letter; else it waits in the dead-letter queue.
    pub discarded: bool,
}

/// The most failures that a report names; all are counted.
pub const MOST_FAILURES: usize = 10_000;

/// The most items that a sentence names.
const NAMED: usize = 10;

/// Counts while the comparison goes on.
pub(super) struct Ledger {
    days: BTreeMap<Date, Day>,
    run_days: BTreeMap<RunId, Date>,
    failures: Vec<Failure>,
    failures_left_out: u64,
    /// Keys of items whose outcomes name a mailbox twice.
    twice: BTreeMap<Date, Vec<String>>,
    /// Messages of failures.
    failed: Vec<Stored>,
    /// Messages of items that wait for the mailbox of a participant, as many as may be looked into.
    waiting: Vec<Stored>,
    /// Messages that were filed for some of their participants, as many as may be looked into.
    filed: Vec<Stored>,
    most_filed: usize,
    items_with_unmapped: u64,
}

impl Ledger {
    /// A ledger of a period and its runs, of which at most so many filed messages are looked into.
    pub(super) fn new(period: Period, runs: &Runs, most_filed: usize) -> Self {
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
            twice: BTreeMap::new(),
            failed: Vec::new(),
            waiting: Vec::new(),
            filed: Vec::new(),
            most_filed,
            items_with_unmapped: 0,
        }
    }

    /// Counts an entry of a manifest.
    pub(super) fn add(&mut self, told: &Told<'_>) {
        let Some(date) = self.run_days.get(told.run).copied() else { return };
        let Some(day) = self.days.get_mut(&date) else { return };
        day.state = DayState::Ran;
        let mut counted = Counters::default();
        counted.add(told);
        day.counters += counted;
        if !counted.copies_add_up() {
            self.twice.entry(date).or_default().push(key(told));
        }
        if told.is_duplicate() {
            return;
        }
        let unmapped = told.outcome.is_some_and(|outcome| !outcome.unmapped.is_empty() || !outcome.missing.is_empty());
        self.items_with_unmapped += u64::from(unmapped);
        let (reason, discarded) = match told.place {
            Place::Waiting(reason) => (reason, false),
            Place::Discarded(reason) => (reason, true),
            Place::Again(_) | Place::Filed | Place::InFlight | Place::Missing => {
                let list = if told.place == Place::Filed { &mut self.filed } else { &mut self.waiting };
                if unmapped && list.len() < self.most_filed {
                    list.extend(told.outcome.and_then(|outcome| Stored::of(outcome, None)));
                }
                return;
            }
        };
        if self.failures.len() >= MOST_FAILURES {
            self.failures_left_out += 1;
            return;
        }
        self.failed.extend(told.outcome.and_then(|outcome| Stored::of(outcome, Some(self.failures.len()))));
        let letter = told.outcome.and_then(|outcome| outcome.dead_letter);
        let lacking = told.outcome.map(|outcome| &outcome.failed[..]).unwrap_or_default();
        self.failures.push(Failure {
            day: date,
            item: told.listed.name(),
            key: key(told),
            run: told.run.clone(),
            source_user: None,
            mailbox_users: lacking.iter().map(|lacking| lacking.address.to_string()).collect(),
            stage: letter.map(|letter| letter.stage).or(reason.map(|_| Stage::Convert)),
            reason: reason.map_or(Why::RetriesExhausted.as_str(), model::Reason::as_str).to_owned(),
            discarded,
        });
    }

    /// The messages to be looked into, at most so many, those of failures first; and in how many items somebody has no
    /// mailbox.
    pub(super) fn stored(&mut self, most: usize) -> (Vec<Stored>, u64) {
        let mut stored = std::mem::take(&mut self.failed);
        stored.append(&mut self.waiting);
        stored.append(&mut self.filed);
        stored.truncate(most);
        (stored, self.items_with_unmapped)
    }

    /// Notes who sent the item of a failure, and which participants lack the mailboxes that they are expected to have.
    pub(super) fn note_people(&mut self, failure: usize, source: Option<Person>, missing: Vec<Person>) {
        if let Some(failure) = self.failures.get_mut(failure) {
            failure.source_user = source;
            failure.mailbox_users.extend(missing.iter().map(Person::line));
        }
    }

    /// The report.
    pub(super) fn close(mut self, deployment: String, period: Period, mapping: Mapping, books: Reconciled) -> Report {
        self.failures.sort_by(|one, other| (one.day, &one.item).cmp(&(other.day, &other.item)));
        let mut total = Counters::default();
        let mut does_not_add_up = Vec::new();
        for (date, day) in &self.days {
            total += day.counters;
            does_not_add_up.extend(copies_apart(*date, &day.counters, self.twice.get(date)));
            if !day.counters.items_add_up() {
                let available = day.counters.available;
                does_not_add_up
                    .push(format!("{date}: {available} items are available, and they are not in as many places."));
            }
        }
        if total.items_missing > 0 {
            let missing = total.items_missing;
            does_not_add_up
                .push(format!("{missing} items were listed and are nowhere: archiver reconcile names them."));
        }
        if !books.lost_pages.is_empty() {
            let lost = named(books.lost_pages.iter());
            does_not_add_up.push(format!("Pages of manifests are gone, and nobody knows what they listed: {lost}."));
        }
        for Short { run, queued, listed } in &books.short {
            does_not_add_up.push(format!("The run {run} has queued {queued} items, and its manifest lists {listed}."));
        }
        let not_fetched = books.coverage.gaps.iter().map(|gap| format!("{gap}."));
        does_not_add_up.extend(not_fetched);
        does_not_add_up.extend(books.incidents.iter().map(|incident| format!("{}.", incident.sentence())));
        if books.coverage.from.is_none() {
            does_not_add_up.extend(books.coverage.sentences());
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
            books,
        }
    }
}

impl Report {
    /// Whether everything that is decided adds up.
    pub fn holds(&self) -> bool {
        self.does_not_add_up.is_empty()
    }

    /// Whether no item is in flight and the period is fetched.
    pub fn is_decided(&self) -> bool {
        self.total.items_in_flight == 0 && self.books.coverage.is_decided()
    }
}

fn key(told: &Told<'_>) -> String {
    told.listed
        .item
        .as_str()
        .and_then(|id| id.parse().ok())
        .map_or_else(String::new, |id: model::ItemId| id.key().to_string())
}

fn copies_apart(date: Date, counters: &Counters, twice: Option<&Vec<String>>) -> Option<String> {
    let Counters { after_fan_out, imported, skipped, failed, .. } = counters;
    let keys: HashSet<_> = twice?.iter().collect();
    Some(format!(
        "{date}: {after_fan_out} items are available after fan-out, and {imported} imported + {skipped} skipped + {failed} \
         failed are {}: a mailbox stands twice in the outcome of {}.",
        imported + skipped + failed,
        named(keys.into_iter())
    ))
}

fn named<'a>(all: impl Iterator<Item = &'a String>) -> String {
    let mut all: Vec<_> = all.map(String::as_str).collect();
    all.sort_unstable();
    let more = all.len().saturating_sub(NAMED);
    let mut text = all[..all.len() - more].join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}
