//! Measures the costs of the system. Every figure is a ratio to another one of the same run on the same machine: to a
//! peer that does the same work, or to the lower bound of the work.
//! The measuring loop is our own, and small: `criterion` and `divan` can neither take turns with a process in another
//! language nor compare round by round, which makes a ratio reliable on a shared machine.

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
