//! WhatsApp's webhooks on one machine: a server for the Function URL of `receive`, a strict fake of Meta's media
//! endpoint, and a day of webhooks.

mod day;
mod function_url;
mod meta;
mod sender;

pub use day::{WebhookDay, item_id, wamid};
pub use function_url::{FunctionUrlServer, sign};
pub use meta::{MediaFault, MediaFile, MetaFake};
pub use sender::{Sender, Sent};

/// Id of the secret that authenticates webhooks.
pub const WEBHOOK_SECRET: &str = "webhooks";

/// The key that signs webhooks on this machine. It is worthless elsewhere.
pub const APP_SECRET: &str = "app-secret-of-this-machine";

/// The token of a verification request.
pub const VERIFY_TOKEN: &str = "verify-token-of-this-machine";

/// Returns the value of the secret. `access_token` is the token of the fake of Meta's media endpoint.
pub fn webhook_secret(access_token: &str) -> serde_json::Value {
    serde_json::json!({"app_secret": APP_SECRET, "verify_token": VERIFY_TOKEN, "access_token": access_token})
}
