//! Checks of the configuration. They change nothing and open no mailbox.

use super::{Imap, login::Login};
use crate::MailboxError;

impl Imap {
    /// Returns the permissions of the application in Entra according to a token for Exchange Online, which is not
    /// verified; `None` if the token is opaque or the login is an account's.
    ///
    /// # Errors
    /// [`MailboxError::Unavailable`] or [`MailboxError::Configuration`]: the request for a token failed.
    pub async fn granted(&self) -> Result<Option<Vec<String>>, MailboxError> {
        let Login::Entra { tokens, http } = &self.login else { return Ok(None) };
        Ok(tokens.get(http, None, &mut self.retry_budget()).await?.roles())
    }
}
