//! Caches results of the numbering plans. The participants are the same from item to item, and one lookup in the plans costs more
//! than rendering the rest of a short message.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Answers by digits. They are a function of the digits alone, so an answer that is kept is the answer.
pub(crate) struct Memo<V>(Mutex<BTreeMap<u64, V>>);

impl<V: Clone> Memo<V> {
    /// The most answers that are kept, less than a megabyte of them. When there are as many, all are forgotten: whoever
    /// is still around is asked about again once.
    const MOST: usize = 4_096;

    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// The answer for these digits, from `ask` where it is not known.
    pub(crate) fn get(&self, digits: &str, ask: impl FnOnce() -> V) -> V {
        let Some(key) = key(digits) else { return ask() };
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return known.clone();
        }
        // Not while the lock is held: the others go on meanwhile.
        let answer = ask();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= Self::MOST {
            known.clear();
        }
        known.insert(key, answer.clone());
        answer
    }
}

/// Digits as a number: as many as E.164 allows, and no leading zero that a number would not have.
fn key(digits: &str) -> Option<u64> {
    let is_number = digits.len() <= 15 && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_answer_is_asked_for_once_and_kept_for_its_digits_alone() {
        let memo = Memo::new();
        assert_eq!(memo.get("4520123456", || 1), 1);
        assert_eq!(memo.get("4520123456", || 2), 1);
        assert_eq!(memo.get("4520123457", || 3), 3);
        for no_key in ["", "04520123456", "+4520123456", "4520123456789012"] {
            assert_eq!(memo.get(no_key, || 4), 4);
            assert_eq!(memo.get(no_key, || 5), 5, "{no_key}");
        }
    }

    #[test]
    fn strangers_do_not_pile_up() {
        let memo = Memo::new();
        for number in 1..=10 * Memo::<()>::MOST {
            memo.get(&number.to_string(), || ());
            assert!(memo.0.lock().unwrap().len() <= Memo::<()>::MOST);
        }
    }
}
