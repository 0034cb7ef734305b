//! Access to the dead-letter queue: scans that leave every message in it, and the requests that move or delete one.

use std::{
    collections::{HashMap, VecDeque},
    error::Error,
    time::{Duration, Instant},
};

use aws_sdk_sqs::{
    Client,
    types::{
        ChangeMessageVisibilityBatchRequestEntry, MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
    },
};
use futures::{StreamExt, future::join_all, stream};
use jiff::Timestamp;
use model::{DeadLetter, MessageGroup, Stage};

use super::message::{DeadLetterMessage, DeadLetterReason};
use crate::connection::{Connection, QueueUrls};

/// A request to a queue failed. No message is lost: a message is deleted only after its copy is confirmed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}")]
pub struct DeadLetterQueueError {
    doing: &'static str,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

fn failed<E: Error + Send + Sync + 'static>(doing: &'static str) -> impl Fn(E) -> DeadLetterQueueError {
    move |error| DeadLetterQueueError { doing, source: Box::new(error) }
}

/// The queue of a stage is unknown.
#[derive(Debug, thiserror::Error)]
#[error("the queue of the stage {0} is not named: set RECEIVE_QUEUE_URL, or name the deployment by --stack NAME")]
struct NoQueue(Stage);

/// Limit of messages that a scan holds: their ids and receipts take about 50 MB. SQS allows 120,000 messages in flight.
pub const MAX_HELD_MESSAGES: usize = 100_000;

/// Visibility timeout of messages that a scan has received. A scan extends it while it runs.
pub const HOLD: Duration = Duration::from_secs(30);

/// SQS's limit of messages per request.
const RECEIVE_MAX_MESSAGES: i32 = 10;

/// Limit of concurrent requests: a hundred thousand messages need ten thousand requests.
const MAX_CONCURRENCY: usize = 16;

/// Long polling queries all of SQS's servers, so only its empty response means that the queue is empty.
const LONG_POLL_SECONDS: i32 = 1;

/// The dead-letter queue, and the queues that messages are sent back to.
#[derive(Clone)]
pub struct DeadLetterQueue {
    client: Client,
    queues: QueueUrls,
}

impl DeadLetterQueue {
    /// Creates a client for the queues of a deployment; sends no request.
    pub fn of(connection: &Connection) -> Self {
        Self { client: Client::new(&connection.config), queues: connection.queues.clone() }
    }

    /// Starts a scan. The messages that it receives are invisible to other consumers for `hold`, unless it releases them.
    pub fn scan(&self, hold: Duration) -> Scan<'_> {
        Scan {
            queue: self,
            hold,
            held: HashMap::new(),
            ahead: VecDeque::new(),
            concurrency: 1,
            held_at: Instant::now(),
            began: Timestamp::now(),
            seen_before: 0,
            expected: None,
            received: 0,
            arrived: 0,
            idle_rounds: 0,
            ended: false,
            truncated: false,
        }
    }

    /// Starts a scan of a queue that a previous scan has read: it held this many messages, and SQS's counts may lag.
    pub fn scan_again(&self, hold: Duration, seen_before: u64) -> Scan<'_> {
        Scan { seen_before, ..self.scan(hold) }
    }

    /// Returns the numbers of ready, in-flight and delayed messages of a queue.
    ///
    /// # Errors
    /// [`DeadLetterQueueError`].
    pub async fn depth(&self, url: &str) -> Result<[u64; 3], DeadLetterQueueError> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let request = self.client.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.to_vec()));
        let response = request.send().await.map_err(failed("read the message counts of a queue"))?;
        Ok(names.map(|name| {
            let count = response.attributes.as_ref().and_then(|attributes| attributes.get(&name));
            count.and_then(|count| count.parse().ok()).unwrap_or_default()
        }))
    }

    /// Sends a message back to a stage's queue: its body and attributes unchanged, and these additional attributes.
    ///
    /// # Errors
    /// [`DeadLetterQueueError`]; the message may have been sent.
    pub(super) async fn send(
        &self,
        dead_letter: &DeadLetterMessage,
        stage: Stage,
        extra_attributes: Vec<(&'static str, String)>,
    ) -> Result<(), DeadLetterQueueError> {
        const DOING: &str = "send a dead letter back to its queue";
        let url = self.queues.of_stage(stage).ok_or_else(|| failed(DOING)(NoQueue(stage)))?;
        let mut attributes = dead_letter.attributes.clone();
        // The functions recognize a replay by its reason attribute, which a message that SQS has moved may lack.
        let reason = (!attributes.contains_key(DeadLetter::REASON_ATTRIBUTE))
            .then(|| (DeadLetter::REASON_ATTRIBUTE, DeadLetterReason::RetriesExhausted.to_string()));
        for (name, value) in extra_attributes.into_iter().chain(reason) {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            attributes.insert(name.to_owned(), value.map_err(failed(DOING))?);
        }
        let send = self.client.send_message().queue_url(url).message_body(&dead_letter.body);
        let group = MessageGroup::of_task(&dead_letter.body).map(String::from);
        send.set_message_group_id(group)
            .set_message_attributes(Some(attributes))
            .send()
            .await
            .map(drop)
            .map_err(failed(DOING))
    }

    /// Deletes a message.
    ///
    /// # Errors
    /// [`DeadLetterQueueError`]; the message may have been deleted.
    pub(super) async fn delete(&self, dead_letter: &DeadLetterMessage) -> Result<(), DeadLetterQueueError> {
        let delete = self.client.delete_message().queue_url(&self.queues.dead_letters);
        delete.receipt_handle(&dead_letter.receipt).send().await.map(drop).map_err(failed("delete a dead letter"))
    }
}

