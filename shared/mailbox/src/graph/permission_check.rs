//! What a check of the configuration needs. Changes nothing.

use super::Graph;
use crate::{Mailbox, MailboxError};

impl Graph {
    /// The permissions that an administrator has granted the application in Entra for the whole tenant, as a token says it.
    /// For information: the token is not verified. `None` where the token cannot be read. What Exchange grants for some
    /// mailboxes (RBAC for Applications) is in no token.
    ///
    /// # Errors
    /// [`MailboxError::Unavailable`] or [`MailboxError::Setup`]: there is no token.
    pub async fn granted(&self) -> Result<Option<Vec<String>>, MailboxError> {
        Ok(self.client.roles(&mut self.retry_budget()).await?)
    }

    /// Whether the archive folder exists. It is not created.
    ///
    /// # Errors
    /// [`MailboxError`]: that is not known.
    pub async fn has_folder(&self, mailbox: &Mailbox) -> Result<bool, MailboxError> {
        let state = self.limits.of(&mailbox.id);
        let found = self.find_archive(&state, &mailbox.id, &mut self.retry_budget()).await?;
        Ok(found.is_some())
    }
}
