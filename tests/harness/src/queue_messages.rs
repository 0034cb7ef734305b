//! Reads the messages of a queue and leaves them there.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context;
use aws_sdk_sqs::{Client, types::MessageSystemAttributeName};
use local::cloud::Cloud;

/// A message of the dead-letter queue.
#[derive(Debug)]
pub struct DeadLetterMessage {
    pub body: String,
    pub attributes: BTreeMap<String, String>,
    /// Its `MessageGroupId`.
    pub group: Option<String>,
}

/// Reads every message of a queue. The messages stay in the queue and are visible again at once.
///
/// # Errors
/// If the queue does not respond.
pub async fn queue_messages(cloud: &Cloud, queue_url: &str) -> anyhow::Result<Vec<DeadLetterMessage>> {
    let client = Client::new(cloud.config());
    let mut messages = HashMap::new();
    let mut receipts = Vec::new();
    loop {
        let receive = client.receive_message().queue_url(queue_url);
        let receive = receive.message_system_attribute_names(MessageSystemAttributeName::MessageGroupId);
        let response = receive.max_number_of_messages(10).visibility_timeout(60).message_attribute_names("All").send();
        let received = response.await?.messages.unwrap_or_default();
        if received.is_empty() {
            break;
        }
        for message in received {
            let attributes = message.message_attributes.unwrap_or_default().into_iter();
            let attributes = attributes.filter_map(|(name, value)| Some((name, value.string_value?))).collect();
            let id = message.message_id.context("a message without an id")?;
            let group = message.attributes.and_then(|mut all| all.remove(&MessageSystemAttributeName::MessageGroupId));
            let body = message.body.unwrap_or_default();
            messages.insert(id, DeadLetterMessage { body, attributes, group });
            receipts.push(message.receipt_handle.context("a message without a receipt")?);
        }
    }
    for receipt in receipts {
        let release = client.change_message_visibility().queue_url(queue_url).receipt_handle(receipt);
        release.visibility_timeout(0).send().await?;
    }
    Ok(messages.into_values().collect())
}
