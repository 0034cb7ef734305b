//! `archiver reconcile`: proves that nothing is missing. Compares every id in the manifests with outcomes and dead
//! letters.

mod age;
mod arguments;
mod comparison;
mod coverage;
mod dead_letters;
mod deep_check;
mod error;
mod incidents;
mod open_item;
mod outside_runs;
mod queue_state;
mod requeue;
mod runs;
mod schedule;
mod seen_items;
mod text;
mod unlisted_mails;
mod unmapped;
mod webhooks;

use std::{process::ExitCode, time::Duration};

use indicatif::ProgressBar;
use jiff::SignedDuration;

pub use self::{
    arguments::ReconcileArguments,
    comparison::{Incomplete, MAX_FETCH_DURATION, Missing, MissingCause, Reconciled, Scope},
    coverage::{Coverage, Gap, Pending},
    deep_check::{AbsentCopy, CopyLocation, Damaged, DeepFindings, DeepOptions, Duplicate, UncheckedMailbox},
    error::ReconcileError,
    incidents::{Incident, incidents, unrecognized_sentence},
    outside_runs::OutsideRuns,
    requeue::{RequeueError, requeue, requeue_webhooks},
    runs::{LostPages, Run, Runs, ShortManifest, record},
    seen_items::ItemHash,
    unmapped::Remapped,
    webhooks::{UnprocessedWebhook, Webhooks},
};
use crate::{Interrupt, confirm::confirmed, connection::Connection, mailboxes, time::check_period};

/// Help text after the arguments.
pub const HELP: &str = "Exit code: 0 when every item is filed, waits in the dead-letter queue or was discarded; 1 when an item is missing, \
    the SHA-256 of a stored message differs, a copy is missing from the archive folder or duplicated, a page of a manifest is missing, \
    part of the period was not fetched, a vendor's delivery does not match its manifest, a value of a webhook was not recognized (until an operator closes it: \
    archiver incidents), or a stored webhook was not processed; 3 when none of these applies, but some items are in flight or unproven, receive has tasks or dead letters, some mailboxes could not \
    be checked, a run is fetching part of the period, or the record of a run that may list items of it cannot be parsed; 2 invalid arguments. The exit code describes the comparison: \
    --requeue, confirmed or not, does not change it.\n\
    With --unmapped: 0 no copy is missing, or all are queued; 1 failed; 2 invalid arguments; 3 partly, or not all items could be \
    examined (a page of a manifest is missing); 4 not confirmed.\n\
    Dead letters are invisible to other consumers while they are read. SQS's counts may lag by a minute: run the command \
    twice before you requeue. A requeued item is filed only in the mailboxes that lack it.\n\
    An item is unproven if it is older than OutcomeDays, a later run listed it, and it has no outcome: the outcome was deleted \
    by age, or the item was never processed.\n\
    --deep looks for copies only in the archive folder. A copy that is not there was deleted or moved by a user who has access: \
    it is reported and never filed again, because that could create a second copy. Stored messages are kept for MimeDays: use \
    --deep only for later runs. It checks one copy at a time per mailbox, and 16 at a time in total.\n\
    With SOURCE=cloud-api every webhook that was stored in the period must have been processed: its events are written, or its \
    task is on the receive queue or in the dead-letter queue. --requeue puts the others on the receive queue again.\n\
    Examples:\n  archiver reconcile\n  archiver reconcile --from 2026-11-01 --to 2026-12-01 --deep --json\n  \
    archiver reconcile --requeue\n  archiver reconcile --unmapped";

/// Exit code for undecided items.
const UNDECIDED: u8 = 3;

