//! The function that receives WhatsApp's webhooks. It is deployed only with `SOURCE=cloud-api`.
//!
//! ```text
//! Meta ─POST─▶ Function URL ─▶ sender check ─▶ raw body (S3) ─▶ webhook task ─▶ 200
//!                                                                   │
//! AWS ─▶ SNS topic ─────────────────▶ notification ─▶ receive queue (SQS)
//!                                                                   │
//!         events (S3), file tasks ◀─ fan-out ◀─ webhook task, notification
//!                          file (S3) ◀─ download ◀─ file task
//! ```
//!
//! One function does all of this, because each part is small and an operator has one more function to operate, not
//! three. It distinguishes its events by their shape: a request of the Function URL has a request context, a batch of
//! the queue has records.
//!
//! The function confirms a webhook when its raw body is in the bucket and its task is on the queue. The queue's
//! consumer writes the events, for two reasons: a body with the history of a phone contains thousands of events, and
//! Meta's request would time out; and an invalid body becomes a visible dead letter that can be replayed, whereas Meta
//! would drop it after seven days.

mod event;
mod failure;
mod function_url;
mod intake;
mod secrets;
mod settings;
mod tasks;
mod work;

use runtime::metrics::Metric;

pub use event::{Event, Response};
pub use function_url::{Check, FunctionUrl, HttpRequest, HttpResponse};
pub use intake::{Intake, QueueIntake};
pub use secrets::{InSecretsManager, SecretCache, SecretReader, StoredSecrets, WebhookSecrets};
pub use settings::{FunctionUrlSettings, Settings, VARIABLES};
pub use work::{Files, Receive};

/// Metrics of the function, beside those of every function that works on batches.
pub const METRICS: &[Metric] = &[
    Metric::Webhooks,
    Metric::WebhooksRejected,
    Metric::FileThrottles,
    Metric::CaptureStopped,
    Metric::UnrecognizedEvents,
];
