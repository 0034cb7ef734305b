//! Files one message in one mailbox, once.
//!
//! A message that fits into one request is created in the archive folder, so it is complete when it becomes visible. A
//! larger message is assembled in a hidden folder and moved when it is complete; its id stays the same. If an attempt
//! is interrupted, the next one finds the incomplete message by the item's id, and completes it.

use std::time::Duration;

use model::FilingResult;
use runtime::metrics::Metric;

use super::{
    Graph,
    body::{attachment_json_length, message_json, with_attachments},
    client::Request,
    concession::{self, Concession, Concessions},
    config::Way,
    content::{Content, Data, parse},
    error::{Failure, Refusal},
    limits::{DECODED_MAX_BYTES, FILE_MAX_BYTES, NOTES_MAX_BYTES, REQUEST_MAX_BYTES},
    lookup::Stored,
    recipients::{CONFIRMED_SEARCHES, INVALID_RECIPIENTS},
    work::{Draft, TargetFolder, Work},
};
use crate::{Attempt, Filed, Mailbox, MailboxError, Message};
use http_client::RetryBudget;
use message::read::{Mime, StoredFile};

/// The retry budget of a large message. Graph accepts 150 MB in 5 minutes for a mailbox, and the uploaded pieces of a
/// file are lost when the filing ends.
const LARGE_MESSAGE_BUDGET: Duration = Duration::from_secs(5 * 60);

/// Counts the errors about invalid recipients while a message is created.
#[derive(Default)]
struct InvalidRecipients {
    refusals: usize,
    may_be_the_sender: bool,
}

impl InvalidRecipients {
    /// Limit of errors, each of which may name a different recipient.
    const REFUSALS_MAX: usize = 16;
}

impl Graph {
    pub(super) async fn file_message(
        &self,
        mailbox: &Mailbox,
        message: &Message,
        attempt: Attempt,
    ) -> Result<Filed, Failure> {
        let mime = message.mime.leaving_out(DECODED_MAX_BYTES);
        let parsed = parse(mime.in_memory())?;
        let content = Content::of(&parsed, &mime)?;
        if content.attachments.iter().any(|file| file.data.len() > FILE_MAX_BYTES) {
            let detail = "a file exceeds Graph's limit of 150 MB".to_owned();
            return Err(MailboxError::Rejected { detail }.into());
        }
        let state = self.limits.of(&mailbox.id);
        let draft = Draft::new(&content, message, mailbox, self.class());
        let work = Work { state: &state, mailbox: &mailbox.id, draft };
        let mut budget = match &message.mime {
            Mime::Whole(_) => self.retry_budget(),
            Mime::Large(_) => RetryBudget::new(self.max_wait.max(LARGE_MESSAGE_BUDGET), self.first_wait),
        };
        match self.file_in_archive(&work, &message.mime, attempt, &mut budget).await {
            // The mailbox's owner has permanently deleted a folder whose id is cached.
            Err(failure) if failure.is_missing() => {
                state.archive.lock().await.clear();
                state.staging.lock().await.clear();
                self.file_in_archive(&work, &message.mime, Attempt::Retry, &mut budget).await
            }
            result => result,
        }
    }

    /// Removes the message from the hidden folder, in which an interrupted filing may have left it.
    pub(super) async fn remove_staged(&self, mailbox: &Mailbox, message: &Message) -> Result<(), Failure> {
        let mime = message.mime.leaving_out(DECODED_MAX_BYTES);
        let parsed = parse(mime.in_memory())?;
        let content = Content::of(&parsed, &mime)?;
        let state = self.limits.of(&mailbox.id);
        // The message is measured as in filing: without its class, a message at the limit would seem to fit into one
        // request.
        let draft = Draft::new(&content, message, mailbox, self.class());
        let json = message_json(&draft, &Concessions::default());
        if files_of_the_first_request(&draft, json.len()).len() == content.attachments.len() {
            return Ok(());
        }
        let mut budget = self.retry_budget();
        let Some(archive) = self.find_archive_folder(&state, &mailbox.id, &mut budget).await? else { return Ok(()) };
        let work = Work { state: &state, mailbox: &mailbox.id, draft };
        self.clear_staging(&work, &archive, None, &mut budget).await
    }

    async fn file_in_archive(
        &self,
        work: &Work<'_>,
        mime: &Mime,
        attempt: Attempt,
        budget: &mut RetryBudget,
    ) -> Result<Filed, Failure> {
        let archive = self.archive(work.state, work.mailbox, budget).await?;
        let place = TargetFolder::archive(&archive);
        let (concessions, json) = self.first_attempt(work);
        let first = files_of_the_first_request(&work.draft, json.len());
        let is_one_request = first.len() == work.draft.content.attachments.len();
        // Assembling a message takes long, so its JSON is not kept in memory but created again if needed.
        let json = is_one_request.then_some(json);
        if attempt == Attempt::Retry
            && let Some(stored) = self.find_stored(work, place, budget).await?
        {
            if !is_one_request {
                self.clear_staging(work, &archive, Some(&stored), budget).await?;
            }
            return Ok(Filed { message: stored.id, result: FilingResult::Skipped });
        }
        if self.way == Way::Mime
            && let Mime::Whole(mime) = mime
            && let Some(stored) = self.import_mime(work, &archive, mime, budget).await?
        {
            return Ok(Filed { message: stored.id, result: FilingResult::Imported });
        }
        let stored = if is_one_request {
            self.create(work, place, &first, (concessions, json), budget).await?
        } else {
            self.assemble(work, &archive, (&first, concessions), attempt, budget).await?
        };
        Ok(Filed { message: stored.id, result: FilingResult::Imported })
    }

