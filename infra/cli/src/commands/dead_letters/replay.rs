//! Sends dead letters back to the queue of their stage.
//!
//! Each dead letter is deleted only after SQS has confirmed its copy on the queue of its stage. After an interruption a
//! message is in the dead-letter queue, on its stage's queue, or on both. If it is on both, the item is still filed once,
//! because import reads the item's outcome first.

use std::{collections::HashSet, num::NonZeroU32, time::Duration};

use futures::{StreamExt, stream};
use model::{DeadLetter, Reason, Stage};
use tokio::time::{Instant, sleep_until};

use super::{
    list::{Counts, for_each_dead_letter},
    message::{DeadLetterMessage, DeadLetterReason, Filter},
    queue::{DeadLetterQueue, DeadLetterQueueError},
};
use crate::Interrupt;

/// Concurrently sent messages.
const CONCURRENT_SENDS: usize = 10;

/// The dead letters to process, by message id. Messages that arrive after the operator's confirmation are not included.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    pub counts: Counts,
    /// Number of selected messages that lack a stage, so that they cannot be replayed.
    pub without_stage: u64,
    /// `true` if the queue has more messages than a scan reads; the rest is not part of the plan.
    pub truncated: bool,
    /// `true` if the queue has messages that the scan did not receive; see [`ScanSummary::unread`](super::ScanSummary).
    pub unread: bool,
    /// Number of messages in the queue, including those that are not selected.
    pub(super) seen: u64,
    pub(super) message_ids: HashSet<String>,
}

impl Plan {
    /// Returns whether every message of the queue was examined.
    pub fn is_complete(&self) -> bool {
        !self.truncated && !self.unread
    }

    /// Finds the selected dead letters that have a stage.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub async fn to_replay(queue: &DeadLetterQueue, filter: &Filter, hold: Duration) -> anyhow::Result<Self> {
        Self::selecting(queue, filter, hold, |dead_letter| dead_letter.stage.is_some()).await
    }

    /// Finds all selected dead letters.
    ///
    /// # Errors
    /// The queue cannot be read.
    pub async fn to_discard(queue: &DeadLetterQueue, filter: &Filter, hold: Duration) -> anyhow::Result<Self> {
        Self::selecting(queue, filter, hold, |_| true).await
    }

    async fn selecting(
        queue: &DeadLetterQueue,
        filter: &Filter,
        hold: Duration,
        selects: impl Fn(&DeadLetterMessage) -> bool,
    ) -> anyhow::Result<Self> {
        let mut plan = Self::default();
        let summary = for_each_dead_letter(queue.scan(hold), filter, |dead_letter| {
            if selects(&dead_letter) {
                plan.counts.add(&dead_letter);
                plan.message_ids.insert(dead_letter.message_id);
            } else {
                plan.without_stage += 1;
            }
            Ok(())
        })
        .await?;
        (plan.truncated, plan.unread, plan.seen) = (summary.truncated, summary.unread, summary.seen);
        Ok(plan)
    }
}

/// Parameters of a replay.
#[derive(Debug, Clone, Copy)]
pub struct ReplayOptions {
    /// Visibility timeout of received messages.
    pub hold: Duration,
    /// Limit of dead letters per second.
    pub rate: Option<NonZeroU32>,
    /// Limit for items that were too large.
    pub max_item_bytes: Option<u64>,
}

/// Result of a replay.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Messages that were sent to their stage's queue and deleted here.
    pub moved: u64,
    /// Messages that were sent and could not be deleted here. If they are replayed again, they are filed once.
    pub left_behind: u64,
    /// Messages that are unchanged.
    pub unsent: u64,
    /// Messages that were not found any more, or that another consumer has in flight.
    pub not_found: u64,
    /// The last error of a single message.
    pub failure: Option<DeadLetterQueueError>,
    /// The error that ended the replay: the queue could not be read, or messages could not be released.
    pub aborted: Option<DeadLetterQueueError>,
    /// `true` if the operator interrupted the replay.
    pub interrupted: bool,
}

impl Replayed {
    /// Returns whether every planned message was replayed.
    pub fn is_complete(&self) -> bool {
        self.aborted.is_none() && self.left_behind + self.unsent + self.not_found == 0
    }
}

enum MoveResult {
    Moved,
    LeftBehind(DeadLetterQueueError),
    Unsent(DeadLetterQueueError),
}

/// Replays the messages of a plan; `progress` receives the number of processed messages. An error does not discard the
/// counts of the messages that were moved before.
pub async fn replay(
    queue: &DeadLetterQueue,
    mut plan: Plan,
    options: ReplayOptions,
    interrupt: &Interrupt,
    progress: impl Fn(u64),
) -> Replayed {
    let mut replayed = Replayed::default();
    let mut scan = queue.scan_again(options.hold, plan.seen);
    let began = Instant::now();
    let mut done = 0_u64;
    let result = async {
        while !plan.message_ids.is_empty() {
            if interrupt.is_set() {
                replayed.interrupted = true;
                return Ok(());
            }
            let page = scan.next().await?;
            if page.is_empty() {
                return Ok(());
            }
            let planned = page
                .into_iter()
                .filter(|dead_letter| plan.message_ids.remove(&dead_letter.message_id))
                .collect::<Vec<_>>();
            let moves = stream::iter(&planned)
                .map(|dead_letter| async move { (dead_letter, queue.move_back(dead_letter, options).await) });
            let mut moves = moves.buffer_unordered(CONCURRENT_SENDS);
            while let Some((dead_letter, moved)) = moves.next().await {
                match moved {
                    MoveResult::Moved => {
                        replayed.moved += 1;
                        scan.remove(dead_letter);
                    }
                    MoveResult::LeftBehind(error) => {
                        replayed.left_behind += 1;
                        replayed.failure = Some(error);
                    }
                    MoveResult::Unsent(error) => {
                        replayed.unsent += 1;
                        replayed.failure = Some(error);
                    }
                }
                done += 1;
                progress(done);
            }
            if let Some(rate) = options.rate {
                sleep_until(began + Duration::from_secs_f64(done as f64 / f64::from(rate.get()))).await;
            }
        }
        Ok(())
    }
    .await;
    let rest = plan.message_ids.len() as u64;
    if replayed.interrupted || result.is_err() {
        replayed.unsent += rest;
    } else {
        replayed.not_found = rest;
    }
    let released = scan.release().await;
    replayed.aborted = result.and(released).err();
    replayed
}

impl DeadLetterQueue {
    async fn move_back(&self, dead_letter: &DeadLetterMessage, options: ReplayOptions) -> MoveResult {
        // Every planned message has a stage.
        let stage = dead_letter.stage.unwrap_or(Stage::Convert);
        let extra_attributes = match (dead_letter.reason, options.max_item_bytes) {
            (DeadLetterReason::Recorded(Reason::Oversize), Some(bytes)) => {
                vec![(DeadLetter::MAX_ITEM_BYTES_ATTRIBUTE, bytes.to_string())]
            }
            _ => Vec::new(),
        };
        if let Err(error) = self.send(dead_letter, stage, extra_attributes).await {
            return MoveResult::Unsent(error);
        }
        match self.delete(dead_letter).await {
            Ok(()) => MoveResult::Moved,
            Err(error) => MoveResult::LeftBehind(error),
        }
    }
}
