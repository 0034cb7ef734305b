//! A dead letter as the operator sees it, and which letters a command is about.

use std::{collections::HashMap, fmt, str::FromStr};

use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use model::{ConvertTask, DeadLetter, ImportTask, ItemId, Reason, RunId, Stage, keys::ItemKeys};
use serde_json::{Value, json};

use crate::connection::QueueUrls;

/// Why a letter is in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// A function gave up on it.
    Given(Reason),
    /// SQS moved it, because it was given out too often.
    RetriesExhausted,
    /// Nobody says: somebody else wrote to the queue.
    Unknown,
}

impl Why {
    /// The word in output and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Given(reason) => reason.as_str(),
            Self::RetriesExhausted => "retries-exhausted",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Why {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let others = [Self::RetriesExhausted, Self::Unknown];
        match others.into_iter().find(|why| why.as_str() == word) {
            Some(why) => Ok(why),
            None => word
                .parse()
                .map(Self::Given)
                .map_err(|error: model::UnknownWord| format!("{error}, retries-exhausted, unknown")),
        }
    }
}

/// A letter that was received. It has no `Debug`: its body may hold personal data.
pub struct Letter {
    /// SQS's id of the message.
    pub message_id: String,
    /// The delivery, by which it is deleted or let go.
    pub(super) receipt: String,
    /// The task, as it was.
    pub body: String,
    /// All attributes, as they were.
    pub(super) attributes: HashMap<String, MessageAttributeValue>,
    /// Whose queue it goes back to. `None` where nobody says.
    pub stage: Option<Stage>,
    /// Why it is here.
    pub why: Why,
    /// More about why; another program's text. Empty where SQS moved it.
    pub detail: String,
    /// The item, where the task could be read so far.
    pub item: Option<ItemId>,
    /// The run, where the task could be read so far.
    pub run: Option<RunId>,
    /// When it was given up, or queued where SQS moved it.
    pub failed_at: Option<Timestamp>,
    /// When the message was sent, by SQS's clock; of a task that SQS moved, when the task was.
    pub(super) sent: Option<Timestamp>,
}

impl Letter {
    pub(super) fn read(message: Message, queues: &QueueUrls) -> Option<Self> {
        let body = message.body.unwrap_or_default();
        let attributes = message.message_attributes.unwrap_or_default();
        let system = message.attributes.unwrap_or_default();
        let attribute = |name: &str| attributes.get(name).and_then(MessageAttributeValue::string_value);
        // SQS leaves this on what it moved, and on nothing else: the attributes of such a letter, if it has any, are
        // those of an earlier failure.
        let source = system.get(&MessageSystemAttributeName::DeadLetterQueueSourceArn);
        let stage = match source {
            Some(arn) => stage_of(arn, queues),
            None => attribute("stage").and_then(|stage| stage.parse().ok()),
        };
        let why = match (source, attribute(DeadLetter::REASON_ATTRIBUTE).and_then(|reason| reason.parse().ok())) {
            (Some(_), _) => Why::RetriesExhausted,
            (None, Some(reason)) => Why::Given(reason),
            (None, None) => Why::Unknown,
        };
        let task: Value = serde_json::from_str(&body).unwrap_or_default();
        let member = |name: &str| attribute(name).or_else(|| task.get(name)?.as_str());
        let sent = system.get(&MessageSystemAttributeName::SentTimestamp).and_then(|sent| sent.parse().ok());
        let sent = sent.and_then(|sent| Timestamp::from_millisecond(sent).ok());
        let gave_up = attribute("failed_at").filter(|_| source.is_none()).and_then(|time| time.parse().ok());
        Some(Self {
            message_id: message.message_id?,
            receipt: message.receipt_handle?,
            stage,
            why,
            detail: attribute("detail").filter(|_| source.is_none()).unwrap_or_default().to_owned(),
            item: member("item").and_then(|item| item.parse().ok()),
            run: member("run").and_then(|run| run.parse().ok()),
            failed_at: gave_up.or(sent),
            sent,
            body,
            attributes,
        })
    }

    /// The keys of the item's objects, where the task can be read.
    pub fn item_keys(&self) -> Option<ItemKeys> {
        let of_convert = || ConvertTask::parse(&self.body).ok().map(|task| ItemKeys::of_convert(&task));
        let of_import = || ImportTask::parse(&self.body).ok().map(|task| ItemKeys::of_import(&task));
        match self.stage? {
            Stage::Convert => of_convert(),
            Stage::Import => of_import(),
        }
    }

    /// For programs; without the body.
    pub fn to_json(&self) -> Value {
        json!({
            "message_id": self.message_id,
            "item": self.item,
            "key": self.item.as_ref().map(ItemId::key),
            "stage": self.stage,
            "reason": self.why.as_str(),
            "detail": self.detail,
            "run": self.run,
            "failed_at": self.failed_at,
        })
    }
}

