//! Formats the report for a terminal.

use comfy_table::{Cell, CellAlignment};

use super::{
    daily_counts::{Day, DayState, FailedItem, Report},
    histories,
    unmapped_users::Unmapped,
};
use crate::text::{shown, shown_up_to, table_of};

/// Limit of rows in a table; `--json` and `--html` list more.
const MAX_ROWS: usize = 100;

/// Formats the report.
pub(super) fn tables(report: &Report) -> String {
    let mut text = format!("{}, {} (UTC)\n", shown(&report.deployment), period(report));
    let right = |count: u64| Cell::new(count).set_alignment(CellAlignment::Right);
    let mut counters = table_of(&["", "count"]);
    for (name, count) in report.total.lines() {
        counters.add_row([Cell::new(name), right(count)]);
    }
    for (name, count) in [
        ("Items in flight", report.total.items_in_flight),
        ("Outcome deleted by age", report.total.items_expired),
        ("Items unproven", report.total.items_unproven),
        ("Items missing", report.total.items_missing),
    ] {
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
    text += &sent(report);
    text += &phone_histories(report);
    text
}

/// Formats the period.
pub(super) fn period(report: &Report) -> String {
    if report.from == report.to { report.from.to_string() } else { format!("{} to {}", report.from, report.to) }
}

/// Returns the verdict as a sentence.
pub(super) fn verdict(report: &Report) -> String {
    let total = report.total;
    if !report.holds() {
        return "It does not add up:".to_owned();
    }
    let sum = format!(
        "{} after fan-out = {} imported + {} skipped + {} failed",
        total.after_fan_out, total.imported, total.skipped, total.failed
    );
    match (report.items_in_flight(), report.items_unproven()) {
        (0, 0) => {
            let (other, expired) = match report.items_expired() {
                0 => ("", String::new()),
                expired => (
                    " other",
                    format!(" {expired} items were listed so long ago that their outcomes were deleted by age."),
                ),
            };
            format!(
                "It adds up: {sum}; every{other} listed item is filed, waits as a dead letter, or was discarded by an \
                 operator.{expired}"
            )
        }
        (items, 0) => format!("It adds up so far: {sum}; {items} items are in flight, and nothing is missing."),
        (items, unproven) => format!(
            "It adds up so far: {sum}; {items} items are in flight. {unproven} items are unproven: they are older than \
             OutcomeDays, and either their outcome was deleted by age, or they were never processed. archiver reconcile \
             --requeue decides it."
        ),
    }
}

/// Describes the examined windows of the runs in sentences, the items that other runs list, and the incidents that an
/// operator has closed.
pub(super) fn examined(report: &Report) -> Vec<String> {
    let incidents = report.reconciled.incidents.iter().filter(|incident| incident.closed.is_some());
    let closed = incidents.map(|incident| shown_up_to(&incident.sentence(), 4_000));
    let reconciled = &report.reconciled;
    let webhooks = reconciled.webhooks.iter();
    let webhooks = webhooks.flat_map(|webhooks| webhooks.pending());
    let outside = reconciled.outside.sentences().into_iter().chain(reconciled.lost_pages.expired_sentence());
    outside
        .chain(reconciled.coverage.sentences())
        .chain(closed)
        .chain(webhooks)
        .map(|sentence| sentence + ".")
        .collect()
}

/// Returns the note beside the counters of a day.
pub(super) fn note(day: &Day) -> String {
    let runs = match (day.state, day.runs.len()) {
        (DayState::NoRun, _) => return "without a run".to_owned(),
        (DayState::FoundNothing, 1) => "1 run without items".to_owned(),
        (DayState::FoundNothing, runs) => format!("{runs} runs without items"),
        (DayState::Ran, 1) => "1 run".to_owned(),
        (DayState::Ran, runs) => format!("{runs} runs"),
    };
    match day.unfinished_runs {
        0 => runs,
        unfinished => format!("{runs}, {unfinished} incomplete"),
    }
}

/// Returns the sender of a failed item, or a placeholder.
pub(super) fn source(failure: &FailedItem) -> String {
    failure.source_user.as_ref().map_or_else(|| "unknown".to_owned(), |user| user.line())
}

/// Returns the mailboxes that lack a failed item.
pub(super) fn absent(failure: &FailedItem) -> String {
    if failure.mailbox_users.is_empty() { "none".to_owned() } else { failure.mailbox_users.join(", ") }
}

/// Returns the reason of a failure, and whether it was discarded.
pub(super) fn reason(failure: &FailedItem) -> String {
    if failure.discarded { format!("{} (discarded)", failure.reason) } else { failure.reason.clone() }
}

fn failures(report: &Report) -> String {
    if report.failures.is_empty() {
        return String::new();
    }
    let mut table = table_of(&["failed item", "day", "source user", "mailbox user", "reason"]);
    for failure in report.failures.iter().take(MAX_ROWS) {
        let day = failure.day.to_string();
        table.add_row([
            &shown(&failure.item),
            &day,
            &shown(&source(failure)),
            &shown(&absent(failure)),
            &reason(failure),
        ]);
    }
    let left = report.failures.len().saturating_sub(MAX_ROWS) as u64 + report.failures_left_out;
    format!("\n\n{table}{}", more(left))
}

fn mapping(report: &Report) -> String {
    let mapping = &report.mapping;
    let mut text = String::new();
    if mapping.items > 0 {
        text += &format!("\n\n{}", mapping_words(report));
    }
    if !mapping.users.is_empty() {
        let header = ["mapping failure: user", "items", "of them failed", "waiting", "reason", "in the user map now"];
        let mut table = table_of(&header);
        for unmapped in mapping.users.iter().take(MAX_ROWS) {
            let now = unmapped.now_mapped_to.as_ref().map_or_else(|| "no".to_owned(), ToString::to_string);
            let counts = [unmapped.items, unmapped.failed_items, unmapped.waiting_items].map(|count| count.to_string());
            let [items, failed, waiting] = counts;
            table.add_row([shown(&unmapped.user.line()), items, failed, waiting, why(unmapped), shown(&now)]);
        }
        let left = mapping.users.len().saturating_sub(MAX_ROWS) as u64 + mapping.users_left_out;
        text += &format!("\n{table}{}", more(left));
    }
    text
}

fn sent(report: &Report) -> String {
    let Some(sent) = &report.sent_without_content else { return String::new() };
    let mut table = table_of(&["sent message", "key", "status received"]);
    for message in sent.messages.iter().take(MAX_ROWS) {
        table.add_row([shown(&message.item), message.key.clone(), format!("{:.0}", message.received)]);
    }
    let left = sent.count.saturating_sub(MAX_ROWS as u64);
    format!("\n\n{}\n{table}{}", sent.sentence(), more(left))
}

fn phone_histories(report: &Report) -> String {
    let all = &report.incomplete_histories;
    if all.is_empty() {
        return String::new();
    }
    let mut table = table_of(&["number (Meta's id)", "history", "last received"]);
    for history in all.iter().take(MAX_ROWS) {
        let last = format!("{:.0}", history.last_received);
        table.add_row([shown(&history.phone_number_id), history.description.clone(), last]);
    }
    let left = all.len().saturating_sub(MAX_ROWS) as u64;
    format!("\n\n{}\n{table}{}", histories::sentence(all), more(left))
}

/// Returns the reasons for a user's missing copies.
pub(super) fn why(unmapped: &Unmapped) -> String {
    if unmapped.reasons.is_empty() {
        return "not expected to have a mailbox".to_owned();
    }
    unmapped.reasons.iter().copied().collect::<Vec<_>>().join(", ")
}

/// Describes the source of the list of users without a mailbox.
pub(super) fn mapping_words(report: &Report) -> String {
    let mapping = &report.mapping;
    let mut text = format!(
        "{} items have a participant without a mailbox; they are filed for the other participants, if any. The users were read \
         from {} stored messages.",
        mapping.items,
        mapping.looked_into - mapping.unreadable
    );
    if mapping.unreadable > 0 {
        text += &format!(" {} more messages are no longer kept.", mapping.unreadable);
    }
    if mapping.looked_into < mapping.items {
        text += " Raise --messages to read more.";
    }
    if mapping.user_map_problem.is_some() {
        text += " The user map in the bucket is invalid, so its present content is unknown.";
    }
    text
}

fn more(left: u64) -> String {
    if left > 0 { format!("\n… and {left} more; --json lists more") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use ledger::totals::Counters;

    use super::*;
    use crate::commands::reconcile::Reconciled;

    fn report(total: Counters) -> Report {
        let date = "2026-11-21".parse().unwrap();
        Report {
            deployment: "archive".to_owned(),
            from: date,
            to: date,
            made_at: Timestamp::UNIX_EPOCH,
            version: "0.2.0",
            days: Vec::new(),
            total,
            does_not_add_up: Vec::new(),
            failures: Vec::new(),
            failures_left_out: 0,
            mapping: Default::default(),
            sent_without_content: None,
            incomplete_histories: Vec::new(),
            reconciled: Default::default(),
        }
    }

    /// Only items whose result is known are filed, dead letters or discarded.
    #[test]
    fn verdict_names_items_without_a_known_result() {
        let complete = report(Counters::default());
        assert!(complete.is_decided() && verdict(&complete).ends_with("discarded by an operator."));
        let expired = report(Counters { items_expired: 2, ..Counters::default() });
        let sentence = verdict(&expired);
        assert!(expired.is_decided() && sentence.contains("every other listed item"), "{sentence}");
        assert!(sentence.contains("2 items were listed so long ago"), "{sentence}");
        let unproven = report(Counters { items_unproven: 3, ..Counters::default() });
        let sentence = verdict(&unproven);
        assert!(!unproven.is_decided() && sentence.contains("3 items are unproven"), "{sentence}");
        assert!(!report(Counters { items_in_flight: 1, ..Counters::default() }).is_decided());
        // Items of the period that a later run lists are on none of its days.
        let mut later = report(Counters::default());
        later.reconciled = Reconciled { undecided: 4, ..Reconciled::default() };
        assert!(!later.is_decided() && verdict(&later).contains("4 items are in flight"), "{}", verdict(&later));
    }
}
