//! The message group of a task. SQS's fair queues share the consumers between groups.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{RunId, Sha256};

/// The `MessageGroupId` of a task's message. While one group takes more than its share of a queue, SQS delivers the
/// messages of the others first.
///
/// SQS does not encrypt it, and from a whole hash of a phone number the number can be found by trying all numbers.
/// Therefore the group of a chat is one of 4,096 values, and each value is that of very many chats.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(into = "String")]
pub struct MessageGroup(String);

impl MessageGroup {
    /// The group of all copies that `archiver reconcile --unmapped` files later, so that thousands of them delay no new
    /// item.
    pub const REMAPPED: &str = "remapped";

    /// Hex digits of a chat's hash.
    const CHAT_DIGITS: usize = 3;

    /// Returns the group of the chat with this id.
    pub fn of_chat(id: &str) -> Self {
        let mut digits = Sha256::of(id.as_bytes()).short_hex();
        digits.truncate(Self::CHAT_DIGITS);
        Self(format!("chat-{digits}"))
    }

    /// Returns the group of [`REMAPPED`](Self::REMAPPED) copies.
    pub fn remapped() -> Self {
        Self(Self::REMAPPED.to_owned())
    }

    /// Returns the group of a task: the one in its member `group`, otherwise its run. `None` for a body that is not a
    /// task.
    pub fn of_task(body: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Named {
            #[serde(default)]
            group: Value,
            #[serde(default)]
            run: Value,
        }
        let named: Named = serde_json::from_str(body).ok()?;
        let run = || named.run.as_str()?.parse().ok().map(|run: RunId| Self(run.to_string()));
        named.group.as_str().and_then(Self::parse).or_else(run)
    }

    /// Returns the group as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Accepts only groups that this system creates: another writer's text may be invalid.
    fn parse(text: &str) -> Option<Self> {
        let is_chat = |digits: &str| {
            digits.len() == Self::CHAT_DIGITS
                && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        let known = text == Self::REMAPPED || text.strip_prefix("chat-").is_some_and(is_chat);
        known.then(|| Self(text.to_owned()))
    }
}

impl From<MessageGroup> for String {
    fn from(group: MessageGroup) -> Self {
        group.0
    }
}

impl fmt::Display for MessageGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(task: Value) -> Option<String> {
        MessageGroup::of_task(&task.to_string()).map(String::from)
    }

    #[test]
    fn task_belongs_to_its_own_group_or_to_its_run() {
        let run = "20261122T070000Z-daily-0badcafe";
        let chat = MessageGroup::of_chat("120363041234567890@g.us");
        assert_eq!(of(json!({"run": run, "group": chat})).as_deref(), Some(chat.as_str()));
        assert_eq!(of(json!({"run": run, "group": "remapped"})).as_deref(), Some("remapped"));
        assert_eq!(of(json!({"run": run, "item": "WA-1"})).as_deref(), Some(run));
    }

    #[test]
    fn unknown_group_falls_back_to_the_run() {
        for group in [json!("+4520123456"), json!("chat-12"), json!("chat-ABC"), json!("chat-12g"), json!(7), json!("")]
        {
            assert_eq!(of(json!({"run": "r-1", "group": group})).as_deref(), Some("r-1"), "{group}");
        }
        for foreign in [json!({"run": "+45 20", "group": "x"}), json!([]), json!("chat-123"), json!({})] {
            assert_eq!(of(foreign.clone()), None, "{foreign}");
        }
        assert_eq!(MessageGroup::of_task("no JSON"), None);
    }

    /// Several of ten thousand numbers have the same group, so a number cannot be found from a group.
    #[test]
    fn chat_group_does_not_identify_the_chat() {
        let groups: std::collections::BTreeSet<_> =
            (0..10_000).map(|number| MessageGroup::of_chat(&format!("4520{number:06}@c.us")).0).collect();
        assert!(groups.len() > 3_000 && groups.len() <= 4096, "{}", groups.len());
        assert!(groups.iter().all(|group| group.len() == "chat-000".len()), "{groups:?}");
        // SQS allows 128 letters, digits and punctuation marks.
        assert!(groups.iter().all(|group| MessageGroup::parse(group).is_some()));
    }
}
