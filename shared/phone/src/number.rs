//! Phone numbers: parsing, formatting, and the variants that WhatsApp uses.

use std::fmt;

use crate::{
    PhoneError, Region,
    lookup_cache::LookupCache,
    plan::{self, PlanMatch},
    text::{self, Written},
};

/// A phone number: up to 15 digits that begin with a country code (E.164).
///
/// Personal data: `Debug` does not show it, and there is no `Display`. Two numbers are equal if their digits are; use
/// [`PhoneNumber::variants`] to find out whether two numbers belong to the same person.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhoneNumber {
    /// The digits as a number. No country code begins with 0, so nothing is lost.
    digits: u64,
}

/// A possible interpretation of digits.
#[derive(Clone, Copy)]
struct Reading {
    number: PhoneNumber,
    fit: PlanMatch,
}

impl PhoneNumber {
    /// Reads a number that a machine wrote: the source's `phone`, or the local part of a WhatsApp id. A plus or 00
    /// makes it international. Digits alone are read as follows, because sources and WhatsApp write international
    /// numbers without a plus:
    ///
    /// 1. As international, if that number is assigned; even if it is also a valid number of `default_region`.
    /// 2. As a number of `default_region`, if that number is assigned there and the international reading only has a
    ///    possible length.
    /// 3. As international, if the length is possible.
    /// 4. As any number of `default_region`.
    ///
    /// # Errors
    /// [`PhoneError`]; never [`PhoneError::Ambiguous`].
    pub fn parse(text: &str, default_region: Option<Region>) -> Result<Self, PhoneError> {
        let written = text::read(text)?;
        let international = international(&written);
        let region = match (&international, default_region) {
            (Ok(Reading { fit: PlanMatch::Possible, .. }) | Err(_), Some(region))
                if !has_international_prefix(&written) =>
            {
                region
            }
            (Err(_), _) if written.digits.starts_with('0') && !has_international_prefix(&written) => {
                return Err(PhoneError::NoCountry);
            }
            _ => return international.map(|reading| reading.number),
        };
        match (national(&written, region), international) {
            (Ok(Reading { number, fit: PlanMatch::Valid }), _) | (_, Ok(Reading { number, .. })) => Ok(number),
            (national, Err(_)) => national.map(|reading| reading.number),
        }
    }

