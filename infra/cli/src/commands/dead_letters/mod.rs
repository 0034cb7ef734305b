//! `archiver dead-letters`: lists, shows, replays and discards dead letters.

mod discard;
mod list;
mod message;
mod queue;
mod replay;

use std::{
    io::{self, BufRead, Write},
    num::NonZeroU32,
    process::ExitCode,
    time::Duration,
};

use model::DeadLetter;
use serde_json::{Value, json};

pub use self::{
    discard::{Discarded, discard},
    list::{Counts, Form, ScanSummary, for_each_dead_letter, list, outcome, show},
    message::{DeadLetterMessage, DeadLetterReason, Filter},
    queue::{DeadLetterQueue, DeadLetterQueueError, HOLD, MAX_HELD_MESSAGES, Scan},
    replay::{Plan, ReplayOptions, Replayed, replay},
};
use crate::{
    Interrupt,
    confirm::{NOT_CONFIRMED, confirmed},
    connection::{Connection, Deployment},
    text,
};

/// Arguments of `archiver dead-letters`.
#[derive(Debug, clap::Args)]
pub struct DeadLettersArguments {
    #[command(subcommand)]
    command: DeadLettersCommand,
}

const EXIT_CODES: &str = "Exit code: 0 done, 1 failed, 2 invalid arguments, 3 partly done, or another consumer has messages of the queue \
    in flight (another command, or one that was interrupted), 4 not confirmed.";

#[derive(Debug, clap::Subcommand)]
enum DeadLettersCommand {
    /// Count the dead letters by reason and list them; all stay in the queue
    #[command(after_help = "Examples:\n  archiver dead-letters list\n  \
        archiver dead-letters list --reason unmapped --older-than 2d --json\n\
        Exit code: 0, with or without dead letters; 1 when the queue cannot be read; 2 invalid arguments.")]
    List(ListArguments),
    /// Show an item's dead letters, and which mailboxes have the item; they stay in the queue
    #[command(after_help = "Example:\n  archiver dead-letters show WA-7c1e0b52\n\
        Exit code: 0; 1 when no dead letter matches or the queue cannot be read; 2 invalid arguments.")]
    Show(ShowArguments),
    /// Send dead letters back to the queue that they came from, once the cause is fixed
    #[command(after_help = format!("A dead letter is deleted only when its copy is confirmed to be on its queue. The command can be \
        interrupted at any time and run again: an item is filed only in the mailboxes that lack it.\nExamples:\n  \
        archiver dead-letters replay --reason unmapped\n  \
        archiver dead-letters replay --item WA-7c1e0b52 --max-item-bytes 20000000 --yes\n{EXIT_CODES}"))]
    Replay(ReplayArguments),
    /// Discard dead letters: each is copied to discarded/ in the bucket, then deleted
    #[command(after_help = format!("Example:\n  archiver dead-letters discard --reason item-not-found --stage convert --older-than 10d\n{EXIT_CODES}"))]
    Discard(DiscardArguments),
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
    /// Seconds for which messages stay invisible to other consumers if this command is killed; otherwise they become
    /// visible as soon as it has read them
    #[arg(long, value_name = "SECONDS", default_value_t = HOLD.as_secs() as u32, value_parser = clap::value_parser!(u32).range(1..=43_200))]
    hold: u32,
    #[command(flatten)]
    deployment: Deployment,
}

impl Common {
    fn hold(&self) -> Duration {
        Duration::from_secs(self.hold.into())
    }
}

#[derive(Debug, clap::Args)]
struct ListArguments {
    /// Limit of dead letters in the table; the counts include all
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Debug, clap::Args)]
struct ShowArguments {
    /// The id or key of the item, or the id of the message
    #[arg(value_name = "ITEM")]
    item: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct ReplayArguments {
    /// Replay without confirmation
    #[arg(long)]
    yes: bool,
    /// Limit of dead letters per second
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU32>,
    /// Limit for items that were too large, in bytes of text and attachments; at most 150 MiB. Items that exceed the
    /// limit of the mail system become dead letters again
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=DeadLetter::RAISED_MAX_ITEM_BYTES))]
    max_item_bytes: Option<u64>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Debug, clap::Args)]
struct DiscardArguments {
    /// Discard without confirmation, if there are exactly this many dead letters
    #[arg(long, value_name = "COUNT")]
    yes_discard: Option<u64>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    filter: Filter,
}

/// Exit code: some dead letters are unchanged, or were not read. The same command continues with them, except with those
/// that lack a stage.
const IN_PART: u8 = 3;

