//! Formats the result of a run as tables.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use comfy_table::CellAlignment;
use model::Reason;

use crate::text::{shown, table_of};
use local::totals::Totals;

/// Limit of listed failures; the counts above include all.
const MAX_FAILURES: usize = 30;

/// Limit of listed mailboxes.
const MAX_MAILBOXES: usize = 20;

/// Writes the table. `details`: details of the dead letters, by item.
pub(super) fn table(totals: &Totals, details: &BTreeMap<String, String>) -> String {
    let mut counters = table_of(&["", "count"]);
    for (name, count) in totals.counters.lines() {
        counters.add_row([name.to_owned(), count.to_string()]);
    }
    if totals.counters.items_in_flight > 0 {
        counters.add_row(["Items still waiting on a queue".to_owned(), totals.counters.items_in_flight.to_string()]);
    }
    if let Some(column) = counters.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!("{counters}\n");
    if !totals.failures.is_empty() {
        let mut failures = table_of(&["failed item", "stage", "reason", "detail"]);
        for failed in totals.failures.iter().take(MAX_FAILURES) {
            let detail =
                details.get(&failed.item).map_or_else(|| meaning(failed.reason).to_owned(), |detail| shown(detail));
            failures.add_row([shown(&failed.item).as_str(), failed.stage.as_str(), failed.reason.as_str(), &detail]);
        }
        push(&mut text, format_args!("\n{failures}\n"));
        if totals.failures.len() > MAX_FAILURES {
            push(&mut text, format_args!("… and {} more\n", totals.failures.len() - MAX_FAILURES));
        }
    }
    text
}

pub(super) fn mailboxes(totals: &Totals, mail: &Path, folder: &str) -> String {
    let mut text = String::new();
    for (address, copies) in totals.mailboxes.iter().take(MAX_MAILBOXES) {
        push(&mut text, format_args!("  {copies:>6}  {}\n", mail.join(address).join(folder).display()));
    }
    if totals.mailboxes.len() > MAX_MAILBOXES {
        push(&mut text, format_args!("  … and {} more mailboxes\n", totals.mailboxes.len() - MAX_MAILBOXES));
    }
    text
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    if text.write_fmt(arguments).is_err() {
        unreachable!("writing to a string does not fail");
    }
}

fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::Oversize => "larger than 10 MB; OVERSIZE=import files it where the mail system accepts it",
        Reason::Unmapped => "all participants lack a mailbox: add one to the user map",
        Reason::ItemNotFound => "the source lists the item but does not return it",
        Reason::ItemMalformed => "the source returned an invalid item",
        Reason::AttachmentMissing => "the source has the item but not its attachment",
        Reason::AttachmentMismatch => "the attachment differs from the captured one: its SHA-256 differs",
        Reason::MailboxRejected => "the mailbox rejected the message",
        Reason::MailboxFull => "the mailbox is full",
        Reason::MailboxNotFound => {
            "a participant that is expected to have a mailbox has none: correct the user map or create the mailbox"
        }
        Reason::LookupRejected => {
            "the mail system rejects the lookup of a participant: check the application's permission"
        }
        Reason::ItemEncrypted => "the vendor encrypted it with the customer's key: ask for delivery without that",
        Reason::TaskMalformed => "the source listed an invalid entry",
    }
}
