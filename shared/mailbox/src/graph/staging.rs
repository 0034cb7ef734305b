//! Assembles large messages in a hidden folder, and moves them when they are complete.

use serde::Serialize;

use super::{
    Graph,
    attachments::{Comparison, compare},
    body::to_json,
    client::Request,
    concession::Concessions,
    error::Failure,
    lookup::Stored,
    work::{TargetFolder, Work},
};
use crate::{Attempt, MailboxError};
use http_client::RetryBudget;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Move<'a> {
    destination_id: &'a str,
}

/// An attachment whose outcome is unknown.
struct InProgress {
    /// The index of the file in the message.
    file: usize,
    failure: Failure,
}

impl Graph {
    /// Assembles a large message in the hidden folder and moves it when it is complete. After a failure that may be
    /// permanent the message is removed.
    pub(super) async fn assemble(
        &self,
        work: &Work<'_>,
        archive: &str,
        first: (&[usize], Concessions),
        attempt: Attempt,
        budget: &mut RetryBudget,
    ) -> Result<Stored, Failure> {
        let staging = self.staging(work.state, work.mailbox, archive, budget).await?;
        let place = TargetFolder::staging(archive, &staging);
        let result = self.stage_and_move(work, place, first, attempt, budget).await;
        if let Err(failure) = &result
            && failure.may_be_permanent()
            && let Err(failure) = self.remove_all(work, place, None, budget).await
        {
            let item = work.draft.identity.item.key();
            let error = MailboxError::from(failure);
            tracing::warn!(%item, %error, "removing an incomplete message failed, it stays in the hidden folder");
        }
        result
    }

    async fn stage_and_move(
        &self,
        work: &Work<'_>,
        place: TargetFolder<'_>,
        (first, concessions): (&[usize], Concessions),
        attempt: Attempt,
        budget: &mut RetryBudget,
    ) -> Result<Stored, Failure> {
        let files = &work.draft.content.attachments;
        let earlier = match attempt {
            Attempt::First => None,
            Attempt::Retry => self.find_stored(work, place, budget).await?,
        };
        let mut staged = match earlier {
            Some(stored) => stored,
            None => self.create(work, place, first, (concessions.clone(), None), budget).await?,
        };
        let mut recreated = false;
        let mut in_progress: Option<InProgress> = None;
        loop {
            let present = match (self.attachments(work, &staged.id, budget).await, in_progress.take()) {
                (Ok(present), before) => {
                    in_progress = before;
                    present
                }
                (Err(other), Some(InProgress { failure, .. })) => {
                    return Err(failure.outcome_unknown_before(&other, self.settle_time));
                }
                (Err(failure), None) => return Err(failure),
            };
            match compare(files, &present) {
                Comparison::Missing(missing) if missing.is_empty() => break,
                Comparison::Missing(missing) => match in_progress.take() {
                    // Sending it again could attach it twice, and there is no check after the move.
                    Some(InProgress { file, failure }) if missing.contains(&file) => {
                        return Err(failure.outcome_unknown(self.settle_time));
                    }
                    _ => in_progress = self.attach_all(work, &staged.id, &missing, budget).await?,
                },
                Comparison::Unexpected if recreated => {
                    let detail = "the mailbox changes the names or sizes of attachments".into();
                    return Err(MailboxError::Unrecognized { detail, retry_after: None }.into());
                }
                Comparison::Unexpected => {
                    recreated = true;
                    self.remove(work, place.folder, &staged.id, budget).await?;
                    staged = self.create(work, place, first, (concessions.clone(), None), budget).await?;
                }
            }
        }
        let filed = self.move_to(work, &staged, place.archive, budget).await?;
        if attempt == Attempt::Retry {
            self.remove_all(work, place, Some(&filed), budget).await?;
        }
        Ok(filed)
    }

    /// Removes the incomplete messages of an item that is filed or becomes a dead letter. A delayed message may have
    /// appeared after the settle time, when another one was assembled.
    pub(super) async fn clear_staging(
        &self,
        work: &Work<'_>,
        archive: &str,
        filed: Option<&Stored>,
        budget: &mut RetryBudget,
    ) -> Result<(), Failure> {
        match self.find_staging(work.state, work.mailbox, archive, budget).await? {
            Some(staging) => self.remove_all(work, TargetFolder::staging(archive, &staging), filed, budget).await,
            None => Ok(()),
        }
    }

    /// Removes every message of the item from the hidden folder.
    async fn remove_all(
        &self,
        work: &Work<'_>,
        staging: TargetFolder<'_>,
        filed: Option<&Stored>,
        budget: &mut RetryBudget,
    ) -> Result<(), Failure> {
        for stored in self.all_stored(work, staging, budget).await? {
            // The list may be outdated and contain the moved message.
            if filed.is_none_or(|filed| filed.id != stored.id) {
                self.remove(work, staging.folder, &stored.id, budget).await?;
            }
        }
        Ok(())
    }

    /// Adds the missing files, up to the first with an unknown outcome. Returns that file if its request may still be
    /// in progress.
    async fn attach_all(
        &self,
        work: &Work<'_>,
        message: &str,
        missing: &[usize],
        budget: &mut RetryBudget,
    ) -> Result<Option<InProgress>, Failure> {
        for &file in missing {
            let Some(attachment) = work.draft.content.attachments.get(file) else { continue };
            match self.attach(work, message, attachment, budget).await {
                Ok(()) => {}
                Err(failure) if failure.is_unclear() => {
                    if !budget.pause(failure.retry_after()).await {
                        return Err(failure.outcome_unknown(self.settle_time));
                    }
                    return Ok(failure.may_be_in_progress().then_some(InProgress { file, failure }));
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(None)
    }

    /// Moves the complete message into the archive. A move that may still be in progress stays one whatever follows it: during
    /// the settle time a lookup may find the message in neither folder.
    async fn move_to(
        &self,
        work: &Work<'_>,
        staged: &Stored,
        archive: &str,
        budget: &mut RetryBudget,
    ) -> Result<Stored, Failure> {
        let url = self.client.hosts.graph(&["users", work.mailbox, "messages", &staged.id, "move"]);
        let request = Request::post(url, to_json(&Move { destination_id: archive })).with_message_response();
        let mut in_progress: Option<Failure> = None;
        let ended = |earlier: Option<Failure>, last: Failure| match earlier {
            Some(earlier) => earlier.outcome_unknown_before(&last, self.settle_time),
            None => last.outcome_unknown(self.settle_time),
        };
        loop {
            let moved = self.client.send_once(Some(&work.state.permits), &request, budget).await;
            let failure = match moved.and_then(|response| Ok(response.json::<Stored>()?)) {
                Ok(stored) => return self.checked(work, archive, stored, budget).await,
                Err(failure) if failure.is_unclear() || failure.is_missing() => failure,
                Err(failure) => return Err(ended(in_progress, failure)),
            };
            match self.find_stored(work, TargetFolder::archive(archive), budget).await {
                Ok(Some(stored)) => return self.checked(work, archive, stored, budget).await,
                Ok(None) if budget.pause(failure.retry_after()).await => {}
                Ok(None) => return Err(ended(in_progress, failure)),
                Err(other) => {
                    let earlier = Some(failure).filter(Failure::may_be_in_progress);
                    return Err(ended(earlier.or(in_progress), other));
                }
            }
            if failure.may_be_in_progress() {
                in_progress = Some(failure);
            }
        }
    }
}
