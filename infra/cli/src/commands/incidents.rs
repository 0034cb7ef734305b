//! `archiver incidents`: lists deliveries of a capture vendor that do not match their manifests and values of webhooks that
//! were not recognized, and closes them.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use anyhow::bail;
use aws::s3::{Condition, Put, Store, Written};
use jiff::Timestamp;
use model::{Closure, keys};

use super::reconcile::{Incident, incidents};
use crate::{
    confirm::{NOT_CONFIRMED, confirmed},
    connection::{Connection, Deployment},
    text::{self, shown, shown_up_to},
};

/// Arguments of `archiver incidents`.
#[derive(Debug, clap::Args)]
pub struct IncidentsArguments {
    #[command(subcommand)]
    command: IncidentsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum IncidentsCommand {
    /// List all incidents; closed ones with the time, the person and the reason
    #[command(after_help = "Examples:\n  archiver incidents list\n  archiver incidents list --open --json\n\
        Exit code: 0, with or without incidents; 1 when they cannot be read; 2 invalid arguments.")]
    List(ListArguments),
    /// Close incidents that need no further action; the reason is recorded, and nothing is deleted
    #[command(
        after_help = "A closed incident is still listed by `list`, `reconcile` and `report`, but no longer makes them, or `export`, fail. A later version of \
        the same file with problems is a new incident. Missing mails that are delivered later are filed.\nExample:\n  \
        archiver incidents close 1f0c7e62 --by 'Ada Lindqvist' --reason 'vendor ticket 4711: 0042.eml never existed'\n  \
        archiver incidents close 1f0c7e62 9d3b41aa --by 'Ada Lindqvist' --reason 'processed by release 0.3'\n\
        Exit code: 0 all closed; 1 not found, closed before, or failed; 2 invalid arguments; 4 not confirmed."
    )]
    Close(CloseArguments),
}

#[derive(Debug, clap::Args)]
struct ListArguments {
    /// List open incidents only
    #[arg(long)]
    open: bool,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    deployment: Deployment,
}

#[derive(Debug, clap::Args)]
struct CloseArguments {
    /// The ids of the incidents, as `list` shows them; the first characters are enough
    #[arg(value_name = "ID", value_parser = id, required = true)]
    ids: Vec<String>,
    /// Reason why no further action is needed
    #[arg(long, value_name = "TEXT", value_parser = words)]
    reason: String,
    /// Name of the person who decides
    #[arg(long, value_name = "NAME", value_parser = words)]
    by: String,
    /// Close without confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    deployment: Deployment,
}

/// Upper bound on the characters of a reason or a name.
const MAX_CHARS: usize = 1_000;

