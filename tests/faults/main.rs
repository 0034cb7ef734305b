//! Fault injection with the real binaries: no item is lost or filed twice.

mod deadlines;
mod delivery;
mod expectations;
mod hostile;
mod interruptions;
mod kills;
mod large_items;
mod late_copies;
mod mails;
mod memory;
mod outages;
mod soak;
mod webhooks;
mod write_order;
