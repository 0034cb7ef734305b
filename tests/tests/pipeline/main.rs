//! The whole pipeline, with the real binaries.

mod browser;
mod conversations;
mod coverage;
mod custody;
mod dead_letters;
mod every_mailbox;
mod exports;
mod graph;
mod identity;
mod large_items;
mod large_objects;
mod listing;
mod metrics;
mod overlaps;
mod participants;
mod reconcile;
mod redrive;
mod report;
mod requests;
mod sample_day;
mod scale;
mod set_up_faults;
mod sizes;
mod sqs;
mod tasks;
mod watched;
