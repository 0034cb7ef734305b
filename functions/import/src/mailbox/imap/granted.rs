//! What a check of the set-up asks. It changes nothing, and opens no mailbox.

use std::time::Duration;

use super::{Imap, login::Login};
use crate::mailbox::{MailboxError, patience::Patience};

impl Imap {
    /// What an administrator has granted the application in Entra, as a token for Exchange Online says it. For
    /// information: the token is not verified. `None` where it is none that can be read, and where the login is an
    /// account's.
    ///
    /// # Errors
    /// [`MailboxError::Unavailable`] or [`MailboxError::Setup`]: there is no token.
    pub async fn granted(&self) -> Result<Option<Vec<String>>, MailboxError> {
        let Login::Entra { tokens, http } = &self.login else { return Ok(None) };
        let mut patience = Patience::new(self.config.longest_wait, Duration::from_millis(500));
        Ok(tokens.get(http, None, &mut patience).await?.roles())
    }
}
