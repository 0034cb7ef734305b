//! `archiver reconcile`: the proof that nothing is missing. Every id in the manifests against outcomes and dead letters.

mod books;
mod letters;
mod requeue;
mod runs;

use std::{process::ExitCode, time::Duration};

use comfy_table::{Cell, CellAlignment};
use indicatif::ProgressBar;
use jiff::{SignedDuration, Timestamp};

pub use self::{
    books::{Damaged, FETCH, Missing, ReconcileError, Reconciled, Scope, Short, Why},
    requeue::{RequeueError, requeue},
    runs::{Run, Runs},
};
use super::{
    confirm::confirmed,
    connection::{Connection, Deployment},
    time::time,
};
use crate::local::report::{shown, table_of};

/// What `archiver reconcile` is asked for.
#[derive(Debug, clap::Args)]
pub struct ReconcileArguments {
    /// Runs that began then or later: 2026-11-01 or 2026-11-01T07:00:00Z, in UTC [default: the first]
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Runs that began before [default: the last, too]
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Timestamp>,
    /// Read each stored message, and compare its SHA-256 with the outcome's; the mailboxes are not asked
    #[arg(long)]
    deep: bool,
    /// No fetch is running: judge what was listed in the last 15 minutes by a run that has not said that it ended, too,
    /// which else may be about to be queued
    #[arg(long)]
    settled: bool,
    /// Put exactly the missing items on the convert queue again
    #[arg(long)]
    requeue: bool,
    /// Do not ask
    #[arg(long, requires = "requeue")]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    deployment: Deployment,
}

/// What `--help` says after the arguments.
pub const HELP: &str = "Exit code: 0 when every item is filed, waits in the dead-letter queue or was discarded; 1 when one is missing, a \
    stored message is not the rendered one or a page of a manifest is gone; 3 when nothing is missing and some are not \
    decided yet.\nThe letters are read and given back at once; while that lasts, others do not see them. SQS's counts may \
    lag by a minute: look twice before you requeue. A requeued item is filed only in the mailboxes that lack it.\n\
    Examples:\n  archiver reconcile\n  archiver reconcile --from 2026-11-01 --to 2026-12-01 --deep --json\n  \
    archiver reconcile --requeue";

/// The exit code of "not decided yet".
const UNDECIDED: u8 = 3;

/// The longest list in a table; `--json` has all.
const SHOWN: usize = 100;

/// Runs it. What was found goes to standard output, how it goes on to standard error.
///
/// # Errors
/// When the deployment cannot be reached, or its objects cannot be read: then nothing is proven.
pub async fn run(arguments: ReconcileArguments) -> anyhow::Result<ExitCode> {
    let connection = Connection::open(&arguments.deployment).await?;
    let done = compare(&connection, &arguments).await;
    connection.close().await?;
    done
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command's own output")]
async fn compare(connection: &Connection, arguments: &ReconcileArguments) -> anyhow::Result<ExitCode> {
    let scope = Scope {
        from: arguments.from.unwrap_or(Timestamp::MIN),
        to: arguments.to.unwrap_or(Timestamp::MAX),
        deep: arguments.deep,
        // Nothing runs in a one-machine run that is asked afterwards.
        queueing: if arguments.settled || connection.local.is_some() { SignedDuration::ZERO } else { FETCH },
    };
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let books = Reconciled::of(connection, scope, |items| bar.set_message(format!("{items} items")));
    let books = books.await;
    bar.finish_and_clear();
    let books = books?;
    if arguments.json {
        println!("{}", serde_json::to_string(&books)?);
    } else {
        println!("{}", table(&books));
    }
    if !books.missing.is_empty() {
        if arguments.requeue {
            let question = format!("Put {} items on the convert queue again?", books.missing.len());
            if confirmed(&question, arguments.yes)? {
                let queued = requeue(connection, &books.missing).await?;
                eprintln!("{queued} of {} items are on the convert queue again.", books.missing.len());
            } else {
                eprintln!("Nothing was changed.");
            }
        } else {
            eprintln!("Put exactly these on the convert queue again: {}", again(arguments));
        }
    }
    Ok(match (books.is_sound(), books.undecided) {
        (false, _) => ExitCode::FAILURE,
        (true, 0) => ExitCode::SUCCESS,
        (true, _) => ExitCode::from(UNDECIDED),
    })
}

/// The command that requeues what this one has found.
fn again(arguments: &ReconcileArguments) -> String {
    let mut command = "archiver reconcile".to_owned();
    for (name, time) in [("from", arguments.from), ("to", arguments.to)] {
        if let Some(time) = time {
            command += &format!(" --{name} {time}");
        }
    }
    if let Some(stack) = &arguments.deployment.stack {
        command += &format!(" --stack {stack}");
    }
    if let Some(directory) = &arguments.deployment.local {
        command += &format!(" --local={}", directory.display());
    }
    if arguments.settled {
        command += " --settled";
    }
    command + " --requeue"
}

fn table(books: &Reconciled) -> String {
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
    row("Missing".to_owned(), books.missing.len() as u64);
    let mut text = counts.to_string();
    if !books.missing.is_empty() {
        let mut missing = table_of(&["missing item", "key", "run", "what is known"]);
        for item in books.missing.iter().take(SHOWN) {
            let why = match item.why {
                Why::NoOutcome => "no outcome",
                Why::LetterGone => "its outcome says dead letter, and the letter is gone",
                Why::Unfinished => "begun, and nobody works on it",
            };
            missing.add_row([shown(&item.listed.name()).as_str(), &item.key, item.run.as_str(), why]);
        }
        text += &format!("\n{missing}");
        text += &more(books.missing.len());
    }
    for short in &books.short {
        let Short { run, queued, listed } = short;
        text +=
            &format!("\nthe manifest of {run} lists {listed} items and the run has queued {queued}: restore its pages");
    }
    for (what, keys) in [
        ("pages of manifests that are gone", books.lost_pages.iter().collect::<Vec<_>>()),
        ("stored messages that are gone", of(&books.damaged, true)),
        ("stored messages that are not what was rendered", of(&books.damaged, false)),
    ] {
        if !keys.is_empty() {
            text += &format!("\n{what}: restore an earlier version of the object");
            text.extend(keys.iter().take(SHOWN).map(|key| format!("\n  {key}")));
            text += &more(keys.len());
        }
    }
    text
}

fn of(damaged: &[Damaged], gone: bool) -> Vec<&String> {
    damaged.iter().filter(|damaged| damaged.gone == gone).map(|damaged| &damaged.mime).collect()
}

fn more(count: usize) -> String {
    if count > SHOWN { format!("\n… and {} more; --json has all", count - SHOWN) } else { String::new() }
}
