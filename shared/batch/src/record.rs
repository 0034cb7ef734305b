//! One message of a batch.

use std::collections::HashMap;

use aws_lambda_events::event::sqs::SqsMessage;
use item::{DeadLetter, ItemId, Outcome, RunId};

/// One message of a batch: the members of Lambda's SQS event that matter.
#[derive(Debug, Clone)]
pub struct Record {
    /// Names the record in the answer.
    pub message_id: String,
    /// Names the delivery to SQS.
    pub receipt_handle: String,
    /// As it was sent. It may hold personal data.
    pub body: String,
    /// How often the message was given out, this time included.
    pub receive_count: u32,
    attributes: HashMap<String, String>,
}

impl Record {
    pub(crate) fn read(message: SqsMessage) -> Option<Self> {
        let receive_count = message.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok());
        let attributes = message
            .message_attributes
            .into_iter()
            .filter_map(|(name, attribute)| Some((name, attribute.string_value?)))
            .collect();
        Some(Self {
            message_id: message.message_id?,
            receipt_handle: message.receipt_handle?,
            body: message.body.unwrap_or_default(),
            receive_count: receive_count.unwrap_or(1),
            attributes,
        })
    }

    /// A string attribute of the message.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// Whether somebody sent a dead letter back to its queue, with our command or with AWS's own redrive: both keep
    /// the letter's attributes.
    pub fn is_replay(&self) -> bool {
        self.attribute(DeadLetter::REASON_ATTRIBUTE).is_some()
    }

    /// Whether an item's dead letter is enough for this message too: it is a new task (a later run's overlap, a repeated
    /// convert), or it has waited while another message for the same item became that letter.
    pub fn needs_no_letter(&self, outcome: &Outcome) -> bool {
        let another_s = outcome.letter_of.as_ref().is_some_and(|message| *message != self.message_id);
        outcome.dead_letter.is_some() && !self.is_replay() && (self.receive_count <= 1 || another_s)
    }

    /// The item and the run, where the body can be read so far.
    pub fn item_and_run(&self) -> (Option<ItemId>, Option<RunId>) {
        // Member by member: a bad run must not hide a good item.
        let value: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        let member = |name: &str| value.get(name).cloned().unwrap_or_default();
        (serde_json::from_value(member("item")).ok(), serde_json::from_value(member("run")).ok())
    }

    /// The key of the record's item, for the log: an item's id may name somebody, its key does not.
    pub fn key(&self) -> String {
        self.item_and_run().0.map(|item| item.key().to_string()).unwrap_or_default()
    }
}
