//! `archiver backfill`: invokes fetch for a past window until the whole window is queued.

mod window_loop;

use std::{
    cell::Cell,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use anyhow::anyhow;
use clap::error::ErrorKind;
use indicatif::ProgressBar;
use jiff::{SignedDuration, Timestamp};
use model::{Stage, Window};
use serde_json::json;

pub use self::window_loop::{BackfillError, Fetch, Remainder, fetch_window};
use crate::text;
use crate::{
    commands::dead_letters::DeadLetterQueue,
    confirm::{NOT_CONFIRMED, confirmed},
    connection::{Connection, Deployment, Part, backfill_command},
    functions::Functions,
    time::time,
    user_map::UserMapSettings,
};
use local::{
    backfill::{LocalBackfill, RunningBackfill},
    machine::Fetched,
};

/// Arguments of `archiver backfill`.
#[derive(Debug, clap::Args)]
pub struct BackfillArguments {
    /// Start of the window, inclusive: 2026-11-01 (midnight in UTC) or 2026-11-01T07:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Timestamp,
    /// End of the window, exclusive and not in the future, in the same form
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Timestamp,
    /// Skip the confirmation
    #[arg(long)]
    yes: bool,
    /// Wait until the convert queue and the import queue are empty; a one-machine run processes them meanwhile
    #[arg(long)]
    wait: bool,
    /// Print the response of each invocation of fetch as JSON, one per line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    deployment: Deployment,
}

/// Help text after the arguments.
pub const HELP: &str = "The window is in times at which the source received items. The cursor does not move, so scheduled runs are not \
    affected. Items that are filed already are skipped, so a window may be fetched again.\n\
    One invocation of fetch lasts at most 15 minutes. A longer window continues where fetch stopped. While fetch runs for a \
    backfill, the schedule's run waits for it. Ctrl-C ends this command, but not the invocation.\n\
    With SOURCE=archiver-api fetch ends a window 5 minutes before the source's time, because the source may still add items with \
    later times: choose a --to that is ten minutes ago, or run the printed rest later.\n\
    Exit code: 0 the whole window is queued (with --wait: and processed, into mailboxes or dead letters); 1 fetch \
    failed, or the deployment cannot be reached; 2 invalid arguments; 3 partly done: the rest is printed; 4 not confirmed.\n\
    Examples:\n  archiver backfill --stack whatsapp-archiver --from 2026-11-01 --to 2026-11-08\n  \
    archiver backfill --local --from 2026-11-21T07:00:00Z --to 2026-11-21T09:00:00Z --yes --wait";

/// Exit code for a partial result.
const IN_PART: u8 = 3;

/// Interval between reads of the queue depths.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Number of consecutive reads in which the queues have to be empty: SQS's counts are approximate.
const EMPTY_POLLS: u32 = 3;

/// Runs the command. Responses of fetch go to standard output, progress to standard error.
///
/// # Errors
/// Fetch fails or the deployment cannot be reached. Items that were queued before stay queued.
pub async fn run(arguments: BackfillArguments) -> anyhow::Result<ExitCode> {
    let window = window(&arguments, Timestamp::now())
        .unwrap_or_else(|why| clap::Error::raw(ErrorKind::ValueValidation, format!("{why}\n")).exit());
    match &arguments.deployment.local {
        Some(root) => in_one_machine(root, window, &arguments).await,
        None => deployed(window, &arguments).await,
    }
}

/// Returns the window, if it is valid.
fn window(arguments: &BackfillArguments, now: Timestamp) -> Result<Window, String> {
    let window = Window::between(arguments.from, arguments.to)
        .map_err(|_| format!("--from {} is not before --to {}", arguments.from, arguments.to))?;
    if window.to > now {
        return Err(format!("--to {} is in the future: it is {now:.0} now", window.to));
    }
    Ok(window)
}

#[expect(clippy::print_stderr, reason = "this is the command's own output")]
async fn deployed(window: Window, arguments: &BackfillArguments) -> anyhow::Result<ExitCode> {
    let connection = Connection::open(&arguments.deployment).await?;
    let name = connection.part(Part::Fetch)?;
    warn_without_periods(&connection, &window).await?;
    if !confirm_window(&window, &format!("the function {name} of {}", connection.name()), arguments)? {
        return Ok(ExitCode::from(NOT_CONFIRMED));
    }
    let fetch = Deployed { functions: Functions::new(&connection.config), name };
    let (code, may_wait) = windows(window, arguments, &fetch).await?;
    if arguments.wait && may_wait {
        tokio::select! {
            emptied = wait_until_empty(&connection) => emptied?,
            pressed = tokio::signal::ctrl_c() => {
                pressed?;
                eprintln!("Stopped waiting: the functions continue to process the queues.");
                return Ok(ExitCode::from(IN_PART));
            }
        }
    }
    Ok(code)
}

#[expect(clippy::print_stderr, reason = "this is the command's own output")]
async fn in_one_machine(root: &Path, window: Window, arguments: &BackfillArguments) -> anyhow::Result<ExitCode> {
    let backfill = LocalBackfill::of(root, &arguments.deployment.ministack)?;
    if is_old(&window) {
        let connection = Connection::open(&arguments.deployment).await?;
        let warned = warn_without_periods(&connection, &window).await;
        connection.close().await?;
        warned?;
    }
    if !confirm_window(&window, &format!("fetch of the one-machine run in {}", root.display()), arguments)? {
        return Ok(ExitCode::from(NOT_CONFIRMED));
    }
    let running = backfill.start().await?;
    let done = windows(window, arguments, &running).await;
    let done = match done {
        Ok((code, true)) if arguments.wait => {
            eprintln!("Processing the queues …");
            running.work_off().await.map(|()| code)
        }
        Ok((code, _)) => {
            eprintln!("The items are on the queue: --wait or the next `archiver local` processes them.");
            Ok(code)
        }
        Err(error) => Err(error),
    };
    running.stop().await?;
    done
}

/// Returns whether a window is so old that a number may have a new owner since.
fn is_old(window: &Window) -> bool {
    const MONTH: SignedDuration = SignedDuration::from_hours(31 * 24);
    Timestamp::now().duration_since(window.from) > MONTH
}

/// Warns if an old message would be filed for the present owner of its number.
#[expect(clippy::print_stderr, reason = "this is the command's own output")]
async fn warn_without_periods(connection: &Connection, window: &Window) -> anyhow::Result<()> {
    if !is_old(window) {
        return Ok(());
    }
    let map = match UserMapSettings::deployed(connection)?.read(&connection.store).await {
        Ok(map) => map,
        // An operator who may only start fetch does not need the map.
        Err(error) => {
            eprintln!(
                "warning: it is unknown whether the user map has periods for numbers that have changed their owner: {error}"
            );
            return Ok(());
        }
    };
    if map.and_then(Result::ok).is_some_and(|map| !map.is_empty() && !map.has_periods()) {
        eprintln!(
            "warning: the window begins over a month ago and the user map has no periods: items of a number that has changed \
             its owner are filed for the present owner. Add the columns valid_from and valid_to first."
        );
    }
    Ok(())
}

/// Returns the event for a window.
fn event(window: &Window) -> serde_json::Value {
    json!({"from": window.from, "to": window.to})
}

/// Shows the window and asks for confirmation.
#[expect(clippy::print_stderr, reason = "this is the command's own output")]
fn confirm_window(window: &Window, by: &str, arguments: &BackfillArguments) -> anyhow::Result<bool> {
    let hours = window.to.duration_since(window.from).as_secs_f64() / 3600.0;
    eprintln!(
        "Backfill of items that the source received\n  from  {} (included)\n  to    {} (not included), {hours:.1} hours in UTC\nby {by}. \
         The cursor does not move; items that are filed already are skipped.",
        window.from, window.to
    );
    let agreed = confirmed("Invoke fetch?", arguments.yes)?;
    if !agreed {
        eprintln!("Nothing was done.");
    }
    Ok(agreed)
}

/// Fetches the window and prints each response. Returns the exit code, and whether everything that can be queued now is
/// queued, so that it makes sense to wait.
#[expect(clippy::print_stderr, reason = "this is the command's own output")]
async fn windows(
    window: Window,
    arguments: &BackfillArguments,
    fetch: &impl Fetch,
) -> anyhow::Result<(ExitCode, bool)> {
    let bar = ProgressBar::new_spinner().with_message("fetch is running, for up to 15 minutes");
    bar.enable_steady_tick(Duration::from_millis(200));
    let report_run = |response: &Fetched| bar.suspend(|| report(response, window.to, arguments.json));
    let rest = Cell::new(window);
    let result = tokio::select! {
        result = fetch_window(&rest, fetch, report_run) => Some(result),
        pressed = tokio::signal::ctrl_c() => pressed.map(|()| None)?,
    };
    bar.finish_and_clear();
    let rest = rest.get();
    let left = match result {
        Some(Err(error)) if rest.from > window.from => {
            return Err(anyhow!(
                "{error}.\nEverything before {} is queued. The rest:{}",
                rest.from,
                command(&rest, arguments)
            ));
        }
        Some(result) => result?,
        None => {
            eprintln!(
                "Stopped waiting: fetch continues for up to 15 minutes. Run the command again to be sure that the window is \
                 complete; items that are filed already are skipped:{}",
                command(&rest, arguments)
            );
            return Ok((ExitCode::from(IN_PART), false));
        }
    };
    let Some(left) = left else { return Ok((ExitCode::SUCCESS, true)) };
    match left {
        Remainder::Unknown(window) => {
            let half = window.from + window.to.duration_since(window.from) / 2;
            let halves = [Window { to: half, ..window }, Window { from: half, ..window }];
            eprintln!(
                "fetch reached its deadline at an unknown time of the window, because the source does not list items in the order of \
                 archived times. Part of the window is queued. Run shorter windows:{}",
                halves.map(|half| command(&half, arguments)).concat()
            );
        }
        Remainder::Stuck(window) => eprintln!(
            "fetch reached its deadline without advancing beyond {}: more items have archived times in the 10 minutes after it \
             than fetch can list in 15 minutes. The listed items are queued; the rest of the window is not:{}",
            window.from,
            command(&window, arguments)
        ),
        Remainder::TooRecent(window) => eprintln!(
            "The window is fetched until {}: fetch ends it 5 minutes before the source's time, because the source may still add \
             items with later times. The rest, in some minutes:{}",
            window.from,
            command(&window, arguments)
        ),
    }
    Ok((ExitCode::from(IN_PART), matches!(left, Remainder::TooRecent(_))))
}

/// Returns the command for a window, on its own line.
fn command(window: &Window, arguments: &BackfillArguments) -> String {
    format!("\n  {}", backfill_command(&arguments.deployment.options(), window))
}

/// Prints a response immediately: the next may take another 15 minutes. `to`: the end of the requested window.
fn report(response: &Fetched, to: Timestamp, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        let line = json!({"run": response.run, "from": response.from, "to": response.to, "listed": response.listed,
                          "queued": response.queued, "complete": response.complete, "reached": response.reached});
        writeln!(out, "{}", text::json(&line)?)?;
    } else {
        let Fetched { run, listed, queued, complete, .. } = response;
        let whole = if *complete && response.to >= to { "the whole window" } else { "a part of the window" };
        writeln!(out, "run {run}: {listed} listed, {queued} queued, {whole}")?;
    }
    out.flush()
}

