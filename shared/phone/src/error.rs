//! Errors of parsing a phone number.

/// An invalid phone number, and how to correct it. Contains nothing of the text. Permanent: parsing the same text again
/// fails again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PhoneError {
    /// The text has no digits and no letters.
    #[error("the phone number is empty")]
    Empty,
    /// `1-800-FLOWERS`, a name, a note.
    #[error("it contains letters: write the number in digits")]
    Letters,
    /// `ext. 7`, `x7`, `;ext=7`, `,,7`, `1234567/8`: it is not possible to decide which part is the number of a person.
    #[error("it has an extension, or more than one number: write one mobile number alone")]
    Extension,
    /// `4.52E+09`, `4520123456.0`, `4,520,123,456`, `########`, `=A1`: the digits may be rounded, so the number is
    /// lost.
    #[error(
        "a spreadsheet has changed it into an amount or a formula, and digits may be lost: format the column as text \
         and enter the number again, with + and the country code"
    )]
    Spreadsheet,
    /// A character that phone numbers do not have, or a second plus.
    #[error("it contains a character that phone numbers do not have: write + and digits")]
    Character,
    /// Fewer digits than any number of the country.
    #[error("it has too few digits: write + and the country code, then the whole number")]
    TooShort,
    /// More digits than any number of the country, or more than the 15 of E.164.
    #[error("it has too many digits: write + and the country code, then the number alone")]
    TooLong,
    /// The text begins with an unassigned country code.
    #[error("its country code does not exist: write + and the country code first")]
    UnknownCountry,
    /// A national number while no default region is configured.
    #[error("it has no country code, and no default region is configured: write + and the country code first")]
    NoCountry,
    /// A number of digits that the country does not use.
    #[error("numbers of its country do not have this many digits: check the number")]
    Length,
    /// Without a plus, the digits are the number of one person in the default region and of another person
    /// internationally.
    #[error(
        "without a plus it can be read both as a number of the default region and as an international one: write + and \
         the country code first"
    )]
    Ambiguous,
}
