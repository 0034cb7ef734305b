//! Ctrl-C as a flag that a command checks between two steps, so that it ends cleanly.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Flag that is set when the operator presses Ctrl-C.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Handles Ctrl-C from now on: the first sets the flag, the second ends the process. Ending the process loses nothing;
    /// messages that it has received become visible again when their visibility timeout ends.
    pub fn listen() -> Self {
        let interrupt = Self::default();
        let flag = interrupt.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                flag.set();
            }
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(130);
            }
        });
        interrupt
    }

    /// Sets the flag.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether the command should end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
