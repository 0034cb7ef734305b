//! `archiver dead-letters`: what could not be filed, and what is done about it.

mod discard;
mod letter;
mod list;
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
    letter::{Filter, Letter, Why},
    list::{Counts, Form, Walked, each_letter, list, outcome, show},
    queue::{HOLD, Letters, LettersError, MOST_HELD, Walk},
    replay::{Pace, Plan, Replayed, replay},
};
use crate::text::{self, shown};
use crate::{
    Interrupt,
    confirm::{NOT_CONFIRMED, confirmed},
    connection::{Connection, Deployment},
};

/// What `archiver dead-letters` is asked for.
#[derive(Debug, clap::Args)]
pub struct DeadLettersArguments {
    #[command(subcommand)]
    command: DeadLettersCommand,
}

/// In every command's help.
const EXIT_CODES: &str =
    "Exit code: 0 done, 1 could not be done, 2 invalid arguments, 3 done in part, 4 not confirmed.";

#[derive(Debug, clap::Subcommand)]
enum DeadLettersCommand {
    /// Count the dead letters by reason and list them; all stay in the queue
    #[command(after_help = "Examples:\n  archiver dead-letters list\n  \
        archiver dead-letters list --reason unmapped --older-than 2d --json\n\
        Exit code: 0, dead letters or not; 1 when the queue cannot be read, 2 invalid arguments.")]
    List(ListArguments),
    /// Show an item's dead letters, and which mailboxes have the item; they stay in the queue
    #[command(after_help = "Example:\n  archiver dead-letters show WA-7c1e0b52\n\
        Exit code: 0; 1 when there is no such dead letter or the queue cannot be read; 2 invalid arguments.")]
    Show(ShowArguments),
    /// Send dead letters back to the queue that they came from, once the cause is fixed
    #[command(after_help = format!("A dead letter is deleted only when its copy is confirmed to be on its queue, so this can be \
        ended at any time and run again:\nan item is filed only in the mailboxes that lack it.\nExamples:\n  \
        archiver dead-letters replay --reason unmapped\n  \
        archiver dead-letters replay --item WA-7c1e0b52 --max-item-bytes 20000000 --yes\n{EXIT_CODES}"))]
    Replay(ReplayArguments),
    /// Give dead letters up: a copy of each goes to discarded/ in the bucket, then it is deleted
    #[command(after_help = format!("Example:\n  archiver dead-letters discard --reason item-not-found --stage convert --older-than 10d\n{EXIT_CODES}"))]
    Discard(DiscardArguments),
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
    /// Seconds for which messages stay invisible to other consumers if this command is killed; otherwise they are visible
    /// again as soon as it has read them
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
    /// The maximum number of dead letters in the table; the counts are of all
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Debug, clap::Args)]
struct ShowArguments {
    /// The item's id or key, or the message's id
    #[arg(value_name = "ITEM")]
    item: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct ReplayArguments {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// The maximum number of dead letters a second
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU32>,
    /// Let items that were too large be this large, in bytes of text and attachments; at most 150 MiB. Files of more
    /// than the mail system takes come back as dead letters
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=DeadLetter::MOST_ITEM_BYTES))]
    max_item_bytes: Option<u64>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Debug, clap::Args)]
struct DiscardArguments {
    /// Do not ask, if there are exactly this many dead letters
    #[arg(long, value_name = "COUNT")]
    yes_discard: Option<u64>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    filter: Filter,
}

/// Done in part: some letters are as they were, and the same command goes on with them.
const IN_PART: u8 = 3;

/// Runs it.
///
/// # Errors
/// When it could not be done. No letter is lost by that.
pub async fn run(arguments: DeadLettersArguments) -> anyhow::Result<ExitCode> {
    let common = match &arguments.command {
        DeadLettersCommand::List(list) => &list.common,
        DeadLettersCommand::Show(show) => &show.common,
        DeadLettersCommand::Replay(replay) => &replay.common,
        DeadLettersCommand::Discard(discard) => &discard.common,
    };
    let connection = Connection::open(&common.deployment).await?;
    let letters = Letters::of(&connection);
    let done = match &arguments.command {
        DeadLettersCommand::List(arguments) => run_list(arguments, &letters, &connection).await,
        DeadLettersCommand::Show(arguments) => run_show(arguments, &letters, &connection).await,
        DeadLettersCommand::Replay(arguments) => run_replay(arguments, &letters, &connection).await,
        DeadLettersCommand::Discard(arguments) => run_discard(arguments, &letters, &connection).await,
    };
    // The one-machine run's state is written at the end, however the command ended.
    connection.close().await?;
    done
}

async fn run_list(arguments: &ListArguments, letters: &Letters, connection: &Connection) -> anyhow::Result<ExitCode> {
    let common = &arguments.common;
    let [ready, in_hand, _] = letters.depth(&connection.queues.dead_letters).await?;
    let form = if common.json { Form::Json } else { Form::Tables(arguments.limit) };
    let walked = list(letters.walk(common.hold()), &arguments.filter, form, &mut io::stdout().lock()).await?;
    let mut notes = io::stderr().lock();
    if in_hand > 0 {
        writeln!(notes, "{in_hand} more are in flight elsewhere and are not counted.")?;
    }
    if walked.seen < ready && !walked.cut {
        let seen = walked.seen;
        writeln!(notes, "SQS counts {ready} messages and returned {seen}: list them again.")?;
    }
    note_cut(&mut notes, walked.cut)?;
    Ok(ExitCode::SUCCESS)
}

