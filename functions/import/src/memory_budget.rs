//! Limits the memory of the copies that one process files at the same time: an item waits until enough of it is free.

use tokio::sync::{Mutex, MutexGuard, OwnedSemaphorePermit};

/// Memory for the copies that are being filed: 256 MiB. A message of the largest item below the default limit (10 MB)
/// takes a sixth of it.
const COPIES_KIB: u32 = 256 << 10;

/// Memory of a message while it is filed, relative to its size: the request in base64, and the data from which it is
/// built.
const MEMORY_PER_BYTE: u64 = 3;

/// The memory budget of one function.
pub struct MemoryBudget {
    copies: runtime::MemoryBudget,
    large_item: Mutex<()>,
}

impl Default for MemoryBudget {
    fn default() -> Self {
        Self { copies: runtime::MemoryBudget::of_kib(COPIES_KIB), large_item: Mutex::new(()) }
    }
}

impl MemoryBudget {
    /// Waits until there is memory for filing one copy of a message that has `bytes_in_memory` in memory. The memory is
    /// free again when the permit is dropped.
    pub(crate) async fn copy(&self, bytes_in_memory: usize) -> Option<OwnedSemaphorePermit> {
        self.copies.acquire(bytes_in_memory as u64 * MEMORY_PER_BYTE).await
    }

    /// Waits until no other large item is being filed. The chunks of a large item are not part of the 256 MiB, so there
    /// is one large item at a time.
    pub(crate) async fn large_item(&self) -> MutexGuard<'_, ()> {
        self.large_item.lock().await
    }
}
