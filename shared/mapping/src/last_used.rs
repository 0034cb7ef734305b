//! The record of the user map that import used last. It shows when a map is lost or cut off.

use model::Sha256;
use serde::{Deserialize, Serialize};

use crate::{AddressSample, UserMap, address_sample::Comparison};

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
    /// Sample of the numbers and their mailboxes; absent in records of earlier releases and if there is no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<AddressSample>,
}

/// Reason why import does not use a user map before an operator has confirmed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The user map is missing or has lost more than a tenth of its numbers.
    #[error(
        "the user map has {after} numbers and the last one that was used had {before}; nothing is filed until it is restored, or \
         confirmed with `archiver mapping confirm`"
    )]
    Shrunk {
        /// Numbers in the map that was used last.
        before: usize,
        /// Numbers in the current map.
        after: usize,
    },
    /// Most numbers have other mailboxes, as if a column of the table had been sorted alone.
    #[error(
        "in the user map {moved} of {common} examined numbers have other mailboxes than in the last one that was used; nothing is \
         filed until it is restored, or confirmed with `archiver mapping confirm`"
    )]
    Moved {
        /// Numbers with other mailboxes.
        moved: usize,
        /// Numbers of the sample that both maps have.
        common: usize,
    },
}

impl UserMapRecord {
    /// The version of the format.
    pub const VERSION: u32 = 1;

    /// Returns the record of a map that was read from `file`; `None` if there is no file.
    pub fn of(map: &UserMap, file: Option<&[u8]>) -> Self {
        let sample = file.map(|_| AddressSample::of(map));
        Self { v: Self::VERSION, numbers: map.len(), sha256: file.map(Sha256::of), sample }
    }

    /// Maximum size of a serialized record, in bytes.
    pub const MAX_BYTES: u64 = 4 << 10;

    /// Changes of up to this many mailboxes are made by hand.
    pub const HANDFUL: usize = 5;

    /// Checks that this map may be used after the map of `last`.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn follows(&self, last: Option<&Self>) -> Result<(), Refused> {
        // There has been no map, or it is the same file.
        let Some(last) = last.filter(|last| last.sha256 != self.sha256) else { return Ok(()) };
        // More than 10 % fewer.
        if self.numbers.saturating_mul(10) < last.numbers.saturating_mul(9) {
            return Err(Refused::Shrunk { before: last.numbers, after: self.numbers });
        }
        if let (Some(ours), Some(theirs)) = (&self.sample, &last.sample) {
            let Comparison { common, moved } = ours.compare(theirs);
            if moved > Self::HANDFUL && moved * 2 > common {
                return Err(Refused::Moved { moved, common });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(numbers: usize, file: Option<&str>) -> UserMapRecord {
        UserMapRecord { v: 1, numbers, sha256: file.map(|file| Sha256::of(file.as_bytes())), sample: None }
    }

    #[test]
    fn map_that_loses_more_than_a_tenth_does_not_follow() {
        let last = record(100, Some("a"));
        for numbers in [90, 91, 100, 1000] {
            assert_eq!(record(numbers, Some("b")).follows(Some(&last)), Ok(()), "{numbers}");
        }
        for numbers in [89, 1, 0] {
            assert_eq!(
                record(numbers, Some("b")).follows(Some(&last)),
                Err(Refused::Shrunk { before: 100, after: numbers })
            );
        }
        assert_eq!(
            record(4, Some("b")).follows(Some(&record(5, Some("a")))),
            Err(Refused::Shrunk { before: 5, after: 4 })
        );
    }

    #[test]
    fn map_that_disappears_does_not_follow_until_that_is_confirmed() {
        let gone = record(0, None);
        assert!(gone.follows(Some(&record(1, Some("a")))).is_err());
        assert_eq!(gone.follows(Some(&gone)), Ok(()), "confirmed");
        assert_eq!(gone.follows(None), Ok(()), "there has never been one");
    }

    /// Someone sorts the column of the addresses alone: every row is valid, and the count is the same.
    #[test]
    fn map_with_shifted_addresses_does_not_follow() {
        let record = |people: usize, moved: usize| {
            let address = |row: usize| if row < moved { (row + 1) % moved } else { row };
            let rows: String =
                (0..people).map(|row| format!("+45201{row:05},p{}@example.com\n", address(row))).collect();
            let file = format!("Phone,Mail\n{rows}");
            UserMapRecord::of(&UserMap::parse(file.as_bytes(), None).unwrap(), Some(file.as_bytes()))
        };
        for people in [20, 2000] {
            let last = record(people, 0);
            let refused = record(people, people).follows(Some(&last));
            assert!(matches!(refused, Err(Refused::Moved { moved, common }) if moved == common), "{refused:?}");
            assert_eq!(record(people, people / 4).follows(Some(&last)), Ok(()), "{people}");
            let earlier_release = UserMapRecord { sample: None, ..last };
            assert_eq!(record(people, people).follows(Some(&earlier_release)), Ok(()));
        }
        assert_eq!(record(5, 5).follows(Some(&record(5, 0))), Ok(()), "a handful");
    }

    #[test]
    fn record_has_the_members_of_the_contract() {
        let record = UserMapRecord::of(&UserMap::empty(), Some(b""));
        let json = serde_json::to_string(&record).unwrap();
        assert!(json.starts_with(
            r#"{"v":1,"numbers":0,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","sample":"00"#
        ));
        assert!((json.len() as u64) < UserMapRecord::MAX_BYTES);
        let earlier_release = serde_json::from_str::<UserMapRecord>(r#"{"v":1,"numbers":3}"#).unwrap();
        assert_eq!((earlier_release.numbers, earlier_release.sample), (3, None));
        assert_eq!(serde_json::from_str::<UserMapRecord>(&json).unwrap(), record);
    }
}
