//! The dead-letter queue: a walk through all of it that leaves it as it was, and what moves a letter out of it.

use std::{collections::HashMap, error::Error, time::Duration};

use aws_sdk_sqs::{
    Client,
    types::{
        ChangeMessageVisibilityBatchRequestEntry, MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
    },
};
use futures::{StreamExt, stream};
use item::{DeadLetter, Stage};

use super::letter::{Letter, Why};
use crate::operator::connection::{Connection, QueueUrls};

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

/// The most messages in one request.
const PAGE: i32 = 10;

/// How many requests make letters visible again at once: a hundred thousand letters are ten thousand requests.
const RELEASED_AT_ONCE: usize = 16;

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

    /// Begins a walk. What it has received stays out of everybody else's sight for `hold`, unless it is released.
    pub fn walk(&self, hold: Duration) -> Walk<'_> {
        Walk { letters: self, hold, held: HashMap::new(), full: false }
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

/// A walk through the queue. End it with [`release`](Self::release): what it still holds can be seen again then. A walk
/// that is dropped or killed loses nothing; what it held is seen again when its hold ends.
pub struct Walk<'a> {
    letters: &'a Letters,
    hold: Duration,
    /// Receipts by message id.
    held: HashMap<String, String>,
    full: bool,
}

impl Walk<'_> {
    /// The next letters, each once; none at the end of the queue.
    ///
    /// # Errors
    /// [`LettersError`].
    pub async fn next(&mut self) -> Result<Vec<Letter>, LettersError> {
        /// A hold that is shorter than the walk brings letters again; a queue that brings nothing else is at its end.
        const PAGES_SEEN_BEFORE: usize = 3;
        let hold = i32::try_from(self.hold.as_secs()).unwrap_or(i32::MAX);
        for _ in 0..PAGES_SEEN_BEFORE {
            if self.held.len() >= MOST_HELD {
                self.full = true;
                break;
            }
            let receive = self.letters.client.receive_message().queue_url(&self.letters.queues.dead_letters);
            let receive = receive
                .max_number_of_messages(PAGE)
                .wait_time_seconds(LONG_POLL_SECONDS)
                .visibility_timeout(hold)
                .message_system_attribute_names(MessageSystemAttributeName::All)
                .message_attribute_names("All");
            let answer = receive.send().await.map_err(failed("read the dead-letter queue"))?;
            let messages = answer.messages.unwrap_or_default();
            if messages.is_empty() {
                break;
            }
            let read = messages.into_iter().filter_map(|message| Letter::read(message, &self.letters.queues));
            let new: Vec<_> = read
                .filter(|letter| self.held.insert(letter.message_id.clone(), letter.receipt.clone()).is_none())
                .collect();
            if !new.is_empty() {
                return Ok(new);
            }
        }
        Ok(Vec::new())
    }

    /// Whether the walk ended before the queue did, because it held [`MOST_HELD`].
    pub fn is_cut(&self) -> bool {
        self.full
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
        let receipts: Vec<_> = self.held.into_values().collect();
        let pages = receipts.chunks(10).map(|page| async move {
            let entries = page.iter().enumerate().map(|(index, receipt)| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string());
                entry.receipt_handle(receipt).visibility_timeout(0).build()
            });
            let entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(failed(DOING))?;
            let change = self.letters.client.change_message_visibility_batch();
            let change = change.queue_url(&self.letters.queues.dead_letters).set_entries(Some(entries));
            // An entry that fails has ended its hold already.
            change.send().await.map(drop).map_err(failed(DOING))
        });
        // One page's failure is no reason to hold the others.
        let mut released = stream::iter(pages).buffer_unordered(RELEASED_AT_ONCE);
        let mut result = Ok(());
        while let Some(page) = released.next().await {
            result = page.and(result);
        }
        result
    }
}
