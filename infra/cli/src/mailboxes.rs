//! Connects to the mail system of a deployment with import's settings.

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

/// Concurrent mailbox lookups.
const CONCURRENT_LOOKUPS: usize = 4;

/// Connects to the mail system with import's settings, or returns the reason why that is impossible.
pub(super) async fn connect(connection: &Connection, ministack: &Path) -> Result<Arc<dyn Mailboxes>, String> {
    let variables = settings::of(connection, Part::Import, mailbox::VARIABLES, ministack).await;
    let variables = variables.map_err(|error| error.to_string())?;
    let settings = MailboxSettings::read(&variables).map_err(|error| error.to_string())?;
    settings.connect(Secrets::new(&connection.config)).map_err(|error| error.to_string())
}

/// Returns the mailboxes of a user map that do not exist, each with the first line that names it. `progress` receives the
/// number of lookups.
///
/// # Errors
/// The first error of the mail system.
pub(super) async fn missing(
    mailboxes: &dyn Mailboxes,
    map: &UserMap,
    progress: impl Fn(u64),
) -> Result<Vec<(u64, MailboxAddress)>, MailboxError> {
    let mut found = stream::iter(map.mailboxes())
        .map(|(address, line)| async move { mailboxes.find(address).await.map(|found| (line, address, found)) })
        .buffered(CONCURRENT_LOOKUPS);
    let (mut missing, mut count) = (Vec::new(), 0);
    while let Some((line, address, mailbox)) = found.try_next().await? {
        count += 1;
        progress(count);
        if mailbox.is_none() {
            missing.push((line, address.clone()));
        }
    }
    missing.sort_unstable_by_key(|(line, _)| *line);
    Ok(missing)
}
