//! `archiver mapping upload`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::bail;
use aws::s3::{Condition, Object, Put, Written};
use jiff::Timestamp;
use mapping::{UserMap, UserMapRecord};
use serde::Serialize;

use super::{
    file::{missing_mailbox_line, missing_mailboxes, print_errors, print_warnings, read},
    warnings::warnings,
};
use crate::{
    confirm::{NOT_CONFIRMED, confirmed},
    connection::{Connection, Deployment},
    text::{self, shown_up_to},
    user_map::{UserMapArguments, UserMapSettings, last_used, record_as_used},
};

#[derive(Debug, clap::Args)]
pub(super) struct UploadArguments {
    /// The file, CSV in UTF-8
    file: PathBuf,
    /// Skip the confirmation
    #[arg(long)]
    yes: bool,
    /// Upload a map that has over 10 % fewer numbers than the one that import used last, and confirm it for import
    #[arg(long)]
    confirm_shrink: bool,
    /// First check in the deployment's mail system that each mailbox exists, and upload nothing if one is missing
    #[arg(long)]
    mailboxes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    user_map: UserMapArguments,
    #[command(flatten)]
    deployment: Deployment,
}

/// Differences that an upload makes, in numbers of users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Change {
    numbers_before: Option<usize>,
    numbers_after: usize,
    added: usize,
    removed: usize,
    to_another_mailbox: usize,
}

impl Change {
    /// Compares two maps. `before` is `None` if the present map is invalid.
    fn between(before: Option<&UserMap>, after: &UserMap) -> Self {
        let empty = UserMap::empty();
        let old = before.unwrap_or(&empty);
        let now = Timestamp::now();
        let (mut added, mut moved) = (0, 0);
        for (number, address) in after.people() {
            match old.address_of(&number, now) {
                None => added += 1,
                Some(other) if other != address => moved += 1,
                Some(_) => {}
            }
        }
        let removed = old.people().into_iter().filter(|(number, _)| after.address_of(number, now).is_none()).count();
        Self {
            numbers_before: before.map(UserMap::len),
            numbers_after: after.len(),
            added,
            removed,
            to_another_mailbox: moved,
        }
    }
}

pub(super) async fn upload(arguments: &UploadArguments) -> anyhow::Result<ExitCode> {
    let bytes = read(&arguments.file)?;
    let connection = Connection::open(&arguments.deployment).await?;
    let done = upload_to(&connection, arguments, bytes).await;
    connection.close().await?;
    done
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the command's own output")]
async fn upload_to(connection: &Connection, arguments: &UploadArguments, bytes: Vec<u8>) -> anyhow::Result<ExitCode> {
    let UserMapSettings { key, default_region } = UserMapSettings::of(&arguments.user_map, connection)?;
    let key = key.as_str();
    let map = match UserMap::parse(&bytes, default_region) {
        Ok(map) => map,
        Err(errors) => {
            print_errors(&arguments.file, &errors, arguments.json)?;
            return Ok(ExitCode::FAILURE);
        }
    };
    print_warnings(&warnings(&map));
    if arguments.mailboxes {
        let missing = missing_mailboxes(connection, &arguments.deployment.ministack, &map).await?;
        missing.iter().for_each(|missing| eprintln!("{}", shown_up_to(&missing_mailbox_line(missing), 1_000)));
        if !missing.is_empty() {
            eprintln!("Nothing was changed.");
            return Ok(ExitCode::FAILURE);
        }
    }
    let before = connection.store.get(key, UserMap::MAX_BYTES as u64).await?;
    let in_use = match &before {
        None => Some(UserMap::empty()),
        Some(object) => UserMap::parse(&object.bytes, default_region).ok(),
    };
    let change = Change::between(in_use.as_ref(), &map);
    match change.numbers_before {
        Some(numbers) => eprintln!(
            "{key}: {numbers} numbers now, {} after: {} added, {} removed, {} to another mailbox",
            change.numbers_after, change.added, change.removed, change.to_another_mailbox
        ),
        None => eprintln!("{key}: the present map is invalid, and import files nothing; {} numbers after", map.len()),
    }
    let record = UserMapRecord::of(&map, Some(&bytes));
    let last = last_used(&connection.store).await?;
    let refusal = last.refusal(&record);
    if let Some(refusal) = refusal.as_ref().filter(|_| !arguments.confirm_shrink) {
        eprintln!(
            "Import would reject this map: {refusal}. Nothing was changed; upload it with --confirm-shrink if it is intended."
        );
        return Ok(ExitCode::FAILURE);
    }
    // An upload with --confirm-shrink that ended between its two writes has left the file unconfirmed.
    let is_uploaded = before.as_ref().is_some_and(|object| object.bytes == bytes);
    if is_uploaded && refusal.is_none() {
        eprintln!("The bucket has the same file already; nothing was changed.");
        return Ok(ExitCode::SUCCESS);
    }
    let question = if is_uploaded { "The bucket has this file already. Confirm it?" } else { "Upload it?" };
    if !confirmed(question, arguments.yes)? {
        eprintln!("Nothing was changed.");
        return Ok(ExitCode::from(NOT_CONFIRMED));
    }
    if !is_uploaded {
        put_file(connection, key, bytes, before.as_ref()).await?;
    }
    if refusal.is_some() {
        record_as_used(&connection.store, &record, last.object).await?;
    }
    if arguments.json {
        println!("{}", text::json(&change)?);
    } else {
        let what = if is_uploaded { "confirmed" } else { "uploaded" };
        println!("{key} {what}: {} numbers. Import reads it with its next batch.", map.len());
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the file, if the object in the bucket is the one that the change was computed from.
async fn put_file(connection: &Connection, key: &str, bytes: Vec<u8>, before: Option<&Object>) -> anyhow::Result<()> {
    let condition = before.map_or(Condition::Absent, |Object { etag, .. }| Condition::Unchanged(etag));
    let put = Put { key, bytes: bytes.into(), content_type: "text/csv", sha256: None };
    match connection.store.put(put, condition).await? {
        Written::Yes(_) => Ok(()),
        Written::Conflict => {
            bail!("another writer has just changed {key}; nothing was uploaded: run the command again")
        }
    }
}
