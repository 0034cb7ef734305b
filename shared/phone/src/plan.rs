//! What the numbering plans say about digits that begin with a country code.

use phonenumber::{
    Mode,
    metadata::{DATABASE, Descriptor, Metadata},
};

use crate::{PhoneError, Region};

/// E.164: country code included.
const MAX_DIGITS: usize = 15;

/// How well digits fit the plan of the country that they begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fit {
    /// In a range that is given out.
    Valid,
    /// As long as numbers of the country are, but in no range that our copy of the plans knows.
    Possible,
}

/// Judges digits, country code first, as they stand.
pub(crate) fn fit(digits: &str) -> Result<Fit, PhoneError> {
    if digits.len() > MAX_DIGITS {
        return Err(PhoneError::TooLong);
    }
    let (regions, national) = split(digits).ok_or(PhoneError::UnknownCountry)?;
    if regions.iter().any(|region| is_given_out(region, national)) {
        return Ok(Fit::Valid);
    }
    let lengths = || regions.iter().flat_map(|region| kinds(region)).flat_map(|kind| kind.possible_length());
    let length = u16::try_from(national.len()).map_err(|_| PhoneError::TooLong)?;
    match (lengths().min(), lengths().max()) {
        _ if lengths().any(|&possible| possible == length) => Ok(Fit::Possible),
        (Some(&shortest), _) if length < shortest => Err(PhoneError::TooShort),
        (_, Some(&longest)) if length > longest => Err(PhoneError::TooLong),
        _ => Err(PhoneError::Length),
    }
}

/// The country code and the national number.
pub(crate) fn parts(digits: &str) -> Option<(&str, &str)> {
    // "01" would be read as 1.
    if digits.starts_with('0') {
        return None;
    }
    // No country code is the beginning of another, so the first that fits is the one.
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

fn is_given_out(region: &Metadata, national: &str) -> bool {
    // Where several regions share a code, each but the first names the digits that its numbers begin with.
    if let Some(leading) = region.leading_digits()
        && leading.find(national).is_none_or(|found| found.start() != 0)
    {
        return false;
    }
    region.descriptors().general().is_match(national) && kinds(region).any(|kind| kind.is_match(national))
}

/// What a region gives out numbers for. Only these know how many digits a number has; the general description does not.
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

/// The digits, country code first, of a number as people of a region dial it: without the trunk prefix, with the digits
/// that some countries put between. `None` where the region's plan has no such number.
pub(crate) fn dialled(digits: &str, region: Option<Region>) -> Option<String> {
    let text = if region.is_some() { digits.to_owned() } else { format!("+{digits}") };
    let number = phonenumber::parse(region.map(Region::id), text).ok()?;
    number.format().mode(Mode::E164).to_string().strip_prefix('+').map(str::to_owned)
}

/// Groups digits as people of the country write them abroad. `None` where the plan knows no way for exactly these digits.
pub(crate) fn grouped(digits: &str) -> Option<String> {
    let number = phonenumber::parse(None, format!("+{digits}")).ok()?;
    let grouped = number.format().mode(Mode::International).to_string();
    let same = grouped.chars().filter(char::is_ascii_digit).eq(digits.chars());
    let plain = grouped.starts_with('+') && grouped.chars().all(|char| matches!(char, '0'..='9' | '+' | ' ' | '-'));
    (same && plain).then_some(grouped)
}
