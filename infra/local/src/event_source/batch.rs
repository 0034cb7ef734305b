//! A batch of messages: receive, convert to an event, delete.

use std::{collections::BTreeMap, time::Duration};

use aws_sdk_sqs::{
    Client,
    types::{DeleteMessageBatchRequestEntry, Message, MessageAttributeValue, MessageSystemAttributeName},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use futures::future::try_join_all;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    super::{
        cloud::{CloudError, Queue, failed},
        ministack::Ministack,
    },
    batch_response::BatchResult,
};

/// Messages that were received together.
pub struct Batch {
    messages: Vec<Message>,
    arn: String,
}

/// SQS's limit for one receive or delete call.
const MAX_PER_CALL: usize = 10;

impl Batch {
    /// Receives up to `size` messages. Waits up to `wait` for the first message and then up to `window` for more, both in
    /// whole seconds. Returns `None` if the queue is empty.
    ///
    /// Lambda's limit of 6 MB for an event is not applied, because tasks are small.
    ///
    /// # Errors
    /// If the queue does not respond.
    pub async fn receive(
        client: &Client,
        queue: &Queue,
        size: usize,
        window: Duration,
        wait: Duration,
    ) -> Result<Option<Self>, CloudError> {
        let mut messages = receive(client, queue, size, wait).await?;
        if messages.is_empty() {
            return Ok(None);
        }
        let deadline = Instant::now() + window;
        while messages.len() < size {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            // Messages that were received are processed even if the batch is not full.
            let Ok(more) = receive(client, queue, size - messages.len(), left).await else { break };
            messages.extend(more);
        }
        Ok(Some(Self { messages, arn: queue.arn.clone() }))
    }

    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.messages.iter().filter_map(Message::message_id)
    }

    /// Returns the event as Lambda writes it.
    pub fn event(&self) -> Bytes {
        let records: Vec<_> = self.messages.iter().map(|message| record(message, &self.arn)).collect();
        json!({ "Records": records }).to_string().into()
    }

    /// Deletes the messages that are done; SQS redelivers the others after their visibility timeout. Returns the number
    /// of deleted messages.
    ///
    /// # Errors
    /// If the queue does not respond. Some messages may have been deleted.
    pub async fn settle(&self, client: &Client, queue: &Queue, result: &BatchResult) -> Result<u64, CloudError> {
        let BatchResult::Done(failed_ids) = result else { return Ok(0) };
        let done =
            self.messages.iter().filter(|message| !message.message_id().is_some_and(|id| failed_ids.contains(id)));
        let done: Vec<_> = done.filter_map(Message::receipt_handle).collect();
        let calls = done.chunks(MAX_PER_CALL).map(|handles| delete(client, queue, handles));
        Ok(try_join_all(calls).await?.into_iter().sum())
    }
}

async fn receive(client: &Client, queue: &Queue, limit: usize, wait: Duration) -> Result<Vec<Message>, CloudError> {
    let seconds = wait.as_millis().div_ceil(1_000).min(20);
    let call = client
        .receive_message()
        .queue_url(&queue.url)
        .max_number_of_messages(i32::try_from(limit.clamp(1, MAX_PER_CALL)).unwrap_or(1))
        .wait_time_seconds(i32::try_from(seconds).unwrap_or(20))
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .message_attribute_names("All");
    let response = call.send().await.map_err(failed("receive messages"))?;
    Ok(response.messages.unwrap_or_default())
}

async fn delete(client: &Client, queue: &Queue, handles: &[&str]) -> Result<u64, CloudError> {
    let entries = handles.iter().enumerate().map(|(number, handle)| {
        let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string()).receipt_handle(*handle);
        entry.build().map_err(failed("delete messages"))
    });
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let call = client.delete_message_batch().queue_url(&queue.url).set_entries(Some(entries));
    let response = call.send().await.map_err(failed("delete messages"))?;
    for rejected in &response.failed {
        tracing::warn!(code = rejected.code, "deleting a processed message failed, it will be redelivered");
    }
    Ok(response.successful.len() as u64)
}

fn record(message: &Message, arn: &str) -> Value {
    let attributes: BTreeMap<_, _> =
        message.attributes.iter().flatten().map(|(name, value)| (name.as_str(), value)).collect();
    let message_attributes: Map<_, _> =
        message.message_attributes.iter().flatten().map(|(name, value)| (name.clone(), attribute(value))).collect();
    let mut record = json!({
        "messageId": message.message_id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": attributes,
        "messageAttributes": message_attributes,
        "md5OfBody": message.md5_of_body,
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": Ministack::REGION,
    });
    if let Some(md5) = &message.md5_of_message_attributes {
        record["md5OfMessageAttributes"] = json!(md5);
    }
    record
}

fn attribute(value: &MessageAttributeValue) -> Value {
    let mut attribute = json!({"stringListValues": [], "binaryListValues": [], "dataType": value.data_type});
    if let Some(text) = &value.string_value {
        attribute["stringValue"] = json!(text);
    }
    if let Some(binary) = &value.binary_value {
        attribute["binaryValue"] = json!(BASE64.encode(binary));
    }
    attribute
}
