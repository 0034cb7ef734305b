//! WhatsApp's webhooks on one machine: a door for HTTP requests before the function `receive`, a strict fake of Meta's media
//! endpoint, and a day of webhooks.

mod day;
mod door;
mod meta;
mod sender;

pub use day::{WebhookDay, wamid};
pub use door::{HttpDoor, sign};
pub use meta::{MediaFault, MediaFile, MetaFake};
pub use sender::{Sender, Sent};

/// Id of the secret with the webhooks' secrets.
pub const WEBHOOK_SECRET: &str = "webhooks";

/// Signs the bodies that are posted on this machine. It is worth nothing elsewhere.
pub const APP_SECRET: &str = "app-secret-of-this-machine";

/// The token of a verification request.
pub const VERIFY_TOKEN: &str = "verify-token-of-this-machine";

/// The value of the secret. `access_token` opens the fake of Meta's media endpoint.
pub fn webhook_secret(access_token: &str) -> serde_json::Value {
    serde_json::json!({"app_secret": APP_SECRET, "verify_token": VERIFY_TOKEN, "access_token": access_token})
}
