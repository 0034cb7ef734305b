//! Imports the unchanged message with one request: importMime of Graph's beta.

use std::sync::atomic::Ordering;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    Graph,
    client::Request,
    error::Failure,
    limits::REQUEST_MAX_BYTES,
    lookup::Stored,
    work::{TargetFolder, Work},
};
use http_client::RetryBudget;

impl Graph {
    /// Imports the message unchanged; `None` if it exceeds the limit of a request, or Graph reports that it is too
    /// large.
    pub(super) async fn import_mime(
        &self,
        work: &Work<'_>,
        archive: &str,
        mime: &[u8],
        budget: &mut RetryBudget,
    ) -> Result<Option<Stored>, Failure> {
        if mime.len().div_ceil(3) * 4 > REQUEST_MAX_BYTES {
            return Ok(None);
        }
        let url = self.client.hosts.beta(&["users", work.mailbox, "mailFolders", archive, "importMime"]);
        let request = Request::post_text(url, STANDARD.encode(mime)).with_message_response();
        loop {
            let imported = self.client.send_once(Some(&work.state.permits), &request, budget).await;
            let failure = match imported.and_then(|response| Ok(response.json::<Stored>()?)) {
                Ok(stored) => return self.checked(work, archive, stored, budget).await.map(Some),
                Err(Failure::Refused(refusal)) if refusal.code.is_some() && refusal.is_too_large() => {
                    if !self.too_large_for_import.swap(true, Ordering::Relaxed) {
                        tracing::warn!("MIME exceeds the limit of importMime: such messages are created from JSON");
                    }
                    return Ok(None);
                }
                Err(failure) if failure.is_unclear() => failure,
                Err(failure) => return Err(failure),
            };
            if let Some(stored) = self.look_up_after(work, TargetFolder::archive(archive), failure, budget).await? {
                return self.checked(work, archive, stored, budget).await.map(Some);
            }
        }
    }
}
