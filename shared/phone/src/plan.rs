//! Looks up digits that begin with a country code in the numbering plans.

use phonenumber::{
    Mode,
    metadata::{DATABASE, Descriptor, Metadata},
};

use crate::{PhoneError, Region};

/// Maximum length in E.164, country code included.
const MAX_DIGITS: usize = 15;

/// The result of matching digits against the numbering plan of their country.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PlanMatch {
    /// The digits are in an assigned range.
    Valid,
    /// The country uses this length, but our copy of its plan has no range with these digits.
    Possible,
}

/// Matches digits, country code first, against the plan. They are not changed.
pub(crate) fn fit(digits: &str) -> Result<PlanMatch, PhoneError> {
    if digits.len() > MAX_DIGITS {
        return Err(PhoneError::TooLong);
    }
    let (regions, national) = split(digits).ok_or(PhoneError::UnknownCountry)?;
    if regions.iter().any(|region| is_assigned(region, national)) {
        return Ok(PlanMatch::Valid);
    }
    let lengths = || regions.iter().flat_map(|region| kinds(region)).flat_map(|kind| kind.possible_length());
    let length = u16::try_from(national.len()).map_err(|_| PhoneError::TooLong)?;
    match (lengths().min(), lengths().max()) {
        _ if lengths().any(|&possible| possible == length) => Ok(PlanMatch::Possible),
        (Some(&shortest), _) if length < shortest => Err(PhoneError::TooShort),
        (_, Some(&longest)) if length > longest => Err(PhoneError::TooLong),
        _ => Err(PhoneError::Length),
    }
}

/// Splits digits into the country code and the national number.
pub(crate) fn parts(digits: &str) -> Option<(&str, &str)> {
    // "01" would be parsed as 1.
    if digits.starts_with('0') {
        return None;
    }
    // No country code is a prefix of another one, so the first match is the right one.
    (1..=3).find_map(|length| {
        let (code, national) = digits.split_at_checked(length)?;
        DATABASE.region(&code.parse::<u16>().ok()?).is_some().then_some((code, national))
    })
}

fn split(digits: &str) -> Option<(Vec<&'static Metadata>, &str)> {
    let (code, national) = parts(digits)?;
    let regions = DATABASE.by_code(&code.parse::<u16>().ok()?)?;
    Some((regions, national))
}

fn is_assigned(region: &Metadata, national: &str) -> bool {
    // If several regions share a country code, each except the first one lists the leading digits of its numbers.
    if let Some(leading) = region.leading_digits()
        && leading.find(national).is_none_or(|found| found.start() != 0)
    {
        return false;
    }
    region.descriptors().general().is_match(national) && kinds(region).any(|kind| kind.is_match(national))
}

/// Returns the kinds of numbers that a region assigns. Only these say how many digits a number has; the general
/// description does not.
fn kinds(region: &Metadata) -> impl Iterator<Item = &Descriptor> {
    let kinds = region.descriptors();
    [
        kinds.mobile(),
        kinds.fixed_line(),
        kinds.voip(),
        kinds.personal_number(),
        kinds.toll_free(),
        kinds.shared_cost(),
        kinds.uan(),
        kinds.pager(),
        kinds.premium_rate(),
        kinds.voicemail(),
    ]
    .into_iter()
    .flatten()
}

/// Converts a number that was dialled in a region to digits that begin with the country code: removes the trunk prefix,
/// and adds the digits that some countries insert. `None` if the region's plan has no such number.
pub(crate) fn dialled(digits: &str, region: Option<Region>) -> Option<String> {
    let text = if region.is_some() { digits.to_owned() } else { format!("+{digits}") };
    let number = phonenumber::parse(region.map(Region::id), text).ok()?;
    number.format().mode(Mode::E164).to_string().strip_prefix('+').map(str::to_owned)
}

/// Groups the digits as they are written internationally. `None` if the plan has no format for exactly these digits.
pub(crate) fn grouped(digits: &str) -> Option<String> {
    let number = phonenumber::parse(None, format!("+{digits}")).ok()?;
    let grouped = number.format().mode(Mode::International).to_string();
    let same = grouped.chars().filter(char::is_ascii_digit).eq(digits.chars());
    let plain = grouped.starts_with('+') && grouped.chars().all(|char| matches!(char, '0'..='9' | '+' | ' ' | '-'));
    (same && plain).then_some(grouped)
}
