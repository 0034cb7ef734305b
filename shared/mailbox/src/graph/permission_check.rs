//! Checks of the configuration. They change nothing.

use super::Graph;
use crate::{Mailbox, MailboxError};

impl Graph {
    /// Returns the application's tenant-wide permissions according to its token, which is not verified; `None` if the
    /// token cannot be read. A token does not contain permissions for single mailboxes (RBAC for Applications).
    ///
    /// # Errors
    /// [`MailboxError::Unavailable`] or [`MailboxError::Configuration`]: the request for a token failed.
    pub async fn granted(&self) -> Result<Option<Vec<String>>, MailboxError> {
        Ok(self.client.roles(&mut self.retry_budget()).await?)
    }

    /// Returns whether the archive folder exists. Does not create it.
    ///
    /// # Errors
    /// [`MailboxError`]: it is unknown whether the folder exists.
    pub async fn has_folder(&self, mailbox: &Mailbox) -> Result<bool, MailboxError> {
        let state = self.limits.of(&mailbox.id);
        let found = self.find_archive_folder(&state, &mailbox.id, &mut self.retry_budget()).await?;
        Ok(found.is_some())
    }
}
