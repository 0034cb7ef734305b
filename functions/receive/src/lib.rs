//! The optional function that receives WhatsApp's webhooks, made only with `SOURCE=cloud-api`.
//!
//! ```text
//! Meta ─POST─▶ Function URL ─▶ door: who sent it ─▶ raw body (S3) ─▶ webhook task ─┐            200
//! AWS ─▶ SNS topic ─────────────────────────────────────────▶ notification ────────┤
//!                                                                        receive queue (SQS)
//!                     events (S3), file tasks ◀─ fan-out ◀─ webhook, notification ─┤
//!                                  file (S3) ◀─ download ◀─ file task ─────────────┘
//! ```
//!
//! One function for all, because each is small and an operator has one more function to look after, not three. Its events
//! say by their shape what they are: a request of the Function URL has a request context, a batch of the queue has records.
//!
//! The door confirms a webhook when its raw body is in the bucket and its task is on the queue. Events are written by the
//! queue's consumer: a body with the history of a phone holds thousands, for which Meta would not wait; and a body that
//! cannot be read becomes a dead letter, which is seen and can be replayed, where Meta would drop it after seven days.

mod door;
mod event;
mod failure;
mod intake;
mod secrets;
mod settings;
mod tasks;
mod work;

use runtime::metrics::Metric;

pub use door::{Answer, Check, Door, HttpRequest};
pub use event::{Event, Response};
pub use intake::{Intake, QueueIntake};
pub use secrets::{DoorSecrets, InSecretsManager, SecretCache, SecretReader, StoredSecrets};
pub use settings::{DoorSettings, Settings, VARIABLES};
pub use tasks::WebhookTask;
pub use work::{Files, Receive};

/// Metrics of the function, beside those of every function that works on batches.
pub const METRICS: &[Metric] = &[Metric::Webhooks, Metric::WebhooksRejected, Metric::CaptureStopped];
