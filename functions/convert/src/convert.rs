//! Converts one item: gets it from the source, writes its message to the bucket, and creates the import task.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws::s3::{Condition, Put, Store, Written};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use ledger::{StoredOutcome, identities, look_up_again, read_outcome, record_dead_letter, store_failure};
use message::write::{Content, FileFacts, Renderer};
use model::{
    Attachment, Captured, ConvertTask, DeadLetter, Failure, ImportTask, Item, MessageGroup, Outcome, Reason, Sha256,
    Stage, TASK_VERSION, keys::ItemKeys,
};
use runtime::metrics::Metric;
use source::{Fetched, Source, SourceError};
use sqs_batch::{Invocation, Next, Record, Work};
use tracing::{info, warn};

use crate::memory_budget::MemoryBudget;

/// The convert function.
pub struct Convert {
    /// The source of the items.
    pub source: Arc<dyn Source>,
    /// The bucket of messages and outcomes.
    pub store: Store,
    /// Renders items as messages.
    pub renderer: Renderer,
    /// Size of the largest item that is rendered in memory: the bytes of its text and of its attachments.
    pub max_item_bytes: u64,
    /// Size of the largest item that is rendered at all, at least [`max_item_bytes`](Self::max_item_bytes). An item
    /// between the two sizes is written to the function's disk first. A larger item becomes a dead letter; a replay can
    /// raise the limit for it.
    pub large_item_max_bytes: u64,
    /// Limits the memory of concurrent items.
    pub memory: MemoryBudget,
    /// Retry period for an item that the source listed, but does not return, or returns without an attachment.
    pub missing_retry: Duration,
}

/// A message that is in the bucket.
pub(crate) struct StoredMessage {
    pub(crate) message_id: String,
    pub(crate) sha256: Sha256,
    pub(crate) bytes: u64,
    /// `true` if it is the rendering of the current item, byte for byte. An earlier rendering may have other participants.
    pub(crate) is_ours: bool,
}

/// An attachment: its bytes, or that the source has erased it.
enum Attached {
    Bytes(Fetched),
    Erased,
}

#[async_trait]
impl Work for Convert {
    const STAGE: Stage = Stage::Convert;
    const METRICS: &'static [Metric] = &[Metric::Converted, Metric::Bytes, Metric::Skipped];

    async fn prepare(&self) -> Result<(), Failure> {
        Ok(())
    }

    async fn work(&self, record: &Record, _: &Invocation) -> Result<Next, Failure> {
        let task = ConvertTask::parse(&record.body).map_err(|error| permanent(Reason::TaskMalformed, &error))?;
        let keys = ItemKeys::of_convert(&task);
        let mut stored = read_outcome(&self.store, &keys).await.map_err(Failure::from)?;
        if let Some(filed) = stored.as_ref().filter(|stored| was_complete(&stored.outcome)) {
            stored = self.captured_later(&task, &keys, filed).await?.or(stored);
        }
        if let Some(StoredOutcome { outcome, .. }) = &stored {
            if outcome.is_complete() {
                runtime::metrics::add(Metric::Skipped, outcome.mailboxes.len() as u64);
                info!(item = %task.item.key(), stage = %Stage::Convert, "task skipped: item was filed before");
                return Ok(Next::Done);
            }
            // One dead letter per item is enough.
            if record.is_covered_by_dead_letter_of(outcome) {
                info!(item = %task.item.key(), stage = %Stage::Convert, "task skipped: item is a dead letter already");
                return Ok(Next::Done);
            }
        }
        let raised = raised(self.large_item_max_bytes, record.attribute(DeadLetter::MAX_ITEM_BYTES_ATTRIBUTE));
        let mime_key = self.mime_key(&keys, stored.as_ref()).await?;
        let is_young = self.source.is_live() && is_young(&task, record, self.missing_retry, Timestamp::now());
        let limits = Limits {
            max_bytes: raised.unwrap_or(self.large_item_max_bytes),
            is_declared_size_ignored: raised.is_some(),
            is_young,
        };
        match self.convert(&task, mime_key, limits).await {
            Err(Failure::Permanent { reason, detail }) if is_young && may_pass(reason) => Err(Failure::Transient {
                detail: format!("{detail}; it was listed recently and may still come"),
                after: None,
            }),
            Err(Failure::Permanent { reason, detail }) => {
                let noted = (reason, record.dead_letter_source(&task.run, task.archived_time));
                record_dead_letter(&self.store, &task, &keys.outcome, stored, noted).await?;
                Err(Failure::Permanent { reason, detail })
            }
            other => other,
        }
    }
}

