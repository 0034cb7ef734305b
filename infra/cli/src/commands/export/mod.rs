//! `archiver export`: writes the stored items of a window to files to hand over: RSMF, or the stored mails.

mod arguments;
mod directory;
mod files;
mod items;
mod manifest;
mod related_chats;
mod stored;
mod survey;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::error::ErrorKind;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

pub use self::arguments::ExportArguments;
use self::{
    arguments::Request,
    directory::{Directory, State},
    manifest::{Completeness, Manifest},
    survey::Survey,
};
use crate::{Interrupt, connection::Connection, text::visible, time::check_period};

/// Help text after the arguments.
pub const HELP: &str = "Each file contains one chat and one day, in UTC, by the time at which messages were sent. Edits, \
    deletions, reactions and votes are folded into the message that they concern, if it is in the export. Each message is read from \
    the bucket and its SHA-256 is compared with the recorded one. Stored messages are kept for MimeDays.\n\
    DIR gets the files, export.json (counts, and each item that is not in the export with the reason), export.txt (its summary), \
    items.csv (the file of each item), and SHA256SUMS: verify with sha256sum -c SHA256SUMS. They contain messages and personal data. \
    An interrupted export continues when the same command is run again; items that are archived later are not added.\n\
    All items that the source received after --from are read (up to --archived-before, if given), because a phone may be offline for \
    weeks. A person who hides the phone number continues in a chat with another id: with --chat, the other chats of the same people \
    are in export.json as related_chats (exit code 3); add each with another --chat. The time of an item without a stored message is unknown, so it is listed as not exported.\n\
    Exit code: 0 when every item of the window is in the export; 1 when a stored message is missing or its SHA-256 differs, part of \
    the window was not fetched or is unknown, a vendor's file that was received since a day before --from does not match its manifest or a value of a webhook was not recognized (an open incident: archiver incidents), later archived times were not fetched (without --archived-before), a stored webhook was not processed, or the export could not be finished; 2 invalid arguments; 3 when items without a \
    stored message are left out (not converted yet, or dead letters), the end of the window is not fetched yet, or receive has tasks or dead letters.\n\
    Examples:\n  archiver export --rsmf --from 2026-11-01 --to 2026-12-01 --mailbox ada@example.com handover\n  \
    archiver export --rsmf --from 2026-11-20 --to 2026-11-21 --chat 120363025246125486@g.us handover\n  \
    archiver export --eml --from 2026-11-01 --to 2026-12-01 mails";

/// Exit code for an export that lacks items without a stored message.
const ITEMS_LEFT_OUT: u8 = 3;

/// Runs the command. The summary goes to standard output, progress to standard error.
///
/// # Errors
/// The deployment or its objects cannot be read, or the files cannot be written.
pub async fn run(arguments: ExportArguments) -> anyhow::Result<ExitCode> {
    check_period(Some(arguments.from), Some(arguments.to));
    if let Some(before) = arguments.archived_before.filter(|before| *before <= arguments.from) {
        let why = format!("--archived-before {before} is not after --from {}\n", arguments.from);
        clap::Error::raw(ErrorKind::ValueValidation, why).exit();
    }
    let connection = Connection::open(&arguments.deployment).await?;
    let done = export(&connection, &arguments).await;
    connection.close().await?;
    done
}

async fn export(connection: &Connection, arguments: &ExportArguments) -> anyhow::Result<ExitCode> {
    let request = Request {
        format: arguments.format.format(),
        deployment: match connection.one_machine_root() {
            Some(directory) => directory.display().to_string(),
            None => connection.store.bucket().to_owned(),
        },
        from: arguments.from,
        to: arguments.to,
        archived_before: arguments.archived_before,
        mailbox: arguments.mailbox.clone(),
        chats: arguments.chats.clone(),
    };
    let directory = match Directory::open(&arguments.directory, &request)? {
        State::Finished(manifest) => return finished_before(arguments, &manifest),
        State::Open(directory) => directory,
    };
    let interrupt = Interrupt::listen();
    let survey = match directory.survey(&request)? {
        Some(survey) => survey,
        None => {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(200));
            let options = arguments.deployment.options();
            let progress = |items| bar.set_message(format!("{items} items found"));
            let mut items = directory.begin_items()?;
            let survey = Survey::make(connection, &mut items, request, &options, &interrupt, progress).await;
            bar.finish_and_clear();
            let survey = survey?;
            directory.save_survey(&survey, items)?;
            survey
        }
    };
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} items, {eta} left");
    let bar = ProgressBar::new(survey.items).with_style(style?);
    let progress = |items| bar.set_position(items);
    let finished = files::write(&connection.store, &directory, &survey, &interrupt, progress).await;
    bar.finish_and_clear();
    let finished = finished?;
    let manifest = Manifest::of(&survey, &finished);
    let sums = manifest.write(&directory, &survey, &finished)?;
    // Closed before the output, which may fail: the next run then finds a finished export and changes nothing.
    directory.close()?;
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", crate::text::json(&manifest)?)?;
    } else {
        write!(out, "{}", visible(&manifest.summary()))?;
        writeln!(out, "SHA-256 of SHA256SUMS: {sums}")?;
    }
    Ok(exit_code(manifest.completeness()))
}

/// Reports an export that an earlier run finished, with its exit code.
fn finished_before(arguments: &ExportArguments, manifest: &serde_json::Value) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", crate::text::json(manifest)?)?;
    } else {
        writeln!(out, "{} contains this export, finished: nothing was written.", arguments.directory.display())?;
    }
    Ok(exit_code(Completeness::deserialize(&manifest["completeness"])?))
}

fn exit_code(completeness: Completeness) -> ExitCode {
    match completeness {
        Completeness::Complete => ExitCode::SUCCESS,
        Completeness::ItemsLeftOut => ExitCode::from(ITEMS_LEFT_OUT),
        Completeness::Damaged => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_code_depends_on_completeness() {
        for (completeness, code) in
            [(Completeness::Complete, 0), (Completeness::Damaged, 1), (Completeness::ItemsLeftOut, 3)]
        {
            assert_eq!(format!("{:?}", exit_code(completeness)), format!("{:?}", ExitCode::from(code)));
        }
    }
}
