//! Bounds the memory of what is processed at the same time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// An amount of memory that is shared by items in process. Each function has its own in its struct.
#[derive(Clone)]
pub struct MemoryBudget {
    free: Arc<Semaphore>,
    kib: u32,
}

impl MemoryBudget {
    /// Creates a budget of this many KiB.
    pub fn of_kib(kib: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(kib as usize)), kib }
    }

    /// Waits until this many bytes are free, and takes them. A request for more than the budget takes all of it.
    pub async fn acquire(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes >> 10).unwrap_or(self.kib).min(self.kib);
        // The semaphore is never closed.
        Arc::clone(&self.free).acquire_many_owned(kib).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    #[test]
    fn acquire_waits_for_memory_that_is_in_use() {
        let budget = MemoryBudget::of_kib(100);
        let now = |bytes| match pin!(budget.acquire(bytes)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(permit) => permit,
            Poll::Pending => None,
        };
        let half = now(60 << 10);
        assert!(half.is_some() && now(60 << 10).is_none() && now(40 << 10).is_some());
        drop(half);
        let all = now(u64::MAX);
        assert!(all.is_some() && now(1 << 10).is_none());
        assert!(now(1023).is_some(), "less than a KiB does not count");
    }
}