impl Convert {
    /// SQS bills by 64 KiB, and a batch of ten such tasks fits in one request. Some regions may still accept only 256
    /// KiB: a task with its dead letter's attributes fits there too, and [`Queue::send`](aws::sqs::Queue::send) halves
    /// the batch.
    const TASK_LIMIT: usize = 64 << 10;

    /// Reopens an item that was complete if a participant without a copy is a captured number, which may have been connected
    /// after the item was filed: import then looks that participant up again. Returns the written outcome.
    async fn captured_later(
        &self,
        task: &ConvertTask,
        keys: &ItemKeys,
        filed: &StoredOutcome,
    ) -> Result<Option<StoredOutcome>, Failure> {
        if filed.outcome.unmapped.is_empty() {
            return Ok(None);
        }
        let captured = match self.source.captured_participants(&task.item).await {
            // The item is filed, and its copies may be deleted by now.
            Err(SourceError::NotFound) => return Ok(None),
            captured => captured.map_err(from_source)?,
        };
        if captured.is_empty() {
            return Ok(None);
        }
        // The places of the outcome are those of the stored message. The source may have other ones by now, and the stored
        // message may be deleted.
        let captured: HashSet<u16> = identities(&task.item, &captured).into_iter().collect();
        let recorded = &filed.outcome.identities;
        // An earlier build did not record who the participants are.
        let may_be_captured = |place: usize| recorded.get(place).is_none_or(|identity| captured.contains(identity));
        let reopened = look_up_again(&self.store, &keys.outcome, filed, may_be_captured).await?;
        if reopened.is_some() {
            info!(item = %task.item.key(), stage = %Stage::Convert, "filed item was captured for a participant without a copy, who will be looked up again");
        }
        Ok(reopened)
    }

    /// Returns the key of the item's message. If release 0.1 rendered the item, that is the key with a date, because
    /// the first rendering is the evidence.
    async fn mime_key<'a>(&self, keys: &'a ItemKeys, stored: Option<&'a StoredOutcome>) -> Result<&'a str, Failure> {
        if let Some(mime) = stored.and_then(|stored| stored.outcome.mime.as_deref()) {
            return Ok(mime);
        }
        let dated = self.store.find_version(&keys.dated_mime).await.map_err(store_failure)?;
        Ok(if dated.is_some() { &keys.dated_mime } else { &keys.mime })
    }

    async fn convert(&self, task: &ConvertTask, mime_key: &str, limits: Limits) -> Result<Next, Failure> {
        let Limits { max_bytes, is_declared_size_ignored, is_young } = limits;
        let json = self.source.item_json(&task.item).await.map_err(from_source)?;
        let _reserved = self.memory.reserve(&json).await;
        let captured = json.read(&task.item).map_err(|error| permanent(Reason::ItemMalformed, &error))?;
        drop(json);
        // The declared sizes may be wrong, but if they exceed the limit no attachment is fetched, until an operator raises
        // the limit for the item. Then the received bytes count, which never exceed it.
        let declared = declared_bytes(&captured.item);
        if declared > max_bytes && !is_declared_size_ignored {
            let detail = format!("declared size {declared} exceeds the limit of {max_bytes} bytes");
            return Err(Failure::Permanent { reason: Reason::Oversize, detail });
        }
        let attached =
            if declared > self.max_item_bytes { None } else { self.attached(task, &captured.item, is_young).await? };
        let kept = match attached {
            Some(attached) => self.convert_in_memory(task, &captured, mime_key, attached).await?,
            None if max_bytes > self.max_item_bytes => {
                self.convert_large(task, &captured, mime_key, (max_bytes, is_young)).await?
            }
            None => return Err(oversize(max_bytes)),
        };
        info!(item = %task.item.key(), stage = %Stage::Convert, bytes = kept.bytes, "rendered");
        runtime::metrics::add(Metric::Converted, 1);
        runtime::metrics::add(Metric::Bytes, kept.bytes);
        Ok(Next::Forward(import_task(task, &captured, mime_key, kept)?))
    }

