//! `archiver migrate`: copies the outcomes of release 0.1 to the keys of this release.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use indicatif::ProgressBar;
use ledger::{Migrated, migrate_dated_outcomes};

use crate::{
    connection::{Connection, Deployment},
    text,
};

/// Arguments of `archiver migrate`.
#[derive(Debug, clap::Args)]
pub struct MigrateArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    deployment: Deployment,
}

/// Help text after the arguments.
pub const HELP: &str = "Release 0.1 stored the outcome of an item under the date of its archived time. Until it is copied, an item of \
    that release that the source lists again under another date is filed a second time. Run this once, after the update and \
    before imports continue. No outcome is changed or deleted, and a second run changes nothing. It needs one request to S3 for \
    each 1,000 outcomes, and two for each outcome of release 0.1.\n\
    Exit code: 0 done; 1 failed; 2 invalid arguments.\n\
    Example:\n  archiver migrate --stack whatsapp-archiver";

/// Runs the command.
///
/// # Errors
/// The deployment cannot be reached, or an outcome cannot be read.
pub async fn run(arguments: MigrateArguments) -> anyhow::Result<ExitCode> {
    let connection = Connection::open(&arguments.deployment).await?;
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let migrated = migrate_dated_outcomes(&connection.store, |done| bar.set_message(format!("{done} items"))).await;
    bar.finish_and_clear();
    connection.close().await?;
    let migrated = migrated?;
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", text::json(&migrated)?)?;
    } else {
        writeln!(out, "{}", sentences(migrated))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn sentences(Migrated { dated, migrated, kept, several_dates }: Migrated) -> String {
    let mut text = format!(
        "{dated} outcomes of release 0.1: {migrated} items were copied to the keys of this release, {kept} had an outcome there."
    );
    if several_dates > 0 {
        text += &format!(
            "\n{several_dates} items have outcomes under several dates and may have been filed more than once: archiver reconcile \
             --deep counts copies."
        );
    }
    text
}