/// Returns when the queues of all stages were empty in several consecutive reads.
async fn wait_until_empty(connection: &Connection) -> anyhow::Result<()> {
    let queues = DeadLetterQueue::of(connection);
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut empty = 0;
    while empty < EMPTY_POLLS {
        let mut waiting = Vec::new();
        for stage in [Stage::Receive, Stage::Convert, Stage::Import] {
            if let Some(url) = connection.queues.of_stage(stage) {
                waiting.push((queues.depth(url).await?.iter().sum::<u64>(), stage));
            }
        }
        let counts: Vec<_> = waiting.iter().map(|(count, stage)| format!("{count} to {}", stage.as_str())).collect();
        bar.set_message(counts.join(", "));
        empty = if waiting.iter().all(|(count, _)| *count == 0) { empty + 1 } else { 0 };
        if empty < EMPTY_POLLS {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// The deployed fetch.
struct Deployed<'a> {
    functions: Functions,
    name: &'a str,
}

impl Fetch for Deployed<'_> {
    async fn fetch(&self, window: Window) -> Result<Fetched, BackfillError> {
        let response = self.functions.invoke(self.name, &event(&window)).await?;
        serde_json::from_slice(&response).map_err(|_| BackfillError::Response)
    }
}

impl Fetch for RunningBackfill {
    async fn fetch(&self, window: Window) -> Result<Fetched, BackfillError> {
        Ok(RunningBackfill::fetch(self, &event(&window)).await?)
    }
}
