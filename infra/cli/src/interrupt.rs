//! Ctrl-C, as something that a command looks at between two steps, so that it ends in order.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether the operator has asked to end.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on Ctrl-C ends no process: it is noted here. A second one ends it as ever; nothing is lost by that
    /// either, it is only longer until the letters in hand are seen again.
    pub fn listen() -> Self {
        let interrupt = Self::default();
        let noted = interrupt.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                noted.set();
            }
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(130);
            }
        });
        interrupt
    }

    /// Asks to end.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has asked to end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
