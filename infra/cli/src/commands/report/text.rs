//! The report for a terminal.

use comfy_table::{Cell, CellAlignment};

use super::{
    ledger::{Day, DayState, Failure, Report},
    people::Unmapped,
};
use crate::text::{shown, shown_up_to, table_of};

/// The longest list in a table; `--json` and `--html` have more.
const SHOWN: usize = 100;

/// What the report says.
pub(super) fn tables(report: &Report) -> String {
    let mut text = format!("{}, {} (UTC)\n", shown(&report.deployment), period(report));
    let right = |count: u64| Cell::new(count).set_alignment(CellAlignment::Right);
    let mut counters = table_of(&["", "count"]);
    for (name, count) in report.total.lines() {
        counters.add_row([Cell::new(name), right(count)]);
    }
    for (name, count) in
        [("Items in flight", report.total.items_in_flight), ("Items missing", report.total.items_missing)]
    {
        if count > 0 {
            counters.add_row([Cell::new(name), right(count)]);
        }
    }
    text += &counters.to_string();
    if let [day] = &report.days[..] {
        text += &format!("\n{}", note(day));
    } else {
        let header = [
            "day",
            "available",
            "after fan-out",
            "imported",
            "partially",
            "skipped",
            "failed",
            "in flight",
            "missing",
            "",
        ];
        let mut days = table_of(&header);
        for day in &report.days {
            let counters = day.counters;
            let counts = counters.lines().map(|(_, count)| count);
            let counts = counts.into_iter().chain([counters.items_in_flight, counters.items_missing]);
            let cells = std::iter::once(Cell::new(day.date)).chain(counts.map(right));
            days.add_row(cells.chain([Cell::new(note(day))]));
        }
        text += &format!("\n\n{days}");
    }
    text += &format!("\n\n{}", verdict(report));
    for sentence in &report.does_not_add_up {
        text += &format!("\n  {}", shown_up_to(sentence, 1_000));
    }
    for sentence in examined(report) {
        text += &format!("\n{sentence}");
    }
    text += &failures(report);
    text += &mapping(report);
    text
}

/// The period in words.
pub(super) fn period(report: &Report) -> String {
    if report.from == report.to { report.from.to_string() } else { format!("{} to {}", report.from, report.to) }
}

/// Whether it adds up, in a sentence.
pub(super) fn verdict(report: &Report) -> String {
    let total = report.total;
    if !report.holds() {
        return "It does not add up:".to_owned();
    }
    let sum = format!(
        "{} after fan-out = {} imported + {} skipped + {} failed",
        total.after_fan_out, total.imported, total.skipped, total.failed
    );
    match total.items_in_flight {
        0 => format!(
            "It adds up: {sum}; every listed item is filed, waits as a dead letter, or was discarded by an operator."
        ),
        items => format!("It adds up so far: {sum}; {items} items are in flight, and nothing is missing."),
    }
}

/// What was examined for the windows of the runs, in sentences.
pub(super) fn examined(report: &Report) -> Vec<String> {
    report.books.coverage.sentences().into_iter().map(|sentence| sentence + ".").collect()
}

/// What is to be said of a day beside its counters.
pub(super) fn note(day: &Day) -> String {
    let runs = match (day.state, day.runs.len()) {
        (DayState::NoRun, _) => return "no run that day".to_owned(),
        (DayState::FoundNothing, 1) => "a run that found nothing".to_owned(),
        (DayState::FoundNothing, runs) => format!("{runs} runs that found nothing"),
        (DayState::Ran, 1) => "1 run".to_owned(),
        (DayState::Ran, runs) => format!("{runs} runs"),
    };
    match day.unfinished_runs {
        0 => runs,
        unfinished => format!("{runs}, {unfinished} not to the end"),
    }
}

/// Who sent the item of a failure, as far as that is known.
pub(super) fn source(failure: &Failure) -> String {
    failure.source_user.as_ref().map_or_else(|| "not known".to_owned(), |person| person.line())
}

/// Which mailboxes lack the item of a failure.
pub(super) fn lacking(failure: &Failure) -> String {
    if failure.mailbox_users.is_empty() { "none".to_owned() } else { failure.mailbox_users.join(", ") }
}

/// Why an item failed, and what was done about it.
pub(super) fn reason(failure: &Failure) -> String {
    if failure.discarded { format!("{} (discarded)", failure.reason) } else { failure.reason.clone() }
}

fn failures(report: &Report) -> String {
    if report.failures.is_empty() {
        return String::new();
    }
    let mut table = table_of(&["failed item", "day", "source user", "mailbox user", "reason"]);
    for failure in report.failures.iter().take(SHOWN) {
        let day = failure.day.to_string();
        table.add_row([
            &shown(&failure.item),
            &day,
            &shown(&source(failure)),
            &shown(&lacking(failure)),
            &reason(failure),
        ]);
    }
    let left = report.failures.len().saturating_sub(SHOWN) as u64 + report.failures_left_out;
    format!("\n\n{table}{}", more(left))
}

fn mapping(report: &Report) -> String {
    let mapping = &report.mapping;
    let mut text = String::new();
    if mapping.items > 0 {
        text += &format!("\n\n{}", mapping_words(report));
    }
    if !mapping.users.is_empty() {
        let header = ["mapping failure: user", "items", "of them failed", "waiting", "why", "in the user map now"];
        let mut table = table_of(&header);
        for unmapped in mapping.users.iter().take(SHOWN) {
            let now = unmapped.now_mapped_to.as_ref().map_or_else(|| "no".to_owned(), ToString::to_string);
            let counts = [unmapped.items, unmapped.failed_items, unmapped.waiting_items].map(|count| count.to_string());
            let [items, failed, waiting] = counts;
            table.add_row([shown(&unmapped.user.line()), items, failed, waiting, why(unmapped), shown(&now)]);
        }
        let left = mapping.users.len().saturating_sub(SHOWN) as u64 + mapping.users_left_out;
        text += &format!("\n{table}{}", more(left));
    }
    text
}

/// Why a user has no copy.
pub(super) fn why(unmapped: &Unmapped) -> String {
    if unmapped.reasons.is_empty() {
        return "not expected to have a mailbox".to_owned();
    }
    unmapped.reasons.iter().copied().collect::<Vec<_>>().join(", ")
}

/// What the list of users without a mailbox is made from, in words.
pub(super) fn mapping_words(report: &Report) -> String {
    let mapping = &report.mapping;
    let mut text = format!(
        "In {} items somebody had no mailbox; they are filed for the others, where there are any. {} of the messages were \
         looked into for who that is.",
        mapping.items,
        mapping.looked_into - mapping.unreadable
    );
    if mapping.unreadable > 0 {
        text += &format!(" {} more are no longer kept.", mapping.unreadable);
    }
    if mapping.looked_into < mapping.items {
        text += " More are with --messages.";
    }
    if mapping.user_map_problem.is_some() {
        text += " The user map in the bucket is refused, so it is not known who is in it now.";
    }
    text
}

fn more(left: u64) -> String {
    if left > 0 { format!("\n… and {left} more; --json has more of them") } else { String::new() }
}
