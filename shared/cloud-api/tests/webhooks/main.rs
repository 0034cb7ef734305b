//! From the bodies of webhooks to items.

mod coexistence;
mod groups_and_calls;
mod histories;
mod hostile;
mod messages;
mod orders;
mod support;
mod two_numbers;
mod types;
