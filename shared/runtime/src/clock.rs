//! Wall-clock time for caches.

use std::{fmt, sync::Arc, time::Duration};

use jiff::Timestamp;

/// Reads the wall clock. Lambda freezes a process between invocations, and `Instant` stands still while it is frozen: a cache
/// that expires by `Instant` can keep an entry for hours.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// Creates a clock that a test sets.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Returns the time now.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }

    /// Returns whether less than `lifetime` has passed since then. A time in the future is not fresh: the clock was set
    /// back, and the age is unknown.
    pub fn is_fresh(&self, since: Timestamp, lifetime: Duration) -> bool {
        Duration::try_from(self.now().duration_since(since)).is_ok_and(|age| age < lifetime)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(Timestamp::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_treats_a_future_time_as_expired() {
        let now: Timestamp = "2026-11-22T07:00:00Z".parse().unwrap();
        let clock = Clock::new(move || now);
        let minute = Duration::from_secs(60);
        assert!(clock.is_fresh(now, minute) && clock.is_fresh(now - Duration::from_secs(59), minute));
        assert!(!clock.is_fresh(now - minute, minute) && !clock.is_fresh(now + Duration::from_secs(1), minute));
        assert!(!clock.is_fresh(now, Duration::ZERO));
    }
}