fn words(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err("expected a text".to_owned()),
        count if count > MAX_CHARS => Err(format!("expected at most {MAX_CHARS} characters")),
        _ if text.chars().any(char::is_control) => Err("expected one line".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

fn id(text: &str) -> Result<String, String> {
    let is_id = (4..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { Ok(text.to_ascii_lowercase()) } else { Err("expected at least 4 hex digits of the id".to_owned()) }
}

/// Runs the command.
///
/// # Errors
/// The bucket cannot be read or written.
pub async fn run(arguments: IncidentsArguments) -> anyhow::Result<ExitCode> {
    let (IncidentsCommand::List(ListArguments { deployment, .. })
    | IncidentsCommand::Close(CloseArguments { deployment, .. })) = &arguments.command;
    let connection = Connection::open(deployment).await?;
    let done = match &arguments.command {
        IncidentsCommand::List(arguments) => list(&connection, arguments).await,
        IncidentsCommand::Close(arguments) => close(&connection, arguments).await,
    };
    connection.close().await?;
    done
}

async fn list(connection: &Connection, arguments: &ListArguments) -> anyhow::Result<ExitCode> {
    let mut found = incidents(&connection.store, Timestamp::MIN, Timestamp::MAX).await?;
    found.retain(|incident| !(arguments.open && incident.closed.is_some()));
    let mut out = io::stdout().lock();
    if arguments.json {
        for incident in &found {
            writeln!(out, "{}", text::json(incident)?)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if found.is_empty() {
        writeln!(out, "No incidents.")?;
    }
    for incident in &found {
        write_incident(&mut out, incident)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_incident(out: &mut impl Write, incident: &Incident) -> io::Result<()> {
    let state = incident.closed.as_ref().map_or_else(|| "open".to_owned(), Closure::sentence);
    writeln!(out, "{}  {}  {:.0}", incident.id, shown(&incident.file), incident.received)?;
    writeln!(out, "  {}", shown_up_to(&state, 2 * MAX_CHARS))?;
    incident.problems.iter().try_for_each(|problem| writeln!(out, "  {}", shown_up_to(problem, 500)))
}

async fn close(connection: &Connection, arguments: &CloseArguments) -> anyhow::Result<ExitCode> {
    let found = incidents(&connection.store, Timestamp::MIN, Timestamp::MAX).await?;
    // An id may be given twice.
    let mut named: Vec<&Incident> = Vec::new();
    for id in &arguments.ids {
        let incident = named_by(&found, id)?;
        if !named.iter().any(|named| named.id == incident.id) {
            named.push(incident);
        }
    }
    for incident in &named {
        write_incident(&mut io::stderr().lock(), incident)?;
    }
    let question = if named.len() == 1 {
        "Close this incident?".to_owned()
    } else {
        format!("Close these {} incidents?", named.len())
    };
    if !confirmed(&question, arguments.yes)? {
        writeln!(io::stderr(), "Nothing was changed.")?;
        return Ok(ExitCode::from(NOT_CONFIRMED));
    }
    for incident in named {
        write_closure(&connection.store, incident, arguments).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the open incident whose id begins with these characters.
fn named_by<'a>(found: &'a [Incident], id: &str) -> anyhow::Result<&'a Incident> {
    let named: Vec<_> = found.iter().filter(|incident| incident.id.starts_with(id)).collect();
    let [incident] = named[..] else {
        match named.len() {
            0 => bail!("no incident has an id that begins with {id}: archiver incidents list shows all ids"),
            count => bail!("{count} incidents have an id that begins with {id}: give more characters of the id"),
        }
    };
    if let Some(closed) = &incident.closed {
        bail!("incident {} cannot be closed again: {}", incident.id, shown(&closed.sentence()));
    }
    Ok(incident)
}

async fn write_closure(store: &Store, incident: &Incident, arguments: &CloseArguments) -> anyhow::Result<()> {
    let closure = Closure {
        v: Closure::VERSION,
        file: incident.file.clone(),
        etag: incident.etag.clone(),
        by: arguments.by.clone(),
        at: Timestamp::now(),
        reason: arguments.reason.clone(),
        problems: incident.problems.clone(),
    };
    let key = keys::closure(&closure.file, &closure.etag);
    let put = Put { key: &key, bytes: text::json(&closure)?.into(), content_type: "application/json", sha256: None };
    match store.put(put, Condition::Absent).await? {
        Written::Yes(_) => writeln!(io::stdout(), "{} is closed; the record is {key}", incident.id)?,
        Written::Conflict => bail!(
            "incident {} was closed by another user meanwhile: archiver incidents list shows by whom",
            incident.id
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_is_one_line_of_words() {
        assert_eq!(words("  vendor ticket 4711 "), Ok("vendor ticket 4711".to_owned()));
        for wrong in ["", "  ", "two\nlines", "\u{1b}[31m", &"x".repeat(MAX_CHARS + 1)] {
            assert!(words(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn id_is_the_start_of_a_hash() {
        assert_eq!(id("1F0C"), Ok("1f0c".to_owned()));
        for wrong in ["", "1f0", "inbox/day.zip", "../1f0c"] {
            assert!(id(wrong).is_err(), "{wrong:?}");
        }
    }
}
