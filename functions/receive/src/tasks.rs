//! The messages on the receive queue.

use model::TASK_VERSION;
use serde::Deserialize;
use source::cloud_api::{MediaTask, WebhookTask};

/// A message on the queue, recognized by its members.
pub(crate) enum Task {
    /// A body that was stored by the Function URL.
    Webhook(WebhookTask),
    /// A file to fetch.
    File(MediaTask),
    /// A notification of the SNS topic that contains an event of AWS.
    Notification,
}

/// The members by which SNS's envelope is recognized. Without raw delivery a publisher's text is always inside
/// `Message`, so it cannot be mistaken for a task of this function.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "TopicArn")]
    _topic: String,
}

impl Task {
    /// Parses a message; `None` if it is unrecognized.
    pub(crate) fn read(body: &str) -> Option<Self> {
        if let Ok(task) = serde_json::from_str::<WebhookTask>(body) {
            return (task.v == TASK_VERSION).then_some(Self::Webhook(task));
        }
        if let Ok(task) = MediaTask::parse(body) {
            return Some(Self::File(task));
        }
        let envelope: Envelope = serde_json::from_str(body).ok()?;
        (envelope.kind == "Notification").then_some(Self::Notification)
    }
}

#[cfg(test)]
mod tests {
    use cloud_api::Channel;
    use model::Sha256;
    use source::cloud_api::WebhookPart;

    use super::*;

    #[test]
    fn task_is_recognized_by_its_form() {
        let task = WebhookTask {
            v: 1,
            received: "2026-11-27T09:00:00Z".parse().unwrap(),
            webhook: Sha256::of(b"{}"),
            channel: Channel::Meta,
            part: None,
        };
        let json = serde_json::to_string(&task).unwrap();
        assert!(!json.contains("channel") && !json.contains("part"), "tasks of version 0.1 are the same: {json}");
        assert!(matches!(Task::read(&json), Some(Task::Webhook(read)) if read == task));
        let part = WebhookTask {
            channel: Channel::Aws,
            part: Some(WebhookPart { first: 1_000, count: 7, total: Some(1_007) }),
            ..task
        };
        let part_json = serde_json::to_string(&part).unwrap();
        assert!(matches!(Task::read(&part_json), Some(Task::Webhook(read)) if read == part));
        let file = r#"{"v":1,"media":"1000","phone_number_id":"7","received":"2026-11-27T09:00:00Z"}"#;
        assert!(matches!(Task::read(file), Some(Task::File(task)) if !task.is_from_aws()));
        let sns = r#"{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:eu-west-1:1:t","Message":"{}","Timestamp":"t"}"#;
        assert!(matches!(Task::read(sns), Some(Task::Notification)));
        let confirmation = sns.replace("\"Notification\"", "\"SubscriptionConfirmation\"");
        for other in [
            "",
            "[]",
            "{}",
            &json.replace("\"v\":1", "\"v\":2"),
            &json.replace("\"v\"", "\"w\":1,\"v\""),
            &confirmation,
        ] {
            assert!(Task::read(other).is_none(), "{other}");
        }
    }
}
