//! Reduces a text to a plus and digits, or returns the reason why it is not a phone number.

use crate::{PhoneError, digit::decimal_digit};

/// Size limit of a text: more than every known notation of a number has, and little enough to be parsed at once.
const MAX_BYTES: usize = 128;

/// The words between a number and its extension, in lower case.
const EXTENSIONS: [&str; 14] = [
    "x",
    "ext",
    "extn",
    "extension",
    "extensión",
    "ramal",
    "anexo",
    "interno",
    "int",
    "poste",
    "durchwahl",
    "dw",
    "доб",
    "wew",
];

/// A number as it was written: its digits, and whether a plus was in front of them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) plus: bool,
    /// ASCII digits, at least one.
    pub(crate) digits: String,
}

/// Reads a text that consists of one phone number.
pub(crate) fn read(text: &str) -> Result<Written, PhoneError> {
    if text.len() > MAX_BYTES {
        return Err(PhoneError::TooLong);
    }
    // The usual form of a captured number.
    if let Some(digits) = text.strip_prefix('+')
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Ok(Written { plus: true, digits: digits.to_owned() });
    }
    let plain: String = text.chars().filter(|&char| !is_format_char(char)).map(to_ascii).collect();
    let plain = plain.trim();
    if plain.is_empty() {
        return Err(PhoneError::Empty);
    }
    // Address books export numbers as URIs of RFC 3966.
    let plain = match plain.get(..4) {
        Some(scheme) if scheme.eq_ignore_ascii_case("tel:") => plain.get(4..).unwrap_or_default().trim_start(),
        _ => plain,
    };
    if is_spreadsheet_value(plain) {
        return Err(PhoneError::Spreadsheet);
    }
    if let Some(error) = letters_error(plain) {
        return Err(error);
    }
    let mut written = Written { plus: false, digits: String::new() };
    let mut slash = None;
    for char in plain.chars() {
        match char {
            '0'..='9' => written.digits.push(char),
            '+' if !written.plus && written.digits.is_empty() => written.plus = true,
            '/' if slash.is_none() => slash = Some(written.digits.len()),
            ' ' | '-' | '.' | '(' | ')' | '[' | ']' => {}
            ',' | ';' | '#' | '*' | '/' | '|' | '\n' => return Err(PhoneError::Extension),
            _ => return Err(PhoneError::Character),
        }
    }
    // 030/123456 has an area code before the slash; 1234567/8 is two numbers.
    if slash.is_some_and(|before| written.digits.len() - before < 3) {
        return Err(PhoneError::Extension);
    }
    if written.digits.is_empty() { Err(PhoneError::Empty) } else { Ok(written) }
}

/// Removes the marks with which a spreadsheet marks a cell as text: `'+4520123456` and `="+4520123456"`.
pub(crate) fn without_text_marks(cell: &str) -> &str {
    let cell = cell.trim();
    let quoted = cell.strip_prefix("=\"").and_then(|rest| rest.strip_suffix('"'));
    quoted.or_else(|| cell.strip_prefix(['\'', '\u{2019}'])).unwrap_or(cell)
}

