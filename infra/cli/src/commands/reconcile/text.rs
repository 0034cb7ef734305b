//! Formats the result of the comparison for a terminal.

use std::collections::BTreeSet;

use comfy_table::{Cell, CellAlignment};
use model::MailboxAddress;

use super::{
    comparison::{Incomplete, Missing, MissingCause, Reconciled},
    coverage::Coverage,
    deep_check::{AbsentCopy, Damaged, DeepFindings, Duplicate, UncheckedMailbox},
    incidents::{Incident, unrecognized_sentence},
    runs::ShortManifest,
    webhooks::Webhooks,
};
use crate::text::{shown, shown_up_to, table_of};

/// Limit of rows in a table; `--json` has all.
const MAX_ROWS: usize = 100;

/// Formats the result. Ids of items and names of files may contain names and numbers, so they are printed only on request: the
/// text can then be copied into a ticket.
pub(super) fn table(reconciled: &Reconciled, deep: bool, name_items: bool) -> String {
    let mut counts = table_of(&["", "items"]);
    let mut row = |name: String, count: u64| {
        counts.add_row([Cell::new(name), Cell::new(count).set_alignment(CellAlignment::Right)]);
    };
    row(format!("In the manifests of {} runs", reconciled.runs), reconciled.items);
    row("Filed".to_owned(), reconciled.filed);
    for (reason, count) in &reconciled.waiting {
        row(format!("Waiting in dead letters: {reason}"), *count);
    }
    row("Discarded by an operator".to_owned(), reconciled.discarded);
    if reconciled.expired > 0 {
        row("Outcome deleted by age (OutcomeDays)".to_owned(), reconciled.expired);
    }
    if !reconciled.unproven.is_empty() {
        row("Unproven: filed long ago, or never".to_owned(), reconciled.unproven.len() as u64);
    }
    row("In flight".to_owned(), reconciled.undecided);
    if !reconciled.incomplete.is_empty() {
        row("Of those incomplete: a mailbox is missing".to_owned(), reconciled.incomplete.len() as u64);
    }
    row("Missing".to_owned(), reconciled.missing.len() as u64);
    let DeepFindings { copies_found, damaged, not_in_mailbox, duplicates, without_class, unchecked_mailboxes } =
        &reconciled.deep_findings;
    let unchecked = unchecked_mailboxes.iter().map(|unchecked| unchecked.copies).sum();
    for (name, count) in [
        ("Stored messages missing or changed", damaged.len() as u64),
        ("Copies in the archive folders", *copies_found),
        ("Copies not in the archive folder", not_in_mailbox.len() as u64),
        ("Items with more than one copy in a mailbox", duplicates.len() as u64),
        ("Copies without the message class", without_class.len() as u64),
        ("Copies that could not be checked", unchecked),
    ] {
        if deep {
            row(name.to_owned(), count);
        }
    }
    let mut text = counts.to_string();
    if !reconciled.missing.is_empty() {
        let mut missing = table_of(&["missing item, key", "run", "cause"]);
        for item in reconciled.missing.iter().take(MAX_ROWS) {
            let cause = match item.cause {
                MissingCause::NoOutcome => "no outcome",
                MissingCause::DeadLetterGone => {
                    "its outcome records a dead letter that does not exist: expired after 14 days, or deleted"
                }
                MissingCause::Unfinished => "not filed in all mailboxes, and not on a queue",
                MissingCause::NotListed => {
                    "its file was replaced or removed before it was listed; --requeue files the copy"
                }
            };
            missing.add_row([named(item, name_items).as_str(), item.run.as_str(), cause]);
        }
        text += &format!("\n{missing}");
        text += &more(reconciled.missing.len());
    }
    text += &unproven(&reconciled.unproven, name_items);
    text += &incomplete(&reconciled.incomplete);
    for short in &reconciled.short {
        let ShortManifest { run, queued, listed } = short;
        text += &format!(
            "\nthe manifest of {run} lists {listed} items, but the run queued {queued}: restore an earlier version of its pages"
        );
    }
    for (what, keys) in [
        ("missing pages of manifests", reconciled.lost_pages.missing.iter().collect::<Vec<_>>()),
        ("missing stored messages", damaged_messages(&reconciled.deep_findings.damaged, true)),
        ("stored messages whose SHA-256 or length differs", damaged_messages(&reconciled.deep_findings.damaged, false)),
    ] {
        if !keys.is_empty() {
            text += &format!("\n{what}: restore the oldest version of each object (runbook, \"Restoring a message\")");
            text.extend(keys.iter().take(MAX_ROWS).map(|key| format!("\n  {key}")));
            text += &more(keys.len());
        }
    }
    text += &copies(&reconciled.deep_findings);
    text += &incidents(&reconciled.incidents, name_items);
    let expired = reconciled.lost_pages.expired_sentence();
    for sentence in reconciled.outside.sentences().into_iter().take(MAX_ROWS).chain(expired) {
        text += &format!("\n{sentence}");
    }
    text += &webhooks(reconciled.webhooks.as_ref());
    text + &coverage(&reconciled.coverage)
}

