//! A message of the dead-letter queue, and the filter that selects some.

use std::{collections::HashMap, fmt, str::FromStr};

use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use model::{ConvertTask, DeadLetter, ImportTask, ItemId, Reason, RunId, Stage, keys::ItemKeys};
use serde_json::{Value, json};

use crate::connection::QueueUrls;

/// Reason why a message is in the dead-letter queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadLetterReason {
    /// A function recorded a permanent failure.
    Recorded(Reason),
    /// SQS moved the message, because it exceeded the limit of receives.
    RetriesExhausted,
    /// The message states no reason: no function of this system sent it.
    Unknown,
}

impl DeadLetterReason {
    /// Returns the word in output and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recorded(reason) => reason.as_str(),
            Self::RetriesExhausted => "retries-exhausted",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for DeadLetterReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DeadLetterReason {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let others = [Self::RetriesExhausted, Self::Unknown];
        match others.into_iter().find(|reason| reason.as_str() == word) {
            Some(reason) => Ok(reason),
            None => word
                .parse()
                .map(Self::Recorded)
                .map_err(|error: model::UnknownWord| format!("{error}, retries-exhausted, unknown")),
        }
    }
}

/// A received message. It does not implement `Debug`, because its body may contain personal data.
pub struct DeadLetterMessage {
    pub message_id: String,
    /// Receipt handle, needed to delete or release the message.
    pub(super) receipt: String,
    /// Body: the task, unchanged.
    pub body: String,
    pub(super) attributes: HashMap<String, MessageAttributeValue>,
    /// Stage of the queue that a replay sends the message to; `None` if it is unknown.
    pub stage: Option<Stage>,
    pub reason: DeadLetterReason,
    /// Details of the failure, written by another program. Empty if SQS moved the message.
    pub detail: String,
    /// Item; `None` if the task cannot be parsed.
    pub item: Option<ItemId>,
    /// Run; `None` if the task cannot be parsed.
    pub run: Option<RunId>,
    /// Time of the failure. If SQS moved the message, the time at which the task was queued.
    pub failed_at: Option<Timestamp>,
    /// SQS's time of sending. SQS keeps it when it moves a message.
    pub(super) sent: Option<Timestamp>,
}

impl DeadLetterMessage {
    pub(super) fn read(message: Message, queues: &QueueUrls) -> Option<Self> {
        let body = message.body.unwrap_or_default();
        let attributes = message.message_attributes.unwrap_or_default();
        let system = message.attributes.unwrap_or_default();
        let attribute = |name: &str| attributes.get(name).and_then(MessageAttributeValue::string_value);
        // SQS sets this attribute only on messages that it has moved. Other attributes of such a message belong to an
        // earlier failure.
        let source = system.get(&MessageSystemAttributeName::DeadLetterQueueSourceArn);
        let stage = match source {
            Some(arn) => stage_of(arn, queues),
            None => attribute("stage").and_then(|stage| stage.parse().ok()),
        };
        let reason = match (source, attribute(DeadLetter::REASON_ATTRIBUTE).and_then(|reason| reason.parse().ok())) {
            (Some(_), _) => DeadLetterReason::RetriesExhausted,
            (None, Some(reason)) => DeadLetterReason::Recorded(reason),
            (None, None) => DeadLetterReason::Unknown,
        };
        let task: Value = serde_json::from_str(&body).unwrap_or_default();
        let member = |name: &str| attribute(name).or_else(|| task.get(name)?.as_str());
        let sent = system.get(&MessageSystemAttributeName::SentTimestamp).and_then(|sent| sent.parse().ok());
        let sent = sent.and_then(|sent| Timestamp::from_millisecond(sent).ok());
        let recorded = attribute("failed_at").filter(|_| source.is_none()).and_then(|time| time.parse().ok());
        Some(Self {
            message_id: message.message_id?,
            receipt: message.receipt_handle?,
            stage,
            reason,
            detail: attribute("detail").filter(|_| source.is_none()).unwrap_or_default().to_owned(),
            item: member("item").and_then(|item| item.parse().ok()),
            run: member("run").and_then(|run| run.parse().ok()),
            failed_at: recorded.or(sent),
            sent,
            body,
            attributes,
        })
    }

    /// Returns the keys of the item's objects; `None` if the task cannot be parsed.
    pub fn item_keys(&self) -> Option<ItemKeys> {
        let of_convert = || ConvertTask::parse(&self.body).ok().map(|task| ItemKeys::of_convert(&task));
        let of_import = || ImportTask::parse(&self.body).ok().map(|task| ItemKeys::of_import(&task));
        match self.stage? {
            Stage::Convert => of_convert(),
            Stage::Import => of_import(),
            // The task is for a webhook or a file: no item has an outcome yet.
            Stage::Receive => None,
        }
    }

    /// Returns the JSON form, without the body.
    pub fn to_json(&self) -> Value {
        json!({
            "message_id": self.message_id,
            "item": self.item,
            "key": self.item.as_ref().map(ItemId::key),
            "stage": self.stage,
            "reason": self.reason.as_str(),
            "detail": self.detail,
            "run": self.run,
            "failed_at": self.failed_at,
        })
    }
}

/// Returns the stage of the queue with this ARN.
fn stage_of(arn: &str, queues: &QueueUrls) -> Option<Stage> {
    let name = arn.rsplit(':').next()?;
    let is = |url: &str| url.rsplit('/').next() == Some(name);
    Stage::ALL.iter().copied().find(|stage| queues.of_stage(*stage).is_some_and(is))
}

