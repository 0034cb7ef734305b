//! `archiver status`: how the deployment is, at a glance. Changes nothing.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;
use aws::s3::{Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use model::{Cursor, RunId, RunRecord, keys};
use serde::Serialize;

use crate::text::{self, table_of, visible};
use crate::{
    commands::{
        dead_letters::{Filter, HOLD, Letters, each_letter},
        reconcile::record,
    },
    connection::{Connection, Deployment},
    user_map::{UserMapArguments, UserMapSettings},
};

/// What `archiver status` is asked for.
#[derive(Debug, clap::Args)]
pub struct StatusArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    user_map: UserMapArguments,
    #[command(flatten)]
    deployment: Deployment,
}

/// What `--help` says after the arguments.
pub const HELP: &str = "SQS exposes the age of the oldest message of convert's and import's queue only through CloudWatch: the dashboard shows \
    it, and the alarms convert-age and import-age watch it.\n\
    Exit code: 0, whatever is told; 1 when the deployment cannot be asked; 2 invalid arguments.";

/// A cursor is less than a hundred bytes.
const CURSOR_LIMIT: u64 = 4096;

/// How a deployment is.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Everything that the archive received before this time is queued. `None` before the first run.
    pub fetched_until: Option<Timestamp>,
    /// The run that came so far.
    pub cursor_run: Option<RunId>,
    /// The latest run, a backfill too.
    pub last_run: Option<RunId>,
    /// What that says of itself: whether it has ended, and whether it did its whole window. `None` where an earlier release
    /// ran, which wrote no such thing.
    pub last_run_record: Option<RunRecord>,
    /// What waits, by queue: ready, in hand, delayed.
    pub queues: BTreeMap<&'static str, [u64; 3]>,
    /// Dead letters by reason.
    pub dead_letters: BTreeMap<&'static str, u64>,
    /// When the oldest of those failed.
    pub oldest_dead_letter: Option<Timestamp>,
    /// Whether there are more than could be counted.
    pub dead_letters_cut: bool,
    /// Numbers in the user map. `None` where it is missing or refused.
    pub user_map_numbers: Option<usize>,
    /// Why import refuses the user map, the first few lines of it.
    pub user_map_problem: Option<String>,
}

impl Status {
    /// Asks for it.
    ///
    /// # Errors
    /// When the bucket or a queue does not answer, or the cursor is not readable.
    pub async fn of(connection: &Connection, user_map: &UserMapSettings) -> anyhow::Result<Self> {
        let letters = Letters::of(connection);
        let mut queues = BTreeMap::new();
        let urls = &connection.queues;
        for (name, url) in [("convert", &urls.convert), ("import", &urls.import), ("dead-letters", &urls.dead_letters)]
        {
            queues.insert(name, letters.depth(url).await?);
        }
        let [ready, ..] = queues["dead-letters"];
        let walked = each_letter(letters.walk(HOLD), &Filter::default(), |_| Ok(())).await?;
        let cursor = cursor(&connection.store).await?;
        let last_run = last_run(&connection.store).await?;
        let last_run_record = match &last_run {
            Some(run) => record(&connection.store, run).await?,
            None => None,
        };
        let (user_map_numbers, user_map_problem) = match user_map.read(&connection.store).await? {
            Some(Ok(map)) => (Some(map.len()), None),
            Some(Err(problem)) => (None, Some(problem)),
            None => (None, None),
        };
        Ok(Self {
            fetched_until: cursor.as_ref().map(|cursor| cursor.archived_time),
            cursor_run: cursor.map(|cursor| cursor.run),
            last_run,
            last_run_record,
            queues,
            dead_letters: walked.counts.by_reason(),
            oldest_dead_letter: walked.oldest,
            dead_letters_cut: walked.cut || walked.seen < ready,
            user_map_numbers,
            user_map_problem,
        })
    }

