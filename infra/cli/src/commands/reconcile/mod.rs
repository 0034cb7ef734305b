//! `archiver reconcile`: the proof that nothing is missing. Every id in the manifests against outcomes and dead letters.

mod comparison;
mod coverage;
mod deep_check;
mod duplicates;
mod incidents;
mod letters;
mod requeue;
mod runs;
mod text;
mod unmapped;

use std::{process::ExitCode, time::Duration};

use indicatif::ProgressBar;
use jiff::{SignedDuration, Timestamp};

pub use self::{
    comparison::{FETCH, Incomplete, Missing, ReconcileError, Reconciled, Scope, Why},
    coverage::{Coverage, Gap, Pending},
    deep_check::{Custody, Damaged, Deep, Duplicate, Lacking, Placed, Unasked},
    incidents::Incident,
    requeue::{RequeueError, requeue},
    runs::{Run, Runs, Short, record},
    unmapped::Remapped,
};
use crate::{
    Interrupt,
    confirm::confirmed,
    connection::{Connection, Deployment},
    mailboxes,
    time::time,
};

/// What `archiver reconcile` is asked for.
#[derive(Debug, clap::Args)]
pub struct ReconcileArguments {
    /// Runs that began then or later, and archived times from then on: 2026-11-01 or 2026-11-01T07:00:00Z, in UTC
    /// [default: from the first run's window on]
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Runs that began before, and archived times before [default: all, until now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Timestamp>,
    /// Follow each item into the mailboxes, too: read its stored message and compare the SHA-256 with the outcome's, and
    /// ask each mailbox that the outcome names for the message. Takes what import has: its settings and its secret
    #[arg(long)]
    deep: bool,
    /// With --deep: say whose mailboxes lack a copy or could not be asked; else the outcomes say it
    #[arg(long, requires = "deep")]
    name_mailboxes: bool,
    /// No fetch is running: judge what was listed in the last 15 minutes by a run that has not said that it ended, too,
    /// which else may be about to be queued
    #[arg(long)]
    settled: bool,
    /// Put exactly the missing items on the convert queue again
    #[arg(long, group = "change")]
    requeue: bool,
    /// Resolve the participants that had no mailbox again with today's user map, show which copies are missing, and file
    /// exactly those
    #[arg(long, group = "change", conflicts_with_all = ["deep", "settled"])]
    unmapped: bool,
    /// Do not ask
    #[arg(long, requires = "change")]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    deployment: Deployment,
}

/// What `--help` says after the arguments.
pub const HELP: &str = "Exit code: 0 when every item is filed, waits in the dead-letter queue or was discarded; 1 when one is missing, a \
    stored message is not the rendered one, a copy is not in its mailbox or more than once, a page of a manifest is gone, part of the period was \
    not fetched, or a vendor's delivery is not what its manifest says; 3 when none of this is so, and some items are not decided yet, some mailboxes could not be asked or a run is at \
    work on the period; 2 invalid arguments. It tells what was \
    found: --requeue, confirmed or not, does not change it.\n\
    The letters are read and given back at once; while that lasts, others do not see them. SQS's counts may lag by a \
    minute: look twice before you requeue. A requeued item is filed only in the mailboxes that lack it.\n\
    --deep looks for a copy in the archive folder alone. One that is not there was deleted, or moved, by somebody who may: \
    it is told, and never filed again, which could make a second one. Stored messages are kept for MimeDays: ask for later \
    runs only. It asks for one copy at a time of a mailbox, and for 16 in all.\n\
    Examples:\n  archiver reconcile\n  archiver reconcile --from 2026-11-01 --to 2026-12-01 --deep --json\n  \
    archiver reconcile --requeue\n  archiver reconcile --unmapped";

/// The exit code of "not decided yet".
const UNDECIDED: u8 = 3;

/// Runs it. What was found goes to standard output, how it goes on to standard error.
///
/// # Errors
/// When the deployment cannot be reached, or its objects cannot be read: then nothing is proven.
pub async fn run(arguments: ReconcileArguments) -> anyhow::Result<ExitCode> {
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
    let deep = if arguments.deep { Some(deep(connection, arguments).await) } else { None };
    let options = arguments.deployment.options();
    let scope = Scope {
        from: arguments.from,
        to: arguments.to,
        options: &options,
        deep: deep.as_ref(),
        // Nothing runs in a one-machine run that is asked afterwards.
        queueing: if arguments.settled || connection.one_machine_root().is_some() {
            SignedDuration::ZERO
        } else {
            FETCH
        },
    };
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let progress = |items, copies| {
        let asked_for = if arguments.deep { format!(", {copies} copies asked for") } else { String::new() };
        bar.set_message(format!("{items} items{asked_for}"));
    };
    let books = Reconciled::of(connection, scope, progress).await;
    bar.finish_and_clear();
    let books = books?;
    if arguments.json {
        println!("{}", crate::text::json(&books)?);
    } else {
        println!("{}", text::table(&books, arguments.deep));
    }
    if !books.missing.is_empty() {
        if arguments.requeue {
            let question = format!("Put {} items on the convert queue again?", books.missing.len());
            if confirmed(&question, arguments.yes)? {
                let (interrupt, bar) = (Interrupt::listen(), ProgressBar::new(books.missing.len() as u64));
                let queued = requeue(connection, &books.missing, &interrupt, |done| bar.set_position(done)).await;
                bar.finish_and_clear();
                eprintln!("{} of {} items are on the convert queue again.", queued?, books.missing.len());
                if interrupt.is_set() {
                    eprintln!("Ended before all were: the same command goes on with what is left.");
                }
            } else {
                eprintln!("Nothing was changed.");
            }
        } else {
            eprintln!("Put exactly these on the convert queue again: {}", again(arguments));
        }
    }
    Ok(match (books.is_sound(), books.is_decided()) {
        (false, _) => ExitCode::FAILURE,
        (true, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::from(UNDECIDED),
    })
}

/// The mail system as import has it. Where it cannot be had, that is something to be told of each mailbox: the books and
/// the stored messages can be looked at all the same.
async fn deep(connection: &Connection, arguments: &ReconcileArguments) -> Deep {
    let mailboxes = mailboxes::connect(connection, &arguments.deployment.ministack).await;
    Deep { mailboxes, name_mailboxes: arguments.name_mailboxes }
}

/// The command that requeues what this one has found.
fn again(arguments: &ReconcileArguments) -> String {
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
