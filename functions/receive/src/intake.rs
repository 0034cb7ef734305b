//! Stores a webhook before it is confirmed.

use async_trait::async_trait;
use aws::sqs::{Queue, QueueError};
use cloud_api::Channel;
use jiff::Timestamp;
use model::{Failure, TASK_VERSION};
use source::cloud_api::{Capture, WebhookTask};

use crate::failure::from_source;

/// Stores webhooks.
#[async_trait]
pub trait Intake: Send + Sync {
    /// Stores a body. When this returns, the body is durable. It may be called again with the same body.
    ///
    /// # Errors
    /// [`Failure::Transient`] or [`Failure::Configuration`]: the webhook must not be confirmed.
    async fn keep(&self, body: &[u8]) -> Result<(), Failure>;
}

/// Stores the body in the bucket and puts its task on the queue.
pub struct QueueIntake {
    /// Writes to the bucket.
    pub capture: Capture,
    /// The receive queue.
    pub queue: Queue,
}

#[async_trait]
impl Intake for QueueIntake {
    async fn keep(&self, body: &[u8]) -> Result<(), Failure> {
        let received = Timestamp::now();
        let webhook = self.capture.raw(body, received).await.map_err(from_source)?;
        let task = WebhookTask { v: TASK_VERSION, received, webhook, channel: Channel::Meta, part: None };
        send(&self.queue, &[task.to_json()]).await
    }
}

/// Sends all tasks.
pub(crate) async fn send(queue: &Queue, tasks: &[String]) -> Result<(), Failure> {
    for sent in queue.send(tasks).await {
        sent.map_err(|error| match error {
            QueueError::Unavailable { .. } => Failure::Transient { detail: error.to_string(), after: None },
            QueueError::Configuration { .. } => Failure::Configuration { detail: error.to_string(), after: None },
        })?;
    }
    Ok(())
}
