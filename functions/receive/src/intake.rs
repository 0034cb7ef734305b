//! Keeps a webhook, before it may be confirmed.

use async_trait::async_trait;
use aws::sqs::{Queue, QueueError};
use jiff::Timestamp;
use model::{Failure, TASK_VERSION};
use source::cloud_api::Capture;

use crate::{WebhookTask, failure::from_source};

/// Keeps a webhook.
#[async_trait]
pub trait Intake: Send + Sync {
    /// Keeps a body. It is safe when this returns; it may be kept twice.
    ///
    /// # Errors
    /// [`Failure::Transient`] or [`Failure::Configuration`]: the webhook must not be confirmed.
    async fn keep(&self, body: &[u8]) -> Result<(), Failure>;
}

/// The bucket for the body and the queue for its task.
pub struct QueueIntake {
    /// Writes into the bucket.
    pub capture: Capture,
    /// The function's own queue.
    pub queue: Queue,
}

#[async_trait]
impl Intake for QueueIntake {
    async fn keep(&self, body: &[u8]) -> Result<(), Failure> {
        let received = Timestamp::now();
        let webhook = self.capture.raw(body, received).await.map_err(from_source)?;
        let task = WebhookTask { v: TASK_VERSION, received, webhook };
        let task = serde_json::to_string(&task).map_err(|error| Failure::Configuration {
            detail: format!("serialization failed: {error}"),
            after: None,
        })?;
        send(&self.queue, &[task]).await
    }
}

/// Sends all of the tasks.
pub(crate) async fn send(queue: &Queue, tasks: &[String]) -> Result<(), Failure> {
    for sent in queue.send(tasks).await {
        sent.map_err(|error| match error {
            QueueError::Unavailable { .. } => Failure::Transient { detail: error.to_string(), after: None },
            QueueError::Configuration { .. } => Failure::Configuration { detail: error.to_string(), after: None },
        })?;
    }
    Ok(())
}
