//! What the system costs. Every figure is a ratio to something that was measured in the same run on the same machine:
//! a peer that does the same work, or the least that the work could need.
//!
//! The loop that measures is our own, and small: `criterion` and `divan` can neither take turns with a process in
//! another language nor compare round by round, which is what makes a ratio hold on a machine that others use too.

pub mod cold_start;
pub mod corpus;
pub mod floor;
pub mod item_work;
pub mod measure;
pub mod money;
pub mod ours;
pub mod peer;
pub mod pipeline;
pub mod plot;
pub mod report;
pub mod size;
pub mod webhooks;
pub mod work;
