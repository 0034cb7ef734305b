//! `archiver mapping confirm`.

use std::process::ExitCode;

use jiff::Timestamp;
use mapping::{UserMap, UserMapRecord};

use crate::{
    confirm::{NOT_CONFIRMED, confirmed},
    connection::{Connection, Deployment},
    user_map::{LastUsed, UserMapArguments, UserMapSettings, last_used, record_as_used},
};

#[derive(Debug, clap::Args)]
pub(super) struct ConfirmArguments {
    /// Skip the confirmation
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    user_map: UserMapArguments,
    #[command(flatten)]
    deployment: Deployment,
}

pub(super) async fn confirm(arguments: &ConfirmArguments) -> anyhow::Result<ExitCode> {
    let connection = Connection::open(&arguments.deployment).await?;
    let done = confirm_in(&connection, arguments).await;
    connection.close().await?;
    done
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command's own output")]
async fn confirm_in(connection: &Connection, arguments: &ConfirmArguments) -> anyhow::Result<ExitCode> {
    let UserMapSettings { key, default_region } = UserMapSettings::of(&arguments.user_map, connection)?;
    let object = connection.store.get(&key, UserMap::MAX_BYTES as u64).await?;
    let map = match &object {
        None => UserMap::empty(),
        Some(object) => match UserMap::parse(&object.bytes, default_region) {
            Ok(map) => map,
            Err(errors) => {
                println!("{errors}");
                eprintln!("{key} is invalid and cannot be confirmed: correct it and upload it");
                return Ok(ExitCode::FAILURE);
            }
        },
    };
    let record = UserMapRecord::of(&map, object.as_ref().map(|object| &object.bytes[..]), Timestamp::now());
    let last_used = last_used(&connection.store).await?;
    let refusal = last_used.refusal(&record, &map);
    // An unreadable record is replaced.
    let LastUsed { record: last, object: before } = last_used;
    let last = last.ok().flatten();
    if last.as_ref().is_some_and(|last| last.is_same_map(&record)) {
        println!("{key}: nothing to confirm; import uses it, with {} numbers", map.len());
        return Ok(ExitCode::SUCCESS);
    }
    let had = last.map_or("no map".to_owned(), |last| format!("{} numbers", last.numbers));
    let has = if object.is_some() { format!("{} numbers", map.len()) } else { "no file".to_owned() };
    eprintln!("{key}: {has} now; the last map that import used: {had}");
    if let Some(refusal) = refusal {
        eprintln!("{refusal}");
    }
    if !confirmed("Use this map?", arguments.yes)? {
        eprintln!("Nothing was changed.");
        return Ok(ExitCode::from(NOT_CONFIRMED));
    }
    record_as_used(&connection.store, &record, before).await?;
    println!("{key} confirmed: {has}. Import uses it with its next batch.");
    Ok(ExitCode::SUCCESS)
}