    /// Reads a number that a person or a spreadsheet wrote: a cell of a table. A plus or 00 makes it international.
    /// Digits alone are read in `default_region`, or as international if no region is configured. If they could also be
    /// the international number of another person, they are rejected. The marks of a spreadsheet for text (`'`, `="…"`)
    /// are not part of the number.
    ///
    /// # Errors
    /// [`PhoneError`].
    pub fn from_cell(cell: &str, default_region: Option<Region>) -> Result<Self, PhoneError> {
        let written = text::read(text::without_text_marks(cell))?;
        let region = match default_region {
            Some(region) if !has_international_prefix(&written) => region,
            _ => return Self::parse(text::without_text_marks(cell), None),
        };
        match (national(&written, region), international(&written)) {
            (Ok(national), Ok(international)) if national.number == international.number => Ok(national.number),
            // If the region assigns the number and the international reading only has a possible length, the region
            // wins. The reverse does not hold: a cell is meant to be read in the region.
            (Ok(Reading { number, fit: PlanMatch::Valid }), Ok(Reading { fit: PlanMatch::Possible, .. }) | Err(_)) => {
                Ok(number)
            }
            (Ok(_), Ok(_)) => Err(PhoneError::Ambiguous),
            (Ok(reading), Err(_)) | (Err(_), Ok(reading)) => Ok(reading.number),
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// Returns whether the cell begins with a country code: with + or 00.
    pub fn is_international(cell: &str) -> bool {
        text::read(text::without_text_marks(cell)).is_ok_and(|written| has_international_prefix(&written))
    }

    /// Returns the number in E.164: `+4520123456`.
    pub fn e164(&self) -> String {
        format!("+{}", self.digits)
    }

    /// Returns the number with separators, for people to read: `+45 20 12 34 56`.
    pub fn international(&self) -> String {
        static FORMATTED: LookupCache<String> = LookupCache::new();
        let digits = self.digits.to_string();
        FORMATTED.get(&digits, || Self::format_international(&digits))
    }

    fn format_international(digits: &str) -> String {
        // WhatsApp's form of Mexican numbers is not in the numbering plans.
        let grouped = match mexican_after_the_1(digits) {
            Some(rest) => plan::grouped(&format!("52{rest}")).map(|dialled| dialled.replacen("+52 ", "+52 1 ", 1)),
            None => plan::grouped(digits),
        };
        grouped.unwrap_or_else(|| match plan::parts(digits) {
            Some((code, national)) => format!("+{code} {national}"),
            None => format!("+{digits}"),
        })
    }

    /// Returns the numbers under which WhatsApp may know the same person, this one first.
    ///
    /// WhatsApp keeps digits that were added to or removed from the dialled number later: Mexico's 1 after 52,
    /// Argentina's 9 after 54, and Brazil's ninth digit of mobile numbers. Symmetric: the number is a variant of each
    /// of its variants.
    pub fn variants(&self) -> impl Iterator<Item = Self> + use<> {
        let other = other_form(&self.digits.to_string()).and_then(|digits| Self::from_digits(&digits));
        std::iter::once(*self).chain(other)
    }

    fn from_digits(digits: &str) -> Option<Self> {
        digits.parse().ok().map(|digits| Self { digits })
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneNumber(…)")
    }
}

/// Returns whether the number begins with an international prefix, and so with a country code.
fn has_international_prefix(written: &Written) -> bool {
    written.plus || written.digits.starts_with("00")
}

fn international(written: &Written) -> Result<Reading, PhoneError> {
    // In many countries 00 is dialled for the + of a written number; some people write +00, too.
    let digits = written.digits.strip_prefix("00").unwrap_or(&written.digits);
    interpret(digits)
}

fn national(written: &Written, region: Region) -> Result<Reading, PhoneError> {
    // The longest trunk and carrier prefixes have fewer than ten digits.
    if written.digits.len() > 25 {
        return Err(PhoneError::TooLong);
    }
    let digits = plan::dialled(&written.digits, Some(region)).ok_or(PhoneError::TooShort)?;
    interpret(&digits)
}

/// Interprets digits that must begin with a country code, and caches the result. Parsing the resulting number again
/// gives the same number.
fn interpret(digits: &str) -> Result<Reading, PhoneError> {
    static READINGS: LookupCache<Result<Reading, PhoneError>> = LookupCache::new();
    READINGS.get(digits, || interpret_uncached(digits))
}

fn interpret_uncached(digits: &str) -> Result<Reading, PhoneError> {
    let reading = |digits: &str, fit| {
        PhoneNumber::from_digits(digits).map(|number| Reading { number, fit }).ok_or(PhoneError::TooLong)
    };
    let as_written = plan::fit(digits);
    // A number that WhatsApp writes need not be in the plan if the number that it stands for is.
    let other = other_form(digits).and_then(|other| plan::fit(&other).ok());
    if as_written == Ok(PlanMatch::Valid) || other == Some(PlanMatch::Valid) {
        return reading(digits, PlanMatch::Valid);
    }
    // +44 (0)20 7946 0958: the trunk prefix is dialled at home and is not part of the international number.
    if digits.len() <= 25
        && let Some(dialled) = plan::dialled(digits, None)
        && plan::fit(&dialled) == Ok(PlanMatch::Valid)
    {
        return reading(&dialled, PlanMatch::Valid);
    }
    reading(digits, as_written.or_else(|error| other.ok_or(error))?)
}

/// Returns the digits of the same person in the other form: WhatsApp's for the dialled form, the dialled form for
/// WhatsApp's.
fn other_form(digits: &str) -> Option<String> {
    let (code, national) = digits.split_at_checked(2)?;
    match (code, national.len()) {
        ("52", 10) if !national.starts_with(['0', '1']) => Some(format!("521{national}")),
        ("52", 11) => mexican_after_the_1(digits).map(|rest| format!("52{rest}")),
        ("54", 10) if !national.starts_with(['0', '9']) => Some(format!("549{national}")),
        ("54", 11) => {
            let rest = national.strip_prefix('9').filter(|rest| !rest.starts_with(['0', '9']))?;
            Some(format!("54{rest}"))
        }
        ("55", 10) => {
            let (area, subscriber) = brazilian(national)?;
            // Only numbers that were mobile numbers before the ninth digit was introduced.
            subscriber.starts_with(['6', '7', '8', '9']).then(|| format!("55{area}9{subscriber}"))
        }
        ("55", 11) => {
            let (area, subscriber) = brazilian(national)?;
            let before = subscriber.strip_prefix('9').filter(|rest| rest.starts_with(['6', '7', '8', '9']))?;
            Some(format!("55{area}{before}"))
        }
        _ => None,
    }
}

/// Returns the shorter of the two forms of the digits of an international number, for ids that must not depend on the form
/// that WhatsApp writes (see [`PhoneNumber::variants`]). It reads no numbering plan, so it is the same in every release.
pub fn canonical_digits(digits: &str) -> String {
    let other = other_form(digits).filter(|other| other.len() < digits.len());
    other.unwrap_or_else(|| digits.to_owned())
}

fn mexican_after_the_1(digits: &str) -> Option<&str> {
    digits.strip_prefix("521").filter(|rest| rest.len() == 10 && !rest.starts_with(['0', '1']))
}

/// Splits a number into the area code (two digits, no 0) and the subscriber number.
fn brazilian(national: &str) -> Option<(&str, &str)> {
    let (area, subscriber) = national.split_at_checked(2)?;
    (!area.contains('0')).then_some((area, subscriber))
}
