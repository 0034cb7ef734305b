//! What becomes of the webhooks.

mod coexistence;
mod groups_and_calls;
mod hostile;
mod messages;
mod orders;
mod support;
mod types;
