//! Puts one message into one mailbox, once.
//!
//! A message that fits into one request is created where it belongs, and so is complete before anybody sees it. A
//! larger one is put together in a hidden folder and moved when it is complete; the id stays the same. Whatever is
//! left there by an attempt that was ended is found by the next one, by the item's id, and completed.

use std::{sync::atomic::Ordering, time::Duration};

use item::FilingResult;

use super::{
    Graph, Way,
    body::{Concessions, Draft, RECIPIENTS_OF_A_SENT_MESSAGE, longest_json, message_json},
    client::Request,
    error::{Failure, Meaning, Refusal},
    lane::Lane,
    look::{By, Stored},
    message::{Content, Data, parse},
};
use crate::mailbox::{Attempt, Filed, Mailbox, MailboxError, Message, Mime, StoredFile, patience::Patience};

/// Graph takes requests of 4 MB; the smaller reading of it.
pub(super) const REQUEST_LIMIT: usize = 4_000_000;

/// A file of more base64 is sent as it stands in the message, or goes up in pieces: it is not held decoded as a whole.
const LONGEST_DECODED: usize = 32 << 10;

/// The largest file that Graph takes in pieces.
const LARGEST_FILE: usize = 150 << 20;

/// How long one filing of a large message waits in all. Graph takes 150 MB in 5 minutes for a mailbox, and what was sent
/// of a file is lost when it is given up.
const LONGEST_WAIT_OF_LARGE: Duration = Duration::from_secs(5 * 60);

/// Everything about one filing that does not change while it is under way.
pub(super) struct Work<'a> {
    pub(super) lane: &'a Lane,
    pub(super) mailbox: &'a str,
    pub(super) draft: Draft<'a>,
}

impl Graph {
    pub(super) async fn file_message(
        &self,
        mailbox: &Mailbox,
        message: &Message,
        attempt: Attempt,
    ) -> Result<Filed, Failure> {
        let mime = message.mime.leaving_out(LONGEST_DECODED);
        let parsed = parse(mime.in_memory())?;
        let content = Content::of(&parsed, &mime)?;
        if content.attachments.iter().any(|file| file.data.len() > LARGEST_FILE) {
            let detail = "a file is larger than the 150 MB that Graph takes".to_owned();
            return Err(MailboxError::Rejected { detail }.into());
        }
        let lane = self.lanes.of(&mailbox.id);
        let draft = draft(&content, message, mailbox, &self.message_class);
        let work = Work { lane: &lane, mailbox: &mailbox.id, draft };
        let mut patience = match &message.mime {
            Mime::Whole(_) => self.patience(),
            Mime::Large(_) => Patience::new(self.longest_wait.max(LONGEST_WAIT_OF_LARGE), self.first_wait),
        };
        match self.file_in_archive(&work, &message.mime, attempt, &mut patience).await {
            // A folder that we remember is gone: its owner deleted it for good.
            Err(failure) if failure.is_missing() => {
                lane.archive.lock().await.forget();
                lane.staging.lock().await.forget();
                self.file_in_archive(&work, &message.mime, Attempt::Again, &mut patience).await
            }
            result => result,
        }
    }

    async fn file_in_archive(
        &self,
        work: &Work<'_>,
        mime: &Mime,
        attempt: Attempt,
        patience: &mut Patience,
    ) -> Result<Filed, Failure> {
        let archive = self.archive(work.lane, work.mailbox, patience).await?;
        if attempt == Attempt::Again
            && let Some(stored) = self.look_for(work, &archive, By::Identity, patience).await?
        {
            if !fits_into_one_request(&work.draft, &files_of_the_first_request(&work.draft)) {
                self.clear_staging(work, &archive, &stored, patience).await?;
            }
            return Ok(Filed { message: stored.id, result: FilingResult::Skipped });
        }
        if self.way == Way::Mime
            && let Mime::Whole(mime) = mime
            && let Some(stored) = self.import_mime(work, &archive, mime, patience).await?
        {
            return Ok(Filed { message: stored.id, result: FilingResult::Imported });
        }
        let first = files_of_the_first_request(&work.draft);
        let stored = if fits_into_one_request(&work.draft, &first) {
            self.create(work, (&archive, By::Identity), &first, patience).await?
        } else {
            self.put_together(work, &archive, &first, attempt, patience).await?
        };
        Ok(Filed { message: stored.id, result: FilingResult::Imported })
    }

