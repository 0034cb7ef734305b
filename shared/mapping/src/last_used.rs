//! The record of the user map that import used last. It shows when a map is lost, cut off or replaced.

use jiff::Timestamp;
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
    /// Number of people of whose rows one was valid when the map was accepted; absent in records of earlier releases and if
    /// there is no file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numbers_now: Option<usize>,
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
    /// Other numbers stand in the place of many, as if another column or another country had been read.
    #[error(
        "the user map lacks {lost} of {sampled} examined numbers of the last one that was used: check the column of the numbers and \
         DefaultRegion; nothing is filed until it is restored, or confirmed with `archiver mapping confirm`"
    )]
    Replaced {
        /// Numbers of the last map's sample that the current map lacks.
        lost: usize,
        /// Numbers of the last map's sample.
        sampled: usize,
    },
    /// The rows of more than a tenth of the numbers have ended, or have not begun.
    #[error(
        "in the user map {after} numbers have a row that is valid now, and in the last one that was used {before}: check valid_from \
         and valid_to; nothing is filed until it is restored, or confirmed with `archiver mapping confirm`"
    )]
    Ended {
        /// Numbers with a valid row in the map that was used last.
        before: usize,
        /// Numbers with a valid row in the current map.
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

    /// Returns the record of a map that was read from `file` at this time; `None` if there is no file.
    pub fn of(map: &UserMap, file: Option<&[u8]>, now: Timestamp) -> Self {
        Self {
            v: Self::VERSION,
            numbers: map.len(),
            sha256: file.map(Sha256::of),
            sample: file.map(|_| AddressSample::of(map)),
            numbers_now: file.map(|_| map.numbers_at(now)),
        }
    }

    /// Maximum size of a serialized record, in bytes.
    pub const MAX_BYTES: u64 = 4 << 10;

    /// Changes of up to this many mailboxes are made by hand.
    pub const HANDFUL: usize = 5;

    /// Returns whether the two are records of one file, read alike. The same file is read in another way with another default
    /// region. The rows that are valid do not count: periods begin and end while the file stays as it was accepted.
    pub fn is_same_map(&self, other: &Self) -> bool {
        *self == Self { numbers_now: self.numbers_now, ..other.clone() }
    }

    /// Checks that `map`, of which this is the record, may be used after the map of `last`.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn follows(&self, last: Option<&Self>, map: &UserMap) -> Result<(), Refused> {
        // There has been no map, or it is the same one.
        let Some(last) = last.filter(|last| !self.is_same_map(last)) else { return Ok(()) };
        if is_a_tenth_less(last.numbers, self.numbers) {
            return Err(Refused::Shrunk { before: last.numbers, after: self.numbers });
        }
        if let (Some(ours), Some(theirs)) = (&self.sample, &last.sample) {
            // A number that was replaced is in neither sample's comparison, so it is looked up among all numbers.
            let (sampled, lost) = (theirs.len(), theirs.missing_in(map));
            if lost > Self::HANDFUL && lost * 4 > sampled {
                return Err(Refused::Replaced { lost, sampled });
            }
            let Comparison { common, moved } = ours.compare(theirs);
            if moved > Self::HANDFUL && moved * 2 > common {
                return Err(Refused::Moved { moved, common });
            }
        }
        if let (Some(after), Some(before)) = (self.numbers_now, last.numbers_now)
            && is_a_tenth_less(before, after)
        {
            return Err(Refused::Ended { before, after });
        }
        Ok(())
    }
}

