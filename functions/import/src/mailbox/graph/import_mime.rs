//! importMime of Graph's beta: the message as it is, in one request.

use std::sync::atomic::Ordering;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Graph,
    client::Request,
    error::Failure,
    filing::Work,
    look::{By, Stored},
};
use crate::mailbox::{MailboxError, patience::Patience};

impl Graph {
    /// Puts the message in as it is; `None` where it is too large for that. How large it may be no document says.
    pub(super) async fn import_mime(
        &self,
        work: &Work<'_>,
        archive: &str,
        mime: &[u8],
        patience: &mut Patience,
    ) -> Result<Option<Stored>, Failure> {
        let url = self.client.hosts.beta(&["users", work.mailbox, "mailFolders", archive, "importMime"]);
        let request = Request::post_text(url, STANDARD.encode(mime)).answered_with_message();
        loop {
            let imported = self.client.ask_once(Some(&work.lane.permits), &request, patience).await;
            let failure = match imported.and_then(|answer| Ok(answer.json::<Stored>()?)) {
                Ok(stored) => return self.no_draft(work, archive, stored, patience).await.map(Some),
                Err(Failure::Refused(refusal)) if refusal.is_too_large() => {
                    if !self.too_large_for_import.swap(true, Ordering::Relaxed) {
                        tracing::warn!("Graph takes no MIME of this size: such messages are rebuilt as JSON");
                    }
                    return Ok(None);
                }
                Err(failure) if failure.is_unclear() => failure,
                Err(failure) => return Err(failure),
            };
            if let Some(stored) = self.look_after(work, (archive, By::Identity), failure, patience).await? {
                return Ok(Some(stored));
            }
        }
    }

    /// Whether Graph did as it is documented. A draft is no record: it is taken away, and no other item will fare better
    /// until somebody has looked.
    async fn no_draft(
        &self,
        work: &Work<'_>,
        archive: &str,
        stored: Stored,
        patience: &mut Patience,
    ) -> Result<Stored, Failure> {
        if stored.is_draft == Some(false) {
            return Ok(stored);
        }
        self.remove(work, archive, &stored.id, patience).await?;
        let detail = "importMime made a draft: use another way into the mailbox".to_owned();
        Err(MailboxError::Setup { detail }.into())
    }
}
