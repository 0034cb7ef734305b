//! The dead-letter queue: a walk through all of it that leaves it as it was, and what moves a letter out of it.

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
use model::{DeadLetter, Stage};

use super::letter::{Letter, Why};
use crate::connection::{Connection, QueueUrls};

/// A queue does not do what is asked. Nothing is lost: a letter is deleted only when its copy is confirmed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}")]
pub struct LettersError {
    doing: &'static str,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

fn failed<E: Error + Send + Sync + 'static>(doing: &'static str) -> impl Fn(E) -> LettersError {
    move |error| LettersError { doing, source: Box::new(error) }
}

/// The most letters that a walk holds: their ids and receipts, some 50 MB. SQS itself has at most 120,000 in flight.
pub const MOST_HELD: usize = 100_000;

/// How long messages stay invisible to other consumers if a command that reads the queue is killed. A walk extends it.
pub const HOLD: Duration = Duration::from_secs(30);

/// The most messages in one request.
const PAGE: i32 = 10;

/// The most requests at once that receive letters, or hold or release them: a hundred thousand letters are ten thousand
/// requests.
const AT_ONCE: usize = 16;

/// How long a receive waits. Only a receive that waits asks all of SQS's servers, so only its empty answer means that
/// the queue is empty.
const LONG_POLL_SECONDS: i32 = 1;

/// The dead-letter queue and the two that letters go back to.
#[derive(Clone)]
pub struct Letters {
    client: Client,
    queues: QueueUrls,
}

impl Letters {
    /// Those of a deployment; asks for nothing yet.
    pub fn of(connection: &Connection) -> Self {
        Self { client: Client::new(&connection.config), queues: connection.queues.clone() }
    }

    /// Begins a walk. The messages that it receives are invisible to other consumers for `hold`, unless it releases them.
    pub fn walk(&self, hold: Duration) -> Walk<'_> {
        Walk {
            letters: self,
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
            cut: false,
        }
    }

    /// The same for a queue that is known to have held this many messages a moment ago: SQS's counts may lag.
    pub fn walk_again(&self, hold: Duration, seen_before: u64) -> Walk<'_> {
        Walk { seen_before, ..self.walk(hold) }
    }

    /// How many messages of a queue wait, are in somebody's hands, and are delayed.
    ///
    /// # Errors
    /// [`LettersError`].
    pub async fn depth(&self, url: &str) -> Result<[u64; 3], LettersError> {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        let ask = self.client.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.to_vec()));
        let answer = ask.send().await.map_err(failed("ask how many messages a queue has"))?;
        Ok(names.map(|name| {
            let count = answer.attributes.as_ref().and_then(|attributes| attributes.get(&name));
            count.and_then(|count| count.parse().ok()).unwrap_or_default()
        }))
    }

    /// Sends a letter back to a stage's queue: its body and attributes as they are, and these more.
    ///
    /// # Errors
    /// [`LettersError`]; the message may be on the queue all the same.
    pub(super) async fn send(
        &self,
        letter: &Letter,
        stage: Stage,
        more: Vec<(&'static str, String)>,
    ) -> Result<(), LettersError> {
        const DOING: &str = "send a letter back to its queue";
        let url = match stage {
            Stage::Convert => &self.queues.convert,
            Stage::Import => &self.queues.import,
        };
        let mut attributes = letter.attributes.clone();
        // The functions know a replay by its reason, and what SQS moved by itself may have none.
        let reason = (!attributes.contains_key(DeadLetter::REASON_ATTRIBUTE))
            .then(|| (DeadLetter::REASON_ATTRIBUTE, Why::RetriesExhausted.to_string()));
        for (name, value) in more.into_iter().chain(reason) {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            attributes.insert(name.to_owned(), value.map_err(failed(DOING))?);
        }
        let send = self.client.send_message().queue_url(url).message_body(&letter.body);
        send.set_message_attributes(Some(attributes)).send().await.map(drop).map_err(failed(DOING))
    }

    /// Deletes a letter.
    ///
    /// # Errors
    /// [`LettersError`]; the letter may be gone all the same.
    pub(super) async fn delete(&self, letter: &Letter) -> Result<(), LettersError> {
        let delete = self.client.delete_message().queue_url(&self.queues.dead_letters);
        delete.receipt_handle(&letter.receipt).send().await.map(drop).map_err(failed("delete a letter"))
    }
}

/// A walk through the dead-letter queue: each message that was in it at the start, once, however many arrive meanwhile.
///
/// SQS has no way to read a queue without taking its messages. The walk therefore holds what it has received, for a short
/// time that it extends, and [`release`](Self::release) makes all of it visible at once. A walk that is dropped or killed
/// loses nothing: its messages are visible again when their hold ends.
pub struct Walk<'a> {
    letters: &'a Letters,
    hold: Duration,
    /// Receipts by message id.
    held: HashMap<String, String>,
    /// Messages that were received and not yet returned, as they came.
    ahead: VecDeque<Vec<Letter>>,
    /// Parallel receive requests: one for a short queue, doubled by each full page.
    concurrency: usize,
    /// When the hold of all of them was extended last.
    held_at: Instant,
    /// The start, by this machine's clock.
    began: Timestamp,
    /// Messages that an earlier walk saw.
    seen_before: u64,
    /// Messages that SQS counted at the start, those in flight included.
    expected: Option<u64>,
    received: u64,
    /// Of the received: sent after the start.
    arrived: u64,
    idle_rounds: u32,
    ended: bool,
    cut: bool,
}

