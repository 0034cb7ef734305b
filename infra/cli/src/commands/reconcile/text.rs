//! The comparison for a terminal.

use std::collections::BTreeSet;

use comfy_table::{Cell, CellAlignment};
use model::MailboxAddress;

use super::{
    comparison::{Incomplete, Reconciled, Why},
    coverage::Coverage,
    deep_check::{Custody, Damaged, Duplicate, Lacking, Unasked},
    incidents::Incident,
    runs::Short,
};
use crate::text::{shown, shown_up_to, table_of};

/// The longest list in a table; `--json` has all.
const SHOWN: usize = 100;

/// What the comparison came to.
pub(super) fn table(books: &Reconciled, deep: bool) -> String {
    let mut counts = table_of(&["", "items"]);
    let mut row = |name: String, count: u64| {
        counts.add_row([Cell::new(name), Cell::new(count).set_alignment(CellAlignment::Right)]);
    };
    row(format!("In the manifests of {} runs", books.runs), books.items);
    row("Filed".to_owned(), books.filed);
    for (reason, count) in &books.waiting {
        row(format!("Waiting in dead letters: {reason}"), *count);
    }
    row("Discarded by an operator".to_owned(), books.discarded);
    row("Not decided yet".to_owned(), books.undecided);
    if !books.incomplete.is_empty() {
        row("Of those incomplete: a mailbox is missing".to_owned(), books.incomplete.len() as u64);
    }
    row("Missing".to_owned(), books.missing.len() as u64);
    let Custody { copies_found, damaged, not_in_mailbox, duplicates, without_class, not_asked } = &books.custody;
    let unasked = not_asked.iter().map(|unasked| unasked.copies).sum();
    for (name, count) in [
        ("Stored messages that are not the rendered ones", damaged.len() as u64),
        ("Copies in their mailboxes", *copies_found),
        ("Copies not in the mailbox", not_in_mailbox.len() as u64),
        ("Items with more than one copy in a mailbox", duplicates.len() as u64),
        ("Copies without the message class", without_class.len() as u64),
        ("Copies that could not be asked for", unasked),
    ] {
        if deep {
            row(name.to_owned(), count);
        }
    }
    let mut text = counts.to_string();
    if !books.missing.is_empty() {
        let mut missing = table_of(&["missing item", "key", "run", "what is known"]);
        for item in books.missing.iter().take(SHOWN) {
            let why = match item.why {
                Why::NoOutcome => "no outcome",
                Why::LetterGone => "its outcome names a dead letter, which is gone: expired after 14 days, or deleted",
                Why::Unfinished => "not filed everywhere, and on no queue",
            };
            missing.add_row([shown(&item.listed.name()).as_str(), &item.key, item.run.as_str(), why]);
        }
        text += &format!("\n{missing}");
        text += &more(books.missing.len());
    }
    text += &incomplete(&books.incomplete);
    for short in &books.short {
        let Short { run, queued, listed } = short;
        text +=
            &format!("\nthe manifest of {run} lists {listed} items and the run has queued {queued}: restore its pages");
    }
    for (what, keys) in [
        ("pages of manifests that are gone", books.lost_pages.iter().collect::<Vec<_>>()),
        ("stored messages that are gone", of(&books.custody.damaged, true)),
        ("stored messages that are not what was rendered", of(&books.custody.damaged, false)),
    ] {
        if !keys.is_empty() {
            text += &format!("\n{what}: restore an earlier version of the object");
            text.extend(keys.iter().take(SHOWN).map(|key| format!("\n  {key}")));
            text += &more(keys.len());
        }
    }
    text += &copies(&books.custody);
    text += &incidents(&books.incidents);
    text + &coverage(&books.coverage)
}

/// Deliveries that are not what their manifests say.
fn incidents(incidents: &[Incident]) -> String {
    if incidents.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n{} deliveries are incomplete or damaged. What is there is filed. Ask the vendor to deliver the file again under the \
         same name",
        incidents.len()
    );
    for incident in incidents.iter().take(SHOWN) {
        text += &format!("\n  {} ({:.0}, {})", shown(&incident.file), incident.received, incident.record);
        text.extend(incident.problems.iter().take(SHOWN).map(|problem| format!("\n    {}", shown_up_to(problem, 500))));
        text += &more(incident.problems.len());
    }
    text + &more(incidents.len())
}

