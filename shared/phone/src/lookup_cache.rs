//! Caches lookups in the numbering plans. The same participants occur in item after item, and one lookup costs more
//! than rendering the rest of a short message.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Cached results by digits. A result depends only on the digits, so it never becomes stale.
pub(crate) struct LookupCache<V>(Mutex<BTreeMap<u64, V>>);

impl<V: Clone> LookupCache<V> {
    /// Maximum number of cached results, less than a megabyte. When it is reached, the cache is cleared; numbers that
    /// are still in use are looked up again once.
    const MAX_ENTRIES: usize = 4_096;

    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Returns the cached result for these digits, or computes it with `compute`.
    pub(crate) fn get(&self, digits: &str, compute: impl FnOnce() -> V) -> V {
        let Some(key) = key(digits) else { return compute() };
        if let Some(cached) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return cached.clone();
        }
        // The lock is not held during the computation, so that other threads can continue.
        let result = compute();
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= Self::MAX_ENTRIES {
            entries.clear();
        }
        entries.insert(key, result.clone());
        result
    }
}

/// Returns the digits as a number: up to the length of E.164, without a leading zero.
fn key(digits: &str) -> Option<u64> {
    let is_number = digits.len() <= 15 && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_is_computed_once_per_digits() {
        let cache = LookupCache::new();
        assert_eq!(cache.get("4520123456", || 1), 1);
        assert_eq!(cache.get("4520123456", || 2), 1);
        assert_eq!(cache.get("4520123457", || 3), 3);
        for no_key in ["", "04520123456", "+4520123456", "4520123456789012"] {
            assert_eq!(cache.get(no_key, || 4), 4);
            assert_eq!(cache.get(no_key, || 5), 5, "{no_key}");
        }
    }

    #[test]
    fn cache_is_bounded() {
        let cache = LookupCache::new();
        for number in 1..=10 * LookupCache::<()>::MAX_ENTRIES {
            cache.get(&number.to_string(), || ());
            assert!(cache.0.lock().unwrap().len() <= LookupCache::<()>::MAX_ENTRIES);
        }
    }
}
