//! One message of a batch.

use std::collections::HashMap;

use aws_lambda_events::event::sqs::SqsMessage;
use jiff::Timestamp;
use model::{DeadLetter, DeadLetterSource, ItemId, Outcome, RunId};

/// One message of a batch: the used members of Lambda's SQS event.
#[derive(Debug, Clone)]
pub struct Record {
    /// Identifies the record in the response to Lambda.
    pub message_id: String,
    /// Identifies the delivery to SQS.
    pub receipt_handle: String,
    /// The body as sent. May contain personal data.
    pub body: String,
    /// Number of receives, this one included.
    pub receive_count: u32,
    /// Time of sending, by SQS's clock.
    pub sent: Option<Timestamp>,
    attributes: HashMap<String, String>,
}

impl Record {
    /// Creates a record for a test that drives [`Work`](crate::Work) without a queue: first receive, no attributes.
    pub fn of_body(body: String, sent: Option<Timestamp>) -> Self {
        let (message_id, receipt_handle) = ("message".to_owned(), "receipt".to_owned());
        Self { message_id, receipt_handle, body, receive_count: 1, sent, attributes: HashMap::new() }
    }

    pub(crate) fn read(message: SqsMessage) -> Option<Self> {
        let sent = message.attributes.get("SentTimestamp").and_then(|sent| sent.parse().ok());
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
            sent: sent.and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok()),
            attributes,
        })
    }

    /// Returns a string attribute of the message.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    /// Returns whether the item's dead letter also covers this message: another message for the same version of the item
    /// became the dead letter; or, if the outcome does not name that message, this one is new (listed by a later run's overlap, or
    /// sent by a repeated convert).
    ///
    /// The message that became the dead letter is never covered, however often it was received: SQS may have delivered
    /// it to two functions, and the other one may have ended after writing the outcome and before sending the dead
    /// letter.
    ///
    /// A dead letter that SQS has deleted because of its age covers no message: only this message can still get the
    /// item filed. Nor does it cover a version that was archived later, because a file that was uploaded again, or an
    /// item that its source has completed, may be filed.
    pub fn is_covered_by_dead_letter_of(&self, outcome: &Outcome) -> bool {
        self.is_covered_at(outcome, Timestamp::now())
    }

    fn is_covered_at(&self, outcome: &Outcome, now: Timestamp) -> bool {
        let source = outcome.dead_letter_source.as_ref();
        let is_replay = self.has_reason() || source.is_some_and(|source| self.is_copy_of(source));
        let is_later_version = source.is_some_and(|source| self.is_archived_later(source));
        let became_another = source.map_or(self.receive_count <= 1, |source| source.message != self.message_id);
        let may_be_filed = is_replay || is_later_version;
        outcome.dead_letter.is_some() && !outcome.dead_letter_expired(now) && !may_be_filed && became_another
    }

    /// Returns the outcome's entry for this message if it becomes the item's dead letter now.
    pub fn dead_letter_source(&self, run: &RunId, archived_time: Timestamp) -> DeadLetterSource {
        DeadLetterSource::new(self.message_id.clone(), run.clone(), archived_time, Timestamp::now())
    }

    /// Returns whether the message has the attributes of a dead letter: the operator's command and AWS's redrive keep
    /// them.
    fn has_reason(&self) -> bool {
        self.attribute(DeadLetter::REASON_ATTRIBUTE).is_some()
    }

    /// Returns whether the message is the body of a dead letter that was sent again by hand, without its attributes:
    /// its task has the dead letter's run, and it was sent after the dead letter was recorded. A later run that lists
    /// the item has another run id. A sender that repeats a request whose response was lost usually does so earlier;
    /// otherwise a second dead letter is the result.
    fn is_copy_of(&self, source: &DeadLetterSource) -> bool {
        let same_run = || self.item_and_run().1.is_some_and(|run| run == source.run);
        self.message_id != source.message && self.sent.is_some_and(|sent| sent > source.at) && same_run()
    }

    fn is_archived_later(&self, source: &DeadLetterSource) -> bool {
        let [archived_time] = self.members(["archived_time"]);
        let archived_time: Option<Timestamp> = serde_json::from_value(archived_time).ok();
        archived_time.zip(source.archived_time).is_some_and(|(own, recorded)| own > recorded)
    }

    /// Returns the item and the run, as far as the body can be parsed.
    pub fn item_and_run(&self) -> (Option<ItemId>, Option<RunId>) {
        // Each member separately: an invalid run must not hide a valid item.
        let [item, run] = self.members(["item", "run"]);
        (serde_json::from_value(item).ok(), serde_json::from_value(run).ok())
    }

    /// Returns members of the body; null for one that is missing.
    fn members<const N: usize>(&self, names: [&str; N]) -> [serde_json::Value; N] {
        let mut body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        names.map(|name| body.get_mut(name).map(serde_json::Value::take).unwrap_or_default())
    }

    /// Returns the key of the record's item, for logs: an item's id may be personal data, its key is not.
    pub fn key(&self) -> String {
        self.item_and_run().0.map(|item| item.key().to_string()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use aws_lambda_events::event::sqs::SqsMessageAttribute;
    use model::{DeadLettered, Reason, Stage};

    use super::*;

    const RUN: &str = "20261122T070000Z-daily-1";
    const NOTED: i64 = 1_763_800_000_000;
    const ARCHIVED: &str = "2026-11-21T09:00:00Z";

    fn record(message: &str, receives: u32, run: &str, sent: i64) -> SqsMessage {
        let mut read = SqsMessage::default();
        read.message_id = Some(message.into());
        read.receipt_handle = Some("r".into());
        read.body = Some(format!(r#"{{"v":1,"run":"{run}","item":"WA-1","archived_time":"{ARCHIVED}"}}"#));
        read.attributes.insert("ApproximateReceiveCount".into(), receives.to_string());
        read.attributes.insert("SentTimestamp".into(), sent.to_string());
        read
    }

    fn dead() -> Outcome {
        let mut outcome = Outcome::new("WA-1".parse().unwrap());
        outcome.dead_letter = Some(DeadLettered { stage: Stage::Import, reason: Reason::Unmapped });
        outcome.dead_letter_source = Some(DeadLetterSource {
            message: "first".into(),
            run: RUN.parse().unwrap(),
            archived_time: Some(ARCHIVED.parse().unwrap()),
            at: Timestamp::from_millisecond(NOTED).unwrap(),
        });
        outcome
    }

    #[test]
    fn dead_letter_covers_other_messages_until_a_replay() {
        let now = Timestamp::from_millisecond(NOTED + 1000).unwrap();
        let is_covered = |message| Record::read(message).unwrap().is_covered_at(&dead(), now);
        assert!(is_covered(record("other", 1, "20261123T070000Z-daily-2", NOTED + 1)), "a later run's listing");
        assert!(is_covered(record("other", 1, RUN, NOTED - 1)), "sent twice");
        assert!(is_covered(record("other", 4, RUN, NOTED - 1)), "sent twice, and it has waited");
        assert!(
            !is_covered(record("first", 1, RUN, NOTED - 1)),
            "delivered to two functions, and the other one may have ended"
        );
        assert!(!is_covered(record("first", 2, RUN, NOTED - 1)), "its dead letter may not have been sent");
        assert!(!is_covered(record("copy", 1, RUN, NOTED + 1)), "its body was sent by hand");
        let mut replay = record("replay", 1, RUN, NOTED + 1);
        let mut reason = SqsMessageAttribute::default();
        reason.string_value = Some("unmapped".into());
        replay.message_attributes.insert(DeadLetter::REASON_ATTRIBUTE.into(), reason);
        assert!(!is_covered(replay));
        assert!(
            !Record::read(record("other", 1, RUN, 0))
                .unwrap()
                .is_covered_at(&Outcome::new("WA-1".parse().unwrap()), now)
        );
        let unnamed = Outcome { dead_letter_source: None, ..dead() };
        assert!(Record::read(record("other", 1, RUN, 0)).unwrap().is_covered_at(&unnamed, now), "a new task");
        assert!(
            !Record::read(record("other", 2, RUN, 0)).unwrap().is_covered_at(&unnamed, now),
            "it may be its own dead letter"
        );
    }

    #[test]
    fn dead_letter_does_not_cover_a_version_that_was_archived_later() {
        let now = Timestamp::from_millisecond(NOTED + 1000).unwrap();
        let archived = |time: &str| {
            let mut message = record("other", 1, "20261123T070000Z-daily-2", NOTED + 1);
            message.body = message.body.map(|body| body.replace(ARCHIVED, time));
            Record::read(message).unwrap()
        };
        assert!(!archived("2026-11-21T09:00:00.001Z").is_covered_at(&dead(), now));
        assert!(archived("2026-11-21T10:00:00+01:00").is_covered_at(&dead(), now), "the same time");
        assert!(archived("2026-11-20T09:00:00Z").is_covered_at(&dead(), now), "an earlier version");
        let mut unknown = dead();
        unknown.dead_letter_source.as_mut().unwrap().archived_time = None;
        assert!(archived("2026-11-22T09:00:00Z").is_covered_at(&unknown, now), "an outcome of release 0.1");
    }

    #[test]
    fn expired_dead_letter_does_not_cover_a_backfill() {
        let backfill = Record::read(record("other", 1, "20261223T070000Z-backfill-2", NOTED + 1)).unwrap();
        let day = jiff::SignedDuration::from_hours(24);
        let noted = Timestamp::from_millisecond(NOTED).unwrap();
        assert!(backfill.is_covered_at(&dead(), noted + 14 * day));
        assert!(!backfill.is_covered_at(&dead(), noted + 15 * day));
    }
}
