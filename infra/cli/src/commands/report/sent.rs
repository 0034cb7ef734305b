//! Finds messages that were sent through WhatsApp's API and whose content was not captured.

use anyhow::Context;
use aws::s3::Store;
use jiff::Timestamp;
use model::Window;
use serde::Serialize;

/// Messages that have a status and no captured content.
#[derive(Debug, Clone, Serialize)]
pub struct SentWithoutContent {
    pub count: u64,
    /// The period is so old that the outcome of a captured message may have expired, by which it would be recognized.
    pub outcomes_may_have_expired: bool,
    /// The first of them; the count includes all.
    pub messages: Vec<Sent>,
}

/// A message that was sent.
#[derive(Debug, Clone, Serialize)]
pub struct Sent {
    /// WhatsApp's id.
    pub item: String,
    /// Key of the item in logs and objects.
    pub key: String,
    /// Time at which its first status was received.
    pub received: Timestamp,
    /// `sent`, `delivered`, `read` …
    pub statuses: Vec<String>,
}

impl SentWithoutContent {
    /// Describes the messages in a sentence.
    pub(super) fn sentence(&self) -> String {
        let what = match self.count {
            1 => "The content of 1 sent message was".to_owned(),
            count => format!("The content of {count} sent messages was"),
        };
        let expired = if self.outcomes_may_have_expired {
            " The period begins before OutcomeDays: captured messages whose outcome has expired may be among them."
        } else {
            ""
        };
        format!(
            "{what} not captured: WhatsApp reports that a program sent them through the API, without their content. \
             The system that sends them has to archive them.{expired}"
        )
    }
}

/// Finds the messages of a period; `None` if there are none, as for all sources other than webhooks.
/// Outcomes are kept since `since`; `None` for ever.
pub(super) async fn find(
    store: &Store,
    (from, to): (Timestamp, Timestamp),
    since: Option<Timestamp>,
) -> anyhow::Result<Option<SentWithoutContent>> {
    let found = source::cloud_api::sent_without_content(store, &Window::between(from, to)?).await;
    let found = found.context("reading the statuses of sent messages")?;
    let sent = |sent: source::cloud_api::SentMessage| Sent {
        key: sent.item.key().to_string(),
        item: sent.item.to_string(),
        received: sent.received,
        statuses: sent.statuses,
    };
    let outcomes_may_have_expired = since.is_some_and(|since| from < since);
    let messages = found.messages.into_iter().map(sent).collect();
    Ok((found.count > 0).then_some(SentWithoutContent { count: found.count, outcomes_may_have_expired, messages }))
}