/// Returns whether a count has become smaller by more than 10 %.
fn is_a_tenth_less(before: usize, after: usize) -> bool {
    after.saturating_mul(10) < before.saturating_mul(9)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: &str = "2026-06-15T12:00:00Z";

    fn record(numbers: usize, file: Option<&str>) -> UserMapRecord {
        let sha256 = file.map(|file| Sha256::of(file.as_bytes()));
        UserMapRecord { v: 1, numbers, sha256, sample: None, numbers_now: None }
    }

    /// A record that is compared by its counts.
    fn follows(record: &UserMapRecord, last: Option<&UserMapRecord>) -> Result<(), Refused> {
        record.follows(last, &UserMap::empty())
    }

    /// A file with one row for each number.
    fn file(numbers: impl Iterator<Item = String>, rest: &str) -> String {
        let rows = numbers.enumerate().map(|(row, number)| format!("{number},p{row}@example.com,{rest}\n"));
        format!("Phone,Mail,valid_from,valid_to\n{}", rows.collect::<String>())
    }

    fn read(file: &str, region: Option<&str>, now: &str) -> (UserMapRecord, UserMap) {
        let map = UserMap::parse(file.as_bytes(), region.map(|region| region.parse().unwrap())).unwrap();
        (UserMapRecord::of(&map, Some(file.as_bytes()), now.parse().unwrap()), map)
    }

    fn follow(file: &str, last: &UserMapRecord) -> Result<(), Refused> {
        let (record, map) = read(file, None, TODAY);
        record.follows(Some(last), &map)
    }

    fn numbers(prefix: &str, rows: std::ops::Range<u32>) -> impl Iterator<Item = String> {
        rows.map(move |row| format!("{prefix}{row:05}"))
    }

    /// Another column of the table was read: every row is valid, and the count is the same.
    #[test]
    fn map_with_replaced_numbers_does_not_follow() {
        let mobiles = file(numbers("+45201", 0..200), ",");
        let (last, _) = read(&mobiles, None, TODAY);
        let refused = follow(&file(numbers("+45301", 0..200), ","), &last);
        assert!(
            matches!(refused, Err(Refused::Replaced { lost, sampled }) if lost == sampled && lost > 100),
            "{refused:?}"
        );
        let partly = |kept| file(numbers("+45201", 0..kept).chain(numbers("+45301", kept..200)), ",");
        assert!(matches!(follow(&partly(120), &last), Err(Refused::Replaced { .. })));
        assert_eq!(follow(&partly(180), &last), Ok(()));
        // The confirmation of the replaced map.
        let (confirmed, _) = read(&partly(120), None, TODAY);
        assert_eq!(follow(&partly(120), &confirmed), Ok(()));
        // A handful is replaced by hand.
        let (few, _) = read(&file(numbers("+45201", 0..5), ","), None, TODAY);
        assert_eq!(follow(&file(numbers("+45301", 0..5), ","), &few), Ok(()));
    }

    /// The sample of the larger map has other numbers, and all of the smaller one's are among its rows.
    #[test]
    fn map_that_grows_follows() {
        let (last, _) = read(&file(numbers("+45201", 0..5000), ","), None, TODAY);
        assert_eq!(follow(&file(numbers("+45201", 0..5500), ","), &last), Ok(()));
    }

    #[test]
    fn file_that_is_read_in_another_region_does_not_follow() {
        let national = file(numbers("412", 0..200), ",");
        let (last, danish) = read(&national, Some("DK"), TODAY);
        assert_eq!(last.follows(Some(&last), &danish), Ok(()));
        let (record, norwegian) = read(&national, Some("NO"), TODAY);
        assert_eq!((record.sha256, record.numbers), (last.sha256, last.numbers));
        let refused = record.follows(Some(&last), &norwegian);
        assert!(matches!(refused, Err(Refused::Replaced { .. })), "{refused:?}");
    }

    #[test]
    fn map_whose_rows_have_ended_does_not_follow() {
        let (last, _) = read(&file(numbers("+45201", 0..200), ","), None, TODAY);
        for (rest, numbers_now) in [(",2026-06-14", 0), ("2026-06-16,", 0), (",2026-06-15", 200)] {
            let refused = follow(&file(numbers("+45201", 0..200), rest), &last);
            let expected = if numbers_now == 0 { Err(Refused::Ended { before: 200, after: 0 }) } else { Ok(()) };
            assert_eq!(refused, expected, "{rest}");
        }
        let earlier_release = UserMapRecord { numbers_now: None, ..last };
        assert_eq!(follow(&file(numbers("+45201", 0..200), ",2026-06-14"), &earlier_release), Ok(()));
    }

    /// An operator has accepted these periods; import must not stop when they end.
    #[test]
    fn map_whose_rows_end_with_time_follows_itself() {
        let file = file(numbers("+45201", 0..200), ",2026-06-15");
        let (last, _) = read(&file, None, TODAY);
        let (record, map) = read(&file, None, "2026-06-16T00:00:00Z");
        assert_eq!((last.numbers_now, record.numbers_now), (Some(200), Some(0)));
        assert_eq!(record.follows(Some(&last), &map), Ok(()));
        assert!(record.is_same_map(&last));
    }

    #[test]
    fn map_that_loses_more_than_a_tenth_does_not_follow() {
        let last = record(100, Some("a"));
        for numbers in [90, 91, 100, 1000] {
            assert_eq!(follows(&record(numbers, Some("b")), Some(&last)), Ok(()), "{numbers}");
        }
        for numbers in [89, 1, 0] {
            assert_eq!(
                follows(&record(numbers, Some("b")), Some(&last)),
                Err(Refused::Shrunk { before: 100, after: numbers })
            );
        }
        assert_eq!(
            follows(&record(4, Some("b")), Some(&record(5, Some("a")))),
            Err(Refused::Shrunk { before: 5, after: 4 })
        );
    }

    #[test]
    fn map_that_disappears_does_not_follow_until_that_is_confirmed() {
        let gone = record(0, None);
        assert!(follows(&gone, Some(&record(1, Some("a")))).is_err());
        assert_eq!(follows(&gone, Some(&gone)), Ok(()), "confirmed");
        assert_eq!(follows(&gone, None), Ok(()), "there has never been one");
    }

    /// Someone sorts the column of the addresses alone: every row is valid, and the count is the same.
    #[test]
    fn map_with_shifted_addresses_does_not_follow() {
        let shifted = |people: usize, moved: usize| {
            let address = |row: usize| if row < moved { (row + 1) % moved } else { row };
            let rows: String =
                (0..people).map(|row| format!("+45201{row:05},p{}@example.com\n", address(row))).collect();
            format!("Phone,Mail\n{rows}")
        };
        let record = |people, moved| read(&shifted(people, moved), None, TODAY).0;
        for people in [20, 2000] {
            let last = record(people, 0);
            let refused = follow(&shifted(people, people), &last);
            assert!(matches!(refused, Err(Refused::Moved { moved, common }) if moved == common), "{refused:?}");
            assert_eq!(follow(&shifted(people, people / 4), &last), Ok(()), "{people}");
            let earlier_release = UserMapRecord { sample: None, ..last };
            assert_eq!(follow(&shifted(people, people), &earlier_release), Ok(()));
        }
        assert_eq!(follow(&shifted(5, 5), &record(5, 0)), Ok(()), "a handful");
    }

    #[test]
    fn record_has_the_members_of_the_contract() {
        let record = UserMapRecord::of(&UserMap::empty(), Some(b""), TODAY.parse().unwrap());
        let json = serde_json::to_string(&record).unwrap();
        assert!(json.starts_with(
            r#"{"v":1,"numbers":0,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","sample":"00"#
        ));
        assert!(json.ends_with(r#"0","numbers_now":0}"#), "{json}");
        assert!((json.len() as u64) < UserMapRecord::MAX_BYTES);
        let earlier_release = serde_json::from_str::<UserMapRecord>(r#"{"v":1,"numbers":3}"#).unwrap();
        assert_eq!((earlier_release.numbers, earlier_release.sample, earlier_release.numbers_now), (3, None, None));
        assert_eq!(serde_json::from_str::<UserMapRecord>(&json).unwrap(), record);
    }
}
