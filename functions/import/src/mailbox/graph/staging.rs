//! Large messages: put together in a hidden folder, and moved when they are complete.

use serde::Serialize;

use super::{
    Graph,
    attachments::{Lack, lack},
    client::Request,
    error::Failure,
    filing::Work,
    look::{By, Stored},
};
use crate::mailbox::{Attempt, MailboxError, patience::Patience};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Move<'a> {
    destination_id: &'a str,
}

/// A file that was sent, and of which nobody has said what became of it.
struct UnderWay {
    /// Its place among the message's.
    file: usize,
    failure: Failure,
}

impl Graph {
    /// Puts a large message together out of sight, and moves it when it is complete.
    pub(super) async fn put_together(
        &self,
        work: &Work<'_>,
        archive: &str,
        first: &[usize],
        attempt: Attempt,
        patience: &mut Patience,
    ) -> Result<Stored, Failure> {
        let staging = self.staging(work.lane, work.mailbox, archive, patience).await?;
        let files = &work.draft.content.attachments;
        let earlier = match attempt {
            Attempt::First => None,
            Attempt::Again => self.look_for(work, &staging, By::ItemId, patience).await?,
        };
        let mut staged = match earlier {
            Some(stored) => stored,
            None => self.create(work, (&staging, By::ItemId), first, patience).await?,
        };
        let mut spoilt = false;
        let mut under_way: Option<UnderWay> = None;
        loop {
            let present = match (self.attachments(work, &staged.id, patience).await, under_way.take()) {
                (Ok(present), before) => {
                    under_way = before;
                    present
                }
                (Err(other), Some(UnderWay { failure, .. })) => {
                    return Err(failure.late(self.settles.max(other.retry_after().unwrap_or_default())));
                }
                (Err(failure), None) => return Err(failure),
            };
            match lack(files, &present) {
                Lack::These(missing) if missing.is_empty() => break,
                Lack::These(missing) => match under_way.take() {
                    // Sent again it could be there twice, and nobody looks any more when the message is moved.
                    Some(UnderWay { file, failure }) if missing.contains(&file) => {
                        return Err(failure.late(self.settles));
                    }
                    _ => under_way = self.attach_all(work, &staged.id, &missing, patience).await?,
                },
                Lack::Spoilt if spoilt => {
                    let detail = "the mailbox changes the names or sizes of its attachments".into();
                    return Err(MailboxError::Rejected { detail }.into());
                }
                Lack::Spoilt => {
                    spoilt = true;
                    self.remove(work, &staging, &staged.id, patience).await?;
                    staged = self.create(work, (&staging, By::ItemId), first, patience).await?;
                }
            }
        }
        let filed = self.move_to(work, &staged, archive, patience).await?;
        if attempt == Attempt::Again {
            self.remove_staged(work, &staging, &filed, patience).await?;
        }
        Ok(filed)
    }

    /// Takes away what earlier attempts have left of a message that is filed: one that came later than anybody waited
    /// for, so that another was put together.
    pub(super) async fn clear_staging(
        &self,
        work: &Work<'_>,
        archive: &str,
        filed: &Stored,
        patience: &mut Patience,
    ) -> Result<(), Failure> {
        match self.find_staging(work.lane, work.mailbox, archive, patience).await? {
            Some(staging) => self.remove_staged(work, &staging, filed, patience).await,
            None => Ok(()),
        }
    }

    async fn remove_staged(
        &self,
        work: &Work<'_>,
        staging: &str,
        filed: &Stored,
        patience: &mut Patience,
    ) -> Result<(), Failure> {
        for stored in self.all(work, staging, By::ItemId, patience).await? {
            // A list may be older than the move.
            if stored.id != filed.id {
                self.remove(work, staging, &stored.id, patience).await?;
            }
        }
        Ok(())
    }

    /// Adds what is missing; stops at the first that may or may not be there now. Returns it where it may also still come.
    async fn attach_all(
        &self,
        work: &Work<'_>,
        message: &str,
        missing: &[usize],
        patience: &mut Patience,
    ) -> Result<Option<UnderWay>, Failure> {
        for &file in missing {
            let Some(attachment) = work.draft.content.attachments.get(file) else { continue };
            match self.attach(work, message, attachment, patience).await {
                Ok(()) => {}
                Err(failure) if failure.is_unclear() => {
                    if !patience.pause(failure.retry_after()).await {
                        return Err(failure.late(self.settles));
                    }
                    return Ok(failure.may_come_late().then_some(UnderWay { file, failure }));
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(None)
    }

    async fn move_to(
        &self,
        work: &Work<'_>,
        staged: &Stored,
        archive: &str,
        patience: &mut Patience,
    ) -> Result<Stored, Failure> {
        let url = self.client.hosts.graph(&["users", work.mailbox, "messages", &staged.id, "move"]);
        let json = serde_json::to_vec(&Move { destination_id: archive })
            .map_err(|_| Failure::Lost { what: "the folder's id has no JSON form" })?;
        let request = Request::post(url, json).answered_with_message();
        loop {
            let moved = self.client.ask_once(Some(&work.lane.permits), &request, patience).await;
            let failure = match moved.and_then(|answer| Ok(answer.json::<Stored>()?)) {
                Ok(stored) => return self.checked(work, archive, stored, patience).await,
                Err(failure) if failure.is_unclear() || failure.is_missing() => failure,
                Err(failure) => return Err(failure),
            };
            if let Some(stored) = self.look_for(work, archive, By::Identity, patience).await? {
                return self.checked(work, archive, stored, patience).await;
            }
            if !patience.pause(failure.retry_after()).await {
                return Err(failure);
            }
        }
    }
}