    /// For people.
    pub fn table(&self, now: Timestamp) -> String {
        let since = |time: Timestamp| format!("{time:.0} ({} ago)", ago(now.duration_since(time)));
        let mut table = table_of(&["", "status"]);
        table.add_row(["fetched until".to_owned(), self.fetched_until.map_or("nothing yet".to_owned(), since)]);
        let run = |run: &Option<RunId>| run.as_ref().map_or("none".to_owned(), RunId::to_string);
        table.add_row(["by run".to_owned(), run(&self.cursor_run)]);
        table.add_row(["last run".to_owned(), run(&self.last_run)]);
        if let Some(record) = &self.last_run_record {
            let how = match (record.ended, record.complete) {
                (None, _) => "not ended: it is at work, or was ended before it could say so".to_owned(),
                (Some(at), true) => format!("{}: its whole window", since(at)),
                (Some(at), false) => format!("{}: not to the end of its window, where the next run goes on", since(at)),
            };
            table.add_row(["last run ended".to_owned(), how]);
        }
        for (name, [ready, in_hand, delayed]) in &self.queues {
            table.add_row([format!("queue {name}"), format!("{ready} ready, {in_hand} in hand, {delayed} delayed")]);
        }
        for (reason, count) in &self.dead_letters {
            table.add_row([format!("dead letters, {reason}"), count.to_string()]);
        }
        if let Some(oldest) = self.oldest_dead_letter {
            table.add_row(["oldest dead letter".to_owned(), since(oldest)]);
        }
        if self.dead_letters_cut {
            table.add_row(["dead letters", "more than were counted"]);
        }
        let map = match (&self.user_map_problem, self.user_map_numbers) {
            (Some(problem), _) => format!("refused, imports wait:\n{}", visible(problem)),
            (None, Some(numbers)) => format!("{numbers} numbers"),
            (None, None) => "none: only items' e-mail properties say whose mailbox it is".to_owned(),
        };
        table.add_row(["user map".to_owned(), map]);
        table.to_string()
    }
}

/// An age to the hour, or to the minute where it is less than one.
pub(super) fn ago(age: SignedDuration) -> String {
    match age.as_hours() {
        ..1 => format!("{} min", age.as_mins().max(0)),
        hours @ 1..48 => format!("{hours} h"),
        hours => format!("{} days", hours / 24),
    }
}

pub(super) async fn cursor(store: &Store) -> anyhow::Result<Option<Cursor>> {
    let Some(object) = store.get(keys::CURSOR, CURSOR_LIMIT).await? else { return Ok(None) };
    Ok(Some(serde_json::from_slice(&object.bytes).with_context(|| format!("{} is no cursor", keys::CURSOR))?))
}

/// Runs sort by when they began.
async fn last_run(store: &Store) -> Result<Option<RunId>, StoreError> {
    let mut last: Option<RunId> = None;
    store
        .list(keys::RUNS, |page| {
            let run = |key: &str| key.strip_prefix(keys::RUNS)?.split('/').next()?.parse().ok();
            last = page.iter().filter_map(|listed| run(&listed.key)).chain(last.take()).max();
            async { Ok::<_, StoreError>(()) }
        })
        .await?;
    Ok(last)
}

async fn status(connection: &Connection, user_map: &UserMapArguments) -> anyhow::Result<Status> {
    Status::of(connection, &UserMapSettings::of(user_map, connection)?).await
}

/// Runs it.
///
/// # Errors
/// When the deployment cannot be asked.
pub async fn run(arguments: StatusArguments) -> anyhow::Result<ExitCode> {
    let connection = Connection::open(&arguments.deployment).await?;
    let status = status(&connection, &arguments.user_map).await;
    connection.close().await?;
    let status = status?;
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", text::json(&status)?)?;
    } else {
        writeln!(out, "{}", status.table(Timestamp::now()))?;
    }
    Ok(ExitCode::SUCCESS)
}
