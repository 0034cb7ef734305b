//! Decimal digits of all scripts.

use std::sync::LazyLock;

use icu_properties::{CodePointMapData, props::GeneralCategory};

/// Returns the value of a decimal digit of any script.
pub fn decimal_digit(c: char) -> Option<u32> {
    /// The zero of every script, in order. Unicode keeps the ten digits of a script together.
    static ZEROS: LazyLock<Vec<u32>> = LazyLock::new(|| {
        CodePointMapData::<GeneralCategory>::new()
            .iter_ranges_for_value(GeneralCategory::DecimalNumber)
            .flat_map(|range| range.step_by(10))
            .collect()
    });
    if c.is_ascii() {
        return c.to_digit(10);
    }
    let code = u32::from(c);
    let zero = ZEROS[..ZEROS.partition_point(|zero| *zero <= code)].last()?;
    Some(code - zero).filter(|value| *value < 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_every_script_have_their_value() {
        for (digits, value) in
            [("059", 59), ("٠٥٩", 59), ("۰۵۹", 59), ("०५९", 59), ("০৫৯", 59), ("၀၅၉", 59), ("𞥐𞥕𞥙", 59), ("𝟘𝟝𝟡", 59)]
        {
            let read = digits.chars().try_fold(0, |sum, c| Some(sum * 10 + decimal_digit(c)?));
            assert_eq!(read, Some(value), "{digits}");
        }
        for c in ['a', 'Ⅳ', '²', '½', '一', ' '] {
            assert_eq!(decimal_digit(c), None, "{c}");
        }
    }

    /// The characters beside the digits of a script have no value.
    #[test]
    fn exactly_the_decimal_digits_of_unicode_have_a_value() {
        let categories = CodePointMapData::<GeneralCategory>::new();
        for range in categories.iter_ranges_for_value(GeneralCategory::DecimalNumber) {
            for c in (range.start() - 1..=range.end() + 1).filter_map(char::from_u32) {
                let (is_digit, value) = (range.contains(&u32::from(c)), decimal_digit(c));
                assert!(value.is_some() == is_digit && value.is_none_or(|value| value < 10), "{c:?}: {value:?}");
            }
        }
    }
}
