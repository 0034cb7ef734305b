//! Used by every process: environment variables, the log (without content and identities), the metrics, and wall-clock
//! time for caches.

mod clock;
mod log;
pub mod metrics;
mod variables;

pub use clock::Clock;
pub use log::{LogLevel, UnknownLogLevel, start_log};
pub use variables::{VariableError, Variables, joined};
