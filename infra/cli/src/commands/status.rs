//! `archiver status`: shows the status of the deployment. Changes nothing.

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
        dead_letters::{DeadLetterQueue, Filter, HOLD, for_each_dead_letter},
        reconcile::record,
    },
    connection::{Connection, Deployment, Part},
    user_map::{MapInBucket, UserMapArguments, UserMapSettings},
};

/// Arguments of `archiver status`.
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

/// Help text after the arguments.
pub const HELP: &str = "SQS exposes the age of the oldest message of convert's and import's queue only through CloudWatch: the dashboard shows \
    it, and the alarms convert-age and import-age watch it.\n\
    Exit code: 0 when the status could be read, whatever it is; 1 when the deployment cannot be read; 2 invalid arguments.";

/// A cursor has less than a hundred bytes.
const CURSOR_MAX_BYTES: u64 = 4096;

/// Status of a deployment.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// All items that the source received before this time are queued. `None` before the first run.
    pub fetched_until: Option<Timestamp>,
    /// Run that moved the cursor.
    pub cursor_run: Option<RunId>,
    /// Latest run, including backfills.
    pub last_run: Option<RunId>,
    /// Record of that run. `None` if an earlier release ran, which wrote none.
    pub last_run_record: Option<RunRecord>,
    /// Ready, in-flight and delayed messages, by queue.
    pub queues: BTreeMap<&'static str, [u64; 3]>,
    /// Number of dead letters by reason.
    pub dead_letters: BTreeMap<&'static str, u64>,
    /// Time of the oldest failure.
    pub oldest_dead_letter: Option<Timestamp>,
    /// `true` if the queue has more dead letters than were counted.
    pub dead_letters_cut: bool,
    /// Number of entries in the user map. `None` if it is missing or invalid.
    pub user_map_numbers: Option<usize>,
    /// Reason why import rejects the user map, or its absence; its first lines.
    pub user_map_problem: Option<String>,
}

impl Status {
    /// Reads the status.
    ///
    /// # Errors
    /// The bucket, a queue or the cursor cannot be read.
    pub async fn of(connection: &Connection, user_map: &UserMapSettings) -> anyhow::Result<Self> {
        let queue = DeadLetterQueue::of(connection);
        let mut queues = BTreeMap::new();
        let urls = &connection.queues;
        let named =
            [("convert", &*urls.convert), ("import", &urls.import), ("dead-letters", &urls.dead_letters)].into_iter();
        let undelivered = connection.part(Part::ReceiveUndelivered).ok().map(|url| ("receive-undelivered", url));
        let receive = urls.receive.as_deref().map(|url| ("receive", url));
        for (name, url) in named.chain(receive).chain(undelivered) {
            queues.insert(name, queue.depth(url).await?);
        }
        let [ready, ..] = queues["dead-letters"];
        let summary = for_each_dead_letter(queue.scan(HOLD), &Filter::default(), |_| Ok(())).await?;
        let cursor = cursor(&connection.store).await?;
        let last_run = last_run(&connection.store).await?;
        let last_run_record = match &last_run {
            Some(run) => record(&connection.store, run).await?,
            None => None,
        };
        let MapInBucket { map, problem, .. } = user_map.read_as_import(&connection.store).await?;
        Ok(Self {
            fetched_until: cursor.as_ref().map(|cursor| cursor.archived_time),
            cursor_run: cursor.map(|cursor| cursor.run),
            last_run,
            last_run_record,
            queues,
            dead_letters: summary.counts.by_reason(),
            oldest_dead_letter: summary.oldest,
            dead_letters_cut: summary.truncated || summary.unread || summary.seen < ready,
            user_map_numbers: map.map(|map| map.len()),
            user_map_problem: problem,
        })
    }

    /// Formats the status as a table.
    pub fn table(&self, now: Timestamp) -> String {
        let since = |time: Timestamp| format!("{time:.0} ({} ago)", ago(now.duration_since(time)));
        let mut table = table_of(&["", "status"]);
        table.add_row(["fetched until".to_owned(), self.fetched_until.map_or("nothing yet".to_owned(), since)]);
        let run = |run: &Option<RunId>| run.as_ref().map_or("none".to_owned(), RunId::to_string);
        table.add_row(["by run".to_owned(), run(&self.cursor_run)]);
        table.add_row(["last run".to_owned(), run(&self.last_run)]);
        if let Some(record) = &self.last_run_record {
            let how = match (record.ended, record.complete) {
                (None, _) => "no end recorded: it is running, or was terminated".to_owned(),
                (Some(at), true) => format!("{}: window complete", since(at)),
                (Some(at), false) => format!("{}: window incomplete; the next run continues there", since(at)),
            };
            table.add_row(["last run ended".to_owned(), how]);
        }
        for (name, [ready, in_flight, delayed]) in &self.queues {
            table
                .add_row([format!("queue {name}"), format!("{ready} ready, {in_flight} in flight, {delayed} delayed")]);
        }
        for (reason, count) in &self.dead_letters {
            table.add_row([format!("dead letters, {reason}"), count.to_string()]);
        }
        if let Some(oldest) = self.oldest_dead_letter {
            table.add_row(["oldest dead letter".to_owned(), since(oldest)]);
        }
        if self.dead_letters_cut {
            table.add_row(["dead letters", "more than counted"]);
        }
        let map = match (&self.user_map_problem, self.user_map_numbers) {
            (Some(problem), _) => format!("rejected; import files nothing until it is fixed:\n{}", visible(problem)),
            (None, Some(numbers)) => format!("{numbers} numbers"),
            (None, None) => "none: recipients are resolved by the items' own e-mail property alone".to_owned(),
        };
        table.add_row(["user map".to_owned(), map]);
        table.to_string()
    }
}

/// Formats an age in hours, or in minutes below one hour.
pub(super) fn ago(age: SignedDuration) -> String {
    match age.as_hours() {
        ..1 => format!("{} min", age.as_mins().max(0)),
        hours @ 1..48 => format!("{hours} h"),
        hours => format!("{} days", hours / 24),
    }
}

pub(super) async fn cursor(store: &Store) -> anyhow::Result<Option<Cursor>> {
    let Some(object) = store.get(keys::CURSOR, CURSOR_MAX_BYTES).await? else { return Ok(None) };
    Ok(Some(serde_json::from_slice(&object.bytes).with_context(|| {
        format!("{} is not a valid cursor; restore an earlier version of the object", keys::CURSOR)
    })?))
}

/// Returns the latest run: run ids sort by their start.
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

/// Runs the command.
///
/// # Errors
/// The deployment cannot be read.
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