/// Runs the command.
///
/// # Errors
/// The command fails. No dead letter is lost.
pub async fn run(arguments: DeadLettersArguments) -> anyhow::Result<ExitCode> {
    let common = match &arguments.command {
        DeadLettersCommand::List(list) => &list.common,
        DeadLettersCommand::Show(show) => &show.common,
        DeadLettersCommand::Replay(replay) => &replay.common,
        DeadLettersCommand::Discard(discard) => &discard.common,
    };
    let connection = Connection::open(&common.deployment).await?;
    let queue = DeadLetterQueue::of(&connection);
    let done = match &arguments.command {
        DeadLettersCommand::List(arguments) => run_list(arguments, &queue, &connection).await,
        DeadLettersCommand::Show(arguments) => run_show(arguments, &queue, &connection).await,
        DeadLettersCommand::Replay(arguments) => run_replay(arguments, &queue, &connection).await,
        DeadLettersCommand::Discard(arguments) => run_discard(arguments, &queue, &connection).await,
    };
    // The emulator writes its state on close, also after an error.
    connection.close().await?;
    done
}

async fn run_list(
    arguments: &ListArguments,
    queue: &DeadLetterQueue,
    connection: &Connection,
) -> anyhow::Result<ExitCode> {
    let common = &arguments.common;
    let [ready, in_flight, _] = queue.depth(&connection.queues.dead_letters).await?;
    let form = if common.json { Form::Json } else { Form::Tables(arguments.limit) };
    let summary = list(queue.scan(common.hold()), &arguments.filter, form, &mut io::stdout().lock()).await?;
    let mut notes = io::stderr().lock();
    if in_flight > 0 {
        writeln!(notes, "{in_flight} more are in flight to other consumers and are not counted.")?;
    }
    if summary.seen < ready && !summary.truncated {
        let seen = summary.seen;
        writeln!(notes, "SQS counts {ready} messages and returned {seen}: list them again.")?;
    }
    note_truncated(&mut notes, summary.truncated, "the rest is not listed; replay or discard some, then list again")?;
    Ok(ExitCode::SUCCESS)
}

async fn run_show(
    arguments: &ShowArguments,
    queue: &DeadLetterQueue,
    connection: &Connection,
) -> anyhow::Result<ExitCode> {
    let common = &arguments.common;
    let which = (common.hold(), arguments.item.clone());
    let (found, unread) = show((queue, &connection.store), which, common.json, &mut io::stdout().lock()).await?;
    if unread {
        note_unread(&mut io::stderr().lock())?;
    }
    if found == 0 {
        writeln!(
            io::stderr(),
            "The dead-letter queue has no message of this item. Its outcome says what is known: runbook, \"Why an item was not filed\"."
        )?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

async fn run_replay(
    arguments: &ReplayArguments,
    queue: &DeadLetterQueue,
    connection: &Connection,
) -> anyhow::Result<ExitCode> {
    let common = &arguments.common;
    let plan = Plan::to_replay(queue, &arguments.filter, common.hold()).await?;
    let planned = plan.counts.total();
    note_plan(&plan, "replayed")?;
    if planned == 0 {
        if common.json {
            writeln!(io::stdout(), "{}", counts(&Replayed::default()))?;
        }
        return nothing_to_do(&plan);
    }
    if !confirmed(&format!("Replay {planned} dead letters?"), arguments.yes)? {
        writeln!(io::stderr(), "Nothing was replayed.")?;
        return Ok(ExitCode::from(NOT_CONFIRMED));
    }
    let interrupt = Interrupt::listen();
    let options = ReplayOptions { hold: common.hold(), rate: arguments.rate, max_item_bytes: arguments.max_item_bytes };
    let bar = indicatif::ProgressBar::new(planned);
    let (without_stage, truncated, examined) = (plan.without_stage, plan.truncated, plan.is_complete());
    let replayed = replay(queue, plan, options, &interrupt, |done| bar.set_position(done)).await;
    bar.finish_and_clear();
    let mut out = io::stdout().lock();
    let Replayed { moved, left_behind, unsent, not_found, .. } = replayed;
    if common.json {
        writeln!(out, "{}", counts(&replayed))?;
    } else if replayed.aborted.is_none() {
        writeln!(out, "{moved} of {planned} dead letters were replayed.")?;
    }
    let mut notes = io::stderr().lock();
    if left_behind > 0 {
        writeln!(notes, "{left_behind} were sent but could not be deleted: replay them again, they are filed once.")?;
    }
    if unsent > 0 {
        writeln!(notes, "{unsent} were not sent and are still dead letters: run the same command again.")?;
    }
    if not_found > 0 {
        writeln!(notes, "{not_found} are gone or in flight elsewhere: list them again.")?;
    }
    let complete = replayed.is_complete() && without_stage == 0 && examined;
    if let Some(error) = replayed.aborted {
        let counts = format!("{moved} of {planned} dead letters were replayed before the failure");
        return Err(anyhow::Error::from(error).context(counts));
    }
    if let Some(error) = replayed.failure {
        writeln!(notes, "The last failure: {:#}", anyhow::Error::from(error))?;
    }
    note_truncated(&mut notes, truncated, RUN_AGAIN)?;
    if connection.one_machine_root().is_some() {
        writeln!(notes, "The next `archiver local` processes them.")?;
    }
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::from(IN_PART) })
}

