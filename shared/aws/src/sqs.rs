//! The SQS queues: sends tasks and dead letters, and delays retries. No SDK type leaves this crate.

use std::{borrow::Cow, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_sqs::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::send_message_batch::SendMessageBatchError,
    types::{MessageAttributeValue, SendMessageBatchRequestEntry},
};
use futures::{StreamExt, future::BoxFuture, stream};
use model::{DeadLetter, MessageGroup};

use crate::error::{RequestError, classify};

/// The SQS limit of one message and of one batch: 1 MiB of bodies and attributes. Where a region still has a lower one,
/// [`Queue::send`] halves the batch that it rejects.
pub const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// The SQS limit of messages per batch.
pub const MAX_BATCH_ENTRIES: usize = 10;

/// Error of a queue operation. Never permanent for an item.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// SQS is unreachable, throttles or fails: transient.
    #[error("the queue is unavailable: {operation}: {problem}")]
    Unavailable {
        /// The operation.
        operation: &'static str,
        /// The error of SQS.
        problem: String,
    },
    /// The queue does not exist, or the permission is missing: a configuration error.
    #[error("the queue rejected the request: {operation}: {problem}")]
    Configuration {
        /// The operation.
        operation: &'static str,
        /// The error of SQS.
        problem: String,
    },
}

/// A queue.
#[derive(Clone)]
pub struct Queue {
    client: Client,
    url: String,
}

impl Queue {
    /// Creates a client of one queue. It sends no request yet.
    pub fn new(config: &SdkConfig, url: String) -> Self {
        Self { client: Client::new(config), url }
    }

    /// Maximum number of batches that are sent concurrently: a page of fetch has a hundred, and the response takes much
    /// longer than sending.
    const CONCURRENT_BATCHES: usize = 8;

    /// Sends any number of messages, in batches that are as full as SQS allows and several batches concurrently, so
    /// that they may arrive in any order. Returns one result per body, in the order of the bodies. The predecessor of a
    /// message may be deleted only if its own result is `Ok`. Each message is in the [`MessageGroup`] of its task.
    pub async fn send(&self, bodies: &[String]) -> Vec<Result<(), QueueError>> {
        let mut batches: Vec<BoxFuture<'_, _>> = Vec::new();
        let mut rest = bodies;
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(batch_length(rest));
            batches.push(Box::pin(self.send_batch(batch)));
            rest = after;
        }
        let results: Vec<Vec<_>> = stream::iter(batches).buffered(Self::CONCURRENT_BATCHES).collect().await;
        results.into_iter().flatten().collect()
    }

    async fn send_batch(&self, bodies: &[String]) -> Vec<Result<(), QueueError>> {
        const OPERATION: &str = "send";
        let entry = |(index, body): (usize, &String)| {
            let entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(sendable(body));
            entry.set_message_group_id(MessageGroup::of_task(body).map(String::from)).build()
        };
        let entries: Result<Vec<_>, _> = bodies.iter().enumerate().map(entry).collect();
        let all = |error: &dyn Fn() -> QueueError| bodies.iter().map(|_| Err(error())).collect();
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                let problem = error.to_string();
                return all(&|| QueueError::Configuration { operation: OPERATION, problem: problem.clone() });
            }
        };
        let response = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries)).send().await;
        let response = match response {
            Ok(response) => response,
            Err(error) if bodies.len() > 1 && is_too_long(&error) => {
                let (first, second) = bodies.split_at(bodies.len() / 2);
                let mut results = Box::pin(self.send_batch(first)).await;
                results.extend(Box::pin(self.send_batch(second)).await);
                return results;
            }
            Err(error) => return all(&|| error_of(OPERATION, &error)),
        };
        // Only the messages that SQS names as sent count as sent.
        let mut results: Vec<_> = bodies
            .iter()
            .map(|_| {
                Err(QueueError::Unavailable {
                    operation: OPERATION,
                    problem: "SQS did not confirm the message".to_owned(),
                })
            })
            .collect();
        for sent in response.successful {
            if let Some(result) = sent.id.parse::<usize>().ok().and_then(|index| results.get_mut(index)) {
                *result = Ok(());
            }
        }
        for failed in response.failed {
            if let Some(result) = failed.id.parse::<usize>().ok().and_then(|index| results.get_mut(index)) {
                let problem = failed.code;
                *result = Err(if failed.sender_fault {
                    QueueError::Configuration { operation: OPERATION, problem }
                } else {
                    QueueError::Unavailable { operation: OPERATION, problem }
                });
            }
        }
        results
    }

    /// Sends a dead letter: the task's body unchanged, the rest as string attributes.
    ///
    /// # Errors
    /// [`QueueError`].
    pub async fn send_dead_letter(&self, dead_letter: &DeadLetter) -> Result<(), QueueError> {
        const OPERATION: &str = "send dead letter";
        let mut request = self.client.send_message().queue_url(&self.url).message_body(&dead_letter.body);
        for (name, value) in dead_letter.attributes() {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            let value = value
                .map_err(|error| QueueError::Configuration { operation: OPERATION, problem: error.to_string() })?;
            request = request.message_attributes(name, value);
        }
        request.send().await.map(drop).map_err(|error| error_of(OPERATION, &error))
    }

    /// Delays the redelivery of a message in flight by `after`, rounded up to a second and at most [`MAX_WAIT`].
    ///
    /// # Errors
    /// [`QueueError`]: the message is redelivered when its visibility timeout ends.
    pub async fn postpone(&self, receipt_handle: &str, after: Duration) -> Result<(), QueueError> {
        let seconds = (after.as_secs() + u64::from(after.subsec_nanos() > 0)).min(MAX_WAIT.as_secs());
        self.client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(receipt_handle)
            .visibility_timeout(i32::try_from(seconds).unwrap_or(i32::MAX))
            .send()
            .await
            .map(drop)
            .map_err(|error| error_of("change visibility", &error))
    }
}