    /// Returns the initial concessions of a message (for cached rejections by the tenant, and for the size limit of a
    /// request), and its JSON with these concessions.
    pub(super) fn first_attempt(&self, work: &Work<'_>) -> (Concessions, Vec<u8>) {
        let mut concessions = Concessions::default();
        if work.draft.class.is_some() && self.rejected_class.is_cached(&self.clock) {
            concessions.make(Concession::PlainClass);
        }
        let json = message_json(&work.draft, &concessions);
        if json.len() + NOTES_MAX_BYTES <= REQUEST_MAX_BYTES {
            return (concessions, json);
        }
        concessions.make(Concession::FewRecipients);
        let json = message_json(&work.draft, &concessions);
        (concessions, json)
    }

    /// Creates the message with the selected attachments. A property is left out if the tenant rejects it by name,
    /// twice. `first` has the concessions of the first request, and the message's JSON with these, if it was created
    /// before.
    pub(super) async fn create(
        &self,
        work: &Work<'_>,
        place: TargetFolder<'_>,
        attachments: &[usize],
        first: (Concessions, Option<Vec<u8>>),
        budget: &mut RetryBudget,
    ) -> Result<Stored, Failure> {
        let (mut concessions, mut first_json) = first;
        let url = self.client.hosts.graph(&["users", work.mailbox, "mailFolders", place.folder, "messages"]);
        let (mut named, mut invalid) = (Vec::new(), InvalidRecipients::default());
        loop {
            let message = first_json.take().unwrap_or_else(|| message_json(&work.draft, &concessions));
            let json = body(&work.draft, message, attachments);
            let request = Request::post(url.clone(), json).with_message_response();
            let created = self.client.send_once(Some(&work.state.permits), &request, budget).await;
            let failure = match created.and_then(|response| Ok(response.json::<Stored>()?)) {
                Ok(stored) => {
                    let stored = self.checked(work, place.folder, stored, budget).await?;
                    self.report(work, &concessions);
                    return Ok(stored);
                }
                Err(failure) => failure,
            };
            if let Failure::Refused(refusal) = &failure {
                if refusal.has_code(INVALID_RECIPIENTS) && refusal.status.is_client_error() {
                    if !self.leave_out_invalid(work, place, (refusal, &mut invalid), &mut concessions, budget).await? {
                        return Err(failure);
                    }
                    continue;
                }
                let wanted =
                    concession::for_refusal(refusal, work.draft.content, work.draft.class.is_some(), &concessions);
                if let Some(concession) = wanted {
                    // The request is retried before a property is left out, because a single error may be wrong.
                    if named.contains(&concession) {
                        concessions.make(concession);
                        self.record_rejection(concession);
                    } else {
                        named.push(concession);
                    }
                    continue;
                }
            }
            if !failure.is_unclear() {
                return Err(failure);
            }
            if let Some(stored) = self.look_up_after(work, place, failure, budget).await? {
                let stored = self.checked(work, place.folder, stored, budget).await?;
                self.report(work, &concessions);
                return Ok(stored);
            }
        }
    }

    /// Leaves out the rejected recipients or the rejected sender. Returns `false` if there is nothing to leave out.
    async fn leave_out_invalid(
        &self,
        work: &Work<'_>,
        place: TargetFolder<'_>,
        (refusal, invalid): (&Refusal, &mut InvalidRecipients),
        concessions: &mut Concessions,
        budget: &mut RetryBudget,
    ) -> Result<bool, Failure> {
        invalid.refusals += 1;
        if invalid.refusals > InvalidRecipients::REFUSALS_MAX {
            return Ok(false);
        }
        let from = work.draft.content.from.filter(|_| !concessions.has(Concession::OwnSender));
        let is_last = invalid.refusals > CONFIRMED_SEARCHES;
        let rejected = self.rejected_recipients(work, place, (refusal, is_last), concessions, budget).await?;
        if !rejected.is_empty() {
            concessions.reject_recipients(&rejected);
            return Ok(true);
        }
        // No recipient is rejected: the sender is, if the refusal is repeated.
        if from.is_some() && std::mem::replace(&mut invalid.may_be_the_sender, true) {
            concessions.make(Concession::OwnSender);
        }
        Ok(from.is_some())
    }

    fn record_rejection(&self, concession: Concession) {
        if concession == Concession::PlainClass {
            tracing::warn!("message class rejected, filing copies as IPM.Note for an hour");
            self.rejected_class.record(&self.clock);
        }
    }

