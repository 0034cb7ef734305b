//! Accepted numbers, rejected numbers, and numbers of the same person.
#![expect(clippy::unwrap_used, reason = "a test's helper may panic as the test may")]

use phone::{PhoneError, PhoneNumber, Region};
use proptest::prelude::*;

fn region(letters: &str) -> Option<Region> {
    Some(letters.parse().unwrap())
}

fn parse_to_e164(text: &str) -> String {
    PhoneNumber::parse(text, None).unwrap_or_else(|error| panic!("{text}: {error}")).e164()
}

fn variants(text: &str) -> Vec<String> {
    PhoneNumber::parse(text, None).unwrap().variants().map(|number| number.e164()).collect()
}

#[test]
fn number_of_a_source_is_read_with_or_without_plus() {
    for text in ["+4520123456", "4520123456", "+45 20 12 34 56", "004520123456"] {
        assert_eq!(parse_to_e164(text), "+4520123456", "{text}");
    }
    assert_eq!(parse_to_e164("+44 (0)20 7946 0958"), "+442079460958");
    assert_eq!(parse_to_e164("+49 (0)151 23456789"), "+4915123456789");
    assert_eq!(parse_to_e164("+33 06 31 96 65 43"), "+33631966543");
    assert_eq!(parse_to_e164("+39 02 3661 8300"), "+390236618300", "an Italian number keeps its 0");
    assert_eq!(parse_to_e164("+7 812 345 67 89"), "+78123456789", "8 is Russia's trunk prefix, not here");
    assert_eq!(parse_to_e164("+1 (202) 555-0123"), "+12025550123");
    assert_eq!(parse_to_e164("77012345678"), "+77012345678");
    assert_eq!(parse_to_e164("+6834002"), "+6834002", "Niue has seven digits in all");
}

#[test]
fn digits_of_a_source_are_international_first() {
    // +1 202… is assigned, so the region is not considered, although 12025550123 can be dialled in Germany, too.
    assert_eq!(PhoneNumber::parse("12025550123", region("DE")).unwrap().e164(), "+12025550123");
    assert_eq!(PhoneNumber::parse("20123456", region("DK")).unwrap().e164(), "+4520123456");
    assert_eq!(PhoneNumber::parse("0151 23456789", region("DE")).unwrap().e164(), "+4915123456789");
    assert_eq!(PhoneNumber::parse("0151 23456789", None), Err(PhoneError::NoCountry));
    // A Norwegian mobile number without its plus; Arkansas has the area code 479.
    assert_eq!(PhoneNumber::parse("4795551234", region("US")).unwrap().e164(), "+4795551234");
}

#[test]
fn national_number_of_a_source_equals_the_cells() {
    for (text, letters, e164) in [
        // It has the length of an Egyptian number, but is in no range that Egypt assigns.
        ("2025550143", "US", "+12025550143"),
        ("(202) 555-0143", "US", "+12025550143"),
        ("6175550123", "US", "+16175550123"),
        ("20123456", "DK", "+4520123456"),
    ] {
        let both = [PhoneNumber::parse(text, region(letters)), PhoneNumber::from_cell(text, region(letters))];
        assert_eq!(both.map(|number| number.unwrap().e164()), [e164, e164], "{text}");
    }
    // The plus decides; and without a region, only the international reading is left.
    for number in [PhoneNumber::parse("+2025550143", region("US")), PhoneNumber::parse("2025550143", None)] {
        assert_eq!(number.unwrap().e164(), "+2025550143");
    }
}

#[test]
fn cell_is_read_in_the_default_region() {
    for (cell, letters, e164) in [
        ("20123456", "DK", "+4520123456"),
        ("20 12 34 56", "DK", "+4520123456"),
        ("4520123456", "DK", "+4520123456"),
        ("+4520123456", "US", "+4520123456"),
        ("004520123456", "GB", "+4520123456"),
        ("07911 123456", "GB", "+447911123456"),
        ("447911123456", "DK", "+447911123456"),
        ("(202) 555-0123", "US", "+12025550123"),
        ("17612345678", "DE", "+4917612345678"),
        ("8 912 345-67-89", "RU", "+79123456789"),
        ("'+4520123456", "GB", "+4520123456"),
        ("=\"4520123456\"", "DK", "+4520123456"),
        ("011 15 2345-6789", "AR", "+5491123456789"),
    ] {
        assert_eq!(
            PhoneNumber::from_cell(cell, region(letters)).map(|number| number.e164()),
            Ok(e164.into()),
            "{cell}"
        );
    }
    assert_eq!(PhoneNumber::from_cell("4520123456", None).unwrap().e164(), "+4520123456");
    assert_eq!(PhoneNumber::from_cell("0151 23456789", None), Err(PhoneError::NoCountry));
}

#[test]
fn ambiguous_cell_is_rejected() {
    // Arkansas has the area code 479, and +47 95 55 12 34 is a Norwegian mobile number.
    assert_eq!(PhoneNumber::from_cell("4795551234", region("US")), Err(PhoneError::Ambiguous));
    // A German mobile number without its 0, or a number in Texas.
    assert_eq!(PhoneNumber::from_cell("15123456789", region("DE")), Err(PhoneError::Ambiguous));
    assert_eq!(PhoneNumber::from_cell("015123456789", region("DE")).unwrap().e164(), "+4915123456789");
    assert_eq!(PhoneNumber::from_cell("+1 4795551234", region("US")).unwrap().e164(), "+14795551234");
    assert_eq!(PhoneNumber::from_cell("+4795551234", region("US")).unwrap().e164(), "+4795551234");
}