/// Selects dead letters. An option that is not given does not restrict the selection.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Which dead letters")]
pub struct Filter {
    /// Only for this reason; may be given more than once
    #[arg(long = "reason", value_name = "REASON")]
    pub reasons: Vec<DeadLetterReason>,
    /// Only for this stage: convert, import or receive
    #[arg(long, value_name = "STAGE")]
    pub stage: Option<Stage>,
    /// Only for this item: its id, or its key of 32 hex digits as in logs and outcomes; or the id of a message that
    /// names no item
    #[arg(long, value_name = "ITEM")]
    pub item: Option<String>,
    /// Only failures older than this, such as 90m, 36h or 2d
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older_than: Option<SignedDuration>,
}

fn age(text: &str) -> Result<SignedDuration, String> {
    let parsed = text.parse::<Span>().and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    let age = parsed.map_err(|_| "expected an age such as 90m, 36h or 2d".to_owned())?;
    if age.is_negative() { Err("the age must not be negative".to_owned()) } else { Ok(age) }
}

impl Filter {
    /// Returns whether the filter selects a dead letter.
    pub fn selects(&self, dead_letter: &DeadLetterMessage, now: Timestamp) -> bool {
        let named = |wanted: &String| {
            let item = dead_letter.item.as_ref();
            dead_letter.message_id == *wanted
                || item.is_some_and(|item| item.as_str() == wanted || item.key().as_str() == wanted)
        };
        let old = |age: &SignedDuration| dead_letter.failed_at.is_some_and(|at| now.duration_since(at) > *age);
        (self.reasons.is_empty() || self.reasons.contains(&dead_letter.reason))
            && self.stage.is_none_or(|stage| dead_letter.stage == Some(stage))
            && self.item.as_ref().is_none_or(named)
            && self.older_than.as_ref().is_none_or(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues() -> QueueUrls {
        let url = |name: &str| format!("https://sqs.eu-central-1.amazonaws.com/123456789012/{name}");
        QueueUrls { convert: url("a-convert"), import: url("a-import"), receive: None, dead_letters: url("a-dead") }
    }

    fn message(attributes: &[(&str, &str)], source: Option<&str>) -> Message {
        let mut message = Message::builder()
            .message_id("m")
            .receipt_handle("r")
            .body(r#"{"v":1,"run":"r-1","item":"WA-1","archived_time":"2026-11-21T00:00:00Z"}"#);
        for (name, value) in attributes {
            let value = MessageAttributeValue::builder().data_type("String").string_value(*value).build().unwrap();
            message = message.message_attributes(*name, value);
        }
        if let Some(name) = source {
            let arn = format!("arn:aws:sqs:eu-central-1:123456789012:{name}");
            message = message.attributes(MessageSystemAttributeName::DeadLetterQueueSourceArn, arn);
        }
        message.attributes(MessageSystemAttributeName::SentTimestamp, "1763800000000").build()
    }

    #[test]
    fn moved_and_recorded_dead_letters_are_distinguished() {
        let attributes = [("stage", "convert"), ("reason", "oversize"), ("failed_at", "2026-11-22T07:00:00Z")];
        let recorded = DeadLetterMessage::read(message(&attributes, None), &queues()).unwrap();
        assert_eq!(
            (recorded.stage, recorded.reason),
            (Some(Stage::Convert), DeadLetterReason::Recorded(Reason::Oversize))
        );
        assert_eq!(recorded.item_keys().unwrap().outcome.len(), "outcomes/.json".len() + 32);
        // A message that was replayed and then exhausted its retries at the other stage.
        let moved = DeadLetterMessage::read(message(&attributes, Some("a-import")), &queues()).unwrap();
        assert_eq!((moved.stage, moved.reason), (Some(Stage::Import), DeadLetterReason::RetriesExhausted));
        assert_eq!(moved.failed_at, Timestamp::from_millisecond(1_763_800_000_000).ok());
        let foreign = DeadLetterMessage::read(message(&[], None), &queues()).unwrap();
        assert_eq!((foreign.stage, foreign.reason), (None, DeadLetterReason::Unknown));
        assert_eq!(DeadLetterMessage::read(message(&[], Some("another")), &queues()).unwrap().stage, None);
    }

    #[test]
    fn filter_selects_dead_letters_that_match_all_options() {
        let attributes = [("stage", "convert"), ("reason", "oversize"), ("failed_at", "2026-11-22T07:00:00Z")];
        let dead_letter = DeadLetterMessage::read(message(&attributes, None), &queues()).unwrap();
        let now = "2026-11-24T08:00:00Z".parse().unwrap();
        let selects = |filter: Filter| filter.selects(&dead_letter, now);
        assert!(selects(Filter::default()));
        assert!(selects(Filter {
            reasons: vec![DeadLetterReason::Unknown, "oversize".parse().unwrap()],
            ..Filter::default()
        }));
        assert!(!selects(Filter { stage: Some(Stage::Import), ..Filter::default() }));
        let key = dead_letter.item.as_ref().unwrap().key().to_string();
        assert!(selects(Filter { item: Some(key), ..Filter::default() }));
        assert!(selects(Filter { item: Some("m".into()), ..Filter::default() }), "its message id");
        assert!(!selects(Filter { item: Some("WA-2".into()), ..Filter::default() }));
        assert!(selects(Filter { item: Some("WA-1".into()), older_than: age("2d").ok(), ..Filter::default() }));
        assert!(!selects(Filter { older_than: age("50h").ok(), ..Filter::default() }));
        assert!(age("soon").is_err() && age("-2h").is_err());
        assert!("full".parse::<DeadLetterReason>().unwrap_err().ends_with("retries-exhausted, unknown"));
    }
}
