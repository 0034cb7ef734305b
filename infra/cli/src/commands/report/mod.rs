//! `archiver report`: counts by day what was filed and what was not, with the terms of the WhatsApp connector's log.

mod daily_counts;
mod histories;
mod page;
mod period;
mod sent;
mod stored_message;
mod text;
mod unmapped_users;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::error::ErrorKind;
use indicatif::ProgressBar;
use jiff::{SignedDuration, Timestamp, civil::Date};

use self::{daily_counts::DailyCounts, period::day_of};
pub use self::{
    daily_counts::{Day, DayState, FailedItem, MAX_FAILURES, Report},
    histories::{MissingChunks, PhoneHistory, PhoneHistoryState},
    period::Period,
    sent::SentWithoutContent,
    unmapped_users::{Mapping, Unmapped, UserIdentity},
};
use crate::{
    commands::reconcile::{MAX_FETCH_DURATION, Reconciled, Runs, Scope},
    connection::{Connection, Deployment},
    user_map::{UserMapArguments, UserMapSettings},
};

/// Arguments of `archiver report`.
#[derive(Debug, clap::Args)]
pub struct ReportArguments {
    /// One day, in UTC [default: today]
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with_all = ["from", "to"])]
    date: Option<Date>,
    /// The first day, in UTC
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<Date>,
    /// The last day, included (in the other commands --to is not included) [default: today]
    #[arg(long, value_name = "YYYY-MM-DD", requires = "from")]
    to: Option<Date>,
    /// Write the report as a self-contained HTML page; it contains personal data, so store it accordingly
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Limit of stored messages that are read for the names of users, those of failed items first
    #[arg(long, value_name = "N", default_value_t = 500)]
    messages: usize,
    #[command(flatten)]
    user_map: UserMapArguments,
    #[command(flatten)]
    deployment: Deployment,
}

/// Help text after the arguments.
pub const HELP: &str = "An item counts on the day, in UTC, on which the run that listed it began, no matter when it was filed. Windows of runs \
    overlap: an item that several runs list counts at the run whose task was processed first, and as a \
    duplicate at the others. Items that were archived in the period and that only another run lists, a backfill or the first run after \
    the period, are compared, too; a sentence names their number. \"After fan-out\" and the following columns count \
    copies, one per mailbox; \"partially imported\" counts items.\n\
    Messages that a program sends through WhatsApp's API have only statuses (SOURCE=cloud-api). They are listed and do not change the exit code.\n\
    Phones whose history did not arrive completely, or was declined (SOURCE=cloud-api), are listed whatever the period is, an incomplete one \
    6 hours after its last chunk. They do not change the exit code.\n\
    Senders and users without a mailbox are read from stored messages, which are kept for MimeDays; each user is listed \
    once, with the state at which the item was processed last.\n\
    Exit code: 0 when everything adds up, with or without failures: available after fan-out = imported + skipped + failed, and every \
    listed item is filed, waits as a dead letter or was discarded, runs fetched the whole period, and receive has no tasks and no dead letters; 1 when it does not, when part \
    of the period was not fetched (each gap is listed with the command that closes it), when an incident of the period is open (archiver incidents), or when the report cannot be created; 2 invalid \
    arguments; 3 when it adds up so far, and items are in flight or unproven (archiver reconcile explains them), receive has tasks or dead letters, or the end of the \
    period is not fetched yet.\n\
    Examples:\n  archiver report\n  archiver report --date 2026-11-21 --json\n  \
    archiver report --from 2026-11-01 --to 2026-11-30 --html november.html";

/// Exit code for items in flight.
const IN_FLIGHT: u8 = 3;

/// Runs the command. The report goes to standard output, progress to standard error.
///
/// # Errors
/// The deployment or its objects cannot be read, or the page cannot be written.
pub async fn run(arguments: ReportArguments) -> anyhow::Result<ExitCode> {
    let today = day_of(Timestamp::now());
    let first = arguments.date.or(arguments.from).unwrap_or(today);
    let last = arguments.date.or(arguments.to).unwrap_or(today);
    let period = Period::between(first, last, today)
        .unwrap_or_else(|why| clap::Error::raw(ErrorKind::ValueValidation, format!("{why}\n")).exit());
    let connection = Connection::open(&arguments.deployment).await?;
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let report = make(&connection, period, &arguments, |items, _| bar.set_message(format!("{items} items"))).await;
    bar.finish_and_clear();
    connection.close().await?;
    let report = report?;
    if let Some(file) = &arguments.html {
        write(file, &page::render(&report)?).with_context(|| format!("writing {}", file.display()))?;
        writeln!(io::stderr(), "The page was written to {}.", file.display())?;
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
    // The functions of a one-machine run do not run now.
    let queueing = if connection.one_machine_root().is_some() { SignedDuration::ZERO } else { MAX_FETCH_DURATION };
    let options = arguments.deployment.options();
    let scope = Scope { from: Some(from), to: Some(to), options: &options, deep: None, queueing };
    let runs = Runs::between(store, from, to).await?;
    let mut counts = DailyCounts::new(period, &runs, arguments.messages);
    let reconciled = Reconciled::of_runs(connection, &runs, scope, progress, |entry| counts.add(entry)).await?;
    let map = user_map.read(store).await?;
    let stored = counts.take_messages(arguments.messages);
    let mapping = unmapped_users::find_unmapped(store, stored, map, |failure, source, missing| {
        counts.record_users(failure, source, missing)
    })
    .await?;
    let deployment = match connection.one_machine_root() {
        Some(directory) => directory.display().to_string(),
        None => store.bucket().to_owned(),
    };
    let sent_without_content = sent::find(store, (from, to), connection.outcomes_kept_since(Timestamp::now())).await?;
    let incomplete_histories = histories::find(store, Timestamp::now()).await?;
    Ok(Report { sent_without_content, incomplete_histories, ..counts.close(deployment, period, mapping, reconciled) })
}

/// Writes the page to a temporary file in the same directory and renames it, so that the page is never incomplete and a
/// link at its place is replaced, not followed.
fn write(file: &Path, page: &str) -> io::Result<()> {
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut whole = tempfile::NamedTempFile::new_in(directory)?;
    whole.write_all(page.as_bytes())?;
    whole.as_file().sync_all()?;
    whole.persist(file).map(drop).map_err(|error| error.error)
}