/// The stage of the queue that an ARN names.
fn stage_of(arn: &str, queues: &QueueUrls) -> Option<Stage> {
    let name = arn.rsplit(':').next()?;
    let is = |url: &str| url.rsplit('/').next() == Some(name);
    [(Stage::Convert, &queues.convert), (Stage::Import, &queues.import)]
        .into_iter()
        .find_map(|(stage, url)| is(url).then_some(stage))
}

/// Which letters. What is not given does not matter.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Which dead letters")]
pub struct Filter {
    /// Only for this reason; may be given more than once
    #[arg(long = "reason", value_name = "REASON")]
    pub reasons: Vec<Why>,
    /// Only of this stage: convert or import
    #[arg(long, value_name = "STAGE")]
    pub stage: Option<Stage>,
    /// Only of this item: its id, or its key of 32 hex digits as the logs and outcomes have it; or the dead letter with
    /// this message id, where no item can be read
    #[arg(long, value_name = "ITEM")]
    pub item: Option<String>,
    /// Only what failed longer ago than this, such as 90m, 36h or 2d
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older_than: Option<SignedDuration>,
}

fn age(text: &str) -> Result<SignedDuration, String> {
    let parsed = text.parse::<Span>().and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    let age = parsed.map_err(|_| "an age is written like 90m, 36h or 2d".to_owned())?;
    if age.is_negative() { Err("an age is not negative".to_owned()) } else { Ok(age) }
}

impl Filter {
    /// Whether a letter is meant.
    pub fn takes(&self, letter: &Letter, now: Timestamp) -> bool {
        let named = |wanted: &String| {
            let item = letter.item.as_ref();
            letter.message_id == *wanted
                || item.is_some_and(|item| item.as_str() == wanted || item.key().as_str() == wanted)
        };
        let old = |age: &SignedDuration| letter.failed_at.is_some_and(|at| now.duration_since(at) > *age);
        (self.reasons.is_empty() || self.reasons.contains(&letter.why))
            && self.stage.is_none_or(|stage| letter.stage == Some(stage))
            && self.item.as_ref().is_none_or(named)
            && self.older_than.as_ref().is_none_or(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queues() -> QueueUrls {
        let url = |name: &str| format!("https://sqs.eu-central-1.amazonaws.com/123456789012/{name}");
        QueueUrls { convert: url("a-convert"), import: url("a-import"), dead_letters: url("a-dead") }
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
    fn what_sqs_moved_is_told_from_what_a_function_gave_up() {
        let attributes = [("stage", "convert"), ("reason", "oversize"), ("failed_at", "2026-11-22T07:00:00Z")];
        let given = Letter::read(message(&attributes, None), &queues()).unwrap();
        assert_eq!((given.stage, given.why), (Some(Stage::Convert), Why::Given(Reason::Oversize)));
        assert_eq!(given.item_keys().unwrap().outcome.len(), "outcomes/.json".len() + 32);
        // A letter that was replayed and then exhausted its retries elsewhere.
        let moved = Letter::read(message(&attributes, Some("a-import")), &queues()).unwrap();
        assert_eq!((moved.stage, moved.why), (Some(Stage::Import), Why::RetriesExhausted));
        assert_eq!(moved.failed_at, Timestamp::from_millisecond(1_763_800_000_000).ok());
        let strange = Letter::read(message(&[], None), &queues()).unwrap();
        assert_eq!((strange.stage, strange.why), (None, Why::Unknown));
        assert_eq!(Letter::read(message(&[], Some("another")), &queues()).unwrap().stage, None);
    }

    #[test]
    fn a_filter_takes_what_fits_all_of_it() {
        let attributes = [("stage", "convert"), ("reason", "oversize"), ("failed_at", "2026-11-22T07:00:00Z")];
        let letter = Letter::read(message(&attributes, None), &queues()).unwrap();
        let now = "2026-11-24T08:00:00Z".parse().unwrap();
        let takes = |filter: Filter| filter.takes(&letter, now);
        assert!(takes(Filter::default()));
        assert!(takes(Filter { reasons: vec![Why::Unknown, "oversize".parse().unwrap()], ..Filter::default() }));
        assert!(!takes(Filter { stage: Some(Stage::Import), ..Filter::default() }));
        let key = letter.item.as_ref().unwrap().key().to_string();
        assert!(takes(Filter { item: Some(key), ..Filter::default() }));
        assert!(takes(Filter { item: Some("m".into()), ..Filter::default() }), "its message id");
        assert!(!takes(Filter { item: Some("WA-2".into()), ..Filter::default() }));
        assert!(takes(Filter { item: Some("WA-1".into()), older_than: age("2d").ok(), ..Filter::default() }));
        assert!(!takes(Filter { older_than: age("50h").ok(), ..Filter::default() }));
        assert!(age("soon").is_err() && age("-2h").is_err());
        assert!("full".parse::<Why>().unwrap_err().ends_with("retries-exhausted, unknown"));
    }
}
