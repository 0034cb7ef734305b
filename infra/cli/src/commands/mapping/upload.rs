//! `archiver mapping upload`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::bail;
use aws::s3::{Condition, Object, Put, Written};
use jiff::Timestamp;
use mapping::{UserMap, UserMapRecord};
use phone::PhoneNumber;
use serde::Serialize;

use super::{
    file::{missing_mailbox_line, missing_mailboxes, print_columns, print_errors, print_warnings, read},
    warnings::warnings,
};
use crate::{
    confirm::{NOT_CONFIRMED, confirmed},
    connection::{Connection, Deployment},
    text::{self, shown_up_to},
    user_map::{CONFIRM_MOVES, CONFIRM_SHRINK, Refusal, UserMapArguments, UserMapSettings, last_used, record_as_used},
};

#[derive(Debug, clap::Args)]
pub(super) struct UploadArguments {
    /// The file, CSV in UTF-8
    file: PathBuf,
    /// Skip the confirmation
    #[arg(long)]
    yes: bool,
    /// Upload a map in which over 10 % of the numbers, and more than 5, lose their mailbox, or which import would refuse because
    /// many numbers of the last one are missing or have no valid row, and confirm it for import
    #[arg(long)]
    confirm_shrink: bool,
    /// Upload a map in which over 10 % of the numbers, and more than 5, change their mailbox
    #[arg(long)]
    confirm_moves: bool,
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
    /// Rows with a period that only one of the two maps has.
    period_rows_changed: usize,
    /// Numbers that have a mailbox now and after.
    #[serde(skip)]
    common: usize,
}

impl Change {
    /// Compares the mailboxes that each number has at a time. `before` is `None` if the present map is invalid.
    fn between(before: Option<&UserMap>, after: &UserMap, now: Timestamp) -> Self {
        let empty = UserMap::empty();
        let old = before.unwrap_or(&empty);
        let (mut added, mut moved, mut common) = (0, 0, 0);
        for (number, _) in after.numbers() {
            match (old.address_of(&number, now), after.address_of(&number, now)) {
                (None, Some(_)) => added += 1,
                (Some(before), Some(after)) => {
                    common += 1;
                    moved += usize::from(before != after);
                }
                (_, None) => {}
            }
        }
        let is_lost =
            |number: &PhoneNumber| old.address_of(number, now).is_some() && after.address_of(number, now).is_none();
        let removed = old.numbers().filter(|(number, _)| is_lost(number)).count();
        Self {
            numbers_before: before.map(UserMap::len),
            numbers_after: after.len(),
            added,
            removed,
            to_another_mailbox: moved,
            period_rows_changed: after.changed_period_rows(old),
            common,
        }
    }

    /// Returns whether so many numbers change their mailbox that a column of the table may have been sorted alone.
    fn moves_many(&self) -> bool {
        self.to_another_mailbox > UserMapRecord::HANDFUL && self.to_another_mailbox * 10 > self.common
    }