async fn run_show(arguments: &ShowArguments, letters: &Letters, connection: &Connection) -> anyhow::Result<ExitCode> {
    let common = &arguments.common;
    let which = (common.hold(), arguments.item.clone());
    let found = show((letters, &connection.store), which, common.json, &mut io::stdout().lock()).await?;
    if found == 0 {
        writeln!(io::stderr(), "This item has no dead letter.")?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

async fn run_replay(
    arguments: &ReplayArguments,
    letters: &Letters,
    connection: &Connection,
) -> anyhow::Result<ExitCode> {
    let common = &arguments.common;
    let plan = Plan::of(letters, &arguments.filter, common.hold()).await?;
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
    let pace = Pace { hold: common.hold(), rate: arguments.rate, max_item_bytes: arguments.max_item_bytes };
    let bar = indicatif::ProgressBar::new(planned);
    let (homeless, cut) = (plan.homeless, plan.cut);
    let replayed = replay(letters, plan, pace, &interrupt, |done| bar.set_position(done)).await;
    bar.finish_and_clear();
    let replayed = replayed?;
    let mut out = io::stdout().lock();
    let Replayed { moved, left_behind, unsent, not_found, .. } = replayed;
    if common.json {
        writeln!(out, "{}", counts(&replayed))?;
    } else {
        writeln!(out, "{moved} of {planned} dead letters were replayed.")?;
    }
    let mut notes = io::stderr().lock();
    if left_behind > 0 {
        writeln!(
            notes,
            "{left_behind} were sent and are still dead letters too: replay them again, they are filed once."
        )?;
    }
    if unsent > 0 {
        writeln!(notes, "{unsent} were not sent and are still dead letters: run the same command again.")?;
    }
    if not_found > 0 {
        writeln!(notes, "{not_found} are gone or in flight elsewhere: list them again.")?;
    }
    if let Some(error) = &replayed.failure {
        let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
        writeln!(notes, "The last failure: {error}{source}")?;
    }
    note_cut(&mut notes, cut)?;
    if connection.one_machine_root().is_some() {
        writeln!(notes, "The functions of the one-machine run work on them when `archiver local` runs next.")?;
    }
    let complete = replayed.is_complete() && homeless == 0 && !cut;
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::from(IN_PART) })
}

async fn run_discard(
    arguments: &DiscardArguments,
    letters: &Letters,
    connection: &Connection,
) -> anyhow::Result<ExitCode> {
    let common = &arguments.common;
    let plan = Plan::of_any(letters, &arguments.filter, common.hold()).await?;
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
    let cut = plan.cut;
    let mut out = io::stdout().lock();
    let done = discard((letters, &connection.store), plan, common.hold(), &interrupt, |letter, told| {
        if common.json {
            return Ok(writeln!(out, "{}", text::json(&told)?)?);
        }
        let key = letter.item.as_ref().map_or_else(|| "no item".to_owned(), |item| item.key().to_string());
        let missing = match told["missing"].as_array() {
            Some(some) if some.is_empty() => "no mailbox that it was meant for".to_owned(),
            Some(some) => some.iter().filter_map(Value::as_str).map(shown).collect::<Vec<_>>().join(", "),
            None if told["has"] == 0 => "everybody: no mailbox is known to have it".to_owned(),
            None => format!("nobody knows: it was not tried to its end, and {} mailboxes have it", told["has"]),
        };
        Ok(writeln!(out, "{key}  {}  missing in: {missing}", letter.why)?)
    })
    .await?;
    let mut notes = io::stderr().lock();
    writeln!(notes, "{} dead letters were discarded; their copies are in {}.", done.discarded, model::keys::DISCARDED)?;
    note_cut(&mut notes, cut)?;
    if done.left > 0 {
        writeln!(notes, "{} are unchanged: gone, in flight elsewhere, or not reached.", done.left)?;
    }
    Ok(if done.left == 0 && !cut { ExitCode::SUCCESS } else { ExitCode::from(IN_PART) })
}

/// What became of a plan, for programs.
fn counts(replayed: &Replayed) -> Value {
    let Replayed { moved, left_behind, unsent, not_found, .. } = replayed;
    json!({"replayed": moved, "sent_not_deleted": left_behind, "not_sent": unsent, "not_found": not_found})
}

/// Nothing can be done; that is only fine where there is nothing, among all letters.
fn nothing_to_do(plan: &Plan) -> anyhow::Result<ExitCode> {
    note_cut(&mut io::stderr().lock(), plan.cut)?;
    Ok(if plan.homeless == 0 && !plan.cut { ExitCode::SUCCESS } else { ExitCode::from(IN_PART) })
}

fn note_plan(plan: &Plan, what: &str) -> io::Result<()> {
    let mut notes = io::stderr().lock();
    if plan.counts.total() == 0 {
        writeln!(notes, "There are no such dead letters.")?;
    } else {
        writeln!(notes, "To be {what}:\n{}", plan.counts.table())?;
    }
    if plan.homeless > 0 {
        let homeless = plan.homeless;
        writeln!(
            notes,
            "{homeless} more name no stage of this system, so the queue that they belong to is not known."
        )?;
    }
    Ok(())
}

fn note_cut(notes: &mut impl Write, cut: bool) -> io::Result<()> {
    if cut {
        writeln!(notes, "There are more messages than one command reads: run it again.")?;
    }
    Ok(())
}

/// Whether the operator means exactly so many: by the option, or by typing the count.
fn count_confirmed(planned: u64, given: Option<u64>) -> io::Result<bool> {
    if let Some(given) = given {
        if given != planned {
            writeln!(io::stderr(), "There are {planned} such dead letters, not {given}.")?;
        }
        return Ok(given == planned);
    }
    let mut notes = io::stderr().lock();
    write!(notes, "These messages will never be delivered. Type the number of messages to confirm: ")?;
    notes.flush()?;
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed)?;
    Ok(typed.trim() == planned.to_string())
}
