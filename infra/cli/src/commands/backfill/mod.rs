//! `archiver backfill`: fetch is invoked for a past window, again and again until the whole window is queued.

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
use model::Window;
use serde_json::json;

pub use self::window_loop::{BackfillError, Fetch, Left, walk};
use crate::text;
use crate::{
    commands::dead_letters::Letters,
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

/// What `archiver backfill` is asked for.
#[derive(Debug, clap::Args)]
pub struct BackfillArguments {
    /// Where the window begins, inclusive: 2026-11-01 (midnight in UTC) or 2026-11-01T07:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Timestamp,
    /// Where it ends, exclusive, and not in the future: written the same
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Timestamp,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Wait until the convert queue and the import queue are empty; in a one-machine run, work them off
    #[arg(long)]
    wait: bool,
    /// Print what fetch answered as JSON, one answer a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    deployment: Deployment,
}

/// What `--help` says after the arguments.
pub const HELP: &str = "Times are when the archive received an item. The cursor stays where it is, so the day's run is not \
    touched; what is filed already is recognised and skipped, so a window may be asked for again.\n\
    One invocation of fetch lasts at most 15 minutes. A window that needs more is gone on with from where fetch stopped. While \
    fetch is at work for a backfill, the schedule's run waits for it. Ctrl-C ends this command and not the invocation.\n\
    Exit code: 0 the whole window is queued (with --wait: and worked off, be it into mailboxes or into dead letters); 1 fetch \
    failed, or the deployment cannot be reached; 2 invalid arguments; 3 done in part: what is left is told; 4 not confirmed.\n\
    Examples:\n  archiver backfill --stack whatsapp-archiver --from 2026-11-01 --to 2026-11-08\n  \
    archiver backfill --local --from 2026-11-21T07:00:00Z --to 2026-11-21T09:00:00Z --yes --wait";

/// The exit code of "done in part".
const IN_PART: u8 = 3;

/// How often the queues are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// How often they have to be seen empty: SQS's counts are approximate.
const LOOKS: u32 = 3;

/// Runs it. What fetch answered goes to standard output, how it goes on to standard error.
///
/// # Errors
/// When fetch fails or the deployment cannot be reached. What was queued before that is queued.
pub async fn run(arguments: BackfillArguments) -> anyhow::Result<ExitCode> {
    let window = window(&arguments, Timestamp::now())
        .unwrap_or_else(|why| clap::Error::raw(ErrorKind::ValueValidation, format!("{why}\n")).exit());
    match &arguments.deployment.local {
        Some(root) => in_one_machine(root, window, &arguments).await,
        None => deployed(window, &arguments).await,
    }
}

/// The window, where it is one that can be asked for.
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
    if !agreed(&window, &format!("the function {name} of {}", connection.name()), arguments)? {
        return Ok(ExitCode::from(NOT_CONFIRMED));
    }
    let fetch = Deployed { functions: Functions::new(&connection.config), name };
    let code = windows(window, arguments, &fetch).await?;
    if arguments.wait && code == ExitCode::SUCCESS {
        tokio::select! {
            emptied = emptied(&connection) => emptied?,
            pressed = tokio::signal::ctrl_c() => {
                pressed?;
                eprintln!("Not waited for: the queues are worked off all the same.");
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
    if !agreed(&window, &format!("fetch of the one-machine run in {}", root.display()), arguments)? {
        return Ok(ExitCode::from(NOT_CONFIRMED));
    }
    let running = backfill.start().await?;
    let done = windows(window, arguments, &running).await;
    let done = match done {
        Ok(code) if arguments.wait && code == ExitCode::SUCCESS => {
            eprintln!("Working off the queues …");
            running.work_off().await.map(|()| code)
        }
        Ok(code) => {
            eprintln!("What is queued waits: --wait works it off, and so does the next `archiver local`.");
            Ok(code)
        }
        Err(error) => Err(error),
    };
    running.stop().await?;
    done
}

/// Numbers change hands: over a longer time, the number's present owner may not be the one of then.
fn is_old(window: &Window) -> bool {
    const MONTH: SignedDuration = SignedDuration::from_hours(31 * 24);
    Timestamp::now().duration_since(window.from) > MONTH
}

/// Warns where an old message would be filed for the present owner of its number.
#[expect(clippy::print_stderr, reason = "this is the command's own output")]
async fn warn_without_periods(connection: &Connection, window: &Window) -> anyhow::Result<()> {
    if !is_old(window) {
        return Ok(());
    }
    let map = UserMapSettings::deployed(connection)?.read(&connection.store).await?;
    if map.and_then(Result::ok).is_some_and(|map| !map.is_empty() && !map.has_periods()) {
        eprintln!(
            "warning: the window begins over a month ago and the user map has no periods: items of a number that has changed \
             its owner go to the present one. Add the columns valid_from and valid_to first."
        );
    }
    Ok(())
}

/// The event that asks fetch for a window.
fn event(window: &Window) -> serde_json::Value {
    json!({"from": window.from, "to": window.to})
}

/// Shows what is going to be done, and asks.
#[expect(clippy::print_stderr, reason = "this is the command's own output")]
fn agreed(window: &Window, by: &str, arguments: &BackfillArguments) -> anyhow::Result<bool> {
    let hours = window.to.duration_since(window.from).as_secs_f64() / 3600.0;
    eprintln!(
        "Backfill of what the archive received\n  from  {} (included)\n  to    {} (not included), {hours:.1} hours in UTC\nby {by}. \
         The cursor stays; what is filed already is skipped.",
        window.from, window.to
    );
    let agreed = confirmed("Invoke fetch?", arguments.yes)?;
    if !agreed {
        eprintln!("Nothing was done.");
    }
    Ok(agreed)
}

/// Asks for the window and for what is left of it, and tells each answer.
#[expect(clippy::print_stderr, reason = "this is the command's own output")]
async fn windows(window: Window, arguments: &BackfillArguments, fetch: &impl Fetch) -> anyhow::Result<ExitCode> {
    let bar = ProgressBar::new_spinner().with_message("fetch is at work, for up to 15 minutes");
    bar.enable_steady_tick(Duration::from_millis(200));
    let told = |answer: &Fetched| bar.suspend(|| tell(answer, arguments.json));
    let rest = Cell::new(window);
    let walked = tokio::select! {
        walked = walk(&rest, fetch, told) => Some(walked),
        pressed = tokio::signal::ctrl_c() => pressed.map(|()| None)?,
    };
    bar.finish_and_clear();
    let rest = rest.get();
    let left = match walked {
        Some(Err(error)) if rest.from > window.from => {
            return Err(anyhow!(
                "{error}.\nAll before {} is queued. What is left:{}",
                rest.from,
                command(&rest, arguments)
            ));
        }
        Some(walked) => walked?,
        None => {
            eprintln!(
                "Not waited for: fetch goes on with what it was asked for, for up to 15 minutes. Ask for it again to be sure of \
                 it; what is filed already is skipped:{}",
                command(&rest, arguments)
            );
            return Ok(ExitCode::from(IN_PART));
        }
    };
    let Some(left) = left else { return Ok(ExitCode::SUCCESS) };
    match left {
        Left::Unknown(window) => {
            let half = window.from + window.to.duration_since(window.from) / 2;
            let halves = [Window { to: half, ..window }, Window { from: half, ..window }];
            eprintln!(
                "fetch ran out of time, and cannot say where: this archive's list is not in the order of archived times. Part of \
                 the window is queued. Ask for it again in shorter windows:{}",
                halves.map(|half| command(&half, arguments)).concat()
            );
        }
        Left::Stuck(window) => eprintln!(
            "fetch ran out of time without getting beyond {}: more items have this one archived time than 15 minutes are \
             enough for. What it listed is queued; the rest of the window is left:{}",
            window.from,
            command(&window, arguments)
        ),
    }
    Ok(ExitCode::from(IN_PART))
}

/// The command that asks for a window, on a line of its own.
fn command(window: &Window, arguments: &BackfillArguments) -> String {
    format!("\n  {}", backfill_command(&arguments.deployment.options(), window))
}

/// An answer, as soon as it is there: the next may take another 15 minutes.
fn tell(answer: &Fetched, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        let line = json!({"run": answer.run, "from": answer.from, "to": answer.to, "listed": answer.listed,
                          "queued": answer.queued, "complete": answer.complete, "reached": answer.reached});
        writeln!(out, "{}", text::json(&line)?)?;
    } else {
        let Fetched { run, listed, queued, complete, .. } = answer;
        let whole = if *complete { "the whole window" } else { "a part of the window" };
        writeln!(out, "run {run}: {listed} listed, {queued} queued, {whole}")?;
    }
    out.flush()
}

/// Returns when both queues have been seen empty a few times in a row.
async fn emptied(connection: &Connection) -> anyhow::Result<()> {
    let queues = Letters::of(connection);
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut empty = 0;
    while empty < LOOKS {
        let mut waiting = [0; 2];
        for (count, url) in waiting.iter_mut().zip([&connection.queues.convert, &connection.queues.import]) {
            *count = queues.depth(url).await?.iter().sum::<u64>();
        }
        let [convert, import] = waiting;
        bar.set_message(format!("{convert} to be rendered, {import} to be filed"));
        empty = if convert + import == 0 { empty + 1 } else { 0 };
        if empty < LOOKS {
            tokio::time::sleep(LOOK).await;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// fetch as it is deployed.
struct Deployed<'a> {
    functions: Functions,
    name: &'a str,
}

impl Fetch for Deployed<'_> {
    async fn fetch(&self, window: Window) -> Result<Fetched, BackfillError> {
        let answer = self.functions.invoke(self.name, &event(&window)).await?;
        serde_json::from_slice(&answer).map_err(|_| BackfillError::Answer)
    }
}

impl Fetch for RunningBackfill {
    async fn fetch(&self, window: Window) -> Result<Fetched, BackfillError> {
        Ok(RunningBackfill::fetch(self, &event(&window)).await?)
    }
}