/// Maximum wait of a message. SQS limits the time since the receive to 12 hours, and a function may have held the
/// message for 15 minutes.
pub const MAX_WAIT: Duration = Duration::from_secs(12 * 3600 - 15 * 60);

/// Escapes the characters of a JSON body that SQS rejects. SQS rejects U+FFFE and U+FFFF, which JSON writes unescaped
/// and which may occur in every name.
fn sendable(body: &str) -> Cow<'_, str> {
    if !body.contains(['\u{fffe}', '\u{ffff}']) {
        return Cow::Borrowed(body);
    }
    Cow::Owned(body.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff"))
}

/// Returns the number of bodies that fit into one batch; at least one.
fn batch_length(bodies: &[String]) -> usize {
    let mut bytes = 0;
    let fits = |body: &&String| {
        bytes += sendable(body).len();
        bytes <= MAX_BATCH_BYTES
    };
    bodies.iter().take(MAX_BATCH_ENTRIES).take_while(fits).count().max(1)
}

/// Returns whether SQS accepts fewer bytes in one request than the batch has.
fn is_too_long(error: &SdkError<SendMessageBatchError>) -> bool {
    error.as_service_error().is_some_and(SendMessageBatchError::is_batch_request_too_long)
        || error.code().is_some_and(|code| code.ends_with("BatchRequestTooLong"))
}

fn error_of<E>(operation: &'static str, error: &SdkError<E>) -> QueueError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let RequestError { is_transient, problem } = classify(error);
    if is_transient {
        QueueError::Unavailable { operation, problem }
    } else {
        QueueError::Configuration { operation, problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_is_escaped_for_sqs_without_changing_its_value() {
        let all: String = ('\0'..=char::MAX).collect();
        let body = serde_json::to_string(&all).unwrap();
        let sent = sendable(&body);
        // As SendMessage's documentation lists them.
        let is_accepted =
            |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        assert!(!body.chars().all(is_accepted) && sent.chars().all(is_accepted));
        assert!(serde_json::from_str::<String>(&sent).unwrap() == all);
    }

    #[test]
    fn batch_is_as_full_as_sqs_allows() {
        assert_eq!(batch_length(&vec!["x".to_owned(); 25]), 10);
        assert_eq!(batch_length(&vec!["x".repeat(400 * 1024); 5]), 2);
        assert_eq!(batch_length(&vec!["x".repeat(2 * MAX_BATCH_BYTES); 2]), 1);
    }
}