/// Items that wait for the mailboxes of participants.
fn incomplete(items: &[Incomplete]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let mut table = table_of(&["incomplete item, key", "run", "copies", "missing", "since"]);
    for item in items.iter().take(SHOWN) {
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
        "\n{table}{}\nImport retries these until the mailboxes are there, and dead-letters them after that. Create the \
         mailboxes, or correct the user map",
        more(items.len())
    )
}

/// What was examined, and what nobody fetched.
fn coverage(coverage: &Coverage) -> String {
    let mut text = String::new();
    for sentence in coverage.sentences() {
        text += &format!("\n{sentence}");
    }
    for gap in coverage.gaps.iter().take(SHOWN) {
        text += &format!("\n  {gap}");
    }
    text + &more(coverage.gaps.len())
}

/// Copies that were filed and are not where they were put, and mailboxes that do not say.
fn copies(custody: &Custody) -> String {
    let mut text = String::new();
    let whose = |outcome: &str, place: usize, mailbox: Option<&MailboxAddress>| match mailbox {
        Some(mailbox) => shown(mailbox.as_str()),
        None => format!("no. {place} in {}", shown(outcome)),
    };
    let Custody { not_in_mailbox, duplicates, without_class, not_asked, .. } = custody;
    if !not_in_mailbox.is_empty() {
        text += &format!(
            "\n{} copies are not in the archive folder of their mailbox. Somebody who may has deleted or moved them: search \
             the mailbox and what its hold keeps; the stored message is the evidence",
            not_in_mailbox.len()
        );
        let mut table = table_of(&["mailbox", "filed at", "stored message"]);
        for Lacking { outcome, place, filed_at, mime, mailbox } in not_in_mailbox.iter().take(SHOWN) {
            let mime = mime.as_ref().map_or_else(|| "not known".to_owned(), |mime| shown(mime));
            table.add_row([whose(outcome, *place, mailbox.as_ref()), format!("{filed_at:.0}"), mime]);
        }
        text += &format!("\n{table}{}", more(not_in_mailbox.len()));
    }
    if !duplicates.is_empty() {
        text += &format!(
            "\n{} items have more than one copy in a mailbox. Compare them by their headers X-WA-…, and delete all but one",
            duplicates.len()
        );
        let mut table = table_of(&["mailbox", "copies"]);
        for Duplicate { placed, copies } in duplicates.iter().take(SHOWN) {
            table.add_row([whose(&placed.outcome, placed.place, placed.mailbox.as_ref()), copies.to_string()]);
        }
        text += &format!("\n{table}{}", more(duplicates.len()));
    }
    if !without_class.is_empty() {
        text += &format!(
            "\n{} copies lack the message class: a search for it does not find them, one by subject or folder does",
            without_class.len()
        );
        let mut table = table_of(&["mailbox"]);
        for placed in without_class.iter().take(SHOWN) {
            table.add_row([whose(&placed.outcome, placed.place, placed.mailbox.as_ref())]);
        }
        text += &format!("\n{table}{}", more(without_class.len()));
    }
    if !not_asked.is_empty() {
        let copies: u64 = not_asked.iter().map(|unasked| unasked.copies).sum();
        text += &format!("\n{copies} copies could not be asked for: nobody knows whether they are there");
        let mut table = table_of(&["mailbox", "copies", "why not"]);
        for Unasked { copies, why, outcome, place, mailbox } in not_asked.iter().take(SHOWN) {
            table.add_row([whose(outcome, *place, mailbox.as_ref()), copies.to_string(), shown_up_to(why, 400)]);
        }
        text += &format!("\n{table}{}", more(not_asked.len()));
    }
    text
}

fn of(damaged: &[Damaged], gone: bool) -> Vec<&String> {
    damaged.iter().filter(|damaged| damaged.gone == gone).map(|damaged| &damaged.mime).collect()
}

fn more(count: usize) -> String {
    if count > SHOWN { format!("\n… and {} more; --json has all", count - SHOWN) } else { String::new() }
}