async fn run_discard(
    arguments: &DiscardArguments,
    queue: &DeadLetterQueue,
    connection: &Connection,
) -> anyhow::Result<ExitCode> {
    let common = &arguments.common;
    let plan = Plan::to_discard(queue, &arguments.filter, common.hold()).await?;
    let planned = plan.counts.total();
    note_plan(&plan, "discarded")?;
    if planned == 0 {
        return nothing_to_do(&plan);
    }
    if !count_confirmed(planned, arguments.yes_discard)? {
        writeln!(io::stderr(), "Nothing was discarded.")?;
        return Ok(ExitCode::from(NOT_CONFIRMED));
    }
    let interrupt = Interrupt::listen();
    let (truncated, examined) = (plan.truncated, plan.is_complete());
    let mut out = io::stdout().lock();
    let done = discard((queue, &connection.store), plan, common.hold(), &interrupt, |dead_letter, details| {
        if common.json {
            return Ok(writeln!(out, "{}", text::json(&details)?)?);
        }
        let key = dead_letter.item.as_ref().map_or_else(|| "item unknown".to_owned(), |item| item.key().to_string());
        Ok(writeln!(out, "{key}  {}  missing in: {}", dead_letter.reason, discard::missing_text(&details))?)
    })
    .await?;
    let mut notes = io::stderr().lock();
    writeln!(notes, "{} dead letters were discarded; their copies are in {}.", done.discarded, model::keys::DISCARDED)?;
    note_truncated(&mut notes, truncated, RUN_AGAIN)?;
    if done.left > 0 {
        writeln!(notes, "{} were not discarded: deleted meanwhile, in flight elsewhere, or not reached.", done.left)?;
    }
    Ok(if done.left == 0 && examined { ExitCode::SUCCESS } else { ExitCode::from(IN_PART) })
}

/// Returns the JSON form of a result.
fn counts(replayed: &Replayed) -> Value {
    let Replayed { moved, left_behind, unsent, not_found, .. } = replayed;
    json!({"replayed": moved, "sent_not_deleted": left_behind, "not_sent": unsent, "not_found": not_found})
}

/// Returns success only if the whole queue was read and the filter selected nothing.
fn nothing_to_do(plan: &Plan) -> anyhow::Result<ExitCode> {
    note_truncated(&mut io::stderr().lock(), plan.truncated, RUN_AGAIN)?;
    Ok(if plan.without_stage == 0 && plan.is_complete() { ExitCode::SUCCESS } else { ExitCode::from(IN_PART) })
}

fn note_plan(plan: &Plan, what: &str) -> io::Result<()> {
    let mut notes = io::stderr().lock();
    if plan.counts.total() == 0 {
        let examined = if plan.is_complete() { "" } else { " Not all messages of the queue were examined." };
        writeln!(notes, "No dead letter matches.{examined}")?;
    } else {
        writeln!(notes, "To be {what}:\n{}", plan.counts.table())?;
    }
    if plan.without_stage > 0 {
        let without_stage = plan.without_stage;
        writeln!(
            notes,
            "{without_stage} more lack a stage, so their queue is unknown and they cannot be replayed: discard them, or send them by hand."
        )?;
    }
    if plan.unread {
        note_unread(&mut notes)?;
    }
    Ok(())
}

fn note_unread(notes: &mut impl Write) -> io::Result<()> {
    writeln!(
        notes,
        "The queue has messages that were not read: another consumer has them in flight (a command that runs, or was ended less \
         than {} seconds ago), or SQS has not returned them yet. Run the same command again in a minute.",
        HOLD.as_secs()
    )
}

/// Advice after a replay or discard that did not read the whole queue.
const RUN_AGAIN: &str = "run the same command again";

fn note_truncated(notes: &mut impl Write, truncated: bool, next: &str) -> io::Result<()> {
    if truncated {
        writeln!(notes, "The queue has more messages than one command reads ({MAX_HELD_MESSAGES}): {next}.")?;
    }
    Ok(())
}

/// Confirms the number of dead letters: by the option, or by typing it.
fn count_confirmed(planned: u64, given: Option<u64>) -> io::Result<bool> {
    if let Some(given) = given {
        if given != planned {
            writeln!(io::stderr(), "{planned} dead letters match, not {given}.")?;
        }
        return Ok(given == planned);
    }
    let mut notes = io::stderr().lock();
    write!(notes, "These messages will not be filed. Type the number of messages to confirm: ")?;
    notes.flush()?;
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed)?;
    Ok(typed.trim() == planned.to_string())
}