/// Returns whether a character is a direction mark, a joiner or a soft hyphen. They are copied along with a number from a
/// web page.
fn is_format_char(char: char) -> bool {
    matches!(char, '\u{AD}' | '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

/// Replaces a character that is a variant of an ASCII character.
fn to_ascii(char: char) -> char {
    if let Some(digit) = decimal_digit(char).and_then(|value| char::from_digit(value, 10)) {
        return digit;
    }
    match char {
        '\n' => '\n',
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FF0D}' | '\u{30FC}' => '-',
        '\u{FF0B}' => '+',
        '\u{FF08}' => '(',
        '\u{FF09}' => ')',
        '\u{B7}' | '\u{FF0E}' => '.',
        '\u{FF0F}' => '/',
        _ if char.is_whitespace() => ' ',
        _ => char,
    }
}

fn is_spreadsheet_value(text: &str) -> bool {
    if text.starts_with(['=', '#']) {
        return true;
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.strip_prefix(['+', '-']).unwrap_or(text);
    if let Some((mantissa, exponent)) = number.split_once(['E', 'e']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        return digits(exponent) && mantissa.split(['.', ',']).all(digits);
    }
    if let Some((whole, "0" | "00")) = number.split_once(['.', ','])
        && digits(whole)
    {
        return true;
    }
    let mut groups = number.split(',');
    let first = groups.next().is_some_and(|first| digits(first) && first.len() <= 3);
    let rest: Vec<&str> = groups.collect();
    first && !rest.is_empty() && rest.iter().all(|group| digits(group) && group.len() == 3)
}

/// Returns the error for a text that contains letters; `None` if it contains none.
fn letters_error(text: &str) -> Option<PhoneError> {
    let is_extension = |word: &str| {
        let word = word.to_lowercase();
        EXTENSIONS.contains(&word.as_str())
    };
    let mut words = text.split(|char: char| !char.is_alphabetic()).filter(|word| !word.is_empty()).peekable();
    words.peek()?;
    let begins_with_number = text.starts_with(|char: char| !char.is_alphabetic());
    if begins_with_number && words.all(is_extension) { Some(PhoneError::Extension) } else { Some(PhoneError::Letters) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(text: &str) -> Result<String, PhoneError> {
        read(text).map(|written| format!("{}{}", if written.plus { "+" } else { "" }, written.digits))
    }

    #[test]
    fn digits_of_every_script_and_pasted_marks_are_read() {
        for text in [
            "+4520123456",
            "  +45 20 12 34 56 ",
            "+45\u{a0}20\u{202f}12\u{2009}34\u{3000}56",
            "\u{202a}+45 20 12 34 56\u{202c}",
            "\u{200e}+45\u{2011}2012\u{2013}3456\u{200f}",
            "\u{feff}+45(20)12.34.56",
            "+٤٥٢٠١٢٣٤٥٦",
            "+۴۵۲۰۱۲۳۴۵۶",
            "＋４５２０１２３４５６",
            "+४५२०१२३४५६",
            "tel:+45-2012-3456",
            "+45/20123456",
        ] {
            assert_eq!(digits(text).as_deref(), Ok("+4520123456"), "{text:?}");
        }
    }

    #[test]
    fn invalid_number_has_its_reason() {
        for (text, error) in [
            ("", PhoneError::Empty),
            (" \u{200e}\t", PhoneError::Empty),
            ("-", PhoneError::Empty),
            ("+", PhoneError::Empty),
            ("1-800-FLOWERS", PhoneError::Letters),
            ("Ada", PhoneError::Letters),
            ("x", PhoneError::Letters),
            ("20123456 (mobile)", PhoneError::Letters),
            ("ada@example.com", PhoneError::Letters),
            ("+45 20123456 ext. 7", PhoneError::Extension),
            ("+45 20123456x7", PhoneError::Extension),
            ("tel:+45-20123456;ext=7", PhoneError::Extension),
            ("+45 20123456,,7", PhoneError::Extension),
            ("+45 20123456 #7", PhoneError::Extension),
            ("+45 20123456/7", PhoneError::Extension),
            ("20123456; 30123456", PhoneError::Extension),
            ("20123456\n30123456", PhoneError::Extension),
            ("4.52E+09", PhoneError::Spreadsheet),
            ("4,52E+09", PhoneError::Spreadsheet),
            ("4e9", PhoneError::Spreadsheet),
            ("4520123456.0", PhoneError::Spreadsheet),
            ("4520123456,00", PhoneError::Spreadsheet),
            ("4,520,123,456", PhoneError::Spreadsheet),
            ("#########", PhoneError::Spreadsheet),
            ("#N/A", PhoneError::Spreadsheet),
            ("=45+20123456", PhoneError::Spreadsheet),
            ("+45 +20123456", PhoneError::Character),
            ("45+20123456", PhoneError::Character),
            ("+45 20123456 ☎", PhoneError::Character),
            ("+45\u{0}20123456", PhoneError::Character),
        ] {
            assert_eq!(digits(text), Err(error), "{text:?}");
        }
        assert_eq!(digits(&"1 ".repeat(100)), Err(PhoneError::TooLong));
    }

    #[test]
    fn text_marks_of_spreadsheets_are_removed() {
        for cell in ["+45201", " '+45201", "\u{2019}+45201 ", "=\"+45201\""] {
            assert_eq!(without_text_marks(cell), "+45201");
        }
        assert_eq!(without_text_marks("=+45201"), "=+45201");
    }
}
