//! Reads the file of a user map, and reports its errors, warnings and missing mailboxes.

use std::{fs::File, io::Read, path::Path};

use anyhow::Context;
use indicatif::ProgressBar;
use mapping::{RowError, UserMap, UserMapErrors};
use model::MailboxAddress;
use serde_json::json;

use crate::{
    connection::Connection,
    mailboxes,
    text::{self, shown_up_to, visible},
};

/// Reads a file, up to the size limit of a user map.
pub(super) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let opened = File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    // One byte over the limit makes the parser report that the file is too large.
    let limit = UserMap::MAX_BYTES as u64 + 1;
    opened.take(limit).read_to_end(&mut bytes).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(bytes)
}

/// Returns the numbers of users and mailboxes in a map.
pub(super) fn counts(map: &UserMap) -> (usize, usize) {
    let mut mailboxes: Vec<_> = map.people().into_iter().map(|(_, address)| address).collect();
    mailboxes.sort_unstable();
    mailboxes.dedup();
    (map.len(), mailboxes.len())
}

/// Returns the mailboxes of a map that do not exist.
pub(super) async fn missing_mailboxes(
    connection: &Connection,
    ministack: &Path,
    map: &UserMap,
) -> anyhow::Result<Vec<(u64, MailboxAddress)>> {
    let bar = ProgressBar::new(map.mailboxes().len() as u64);
    let lookup = async {
        let mailboxes = mailboxes::connect(connection, ministack).await.map_err(anyhow::Error::msg)?;
        Ok::<_, anyhow::Error>(mailboxes::missing(mailboxes.as_ref(), map, |count| bar.set_position(count)).await?)
    };
    let missing = lookup.await.context("the file is valid, but looking up its mailboxes in the mail system failed");
    bar.finish_and_clear();
    missing
}

pub(super) fn missing_mailbox_line((line, address): &(u64, MailboxAddress)) -> String {
    format!(
        "line {line}: mailbox {address} not found: correct the address or create the mailbox; until then items of this number wait; after \
         RetryHours they are filed by their own e-mail property, if any, or become dead letters (mailbox-not-found)"
    )
}

#[expect(clippy::print_stdout, reason = "this is the command's own output")]
pub(super) fn print_errors(file: &Path, errors: &UserMapErrors, json: bool) -> anyhow::Result<()> {
    if json {
        let row =
            |row: &RowError| json!({"line": row.line, "kind": row.problem.kind(), "problem": row.problem.to_string()});
        let rows: Vec<_> = errors.rows().iter().map(row).collect();
        println!("{}", text::json(&json!({"valid": false, "wrong_rows": errors.count(), "errors": rows}))?);
    } else {
        println!("{}", visible(&errors.to_string()));
        println!("{} is invalid: rows with errors: {}", file.display(), errors.count());
    }
    Ok(())
}

/// Prints which columns of a map are not read, and how many rows have a period.
#[expect(clippy::print_stderr, reason = "this is the command's own output")]
pub(super) fn print_columns(map: &UserMap) {
    if map.has_periods() {
        eprintln!("{} rows have a period (valid_from, valid_to)", map.period_rows());
    }
    if !map.ignored_columns().is_empty() {
        eprintln!("{}", shown_up_to(&format!("columns that are ignored: {}", map.ignored_columns().join(", ")), 1_000));
    }
}

#[expect(clippy::print_stderr, reason = "this is the command's own output")]
pub(super) fn print_warnings(warnings: &[String]) {
    for warning in warnings {
        eprintln!("warning: {}", shown_up_to(warning, 2_000));
    }
}