/// Returns the key of an item, with its id on request.
fn named(item: &Missing, name_items: bool) -> String {
    if name_items { format!("{}\n{}", item.key, shown(&item.listed.name())) } else { item.key.clone() }
}

/// Formats the items whose outcome may have been deleted by age.
fn unproven(items: &[Missing], name_items: bool) -> String {
    if items.is_empty() {
        return String::new();
    }
    let mut table = table_of(&["unproven item, key", "run"]);
    for item in items.iter().take(MAX_ROWS) {
        table.add_row([named(item, name_items).as_str(), item.run.as_str()]);
    }
    format!(
        "\n{table}{}\nThese items are older than OutcomeDays and have no outcome: it was deleted by age, or they were never \
         processed. --requeue decides it: each mailbox is searched for the copy before one is filed",
        more(items.len())
    )
}

/// Formats the webhooks of the period, and what receive still has to do.
fn webhooks(webhooks: Option<&Webhooks>) -> String {
    let Some(webhooks) = webhooks else { return String::new() };
    let mut text = format!("\n{} webhooks were stored in the period", webhooks.stored);
    if webhooks.discarded > 0 {
        text += &format!("; an operator has discarded the dead letters of {}", webhooks.discarded);
    }
    text.extend(webhooks.pending().into_iter().chain(webhooks.problem()).map(|sentence| format!("\n{sentence}")));
    text.extend(webhooks.unprocessed.iter().take(MAX_ROWS).map(|webhook| format!("\n  {}", webhook.object)));
    text + &more(webhooks.unprocessed.len())
}

/// Formats deliveries that do not match their manifests and values that were not recognized: open incidents, then closed
/// ones.
fn incidents(incidents: &[Incident], name_items: bool) -> String {
    let (closed, open): (Vec<_>, Vec<_>) = incidents.iter().partition(|incident| incident.closed.is_some());
    let (values, open): (Vec<_>, Vec<_>) = open.into_iter().partition(|incident| incident.is_unrecognized_value());
    let mut text = String::new();
    if !open.is_empty() {
        text += &format!(
            "\n{} deliveries are incomplete or damaged. Their readable mails are filed. Ask the vendor to deliver the file again under the \
             same name, or close the incident: archiver incidents close ID --reason TEXT --by NAME",
            open.len()
        );
        text += &listed(&open, name_items);
    }
    if !values.is_empty() {
        text += &format!("\n{}", unrecognized_sentence(values.len()));
        text += &listed(&values, name_items);
    }
    if !closed.is_empty() {
        text += &format!("\n{} incidents are closed", closed.len());
        text += &listed(&closed, name_items);
    }
    text
}

fn listed(incidents: &[&Incident], name_items: bool) -> String {
    let mut text = String::new();
    for incident in incidents.iter().take(MAX_ROWS) {
        text += &format!("\n  {} ({:.0}, {})", incident.id, incident.received, incident.record);
        if let Some(closed) = &incident.closed {
            text += &format!("\n    {}", shown_up_to(&closed.sentence(), 2_000));
        }
        if !name_items {
            let problems = match incident.problems.len() {
                1 => "1 problem".to_owned(),
                count => format!("{count} problems"),
            };
            text += &format!("\n    {problems}: archiver incidents list, or --name-items");
            continue;
        }
        text += &format!("\n    {}", shown(&incident.file));
        text.extend(
            incident.problems.iter().take(MAX_ROWS).map(|problem| format!("\n    {}", shown_up_to(problem, 500))),
        );
        text += &more(incident.problems.len());
    }
    text + &more(incidents.len())
}

/// Formats the items that wait for the mailboxes of participants.
fn incomplete(items: &[Incomplete]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let mut table = table_of(&["incomplete item, key", "run", "copies", "missing", "since"]);
    for item in items.iter().take(MAX_ROWS) {
        let reasons: BTreeSet<_> = item.missing.iter().map(|missing| missing.reason.as_str()).collect();
        let reasons = reasons.into_iter().collect::<Vec<_>>().join(", ");
        let since = item.missing.iter().map(|missing| missing.since).min();
        table.add_row([
            item.key.clone(),
            item.run.to_string(),
            item.filed.to_string(),
            format!("{} ({reasons})", item.missing.len()),
            since.map_or_else(String::new, |since| format!("{since:.0}")),
        ]);
    }
    format!(
        "\n{table}{}\nImport retries these until the mailboxes exist; after RetryHours they become dead letters. Create the \
         mailboxes, or correct the user map",
        more(items.len())
    )
}

/// Formats the examined period and the parts that were not fetched.
fn coverage(coverage: &Coverage) -> String {
    let mut text = String::new();
    for sentence in coverage.sentences() {
        text += &format!("\n{sentence}");
    }
    for gap in coverage.gaps.iter().take(MAX_ROWS) {
        text += &format!("\n  {gap}");
    }
    text + &more(coverage.gaps.len())
}