#[test]
fn error_says_the_reason() {
    for (text, error) in [
        ("+45 2012", PhoneError::TooShort),
        ("12", PhoneError::TooShort),
        ("+45 20 12 34 56 78", PhoneError::TooLong),
        ("1234567890123456", PhoneError::TooLong),
        ("+999 123 456 789", PhoneError::UnknownCountry),
        ("+0 20123456", PhoneError::UnknownCountry),
        ("4.52E+09", PhoneError::Spreadsheet),
        ("1-800-FLOWERS", PhoneError::Letters),
        ("+45 20123456 ext. 7", PhoneError::Extension),
    ] {
        assert_eq!(PhoneNumber::parse(text, None), Err(error), "{text}");
        assert!(PhoneNumber::from_cell(text, region("DK")).is_err(), "{text}");
    }
}

#[test]
fn variants_include_whatsapps_form_and_the_dialled_form() {
    assert_eq!(variants("+525512345678"), ["+525512345678", "+5215512345678"]);
    assert_eq!(variants("5215512345678"), ["+5215512345678", "+525512345678"]);
    assert_eq!(variants("+541123456789"), ["+541123456789", "+5491123456789"]);
    assert_eq!(variants("5491123456789"), ["+5491123456789", "+541123456789"]);
    assert_eq!(variants("+5531987654321"), ["+5531987654321", "+553187654321"]);
    assert_eq!(variants("553187654321"), ["+553187654321", "+5531987654321"]);
    assert_eq!(variants("+553132345678"), ["+553132345678"], "a landline has no ninth digit");
    assert_eq!(variants("+5511951234567"), ["+5511951234567"], "5123-4567 may be another person's landline");
    assert_eq!(variants("+4520123456"), ["+4520123456"]);
}

#[test]
fn international_format_groups_the_digits() {
    for (text, shown) in [
        ("+4520123456", "+45 20 12 34 56"),
        ("+12025550123", "+1 202-555-0123"),
        ("+525512345678", "+52 55 1234 5678"),
        ("+5215512345678", "+52 1 55 1234 5678"),
        ("+390236618300", "+39 02 3661 8300"),
    ] {
        assert_eq!(PhoneNumber::parse(text, None).unwrap().international(), shown);
    }
}

#[test]
fn debug_does_not_show_the_number() {
    let number = PhoneNumber::parse("+4520123456", None).unwrap();
    assert_eq!(format!("{number:?}"), "PhoneNumber(…)");
}

/// Digits that are phone numbers more often than random digits.
fn numbers() -> impl Strategy<Value = String> {
    prop_oneof![
        r"\+?(45|44|49|1|52|521|54|549|55|39|7|33|375|36|61|91)[0-9]{6,11}",
        r"\+?[0-9]{1,18}",
        r"00?[0-9]{5,14}",
    ]
}

fn regions() -> impl Strategy<Value = Option<Region>> {
    prop::sample::select(vec![
        None,
        region("DK"),
        region("US"),
        region("DE"),
        region("BR"),
        region("AR"),
        region("MX"),
        region("IT"),
    ])
}

fn read_both_ways(text: &str, region: Option<Region>) -> impl Iterator<Item = PhoneNumber> {
    [PhoneNumber::parse(text, region), PhoneNumber::from_cell(text, region)].into_iter().flatten()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn parsing_does_not_panic(text in ".{0,40}", region in regions()) {
        for number in read_both_ways(&text, region) {
            prop_assert!((4..=16).contains(&number.e164().len()));
        }
    }

    #[test]
    fn parsing_of_similar_text_does_not_panic(
        text in r"[+=']{0,2}[0-9٠-٩ ().,/;#*xeE+\-]{0,30}(ext|x|;phone-context=)?[0-9+]{0,4}", region in regions(),
    ) {
        for number in read_both_ways(&text, region) {
            prop_assert!((4..=16).contains(&number.e164().len()));
        }
    }

    #[test]
    fn formatted_number_is_read_as_the_same_number(text in numbers(), region in regions(), other in regions()) {
        for number in read_both_ways(&text, region) {
            for shown in [number.e164(), number.international()] {
                prop_assert_eq!(PhoneNumber::parse(&shown, other), Ok(number), "{}", &shown);
                prop_assert_eq!(PhoneNumber::from_cell(&shown, other), Ok(number), "{}", &shown);
            }
            // The source may have left out the plus.
            prop_assert_eq!(PhoneNumber::parse(&number.e164()[1..], None), Ok(number));
        }
    }

    #[test]
    fn variants_are_symmetric(text in numbers()) {
        if let Ok(number) = PhoneNumber::parse(&text, None) {
            for variant in number.variants() {
                prop_assert!(variant.variants().any(|back| back == number), "{}", variant.e164());
                prop_assert_eq!(PhoneNumber::parse(&variant.e164(), None), Ok(variant));
            }
        }
    }
}
