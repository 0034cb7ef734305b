//! A country or territory, by its two-letter code.

use std::{fmt, str::FromStr};

use phonenumber::{country, metadata::DATABASE};

/// A country or territory with its own numbering plan: two letters of ISO 3166-1.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Region(country::Id);

/// The text is not the code of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a region with phone numbers: expected two letters of ISO 3166, such as DK or GB")]
pub struct RegionError;

impl Region {
    pub(crate) fn id(self) -> country::Id {
        self.0
    }
}

impl FromStr for Region {
    type Err = RegionError;

    /// Parses a region in upper or lower case; surrounding white space is ignored.
    fn from_str(text: &str) -> Result<Self, RegionError> {
        let letters = text.trim().to_ascii_uppercase();
        let id: country::Id = letters.parse().map_err(|_| RegionError)?;
        // The crate's list of regions is longer than its list of numbering plans, and its parser assumes that they are
        // equal.
        if DATABASE.by_id(id.as_ref()).is_some() { Ok(Self(id)) } else { Err(RegionError) }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_is_two_letters_with_a_numbering_plan() {
        assert_eq!(" dk ".parse::<Region>().unwrap().to_string(), "DK");
        assert_eq!("GB".parse::<Region>().unwrap(), "gb".parse().unwrap());
        for wrong in ["", "D", "UK", "DNK", "45", "Denmark", "XX", "AQ", "ＤＫ"] {
            assert_eq!(wrong.parse::<Region>(), Err(RegionError), "{wrong}");
        }
    }
}
