//! What a check of the set-up asks. It changes nothing.

use super::Graph;
use crate::mailbox::{Mailbox, MailboxError};

impl Graph {
    /// What an administrator has granted the application in Entra, for the whole tenant, as a token says it. For
    /// information: the token is not verified. `None` where it is none that can be read. What Exchange grants for some
    /// mailboxes (RBAC for Applications) is in no token.
    ///
    /// # Errors
    /// [`MailboxError::Unavailable`] or [`MailboxError::Setup`]: there is no token.
    pub async fn granted(&self) -> Result<Option<Vec<String>>, MailboxError> {
        Ok(self.client.roles(&mut self.patience()).await?)
    }

    /// Whether the archive folder is there. It is not made.
    ///
    /// # Errors
    /// [`MailboxError`]: that is not known.
    pub async fn has_folder(&self, mailbox: &Mailbox) -> Result<bool, MailboxError> {
        let lane = self.lanes.of(&mailbox.id);
        let found = self.find_archive(&lane, &mailbox.id, &mut self.patience()).await?;
        Ok(found.is_some())
    }
}