impl Walk<'_> {
    /// The walk ends after this many rounds in a row in which nothing points to messages from before the start.
    const IDLE_ROUNDS_MAX: u32 = 3;

    /// SQS's count may be too low. The walk goes on beyond it while pages are full, up to twice the count and this many.
    const UNCOUNTED_MAX: u64 = 1_000;

    /// Returns the next messages, at most ten; none at the end. The walk keeps its hold on everything that it has received
    /// as long as this is called.
    ///
    /// # Errors
    /// [`LettersError`].
    pub async fn next(&mut self) -> Result<Vec<Letter>, LettersError> {
        self.hold_on().await?;
        if self.expected.is_none() {
            let counted = self.letters.depth(&self.letters.queues.dead_letters).await?.iter().sum();
            self.expected = Some(self.seen_before.max(counted));
        }
        while self.ahead.is_empty() && !self.ended {
            self.receive().await?;
        }
        Ok(self.ahead.pop_front().unwrap_or_default())
    }

    /// Receives one round of pages and keeps the messages that are new.
    ///
    /// The end of a queue that still grows cannot be seen. A round is idle where a page has room left and either the count
    /// of the start is reached, or everything new in it was sent after the start. The clock alone decides nothing: this
    /// machine's may be wrong.
    async fn receive(&mut self) -> Result<(), LettersError> {
        let letters = self.letters;
        let hold = seconds(self.hold);
        let counted = self.received >= self.expected.unwrap_or_default();
        let requests = (0..self.concurrency).map(|_| async move {
            let receive = letters.client.receive_message().queue_url(&letters.queues.dead_letters);
            let receive = receive
                .max_number_of_messages(PAGE)
                .wait_time_seconds(LONG_POLL_SECONDS)
                .visibility_timeout(hold)
                .message_system_attribute_names(MessageSystemAttributeName::All)
                .message_attribute_names("All");
            let answer = receive.send().await.map_err(failed("read the dead-letter queue"))?;
            Ok::<_, LettersError>(answer.messages.unwrap_or_default())
        });
        let (mut any, mut full, mut result) = (false, true, Ok(()));
        let (received_before, arrived_before) = (self.received, self.arrived);
        for page in join_all(requests).await {
            // Messages of the other pages are held, so they must be known in order to be released.
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    result = Err(error);
                    continue;
                }
            };
            any |= !page.is_empty();
            if i32::try_from(page.len()) == Ok(PAGE) {
                self.concurrency = (self.concurrency * 2).min(AT_ONCE);
            } else {
                full = false;
            }
            let read = page.into_iter().filter_map(|message| Letter::read(message, &letters.queues));
            let new: Vec<_> = read
                .filter(|letter| self.held.insert(letter.message_id.clone(), letter.receipt.clone()).is_none())
                .collect();
            self.received += new.len() as u64;
            self.arrived +=
                new.iter().filter(|letter| letter.sent.is_some_and(|sent| sent > self.began)).count() as u64;
            if !new.is_empty() {
                self.ahead.push_back(new);
            }
        }
        let only_arrived = self.received - received_before == self.arrived - arrived_before;
        let idle = !full && (counted || only_arrived);
        self.idle_rounds = if idle { self.idle_rounds + 1 } else { 0 };
        let bound = 2 * self.expected.unwrap_or_default() + Self::UNCOUNTED_MAX;
        self.cut = self.held.len() >= MOST_HELD || self.received > bound;
        self.ended = !any || self.idle_rounds >= Self::IDLE_ROUNDS_MAX || self.cut;
        result
    }

    /// Holds on to what it holds, in time before that ends.
    async fn hold_on(&mut self) -> Result<(), LettersError> {
        if self.held.is_empty() || self.held_at.elapsed() < self.hold / 2 {
            return Ok(());
        }
        let receipts: Vec<_> = self.held.values().collect();
        self.letters.hide(&receipts, self.hold, "hold the letters that were read").await?;
        self.held_at = Instant::now();
        Ok(())
    }

    /// Whether the walk ended although there are more messages.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Whether it has seen every message that was in the queue at the start; false where SQS counted more, or where other
    /// consumers may have some in flight.
    ///
    /// # Errors
    /// [`LettersError`].
    pub async fn is_whole(&self) -> Result<bool, LettersError> {
        let [_, in_flight, _] = self.letters.depth(&self.letters.queues.dead_letters).await?;
        let counted = self.expected.is_some_and(|expected| self.received - self.arrived >= expected);
        Ok(counted && !self.cut && in_flight <= self.held.len() as u64)
    }

    /// A letter is no longer there to be released.
    pub(super) fn forget(&mut self, letter: &Letter) {
        self.held.remove(&letter.message_id);
    }

    /// Lets everybody see again what it holds.
    ///
    /// # Errors
    /// [`LettersError`]; what was not released is seen again when its hold ends.
    pub async fn release(self) -> Result<(), LettersError> {
        const DOING: &str = "make the letters visible again; they are when their hold ends";
        let receipts: Vec<_> = self.held.values().collect();
        self.letters.hide(&receipts, Duration::ZERO, DOING).await
    }
}

impl Letters {
    /// Keeps deliveries out of everybody else's sight for so long from now on.
    async fn hide(&self, receipts: &[&String], hold: Duration, doing: &'static str) -> Result<(), LettersError> {
        let pages = receipts.chunks(10).map(|page| async move {
            let entries = page.iter().enumerate().map(|(index, receipt)| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string());
                entry.receipt_handle(*receipt).visibility_timeout(seconds(hold)).build()
            });
            let entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(failed(doing))?;
            let change = self.client.change_message_visibility_batch().queue_url(&self.queues.dead_letters);
            // An entry that fails has ended its hold already.
            change.set_entries(Some(entries)).send().await.map(drop).map_err(failed(doing))
        });
        // One page's failure is no reason to leave the others.
        let mut pages = stream::iter(pages).buffer_unordered(AT_ONCE);
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
