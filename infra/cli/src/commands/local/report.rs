//! The end of a run as a table.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use comfy_table::CellAlignment;
use model::Reason;

use crate::text::{shown, table_of};
use local::totals::Totals;

/// The longest list of failed items; the counts above it are of all.
const FAILURES_SHOWN: usize = 30;

/// The longest list of mailboxes.
const MAILBOXES_SHOWN: usize = 20;

/// `details` has what the dead letters say, by item.
pub(super) fn table(tally: &Totals, details: &BTreeMap<String, String>) -> String {
    let mut counters = table_of(&["", "count"]);
    for (name, count) in tally.counters.lines() {
        counters.add_row([name.to_owned(), count.to_string()]);
    }
    if tally.counters.items_in_flight > 0 {
        counters.add_row(["Items still waiting on a queue".to_owned(), tally.counters.items_in_flight.to_string()]);
    }
    if let Some(column) = counters.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!("{counters}\n");
    if !tally.failures.is_empty() {
        let mut failures = table_of(&["failed item", "stage", "reason", "what it says"]);
        for failed in tally.failures.iter().take(FAILURES_SHOWN) {
            let detail =
                details.get(&failed.item).map_or_else(|| meaning(failed.reason).to_owned(), |detail| shown(detail));
            failures.add_row([shown(&failed.item).as_str(), failed.stage.as_str(), failed.reason.as_str(), &detail]);
        }
        push(&mut text, format_args!("\n{failures}\n"));
        if tally.failures.len() > FAILURES_SHOWN {
            push(&mut text, format_args!("… and {} more\n", tally.failures.len() - FAILURES_SHOWN));
        }
    }
    text
}

pub(super) fn mailboxes(tally: &Totals, mail: &Path, folder: &str) -> String {
    let mut text = String::new();
    for (address, copies) in tally.mailboxes.iter().take(MAILBOXES_SHOWN) {
        push(&mut text, format_args!("  {copies:>6}  {}\n", mail.join(address).join(folder).display()));
    }
    if tally.mailboxes.len() > MAILBOXES_SHOWN {
        push(&mut text, format_args!("  … and {} more mailboxes\n", tally.mailboxes.len() - MAILBOXES_SHOWN));
    }
    text
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    if text.write_fmt(arguments).is_err() {
        unreachable!("a string takes everything");
    }
}

fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::Oversize => "larger than 10 MB; OVERSIZE=import files it where the mail system takes it",
        Reason::Unmapped => "no participant has a mailbox: add one to the user map",
        Reason::ItemNotFound => "the archive lists the item and no longer has it",
        Reason::ItemMalformed => "what the archive gave is no item",
        Reason::AttachmentMissing => "the archive has the item and not its attachment",
        Reason::AttachmentMismatch => "the attachment is not the one that was captured: its SHA-256 differs",
        Reason::MailboxRejected => "the mailbox refused the message",
        Reason::MailboxFull => "the mailbox has no room",
        Reason::MailboxNotFound => {
            "a participant that is expected to have a mailbox has none: correct the user map or have it made"
        }
        Reason::LookupRejected => {
            "the mail system rejects the lookup of a participant: check the application's permission"
        }
        Reason::ItemEncrypted => "the vendor encrypted it with the customer's key: ask for delivery without that",
        Reason::TaskMalformed => "the archive listed something that is no item",
    }
}
