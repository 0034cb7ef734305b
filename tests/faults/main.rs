//! Nothing lost, nothing twice: the real binaries under fire.

mod cuts;
mod deadlines;
mod delivery;
mod expectations;
mod hostile;
mod kills;
mod large_items;
mod late_copies;
mod mails;
mod memory;
mod outages;
mod soak;
mod write_order;
