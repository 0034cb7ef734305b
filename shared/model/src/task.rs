//! The messages on the queues.

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ItemId, ItemKey, MessageGroup, Participant, RunId, Sha256};

/// Version of the format of both tasks.
pub const TASK_VERSION: u32 = 1;

/// A message that is not a task. Permanent: it does not change.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// Not JSON with the shape of a task.
    #[error("the message is not a task of version {TASK_VERSION}: {0}")]
    Shape(String),
    /// An unknown version.
    #[error("the task has version {0}, this release supports version {TASK_VERSION}")]
    Version(u64),
    /// An import task that refers to objects of another item.
    #[error("the task's key does not belong to its item")]
    Key,
}

/// A task on the convert queue: render this item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConvertTask {
    /// [`TASK_VERSION`].
    pub v: u32,
    /// The run that queued it.
    pub run: RunId,
    /// The item to render.
    pub item: ItemId,
    /// Time at which the source received it.
    pub archived_time: Timestamp,
}

impl ConvertTask {
    /// Parses a message's body.
    ///
    /// # Errors
    /// [`TaskError`], all of them permanent.
    pub fn parse(body: &str) -> Result<Self, TaskError> {
        parse(body)
    }

    /// Returns the UTC date in the names that release 0.1 gave the item's objects: `YYYY-MM-DD`.
    pub fn archived_date(&self) -> String {
        archived_date(self.archived_time)
    }
}

/// A task on the import queue: file this rendered item.
///
/// Contains personal data (the participants), which is allowed in SQS messages that are encrypted at rest; its `Debug`
/// shows none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportTask {
    /// [`TASK_VERSION`].
    pub v: u32,
    /// The run that queued it.
    pub run: RunId,
    /// The item to file.
    pub item: ItemId,
    /// Time at which the source received it.
    pub archived_time: Timestamp,
    /// The key in the names of the item's objects.
    pub key: ItemKey,
    /// The key of the stored message. Absent in a task of release 0.1, whose messages are under dated keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime: Option<String>,
    /// Digest of the whole stored message.
    pub sha256: Sha256,
    /// The length of the stored message.
    pub bytes: u64,
    /// The Message-ID, with angle brackets.
    pub message_id: String,
    /// All participants, the sender first: the item belongs in their mailboxes. Absent if they would not fit into an
    /// SQS message (a group of ten thousand), or if the stored message is an earlier rendering of the item: then they are
    /// read from the evidence in the stored message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participants: Option<Vec<Participant>>,
    /// Time of the message, for the periods of the user map. Absent in tasks of earlier releases, and if the stored message
    /// is an earlier rendering of the item: then the stored message's Date is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_time: Option<Timestamp>,
    /// The group of its message, so that a replay sends it in the same one. Absent in tasks of earlier releases. Only
    /// [`MessageGroup::of_task`] reads it.
    #[serde(default, skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub group: Option<MessageGroup>,
}

impl ImportTask {
    /// Parses a message's body.
    ///
    /// # Errors
    /// [`TaskError`], all of them permanent.
    pub fn parse(body: &str) -> Result<Self, TaskError> {
        let task: Self = parse(body)?;
        let is_of_item = |mime: &String| {
            let name = mime.strip_prefix("mime/").and_then(|name| name.strip_suffix(".eml"));
            name.is_some_and(|name| name.rsplit('/').next() == Some(task.key.as_str()))
        };
        if task.key == task.item.key() && task.mime.as_ref().is_none_or(is_of_item) {
            Ok(task)
        } else {
            Err(TaskError::Key)
        }
    }

    /// Returns the UTC date in the names that release 0.1 gave the item's objects: `YYYY-MM-DD`.
    pub fn archived_date(&self) -> String {
        archived_date(self.archived_time)
    }
}

fn archived_date(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).date().to_string()
}

fn parse<T: serde::de::DeserializeOwned>(body: &str) -> Result<T, TaskError> {
    let no_json = |error: serde_json::Error| {
        TaskError::Shape(format!("invalid JSON at line {} column {}", error.line(), error.column()))
    };
    let value: Value = serde_json::from_str(body).map_err(no_json)?;
    match value.get("v").and_then(Value::as_u64) {
        Some(version) if version == u64::from(TASK_VERSION) => {}
        Some(version) => return Err(TaskError::Version(version)),
        None => return Err(TaskError::Shape("`v` is missing".to_owned())),
    }
    // serde's own message would quote the task, which may contain a name or a number.
    let member = |error: serde_json::Error| {
        let message = error.to_string();
        TaskError::Shape(if message.starts_with("missing field") {
            message
        } else {
            "a member has a value that is not allowed".to_owned()
        })
    };
    serde_json::from_value(value).map_err(member)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_is_checked_by_version_shape_and_key() {
        let good = r#"{"v":1,"run":"20261122T070000Z-daily-0badcafe","item":"WA-1/ø","archived_time":"2026-11-21T23:59:59.999Z","new":true}"#;
        let task = ConvertTask::parse(good).unwrap();
        assert_eq!(task.archived_date(), "2026-11-21");
        assert!(matches!(ConvertTask::parse(&good.replace("\"v\":1", "\"v\":2")), Err(TaskError::Version(2))));
        for body in [
            "",
            "{}",
            "[]",
            "\"x\"",
            r#"{"v":1}"#,
            &good.replace("WA-1/ø", ""),
            &good.replace("2026-11-21T", "yesterday"),
        ] {
            assert!(matches!(ConvertTask::parse(body), Err(TaskError::Shape(_))), "{body}");
        }
        let import = serde_json::json!({"v": 1, "run": "r", "item": "WA-1", "archived_time": "2026-11-21T00:00:00Z",
            "key": "0".repeat(32), "sha256": Sha256::of(b"").to_string(), "bytes": 0, "message_id": "<a@b>", "participants": []});
        assert!(matches!(ImportTask::parse(&import.to_string()), Err(TaskError::Key)));
        let key = "WA-1".parse::<ItemId>().unwrap().key();
        let with = |mime: Option<String>| {
            let mut import = import.clone();
            import["key"] = serde_json::json!(key);
            import["mime"] = serde_json::json!(mime);
            ImportTask::parse(&import.to_string()).map(|task| task.mime)
        };
        assert_eq!(with(None).ok(), Some(None), "a task of release 0.1");
        for own in [format!("mime/{key}.eml"), format!("mime/2026-11-21/{key}.eml")] {
            assert_eq!(with(Some(own.clone())).ok(), Some(Some(own)));
        }
        for foreign in
            ["", "mime/x.eml", &format!("config/{key}.eml"), &format!("mime/{key}"), &format!("mime/x{key}.eml")]
        {
            assert!(matches!(with(Some(foreign.to_owned())), Err(TaskError::Key)), "{foreign}");
        }
    }
}