    /// Logs and counts the concessions of a filed copy.
    fn report(&self, work: &Work<'_>, concessions: &Concessions) {
        let item = work.draft.identity.item.key();
        if work.draft.class.is_some() && concessions.has(Concession::PlainClass) {
            runtime::metrics::add(Metric::WithoutMessageClass, 1);
        }
        if concessions.has(Concession::OwnSender) {
            tracing::warn!(%item, "foreign sender rejected, true sender shown in the body");
        }
        if concessions.has(Concession::FewRecipients) {
            tracing::warn!(%item, "number of recipients rejected, only the first 500 kept");
        }
        if concessions.has(Concession::NoThread) {
            tracing::warn!(%item, "properties of the thread rejected, copy filed outside its conversation");
        }
        if !concessions.rejected_recipients.is_empty() {
            let rejected = concessions.rejected_recipients.len();
            tracing::warn!(%item, rejected, "recipients rejected, left out of the copy");
        }
    }

    /// Checks that Graph has created or imported a received message with the item's time and Message-ID, by which every
    /// later lookup finds it. Otherwise removes the message and returns a configuration error, because other items would
    /// fail in the same way.
    pub(super) async fn checked(
        &self,
        work: &Work<'_>,
        folder: &str,
        stored: Stored,
        budget: &mut RetryBudget,
    ) -> Result<Stored, Failure> {
        let date = work.draft.content.date.as_second();
        let wrong = if stored.is_draft != Some(false) {
            "Graph created a draft instead of a received message"
        } else if stored.received_date_time.map(jiff::Timestamp::as_second) != Some(date) {
            "Graph changed the time of a message"
        } else if stored.internet_message_id.as_deref().is_some_and(|id| id != work.draft.identity.message_id) {
            "Graph changed the Message-ID of a message, so no lookup would find it"
        } else {
            return Ok(stored);
        };
        self.remove(work, folder, &stored.id, budget).await?;
        let detail = format!("{wrong}: Exchange ignores a part of the request; use another MAILBOX");
        Err(MailboxError::Configuration { detail }.into())
    }

    /// Removes a message, addressed through its folder, so that a message that was moved to another folder is not
    /// removed.
    pub(super) async fn remove(
        &self,
        work: &Work<'_>,
        folder: &str,
        message: &str,
        budget: &mut RetryBudget,
    ) -> Result<(), Failure> {
        let segments = ["users", work.mailbox, "mailFolders", folder, "messages", message];
        let request = Request::delete(self.client.hosts.graph(&segments));
        match self.client.send(Some(&work.state.permits), &request, budget).await {
            Err(failure) if !failure.is_missing() => Err(failure),
            _ => Ok(()),
        }
    }
}

/// Returns the JSON that creates a message in a mailbox, including the files that fit into one request, and the files
/// that exceed a request, which are uploaded in pieces of [`PIECE`](super::PIECE).
///
/// # Errors
/// [`MailboxError::Rejected`] if the message is not MIME, or has no date.
pub fn create_body(
    message: &Message,
    mailbox: &Mailbox,
    message_class: &str,
) -> Result<(Vec<u8>, Vec<StoredFile>), MailboxError> {
    let mime = message.mime.leaving_out(DECODED_MAX_BYTES);
    let parsed = parse(mime.in_memory())?;
    let content = Content::of(&parsed, &mime)?;
    let draft = Draft::new(&content, message, mailbox, Some(message_class));
    let json = message_json(&draft, &Concessions::default());
    let first = files_of_the_first_request(&draft, json.len());
    let body = body(&draft, json, &first);
    let in_pieces = content.attachments.iter().filter(|file| attachment_json_length(file) > REQUEST_MAX_BYTES);
    let stored = in_pieces.filter_map(|file| match &file.data {
        Data::Lines(_, file) | Data::Stored(file) => Some(file.clone()),
        Data::Decoded(_) => None,
    });
    Ok((body, stored.collect()))
}

/// Selects the files that are created together with the message: as many as fit into one request. `json` is the length
/// of the message's JSON.
fn files_of_the_first_request(draft: &Draft<'_>, json: usize) -> Vec<usize> {
    let message = json + r#","attachments":[]"#.len();
    let mut left = REQUEST_MAX_BYTES.saturating_sub(message + NOTES_MAX_BYTES);
    let mut first = Vec::new();
    let files = draft.content.attachments.iter().enumerate();
    for (index, file) in files.filter(|(_, file)| file.data.in_memory_data().is_some()) {
        // The comma before it is included.
        if let Some(rest) = left.checked_sub(attachment_json_length(file) + 1) {
            left = rest;
            first.push(index);
        }
    }
    first
}

fn body(draft: &Draft<'_>, message: Vec<u8>, attachments: &[usize]) -> Vec<u8> {
    let files = attachments.iter().filter_map(|&at| {
        let file = draft.content.attachments.get(at)?;
        Some((file, file.data.in_memory_data()?))
    });
    with_attachments(message, &files.collect::<Vec<_>>())
}