    /// Returns whether so many numbers lose their mailbox that another column of the table may have been read.
    fn removes_many(&self) -> bool {
        self.removed > UserMapRecord::HANDFUL && self.removed * 10 > self.removed + self.common
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
    print_columns(&map);
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
    let change = Change::between(in_use.as_ref(), &map, Timestamp::now());
    match change.numbers_before {
        Some(numbers) => eprintln!(
            "{key}: {numbers} numbers now, {} after: {} added, {} removed, {} to another mailbox{}",
            change.numbers_after,
            change.added,
            change.removed,
            change.to_another_mailbox,
            match change.period_rows_changed {
                0 => String::new(),
                rows => format!("; {rows} rows with a period added, removed or changed"),
            }
        ),
        None => eprintln!("{key}: the present map is invalid, and import files nothing; {} numbers after", map.len()),
    }
    let record = UserMapRecord::of(&map, Some(&bytes), Timestamp::now());
    let last = last_used(&connection.store).await?;
    let refusal = last.refusal(&record, &map);
    if let Some((reason, option)) = unconfirmed(arguments, &change, refusal) {
        eprintln!("{reason}. Nothing was changed; upload it with {option} if it is intended.");
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

/// Returns why the map needs an option to be uploaded, and the option; `None` if it needs none, or has been confirmed.
fn unconfirmed(
    arguments: &UploadArguments,
    change: &Change,
    refusal: Option<Refusal>,
) -> Option<(String, &'static str)> {
    let is_given = |option| if option == CONFIRM_MOVES { arguments.confirm_moves } else { arguments.confirm_shrink };
    if let Some(refusal) = refusal.filter(|refusal| !is_given(refusal.option())) {
        return Some((format!("Import would reject this map: {refusal}"), refusal.option()));
    }
    let Change { to_another_mailbox: moved, common, removed, .. } = change;
    if change.removes_many() && !arguments.confirm_shrink {
        let had = removed + common;
        let reason = format!(
            "{removed} of {had} numbers lose their mailbox: check the column of the numbers, DefaultRegion, valid_from and valid_to"
        );
        return Some((reason, CONFIRM_SHRINK));
    }
    (change.moves_many() && !arguments.confirm_moves).then(|| {
        let reason = format!("{moved} of {common} numbers change their mailbox: check that no column was sorted alone");
        (reason, CONFIRM_MOVES)
    })
}

#[cfg(test)]
mod tests {
    use mapping::Refused;

    use super::*;

    fn map(rows: &[&str]) -> UserMap {
        let csv = format!("Phone,Mail,valid_from,valid_to\n{}\n", rows.join("\n"));
        UserMap::parse(csv.as_bytes(), None).unwrap()
    }

    fn change(before: &[&str], after: &[&str]) -> (usize, usize, usize, usize) {
        let change = Change::between(Some(&map(before)), &map(after), "2026-06-01T00:00:00Z".parse().unwrap());
        (change.added, change.removed, change.to_another_mailbox, change.period_rows_changed)
    }

    /// A number with two owners in turn is one number, which has one mailbox now.
    #[test]
    fn number_is_counted_once_whatever_periods_it_has() {
        let ada = "+4520123456,ada@example.com,,2026-01-31";
        let bob = "+4520123456,bob@example.com,2026-02-01,";
        let (cy, future) = ("+525512345678,cy@example.com,,", "+4520123457,dee@example.com,2027-01-01,");
        assert_eq!(change(&[ada, bob, cy], &[ada, bob, cy]), (0, 0, 0, 0));
        assert_eq!(change(&["+4520123456,ada@example.com,,"], &[ada, bob]), (0, 0, 1, 2));
        assert_eq!(change(&[ada, bob], &[ada]), (0, 1, 0, 1), "no owner now");
        assert_eq!(change(&[cy], &[cy, future]), (0, 0, 0, 1), "later");
        assert_eq!(change(&[], &["+5215512345678,cy@example.com,,"]), (1, 0, 0, 0), "two forms");
    }

    #[test]
    fn many_moves_need_their_option() {
        let arguments = |confirm_moves| UploadArguments { confirm_moves, ..parsed(&["upload", "people.csv", "--yes"]) };
        let rows = |shift: usize, moved: usize| -> Vec<String> {
            let owner = |row: usize| if row < moved { (row + shift) % moved } else { row };
            (0..60).map(|row| format!("+45201234{row:02},p{}@example.com,,", owner(row))).collect()
        };
        let needed = |moved: usize, confirmed| {
            let (before, after) = (rows(0, 60), rows(1, moved));
            let [before, after] = [before, after].map(|rows| map(&rows.iter().map(String::as_str).collect::<Vec<_>>()));
            let change = Change::between(Some(&before), &after, Timestamp::now());
            unconfirmed(&arguments(confirmed), &change, None).map(|(_, option)| option)
        };
        assert_eq!((needed(5, false), needed(6, false)), (None, None), "up to a tenth");
        assert_eq!((needed(7, false), needed(7, true)), (Some("--confirm-moves"), None));
        let none = Change::between(None, &UserMap::empty(), Timestamp::now());
        let moved = Some(Refusal::Map(Refused::Moved { moved: 20, common: 20 }));
        assert_eq!(unconfirmed(&arguments(false), &none, moved).map(|(_, option)| option), Some("--confirm-moves"));
        assert!(unconfirmed(&arguments(true), &none, moved).is_none());
        let shrunk = Some(Refusal::Map(Refused::Shrunk { before: 20, after: 2 }));
        assert_eq!(unconfirmed(&arguments(true), &none, shrunk).map(|(_, option)| option), Some("--confirm-shrink"));
    }

    /// Other numbers stand in the place of some, so the count is the same.
    #[test]
    fn many_removals_need_their_option() {
        let arguments =
            |confirm_shrink| UploadArguments { confirm_shrink, ..parsed(&["upload", "people.csv", "--yes"]) };
        let rows = |replaced: usize, rest: &str| -> UserMap {
            let prefix = |row| if row < replaced { "+45301234" } else { "+45201234" };
            let rows: Vec<_> =
                (0..60).map(|row| format!("{}{row:02},p{row}@example.com,{rest}", prefix(row))).collect();
            map(&rows.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let needed = |after: &UserMap, confirmed| {
            let change = Change::between(Some(&rows(0, ",")), after, Timestamp::now());
            unconfirmed(&arguments(confirmed), &change, None).map(|(_, option)| option)
        };
        assert_eq!((needed(&rows(5, ","), false), needed(&rows(6, ","), false)), (None, None), "up to a tenth");
        for after in [rows(20, ","), rows(0, ",2026-01-31")] {
            assert_eq!((needed(&after, false), needed(&after, true)), (Some("--confirm-shrink"), None));
        }
        for refused in [Refused::Replaced { lost: 20, sampled: 20 }, Refused::Ended { before: 20, after: 0 }] {
            assert_eq!(Refusal::Map(refused).option(), "--confirm-shrink");
        }
    }

    fn parsed(line: &[&str]) -> UploadArguments {
        use clap::{Args, FromArgMatches};
        let command = UploadArguments::augment_args(clap::Command::new("upload"));
        UploadArguments::from_arg_matches(&command.get_matches_from(line)).unwrap()
    }
}
