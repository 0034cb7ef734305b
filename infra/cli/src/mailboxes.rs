//! The mail system of a deployment, asked as its import asks.

use std::{path::Path, sync::Arc};

use aws::secrets::Secrets;
use futures::{StreamExt, TryStreamExt, stream};
use mailbox::{MailboxError, MailboxSettings, Mailboxes};
use mapping::UserMap;
use model::MailboxAddress;

use crate::{
    connection::{Connection, Part},
    settings,
};

/// How many mailboxes are asked for at once.
const AT_ONCE: usize = 4;

/// The mail system as import has it, or why it cannot be had.
pub(super) async fn connect(connection: &Connection, ministack: &Path) -> Result<Arc<dyn Mailboxes>, String> {
    let variables = settings::of(connection, Part::Import, mailbox::VARIABLES, ministack).await;
    let variables = variables.map_err(|error| error.to_string())?;
    let settings = MailboxSettings::read(&variables).map_err(|error| error.to_string())?;
    settings.connect(Secrets::new(&connection.config)).map_err(|error| error.to_string())
}

/// The mailboxes of a user map that are not there, each with the line where it stands first. `asked` is told how many were
/// asked for.
///
/// # Errors
/// The first of the mail system's.
pub(super) async fn absent(
    mailboxes: &dyn Mailboxes,
    map: &UserMap,
    asked: impl Fn(u64),
) -> Result<Vec<(u64, MailboxAddress)>, MailboxError> {
    let mut found = stream::iter(map.mailboxes())
        .map(|(address, line)| async move { mailboxes.find(address).await.map(|found| (line, address, found)) })
        .buffered(AT_ONCE);
    let (mut absent, mut count) = (Vec::new(), 0);
    while let Some((line, address, mailbox)) = found.try_next().await? {
        count += 1;
        asked(count);
        if mailbox.is_none() {
            absent.push((line, address.clone()));
        }
    }
    absent.sort_unstable_by_key(|(line, _)| *line);
    Ok(absent)
}