    async fn convert_in_memory(
        &self,
        task: &ConvertTask,
        captured: &Captured,
        mime_key: &str,
        attached: Vec<Attached>,
    ) -> Result<StoredMessage, Failure> {
        let contents: Vec<_> = attached
            .iter()
            .map(|attached| match attached {
                Attached::Bytes(fetched) => Content::File(FileFacts::of(&fetched.bytes, fetched.sha256)),
                Attached::Erased => Content::Erased,
            })
            .collect();
        let rendered =
            self.renderer.render(captured, &contents).map_err(|error| permanent(Reason::ItemMalformed, &error))?;
        let mime = rendered.mime(|index| match attached.get(index) {
            Some(Attached::Bytes(fetched)) => &fetched.bytes,
            Some(Attached::Erased) | None => &[],
        });
        drop(attached);
        let ours = (Sha256::of(&mime), mime.len() as u64);
        let (sha256, bytes) = self.store_message(task, mime_key, mime, ours).await?;
        let is_ours = (sha256, bytes) == ours;
        Ok(StoredMessage { message_id: rendered.message_id, sha256, bytes, is_ours })
    }

    /// Fetches the attachments one after the other, so that no more than the limit is in memory. Returns `None` if they
    /// are larger.
    async fn attached(
        &self,
        task: &ConvertTask,
        item: &Item,
        is_young: bool,
    ) -> Result<Option<Vec<Attached>>, Failure> {
        let Some(mut left) = self.max_item_bytes.checked_sub(text_bytes(item)) else { return Ok(None) };
        let mut attached = Vec::with_capacity(item.attachments.len());
        for (place, attachment) in item.attachments.iter().enumerate() {
            let is_evidence = place >= item.files().len();
            let limit = if is_evidence { evidence_limit(self.max_item_bytes) } else { left };
            match self.source.attachment(&task.item, attachment, limit).await {
                Ok(fetched) => {
                    check_complete(attachment, fetched.bytes.len() as u64, is_young)?;
                    if !is_evidence {
                        left = left.saturating_sub(fetched.bytes.len() as u64);
                    }
                    attached.push(Attached::Bytes(fetched));
                }
                Err(SourceError::AttachmentErased) if !is_young => attached.push(Attached::Erased),
                Err(SourceError::TooLarge { .. }) => return Ok(None),
                Err(error) => return Err(from_source(error)),
            }
        }
        Ok(Some(attached))
    }

    /// Writes the message to the bucket, unless the bucket has one.
    async fn store_message(
        &self,
        task: &ConvertTask,
        key: &str,
        mime: Bytes,
        ours: (Sha256, u64),
    ) -> Result<(Sha256, u64), Failure> {
        let put = Put { key, bytes: mime, content_type: "message/rfc822", sha256: Some(ours.0) };
        match self.store.put(put, Condition::Absent).await.map_err(store_failure)? {
            Written::Yes(_) => Ok(ours),
            Written::Conflict => self.first_rendering(task, key, ours).await,
        }
    }

    /// Returns the digest and the length of the message in the bucket, which may be an earlier rendering: the first
    /// rendering is the evidence, and is never replaced.
    pub(crate) async fn first_rendering(
        &self,
        task: &ConvertTask,
        key: &str,
        ours: (Sha256, u64),
    ) -> Result<(Sha256, u64), Failure> {
        let kept = self.store.read_digest(key).await.map_err(store_failure)?;
        let Some(kept) = kept else {
            // The object that another attempt wrote first may be deleted by now, or the lifecycle rule has aborted this
            // upload.
            return Err(match self.store.find_version(key).await.map_err(store_failure)? {
                None => Failure::Transient { detail: format!("{key} was deleted meanwhile"), after: None },
                Some(_) => {
                    let detail = format!("{key} lacks a digest: another writer stored it; delete that version");
                    Failure::Configuration { detail, after: None }
                }
            });
        };
        if kept != ours {
            warn!(item = %task.item.key(), stage = %Stage::Convert, "this rendering differs from the stored one, which was kept");
        }
        Ok(kept)
    }
}

