//! The record of the user map that import used last. It shows when a map is lost or cut off.

use model::Sha256;
use serde::{Deserialize, Serialize};

use crate::UserMap;

/// `state/user-map.json`: the user map that import used last, or that an operator has confirmed since then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserMapRecord {
    /// Version of the format: 1.
    pub v: u32,
    /// Number of people whose numbers are mapped.
    pub numbers: usize,
    /// Digest of the file; absent if there is no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
}

/// The user map is missing or has lost more than a tenth of its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the user map has {after} numbers and the last one that was used had {before}; nothing is filed until it is restored, or \
     confirmed with `archiver mapping confirm`"
)]
pub struct Shrunk {
    /// Numbers in the map that was used last.
    pub before: usize,
    /// Numbers in the current map.
    pub after: usize,
}

impl UserMapRecord {
    /// The version of the format.
    pub const VERSION: u32 = 1;

    /// Returns the record of a map that was read from `file`; `None` if there is no file.
    pub fn of(map: &UserMap, file: Option<&[u8]>) -> Self {
        Self { v: Self::VERSION, numbers: map.len(), sha256: file.map(Sha256::of) }
    }

    /// Checks that this map may be used after the map of `last`.
    ///
    /// # Errors
    /// [`Shrunk`].
    pub fn follows(&self, last: Option<&Self>) -> Result<(), Shrunk> {
        let before = last.map_or(0, |last| last.numbers);
        let is_same = last.is_some_and(|last| last.sha256 == self.sha256);
        // More than 10 % fewer.
        if is_same || self.numbers.saturating_mul(10) >= before.saturating_mul(9) {
            Ok(())
        } else {
            Err(Shrunk { before, after: self.numbers })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(numbers: usize, file: Option<&str>) -> UserMapRecord {
        UserMapRecord { v: 1, numbers, sha256: file.map(|file| Sha256::of(file.as_bytes())) }
    }

    #[test]
    fn map_that_loses_more_than_a_tenth_does_not_follow() {
        let last = record(100, Some("a"));
        for numbers in [90, 91, 100, 1000] {
            assert_eq!(record(numbers, Some("b")).follows(Some(&last)), Ok(()), "{numbers}");
        }
        for numbers in [89, 1, 0] {
            assert_eq!(record(numbers, Some("b")).follows(Some(&last)), Err(Shrunk { before: 100, after: numbers }));
        }
        assert_eq!(record(4, Some("b")).follows(Some(&record(5, Some("a")))), Err(Shrunk { before: 5, after: 4 }));
    }

    #[test]
    fn map_that_disappears_does_not_follow_until_that_is_confirmed() {
        let gone = record(0, None);
        assert!(gone.follows(Some(&record(1, Some("a")))).is_err());
        assert_eq!(gone.follows(Some(&gone)), Ok(()), "confirmed");
        assert_eq!(gone.follows(None), Ok(()), "there has never been one");
    }

    #[test]
    fn record_has_the_members_of_the_contract() {
        let record = UserMapRecord::of(&UserMap::empty(), Some(b""));
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(
            json,
            r#"{"v":1,"numbers":0,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}"#
        );
        assert_eq!(serde_json::from_str::<UserMapRecord>(&json).unwrap(), record);
    }
}
