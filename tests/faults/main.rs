//! Nothing lost, nothing twice: the real binaries under fire.

mod accounts;
mod books;
mod cuts;
mod deadlines;
mod delivery;
mod hostile;
mod kills;
mod large;
mod late;
mod mails;
mod memory;
mod outages;
mod soak;