/// The limits of one attempt.
#[derive(Clone, Copy)]
struct Limits {
    /// Size of the largest item that is rendered.
    max_bytes: u64,
    /// An operator has raised the limit for this item.
    is_declared_size_ignored: bool,
    /// The source may still receive a missing part of the item.
    is_young: bool,
}

/// Returns whether an item is complete, or is incomplete only because it was looked up again. The participants of other items
/// are all resolved by each attempt.
fn was_complete(outcome: &Outcome) -> bool {
    outcome.is_complete() || outcome.only.is_some()
}

/// Items older than this were listed by earlier runs, so a missing one is erased. The maximum of `OVERLAP_HOURS`.
const MAX_YOUNG_AGE: SignedDuration = SignedDuration::from_hours(168);

/// Returns whether the item was archived, and its task queued, so recently that the source may still receive the
/// missing part.
fn is_young(task: &ConvertTask, record: &Record, retry: Duration, now: Timestamp) -> bool {
    let waited = record.sent.map_or(SignedDuration::ZERO, |sent| now.duration_since(sent));
    let retry = SignedDuration::try_from(retry).unwrap_or(SignedDuration::MAX);
    waited < retry && now.duration_since(task.archived_time) < MAX_YOUNG_AGE
}

/// Returns whether a failure with this reason may pass: when the source has received the rest of the item, or when a
/// proxy in front of it no longer answers with JSON of its own, which looks like a malformed item.
fn may_pass(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ItemNotFound | Reason::ItemMalformed | Reason::AttachmentMissing | Reason::AttachmentMismatch
    )
}

/// Rejects an attachment of a young item that is shorter than declared: the source may not have received the rest yet. Later
/// the item is filed, and its mail states both sizes, because declared sizes may be wrong. Bytes with the declared digest are
/// complete.
pub(crate) fn check_complete(attachment: &Attachment, received: u64, is_young: bool) -> Result<(), Failure> {
    match attachment.size {
        Some(declared) if is_young && received < declared && attachment.sha256.is_none() => {
            let detail = format!("the source returned {received} bytes of an attachment, and declared {declared}");
            Err(Failure::Permanent { reason: Reason::AttachmentMissing, detail })
        }
        _ => Ok(()),
    }
}

/// Returns the size limit that a replay requests for one item, at least the configured one and up to
/// [`DeadLetter::RAISED_MAX_ITEM_BYTES`]. Invalid values are ignored.
fn raised(configured: u64, requested: Option<&str>) -> Option<u64> {
    let requested: u64 = requested?.parse().ok()?;
    Some(requested.min(DeadLetter::RAISED_MAX_ITEM_BYTES).max(configured))
}

/// Returns the number of bytes of an item's own text.
pub(crate) fn text_bytes(item: &Item) -> u64 {
    item.text.as_deref().unwrap_or_default().len() as u64
}

/// Returns the maximum size of the vendor's mail of an item: its files in base64, and as much again for text and HTML.
pub(crate) fn evidence_limit(max_item_bytes: u64) -> u64 {
    max_item_bytes.saturating_mul(2).saturating_add(1 << 20)
}

/// Returns the size that an item declares, without the evidence.
fn declared_bytes(item: &Item) -> u64 {
    let sizes = item.files().iter().map(|attachment| attachment.size.unwrap_or(0));
    sizes.fold(text_bytes(item), u64::saturating_add)
}