    /// Creates the message with these of its attachments. What the tenant refuses about it that it can do without is
    /// left out, one thing at a time.
    pub(super) async fn create(
        &self,
        work: &Work<'_>,
        place: (&str, By),
        attachments: &[usize],
        patience: &mut Patience,
    ) -> Result<Stored, Failure> {
        let mut first: Option<Refusal> = None;
        for concessions in self.ladder(work) {
            match self.create_with(work, place, attachments, concessions, patience).await {
                Ok(stored) => {
                    if first.is_some() {
                        self.learn(work, concessions);
                    }
                    return Ok(stored);
                }
                Err(Failure::Refused(refusal)) if may_be_conceded(&refusal) => {
                    first.get_or_insert(refusal);
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(first.map_or(Failure::Lost { what: "the message was not created" }, Failure::Refused))
    }

    /// What is tried in turn: as it is, less one thing, less everything.
    fn ladder(&self, work: &Work<'_>) -> Vec<Concessions> {
        let known = Concessions {
            plain_class: self.class_refused.load(Ordering::Relaxed) || work.draft.class == "IPM.Note",
            ..Concessions::default()
        };
        let everything = Concessions { plain_class: true, own_sender: true, few_recipients: true, no_thread: true };
        let mut ladder = vec![
            known,
            Concessions { plain_class: true, ..known },
            Concessions { own_sender: work.draft.content.from.is_some(), ..known },
            Concessions { few_recipients: work.draft.content.to.len() > RECIPIENTS_OF_A_SENT_MESSAGE, ..known },
            everything,
        ];
        let mut seen = Vec::new();
        ladder.retain(|step| {
            !seen.contains(step) && {
                seen.push(*step);
                true
            }
        });
        ladder
    }

    fn learn(&self, work: &Work<'_>, concessions: Concessions) {
        let only_class = Concessions { plain_class: true, ..Concessions::default() };
        if concessions == only_class && !self.class_refused.swap(true, Ordering::Relaxed) {
            tracing::warn!("the tenant refuses the message class: messages are of the class IPM.Note from here on");
        }
        if concessions.own_sender {
            tracing::warn!(item = %work.draft.identity.item.key(), "the tenant refuses a foreign sender: the true one is in the body");
        }
        if concessions.few_recipients && work.draft.content.to.len() > RECIPIENTS_OF_A_SENT_MESSAGE {
            tracing::warn!(item = %work.draft.identity.item.key(), "the tenant refuses so many recipients: the first 500 are shown");
        }
    }

    async fn create_with(
        &self,
        work: &Work<'_>,
        place: (&str, By),
        attachments: &[usize],
        concessions: Concessions,
        patience: &mut Patience,
    ) -> Result<Stored, Failure> {
        let (folder, _) = place;
        let url = self.client.hosts.graph(&["users", work.mailbox, "mailFolders", folder, "messages"]);
        let request = Request::post(url, body(&work.draft, attachments, concessions)).answered_with_message();
        loop {
            let created = self.client.ask_once(Some(&work.lane.permits), &request, patience).await;
            let failure = match created.and_then(|answer| Ok(answer.json::<Stored>()?)) {
                Ok(stored) => return self.checked(work, folder, stored, patience).await,
                Err(failure) if failure.is_unclear() => failure,
                Err(failure) => return Err(failure),
            };
            if let Some(stored) = self.look_after(work, place, failure, patience).await? {
                return self.checked(work, folder, stored, patience).await;
            }
        }
    }

    /// Whether Graph did as it was told. A message that lies among drafts, or at the time of its import, is no record
    /// of anything: it is taken away again, and no other item will fare better until somebody has looked.
    pub(super) async fn checked(
        &self,
        work: &Work<'_>,
        folder: &str,
        stored: Stored,
        patience: &mut Patience,
    ) -> Result<Stored, Failure> {
        let date = work.draft.content.date.as_second();
        let wrong = if stored.is_draft != Some(false) {
            "Graph made a draft of a message that is none"
        } else if stored.received_date_time.map(jiff::Timestamp::as_second) != Some(date) {
            "Graph gave a message another time than its own"
        } else {
            return Ok(stored);
        };
        self.remove(work, folder, &stored.id, patience).await?;
        let detail = format!("{wrong}: Exchange ignores the properties that say so; use another way into the mailbox");
        Err(MailboxError::Setup { detail }.into())
    }

    /// Through its folder, so that what has been moved on, and so is filed, is not touched.
    pub(super) async fn remove(
        &self,
        work: &Work<'_>,
        folder: &str,
        message: &str,
        patience: &mut Patience,
    ) -> Result<(), Failure> {
        let segments = ["users", work.mailbox, "mailFolders", folder, "messages", message];
        let request = Request::delete(self.client.hosts.graph(&segments));
        match self.client.ask(Some(&work.lane.permits), &request, patience).await {
            Err(failure) if !failure.is_missing() => Err(failure),
            _ => Ok(()),
        }
    }
}

/// What is sent to create a message in a mailbox: JSON with those of its files that fit into one request. With it the
/// files that are larger than a request: they follow in pieces of [`PIECE`](super::PIECE).
///
/// # Errors
/// [`MailboxError::Rejected`] where the message is none, or has no date.
pub fn create_body(
    message: &Message,
    mailbox: &Mailbox,
    message_class: &str,
) -> Result<(Vec<u8>, Vec<StoredFile>), MailboxError> {
    let mime = message.mime.leaving_out(LONGEST_DECODED);
    let parsed = parse(mime.in_memory())?;
    let content = Content::of(&parsed, &mime)?;
    let draft = draft(&content, message, mailbox, message_class);
    let body = body(&draft, &files_of_the_first_request(&draft), Concessions::default());
    let in_pieces = content.attachments.iter().filter(|file| longest_json(file) > REQUEST_LIMIT);
    let stored = in_pieces.filter_map(|file| match &file.data {
        Data::Lines(_, file) | Data::Stored(file) => Some(file.clone()),
        Data::Here(_) => None,
    });
    Ok((body, stored.collect()))
}

fn draft<'a>(content: &'a Content<'a>, message: &'a Message, mailbox: &'a Mailbox, class: &'a str) -> Draft<'a> {
    Draft { content, identity: message.identity(), mailbox: mailbox.address.as_str(), class }
}

/// Those of a message's files that are created together with it: as many as one request takes.
fn files_of_the_first_request(draft: &Draft<'_>) -> Vec<usize> {
    let mut left = REQUEST_LIMIT.saturating_sub(message_json(draft, &[], Concessions::default()).len());
    let mut first = Vec::new();
    let files = draft.content.attachments.iter().enumerate();
    for (index, file) in files.filter(|(_, file)| file.data.at_hand().is_some()) {
        if let Some(rest) = left.checked_sub(longest_json(file)) {
            left = rest;
            first.push(index);
        }
    }
    first
}

fn fits_into_one_request(draft: &Draft<'_>, first: &[usize]) -> bool {
    first.len() == draft.content.attachments.len()
}

fn body(draft: &Draft<'_>, attachments: &[usize], concessions: Concessions) -> Vec<u8> {
    let files = attachments.iter().filter_map(|&at| {
        let file = draft.content.attachments.get(at)?;
        Some((file, file.data.at_hand()?))
    });
    let files: Vec<_> = files.collect();
    message_json(draft, &files, concessions)
}

/// Whether leaving something out may help. A quota or a bad recipient stays what it is.
fn may_be_conceded(refusal: &Refusal) -> bool {
    refusal.status == reqwest::StatusCode::BAD_REQUEST
        && refusal.meaning() == Meaning::Rejected
        && !refusal.has_code("ErrorMessageSizeExceeded")
        && !refusal.has_code("ErrorInvalidRecipients")
}
