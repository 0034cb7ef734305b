//! Used by every process: environment variables, the log (without content and identities), the metrics, memory budgets,
//! and wall-clock time for caches.

mod clock;
mod log;
mod memory_budget;
pub mod metrics;
mod variables;

pub use clock::Clock;
pub use log::{LogLevel, UnknownLogLevel, start_log};
pub use memory_budget::MemoryBudget;
pub use variables::{VariableError, Variables, joined};