/// A scan of the dead-letter queue. It returns each message that was in the queue at the start once, regardless of how
/// many arrive meanwhile.
///
/// SQS cannot read a queue without receiving its messages. The scan therefore keeps received messages invisible for a
/// short time, which it extends, and [`release`](Self::release) makes all of them visible again. A scan that is dropped
/// or killed loses nothing: its messages become visible when their visibility timeout ends.
pub struct Scan<'a> {
    queue: &'a DeadLetterQueue,
    hold: Duration,
    /// Receipt handles by message id.
    held: HashMap<String, String>,
    /// Received messages that were not returned yet, in the order of arrival.
    ahead: VecDeque<Vec<DeadLetterMessage>>,
    /// Number of concurrent receive requests: one for a short queue, doubled after each full page.
    concurrency: usize,
    /// Time of the last extension of the visibility timeout.
    held_at: Instant,
    /// Start of the scan by this machine's clock.
    began: Timestamp,
    /// Number of messages that a previous scan received.
    seen_before: u64,
    /// SQS's count at the start, including messages in flight.
    expected: Option<u64>,
    received: u64,
    /// Number of received messages that were sent after the start.
    arrived: u64,
    idle_rounds: u32,
    ended: bool,
    truncated: bool,
}

impl Scan<'_> {
    /// Limit of consecutive rounds without a message from before the start.
    const IDLE_ROUNDS_MAX: u32 = 3;

    /// SQS's count may be too low. While pages are full, the scan continues to twice the count and this many more.
    const UNCOUNTED_MAX: u64 = 1_000;

    /// Returns the next messages, at most ten; none at the end. Each call extends the visibility timeout of all received
    /// messages if needed.
    ///
    /// # Errors
    /// [`DeadLetterQueueError`].
    pub async fn next(&mut self) -> Result<Vec<DeadLetterMessage>, DeadLetterQueueError> {
        self.extend_visibility().await?;
        if self.expected.is_none() {
            let counted = self.queue.depth(&self.queue.queues.dead_letters).await?.iter().sum();
            self.expected = Some(self.seen_before.max(counted));
        }
        while self.ahead.is_empty() && !self.ended {
            self.receive().await?;
        }
        Ok(self.ahead.pop_front().unwrap_or_default())
    }

    /// Sends one round of receive requests and keeps the new messages.
    ///
    /// The end of a growing queue cannot be observed, so the scan ends after some idle rounds. A round is idle if no
    /// message is new, or if a page is not full and either as many messages were received as SQS counted at the start,
    /// or all new messages were sent after the start. The clock alone does not decide, because it may be wrong.
    async fn receive(&mut self) -> Result<(), DeadLetterQueueError> {
        let queue = self.queue;
        let hold = seconds(self.hold);
        let counted = self.received >= self.expected.unwrap_or_default();
        let requests = (0..self.concurrency).map(|_| async move {
            let receive = queue.client.receive_message().queue_url(&queue.queues.dead_letters);
            let receive = receive
                .max_number_of_messages(RECEIVE_MAX_MESSAGES)
                .wait_time_seconds(LONG_POLL_SECONDS)
                .visibility_timeout(hold)
                .message_system_attribute_names(MessageSystemAttributeName::All)
                .message_attribute_names("All");
            let response = receive.send().await.map_err(failed("read the dead-letter queue"))?;
            Ok::<_, DeadLetterQueueError>(response.messages.unwrap_or_default())
        });
        let (mut any, mut full, mut result) = (false, true, Ok(()));
        let (received_before, arrived_before) = (self.received, self.arrived);
        for page in join_all(requests).await {
            // The messages of the other pages were received too, and must be recorded in order to be released.
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    result = Err(error);
                    continue;
                }
            };
            any |= !page.is_empty();
            if i32::try_from(page.len()) == Ok(RECEIVE_MAX_MESSAGES) {
                self.concurrency = (self.concurrency * 2).min(MAX_CONCURRENCY);
            } else {
                full = false;
            }
            let read = page.into_iter().filter_map(|message| DeadLetterMessage::read(message, &queue.queues));
            let new: Vec<_> = read
                .filter(|dead_letter| {
                    self.held.insert(dead_letter.message_id.clone(), dead_letter.receipt.clone()).is_none()
                })
                .collect();
            self.received += new.len() as u64;
            self.arrived +=
                new.iter().filter(|dead_letter| dead_letter.sent.is_some_and(|sent| sent > self.began)).count() as u64;
            if !new.is_empty() {
                self.ahead.push_back(new);
            }
        }
        let only_arrived = self.received - received_before == self.arrived - arrived_before;
        // Messages that become visible again while the scan runs fill its pages without being new.
        let nothing_new = self.received == received_before;
        let idle = nothing_new || (!full && (counted || only_arrived));
        self.idle_rounds = if idle { self.idle_rounds + 1 } else { 0 };
        let bound = 2 * self.expected.unwrap_or_default() + Self::UNCOUNTED_MAX;
        self.truncated = self.held.len() >= MAX_HELD_MESSAGES || self.received > bound;
        self.ended = !any || self.idle_rounds >= Self::IDLE_ROUNDS_MAX || self.truncated;
        result
    }

    /// Extends the visibility timeout of all received messages before it ends.
    async fn extend_visibility(&mut self) -> Result<(), DeadLetterQueueError> {
        if self.held.is_empty() || self.held_at.elapsed() < self.hold / 2 {
            return Ok(());
        }
        let receipts: Vec<_> = self.held.values().collect();
        self.queue.set_visibility(&receipts, self.hold, "extend the visibility timeout of received messages").await?;
        self.held_at = Instant::now();
        Ok(())
    }

    /// Returns whether the scan ended at its limit.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Returns whether the scan received every message that was in the queue at the start: false if SQS counted more,
    /// or if other consumers may have some in flight.
    ///
    /// # Errors
    /// [`DeadLetterQueueError`].
    pub async fn is_complete(&self) -> Result<bool, DeadLetterQueueError> {
        let [_, in_flight, _] = self.queue.depth(&self.queue.queues.dead_letters).await?;
        let counted = self.expected.is_some_and(|expected| self.received - self.arrived >= expected);
        Ok(counted && !self.truncated && in_flight <= self.held.len() as u64)
    }

    /// Removes a message that was deleted from the messages to release.
    pub(super) fn remove(&mut self, dead_letter: &DeadLetterMessage) {
        self.held.remove(&dead_letter.message_id);
    }

    /// Makes all received messages visible again.
    ///
    /// # Errors
    /// [`DeadLetterQueueError`]; messages that were not released become visible when their visibility timeout ends.
    pub async fn release(self) -> Result<(), DeadLetterQueueError> {
        const DOING: &str = "make the messages visible again; they become visible when their visibility timeout ends";
        let receipts: Vec<_> = self.held.values().collect();
        self.queue.set_visibility(&receipts, Duration::ZERO, DOING).await
    }
}

impl DeadLetterQueue {
    /// Sets the visibility timeout of messages.
    async fn set_visibility(
        &self,
        receipts: &[&String],
        hold: Duration,
        doing: &'static str,
    ) -> Result<(), DeadLetterQueueError> {
        let pages = receipts.chunks(10).map(|page| async move {
            let entries = page.iter().enumerate().map(|(index, receipt)| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string());
                entry.receipt_handle(*receipt).visibility_timeout(seconds(hold)).build()
            });
            let entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(failed(doing))?;
            let change = self.client.change_message_visibility_batch().queue_url(&self.queues.dead_letters);
            // An entry fails only if its visibility timeout has ended already.
            change.set_entries(Some(entries)).send().await.map(drop).map_err(failed(doing))
        });
        // An error of one page must not keep the others invisible.
        let mut pages = stream::iter(pages).buffer_unordered(MAX_CONCURRENCY);
        let mut result = Ok(());
        while let Some(page) = pages.next().await {
            result = page.and(result);
        }
        result
    }
}

fn seconds(hold: Duration) -> i32 {
    i32::try_from(hold.as_secs()).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