/// Formats the findings about copies.
fn copies(deep_findings: &DeepFindings) -> String {
    let mut text = String::new();
    let location = |outcome: &str, place: usize, mailbox: Option<&MailboxAddress>| match mailbox {
        Some(mailbox) => shown(mailbox.as_str()),
        None => format!("mailbox {place} of {}", shown(outcome)),
    };
    let DeepFindings { not_in_mailbox, duplicates, without_class, unchecked_mailboxes, .. } = deep_findings;
    if !not_in_mailbox.is_empty() {
        text += &format!(
            "\n{} copies are not in the archive folder of their mailbox. A user with access has deleted or moved them: search \
             the mailbox and its Recoverable Items; the stored message is the evidence",
            not_in_mailbox.len()
        );
        let mut table = table_of(&["mailbox", "filed at", "stored message"]);
        for AbsentCopy { outcome, place, filed_at, mime, mailbox } in not_in_mailbox.iter().take(MAX_ROWS) {
            let mime = mime.as_ref().map_or_else(|| "unknown".to_owned(), |mime| shown(mime));
            table.add_row([location(outcome, *place, mailbox.as_ref()), format!("{filed_at:.0}"), mime]);
        }
        text += &format!("\n{table}{}", more(not_in_mailbox.len()));
    }
    if !duplicates.is_empty() {
        text += &format!(
            "\n{} items have more than one copy in a mailbox. Compare them by their headers X-WA-…, and delete all but one",
            duplicates.len()
        );
        let mut table = table_of(&["mailbox", "copies"]);
        for Duplicate { placed, copies } in duplicates.iter().take(MAX_ROWS) {
            table.add_row([location(&placed.outcome, placed.place, placed.mailbox.as_ref()), copies.to_string()]);
        }
        text += &format!("\n{table}{}", more(duplicates.len()));
    }
    if !without_class.is_empty() {
        text += &format!(
            "\n{} copies lack the message class: a search for the class does not find them; search by sender and recipient address",
            without_class.len()
        );
        let mut table = table_of(&["mailbox"]);
        for placed in without_class.iter().take(MAX_ROWS) {
            table.add_row([location(&placed.outcome, placed.place, placed.mailbox.as_ref())]);
        }
        text += &format!("\n{table}{}", more(without_class.len()));
    }
    if !unchecked_mailboxes.is_empty() {
        let copies: u64 = unchecked_mailboxes.iter().map(|unchecked| unchecked.copies).sum();
        text += &format!("\n{copies} copies could not be checked; it is unknown whether they exist");
        let mut table = table_of(&["mailbox", "copies", "reason"]);
        for UncheckedMailbox { copies, reason, outcome, place, mailbox } in unchecked_mailboxes.iter().take(MAX_ROWS) {
            table.add_row([location(outcome, *place, mailbox.as_ref()), copies.to_string(), shown_up_to(reason, 400)]);
        }
        text += &format!("\n{table}{}", more(unchecked_mailboxes.len()));
    }
    text
}

fn damaged_messages(damaged: &[Damaged], gone: bool) -> Vec<&String> {
    damaged.iter().filter(|damaged| damaged.gone == gone).map(|damaged| &damaged.mime).collect()
}

fn more(count: usize) -> String {
    if count > MAX_ROWS { format!("\n… and {} more; --json has all", count - MAX_ROWS) } else { String::new() }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use model::Listed;
    use serde_json::json;

    use super::*;
    use crate::commands::reconcile::ItemHash;

    /// Ids and names of files as the sources make them.
    const CONFIDENTIAL: [&str; 5] =
        ["bo.hansen@example.com", "WhatsApp Chat with Bo Hansen.zip", "4520123456", "Bo Hansen.eml", "4520654321"];

    fn missing(id: &str) -> Missing {
        let listed = Listed { item: json!(id), archived_time: json!("2026-11-21T00:00:00Z") };
        let run = "r".parse().unwrap();
        Missing { key: ItemHash::of(&listed.item).hex(), listed, run, cause: MissingCause::NoOutcome }
    }

    #[test]
    fn ids_and_file_names_are_printed_on_request_only() {
        let reconciled = Reconciled {
            missing: vec![missing("chat:bo.hansen@example.com/WhatsApp Chat with Bo Hansen.zip:1")],
            unproven: vec![missing("wa:4520123456:447700900123:3EB0")],
            incidents: vec![Incident {
                id: "1f0c7e62".to_owned(),
                file: "inbox/4520654321.zip".to_owned(),
                etag: String::new(),
                received: Timestamp::UNIX_EPOCH,
                record: "incidents/1f0c7e62.json".to_owned(),
                problems: vec!["Bo Hansen.eml is missing".to_owned()],
                closed: None,
            }],
            ..Reconciled::default()
        };
        let text = table(&reconciled, false, false);
        for word in CONFIDENTIAL {
            assert!(!text.contains(word), "{text}");
        }
        for word in [&*reconciled.missing[0].key, &*reconciled.unproven[0].key, "1f0c7e62", "1 problem:"] {
            assert!(text.contains(word), "{text}");
        }
        let named = table(&reconciled, false, true);
        for word in CONFIDENTIAL {
            assert!(named.contains(word), "{named}");
        }
    }
}
