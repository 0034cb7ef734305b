//! Why a text is no phone number.

/// Why a text is no phone number, and what to do about it. Holds nothing of the text.
///
/// Every variant is the text's own fault and stays so however often it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PhoneError {
    /// No digit, and nothing else either.
    #[error("there is no phone number")]
    Empty,
    /// `1-800-FLOWERS`, a name, a note.
    #[error("it holds letters: write the number in digits")]
    Letters,
    /// `ext. 7`, `x7`, `;ext=7`, `,,7`, `1234567/8`: which of the parts is a person's number is not ours to guess.
    #[error("it has an extension, or more than one number: write one mobile number alone")]
    Extension,
    /// `4.52E+09`, `4520123456.0`, `4,520,123,456`, `########`, `=A1`: the digits may be rounded, so the number is lost.
    #[error(
        "a spreadsheet has changed it into an amount or a formula, and digits may be lost: format the column as text \
         and enter the number again, with + and the country code"
    )]
    Spreadsheet,
    /// A character that no phone number has, or a second plus.
    #[error("it holds a character that phone numbers do not have: write + and digits")]
    Character,
    /// Fewer digits than any number of its country.
    #[error("it has too few digits: write + and the country code, then the whole number")]
    TooShort,
    /// More digits than any number of its country, or than the 15 of E.164.
    #[error("it has too many digits: write + and the country code, then the number alone")]
    TooLong,
    /// It begins with no country code that exists.
    #[error("it begins with no country code that exists: write + and the country code first")]
    UnknownCountry,
    /// A national number, and no region to read it in.
    #[error("it has no country code, and no default region is configured: write + and the country code first")]
    NoCountry,
    /// As many digits as that country never gives out.
    #[error("numbers of its country do not have this many digits: check the number")]
    Length,
    /// Without a plus it is one person's number in the default region and another person's internationally.
    #[error(
        "without a plus it can be read both as a number of the default region and as an international one: write + and \
         the country code first"
    )]
    Ambiguous,
}
