//! What becomes of the webhooks.

mod messages;
mod support;