/// Runs the command. The result goes to standard output, progress to standard error.
///
/// # Errors
/// The deployment or its objects cannot be read: then nothing is proven.
pub async fn run(arguments: ReconcileArguments) -> anyhow::Result<ExitCode> {
    check_period(arguments.from, arguments.to);
    let connection = Connection::open(&arguments.deployment).await?;
    let done = match arguments.unmapped {
        true => unmapped::run(&connection, &arguments).await,
        false => compare(&connection, &arguments).await,
    };
    connection.close().await?;
    done
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command's own output")]
async fn compare(connection: &Connection, arguments: &ReconcileArguments) -> anyhow::Result<ExitCode> {
    let deep = if arguments.deep { Some(deep_options(connection, arguments).await) } else { None };
    let options = arguments.deployment.options();
    let scope = Scope {
        from: arguments.from,
        to: arguments.to,
        options: &options,
        deep: deep.as_ref(),
        // The functions of a one-machine run do not run now.
        queueing: if arguments.settled || connection.one_machine_root().is_some() {
            SignedDuration::ZERO
        } else {
            MAX_FETCH_DURATION
        },
    };
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let progress = |items, copies| {
        let checked = if arguments.deep { format!(", {copies} copies checked") } else { String::new() };
        bar.set_message(format!("{items} items{checked}"));
    };
    let reconciled = Reconciled::of(connection, scope, progress).await;
    bar.finish_and_clear();
    let reconciled = reconciled?;
    if arguments.json {
        println!("{}", crate::text::json(&reconciled)?);
    } else {
        println!("{}", text::table(&reconciled, arguments.deep, arguments.name_items));
    }
    let to_requeue = reconciled.to_requeue();
    let webhooks = reconciled.webhooks.iter().flat_map(|webhooks| webhooks.unprocessed.clone()).collect::<Vec<_>>();
    if !webhooks.is_empty() && arguments.requeue {
        let question = format!("Put {} webhooks on the receive queue again?", webhooks.len());
        if confirmed(&question, arguments.yes)? {
            match requeue_webhooks(connection, &webhooks, &Interrupt::listen()).await {
                // The items can be queued nevertheless. The exit code is that of unprocessed webhooks.
                Err(error @ RequeueError::NoReceiveQueue) => eprintln!("{error}"),
                queued => eprintln!("{} of {} webhooks are on the receive queue again.", queued?, webhooks.len()),
            }
        } else {
            eprintln!("Nothing was changed.");
        }
    } else if !webhooks.is_empty() {
        eprintln!("To put exactly these webhooks on the receive queue again: {}", requeue_command(arguments));
    }
    if !to_requeue.is_empty() {
        if arguments.requeue {
            let question = format!("Put {} items on the convert queue again?", to_requeue.len());
            if confirmed(&question, arguments.yes)? {
                let (interrupt, bar) = (Interrupt::listen(), ProgressBar::new(to_requeue.len() as u64));
                let queued = requeue(connection, &to_requeue, &interrupt, |done| bar.set_position(done)).await;
                bar.finish_and_clear();
                eprintln!("{} of {} items are on the convert queue again.", queued?, to_requeue.len());
                if interrupt.is_set() {
                    eprintln!("Interrupted: run the same command again for the rest.");
                }
            } else {
                eprintln!("Nothing was changed.");
            }
        } else {
            eprintln!("To put exactly these items on the convert queue again: {}", requeue_command(arguments));
        }
    }
    Ok(match (reconciled.is_sound(), reconciled.is_decided()) {
        (false, _) => ExitCode::FAILURE,
        (true, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::from(UNDECIDED),
    })
}

/// Connects to the mail system with import's settings. If that fails, the result reports it for each mailbox, and the
/// stored messages are still checked.
async fn deep_options(connection: &Connection, arguments: &ReconcileArguments) -> DeepOptions {
    let mailboxes = mailboxes::connect(connection, &arguments.deployment.ministack).await;
    DeepOptions { mailboxes, name_mailboxes: arguments.name_mailboxes }
}

/// Returns the command that requeues the missing items.
fn requeue_command(arguments: &ReconcileArguments) -> String {
    let mut command = "archiver reconcile".to_owned();
    for (name, time) in [("from", arguments.from), ("to", arguments.to)] {
        if let Some(time) = time {
            command += &format!(" --{name} {time}");
        }
    }
    command += &arguments.deployment.options();
    if arguments.settled {
        command += " --settled";
    }
    command + " --requeue"
}
