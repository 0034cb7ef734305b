//! `archiver report`: what was filed and what was not, a day, in the words of the connector's own log.

mod ledger;
mod page;
mod people;
mod period;
mod stored;
mod text;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use indicatif::ProgressBar;
use jiff::{SignedDuration, Timestamp, civil::Date};

use self::{ledger::Ledger, period::day_of};
pub use self::{
    ledger::{Day, DayState, Failure, MOST_FAILURES, Report},
    people::{Mapping, Person, Unmapped},
    period::Period,
};
use crate::{
    commands::reconcile::{FETCH, Reconciled, Runs, Scope},
    connection::{Connection, Deployment},
    user_map::{UserMapArguments, UserMapSettings},
};

/// What `archiver report` is asked for.
#[derive(Debug, clap::Args)]
pub struct ReportArguments {
    /// One day, in UTC [default: today]
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with_all = ["from", "to"])]
    date: Option<Date>,
    /// The first day, in UTC
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<Date>,
    /// The last day, itself included [default: today]
    #[arg(long, value_name = "YYYY-MM-DD", requires = "from")]
    to: Option<Date>,
    /// Write the report as one page that needs nothing else; it names people, so keep it where such things are kept
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The most stored messages that are read for the names of people, those of failed items first
    #[arg(long, value_name = "N", default_value_t = 500)]
    messages: usize,
    #[command(flatten)]
    user_map: UserMapArguments,
    #[command(flatten)]
    deployment: Deployment,
}

/// What `--help` says after the arguments.
pub const HELP: &str = "An item belongs to the day on which the run began that listed it, in UTC, whenever it was filed. Where more \
    runs list it, as each does by an overlap of minutes, it counts at the one whose task was worked on first, and is a \
    duplicate at the others. \"After fan-out\" and what follows count \
    copies, one a mailbox; \"partially imported\" counts items.\n\
    Who sent an item and who has no mailbox is read from stored messages, which are kept for MimeDays; each user is named \
    once, as of when the item was worked on last.\n\
    Exit code: 0 when everything adds up, failures or not: available after fan-out = imported + skipped + failed, and every \
    listed item is filed, waits as a dead letter or was discarded, and runs fetched the whole period; 1 when it does not, when part \
    of the period was not fetched (each gap is named with the command that closes it), or when the report cannot be made; 2 invalid \
    arguments; 3 when it adds up so far, and items are in flight or the end of the period is not fetched yet.\n\
    Examples:\n  archiver report\n  archiver report --date 2026-11-21 --json\n  \
    archiver report --from 2026-11-01 --to 2026-11-30 --html november.html";

/// The exit code of "adds up so far".
const IN_FLIGHT: u8 = 3;

/// Runs it. The report goes to standard output, how it goes on to standard error.
///
/// # Errors
/// When the deployment cannot be reached, its objects cannot be read, or the page cannot be written.
pub async fn run(arguments: ReportArguments) -> anyhow::Result<ExitCode> {
    let today = day_of(Timestamp::now());
    let first = arguments.date.or(arguments.from).unwrap_or(today);
    let last = arguments.date.or(arguments.to).unwrap_or(today);
    let period = Period::between(first, last, today)?;
    let connection = Connection::open(&arguments.deployment).await?;
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let report = make(&connection, period, &arguments, |items, _| bar.set_message(format!("{items} items"))).await;
    bar.finish_and_clear();
    connection.close().await?;
    let report = report?;
    if let Some(file) = &arguments.html {
        write(file, &page::render(&report)?).with_context(|| format!("writing {}", file.display()))?;
        writeln!(io::stderr(), "The page is in {}.", file.display())?;
    }
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", crate::text::json(&report)?)?;
    } else {
        writeln!(out, "{}", text::tables(&report))?;
    }
    Ok(match (report.holds(), report.is_decided()) {
        (false, _) => ExitCode::FAILURE,
        (true, true) => ExitCode::SUCCESS,
        (true, false) => ExitCode::from(IN_FLIGHT),
    })
}

async fn make(
    connection: &Connection,
    period: Period,
    arguments: &ReportArguments,
    progress: impl Fn(u64, u64),
) -> anyhow::Result<Report> {
    let store = &connection.store;
    let user_map = UserMapSettings::of(&arguments.user_map, connection)?;
    let (from, to) = period.bounds()?;
    // Nothing runs in a one-machine run that is asked afterwards.
    let queueing = if connection.one_machine_root().is_some() { SignedDuration::ZERO } else { FETCH };
    let options = arguments.deployment.options();
    let scope = Scope { from: Some(from), to: Some(to), options: &options, deep: None, queueing };
    let runs = Runs::between(store, from, to).await?;
    let mut ledger = Ledger::new(period, &runs, arguments.messages);
    let books = Reconciled::of_runs(connection, &runs, scope, progress, |told| ledger.add(told)).await?;
    let map = user_map.read(store).await?;
    let stored = ledger.stored(arguments.messages);
    let mapping =
        people::look(store, stored, map, |failure, source, missing| ledger.note_people(failure, source, missing))
            .await?;
    let deployment = match connection.one_machine_root() {
        Some(directory) => directory.display().to_string(),
        None => store.bucket().to_owned(),
    };
    Ok(ledger.close(deployment, period, mapping, books))
}

/// Writes the page beside the file and puts it in its place when it is whole, so that nobody ever sees half of it and a
/// link that lies there is replaced and not followed.
fn write(file: &Path, page: &str) -> io::Result<()> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut whole = tempfile::NamedTempFile::new_in(directory)?;
    whole.write_all(page.as_bytes())?;
    whole.as_file().sync_all()?;
    whole.persist(file).map(drop).map_err(|error| error.error)
}
