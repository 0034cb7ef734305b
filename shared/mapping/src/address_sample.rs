//! A sample of a user map: which numbers have which mailboxes. Two samples show how many numbers have changed theirs.

use std::{collections::HashSet, fmt};

use model::Sha256;
use serde::{Deserialize, Serialize};

use crate::UserMap;

/// Numbers in the sample, at most. Each bucket has one: always the same as long as it is in the map.
const BUCKETS: usize = 256;

/// A sample of fixed size. A number is in it as 24 bits of a digest and its mailboxes as 16, so neither can be read from it.
/// Serialized as 2,048 hex digits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressSample(Box<[Sampled; BUCKETS]>);

/// The number of a bucket. An empty bucket has the default.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Sampled {
    /// Not 0. The bucket itself is 8 more bits.
    number: u16,
    addresses: u16,
}

/// The numbers of two samples that are in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Comparison {
    pub(crate) common: usize,
    /// Those with other mailboxes.
    pub(crate) moved: usize,
}

impl AddressSample {
    /// Takes the sample of a map. Periods do not count: a number that gets one keeps its mailbox.
    pub(crate) fn of(map: &UserMap) -> Self {
        let mut buckets = Box::new([Sampled::default(); BUCKETS]);
        // The number with the smallest digest is the bucket's, so the choice does not depend on the other numbers' order.
        let mut smallest = vec![u64::MAX; BUCKETS];
        for (number, addresses) in map.numbers() {
            let digest = Sha256::of(number.e164().as_bytes());
            let (bucket, id) = place(&digest);
            let [_, rank @ ..] = *digest.as_bytes();
            let rank = rank.first_chunk().map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes));
            if rank < smallest[bucket] {
                smallest[bucket] = rank;
                let mut all: Vec<_> = addresses.map(|address| address.as_str()).collect();
                all.sort_unstable();
                all.dedup();
                let text = format!("{}\n{}", number.e164(), all.join("\n"));
                buckets[bucket] = Sampled { number: id, addresses: last_bits(&Sha256::of(text.as_bytes())) };
            }
        }
        Self(buckets)
    }

    /// Compares with the sample of an earlier map.
    pub(crate) fn compare(&self, before: &Self) -> Comparison {
        let pairs = self.0.iter().zip(before.0.iter());
        let common = pairs.filter(|(now, before)| now.number != 0 && now.number == before.number);
        let (mut count, mut moved) = (0, 0);
        for (now, before) in common {
            count += 1;
            moved += usize::from(now.addresses != before.addresses);
        }
        Comparison { common: count, moved }
    }

    /// Returns the numbers in the sample.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().filter(|sampled| sampled.number != 0).count()
    }

    /// Returns how many numbers of the sample a map lacks. One in a thousand that a map of 16,000 numbers lacks is taken for
    /// another number.
    pub(crate) fn missing_in(&self, map: &UserMap) -> usize {
        let sampled = self.0.iter().enumerate().filter(|(_, sampled)| sampled.number != 0);
        let mut missing: HashSet<_> = sampled.map(|(bucket, sampled)| (bucket, sampled.number)).collect();
        for (number, _) in map.numbers() {
            missing.remove(&place(&Sha256::of(number.e164().as_bytes())));
        }
        missing.len()
    }
}

/// Returns the bucket of a number, by its digest, and the bits that identify it there: not 0.
fn place(digest: &Sha256) -> (usize, u16) {
    let [bucket, ..] = *digest.as_bytes();
    (usize::from(bucket), last_bits(digest).max(1))
}

/// Returns bits of a digest that do not decide the bucket or the rank.
fn last_bits(digest: &Sha256) -> u16 {
    digest.as_bytes().last_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes))
}

impl From<AddressSample> for String {
    fn from(sample: AddressSample) -> Self {
        sample.0.iter().map(|sampled| format!("{:04x}{:04x}", sampled.number, sampled.addresses)).collect()
    }
}

impl TryFrom<String> for AddressSample {
    type Error = &'static str;

    fn try_from(hex: String) -> Result<Self, Self::Error> {
        const ERROR: &str = "expected 2,048 hex digits";
        if hex.len() != BUCKETS * 8 {
            return Err(ERROR);
        }
        let mut buckets = Box::new([Sampled::default(); BUCKETS]);
        for (bucket, digits) in buckets.iter_mut().zip(hex.as_bytes().chunks_exact(8)) {
            let digits = std::str::from_utf8(digits).map_err(|_| ERROR)?;
            let value = u32::from_str_radix(digits, 16).map_err(|_| ERROR)?;
            let [a, b, c, d] = value.to_be_bytes();
            *bucket = Sampled { number: u16::from_be_bytes([a, b]), addresses: u16::from_be_bytes([c, d]) };
        }
        Ok(Self(buckets))
    }
}

impl fmt::Debug for AddressSample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressSample").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a map of this many people, with the addresses moved down by some rows.
    fn map(people: usize, shift: usize) -> UserMap {
        let rows: String =
            (0..people).map(|row| format!("+45201{row:05},p{}@example.com\n", (row + shift) % people)).collect();
        UserMap::parse(format!("Phone,Mail\n{rows}").as_bytes(), None).unwrap()
    }

    #[test]
    fn sample_estimates_how_many_numbers_have_moved() {
        for people in [10, 5000] {
            let before = AddressSample::of(&map(people, 0));
            let same = AddressSample::of(&map(people, 0)).compare(&before);
            assert!(same.moved == 0 && same.common >= 9, "{people}: {same:?}");
            let shifted = AddressSample::of(&map(people, 1)).compare(&before);
            assert_eq!(shifted, Comparison { moved: shifted.common, ..same }, "{people}");
        }
        // Other people join and leave, and most of the sample stays.
        let grown = AddressSample::of(&map(5500, 0)).compare(&AddressSample::of(&map(5000, 0)));
        assert!(grown.moved == 0 && grown.common > BUCKETS / 2, "{grown:?}");
    }

    #[test]
    fn sample_has_one_form_and_no_other_is_read() {
        let sample = AddressSample::of(&map(300, 0));
        let json = serde_json::to_string(&sample).unwrap();
        assert_eq!(json.len(), BUCKETS * 8 + 2);
        assert_eq!(serde_json::from_str::<AddressSample>(&json).unwrap(), sample);
        for wrong in ["\"\"".to_owned(), json.replacen(&json[1..2], "g", 1), json.replace('"', "\"0")] {
            assert!(serde_json::from_str::<AddressSample>(&wrong).is_err());
        }
        assert!(!format!("{sample:?}").contains(&json[1..9]));
    }

    #[test]
    fn period_of_a_number_is_no_other_mailbox() {
        let plain = UserMap::parse(b"Phone,Mail\n+4520123456,ada@example.com\n", None).unwrap();
        let limited = UserMap::parse(b"Phone,Mail,valid_to\n+4520123456,ada@example.com,2026-01-31\n", None).unwrap();
        assert_eq!(AddressSample::of(&plain), AddressSample::of(&limited));
    }
}