fn import_task(
    task: &ConvertTask,
    captured: &Captured,
    mime_key: &str,
    kept: StoredMessage,
) -> Result<String, Failure> {
    // If the bucket has another rendering, import reads both from its evidence: the copy must go to the participants that
    // it names.
    let participants = kept.is_ours.then(|| captured.item.participants().cloned().collect());
    let message_time = kept.is_ours.then_some(captured.item.message_time);
    let mut import = ImportTask {
        v: TASK_VERSION,
        run: task.run.clone(),
        item: task.item.clone(),
        archived_time: task.archived_time,
        key: task.item.key(),
        mime: Some(mime_key.to_owned()),
        sha256: kept.sha256,
        bytes: kept.bytes,
        message_id: kept.message_id,
        participants,
        message_time,
        group: Some(MessageGroup::of_chat(&captured.item.chat.id)),
    };
    let write =
        |import: &ImportTask| serde_json::to_string(import).map_err(|error| permanent(Reason::ItemMalformed, &error));
    let body = write(&import)?;
    if body.len() <= Convert::TASK_LIMIT {
        return Ok(body);
    }
    import.participants = None;
    write(&import)
}

pub(crate) fn oversize(limit: u64) -> Failure {
    let detail = format!("text and attachments exceed the limit of {limit} bytes");
    Failure::Permanent { reason: Reason::Oversize, detail }
}

pub(crate) fn permanent(reason: Reason, error: &dyn std::error::Error) -> Failure {
    Failure::Permanent { reason, detail: error.to_string() }
}

pub(crate) fn from_source(error: SourceError) -> Failure {
    let detail = error.to_string();
    let reason = match error {
        SourceError::Unavailable { retry_after, .. } | SourceError::StillCapturing { retry_after } => {
            return Failure::Transient { detail, after: retry_after };
        }
        SourceError::Configuration { .. } | SourceError::MalformedPage(_) => {
            return Failure::Configuration { detail, after: None };
        }
        SourceError::NotFound | SourceError::Erased => Reason::ItemNotFound,
        SourceError::AttachmentMissing | SourceError::AttachmentErased => Reason::AttachmentMissing,
        SourceError::Malformed(_) | SourceError::Unreadable(_) => Reason::ItemMalformed,
        SourceError::Encrypted(_) => Reason::ItemEncrypted,
        SourceError::TooLarge { .. } => Reason::Oversize,
        SourceError::Mismatch => Reason::AttachmentMismatch,
    };
    Failure::Permanent { reason, detail }
}

#[cfg(test)]
mod in_memory;

#[cfg(test)]
mod tests {
    use super::*;

    /// SQS accepts some characters only as JSON escapes, which are twice as long; a dead letter adds its attributes.
    #[test]
    fn longest_task_fits_where_sqs_accepts_256_kib() {
        let (escaped, attributes) = (2 * Convert::TASK_LIMIT, 16 << 10);
        assert!(escaped + attributes < 256 << 10);
    }

    #[test]
    fn item_is_young_by_its_archived_time_and_by_its_task() {
        let now: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        let retry = Duration::from_hours(2);
        let young = |archived: i64, sent: Option<i64>| {
            let archived_time = now - SignedDuration::from_hours(archived);
            let body =
                serde_json::json!({"v": 1, "run": "r", "item": "WA-1", "archived_time": archived_time}).to_string();
            let sent = sent.map(|minutes| now - SignedDuration::from_mins(minutes));
            let record = Record::of_body(body, sent);
            is_young(&ConvertTask::parse(&record.body).unwrap(), &record, retry, now)
        };
        assert!(young(1, Some(1)) && young(30, Some(119)) && young(1, None));
        assert!(!young(1, Some(120)), "it was requested for two hours");
        assert!(!young(168, Some(1)), "earlier runs would have seen it");
        assert!(young(-1, Some(-1)), "clocks differ");
    }

    #[test]
    fn replay_raises_the_size_limit_up_to_the_maximum() {
        assert_eq!(raised(1000, Some("1001")), Some(1001));
        for no_more in ["999", "0"] {
            assert_eq!(raised(1000, Some(no_more)), Some(1000), "{no_more:?}");
        }
        for invalid in [None, Some("-1"), Some(""), Some("1e9"), Some("18446744073709551616")] {
            assert_eq!(raised(1000, invalid), None, "{invalid:?}");
        }
        assert_eq!(raised(1000, Some("18446744073709551615")), Some(DeadLetter::RAISED_MAX_ITEM_BYTES));
    }
}
