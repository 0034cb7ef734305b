//! Valid user maps, and the errors of invalid user maps.

use std::fmt::Write as _;

use jiff::Timestamp;
use mapping::{Column, Problem, UserMap, UserMapErrors};
use model::Participant;
use phone::{PhoneError, PhoneNumber, Region};
use proptest::prelude::*;

/// Returns the default region of most tests.
fn denmark() -> Option<Region> {
    Some("DK".parse().unwrap())
}

/// Returns the address of a number.
fn address(map: &UserMap, number: &str) -> Option<String> {
    map.address_of(&PhoneNumber::parse(number, None).unwrap(), Timestamp::UNIX_EPOCH).map(ToString::to_string)
}

/// Returns line and problem of each invalid row.
fn row_errors(csv: &str) -> Vec<(u64, Problem)> {
    let errors = UserMap::parse(csv.as_bytes(), denmark()).unwrap_err();
    errors.rows().iter().map(|row| (row.line, row.problem)).collect()
}

#[test]
fn table_is_read_with_common_separators_and_headers() {
    for csv in [
        "User's mobile number,User's Email address\n+4520123456,ada@example.com\n+4520123457,bob@example.com\n",
        "Name;Mobile number;E-mail\r\n\"Lovelace, Ada\";+45 20 12 34 56;Ada@Example.com\r\n;4520123457;bob@example.com",
        "\u{feff}External User ID\tMicrosoft 365 User Mailbox\r\n4520123456\tada@example.com\r\n20123457\tbob@example.com\r\n",
        "\"Mobile\",\"Mail\",\"Note\"\n\"+4520123456\",\"ada@example.com\",\"says \"\"hi\"\"\"\n\n,,\n'20123457, bob@example.com ,x,y,z\n",
        "\n\nPhone,Mailbox\r+4520123456,ada@example.com\r=\"20123457\",bob@example.com\r",
    ] {
        let map = UserMap::parse(csv.as_bytes(), denmark()).unwrap_or_else(|errors| panic!("{csv}: {errors}"));
        assert_eq!(map.len(), 2, "{csv}");
        assert_eq!(address(&map, "+4520123456").as_deref(), Some("ada@example.com"), "{csv}");
        assert_eq!(address(&map, "+4520123457").as_deref(), Some("bob@example.com"), "{csv}");
        assert_eq!(address(&map, "+4520123458"), None, "{csv}");
    }
    assert_eq!(UserMap::parse(b"Phone,Mail\n", None).unwrap().len(), 0);
}

#[test]
fn number_is_found_in_the_form_of_whatsapp_or_as_dialled() {
    let csv =
        "Phone,Mail\n+525512345678,mx@example.com\n+5491123456789,ar@example.com\n+5531987654321,br@example.com\n";
    let map = UserMap::parse(csv.as_bytes(), None).unwrap();
    assert_eq!(map.len(), 3);
    for (number, expected) in [
        ("5215512345678", "mx@example.com"),
        ("+525512345678", "mx@example.com"),
        ("541123456789", "ar@example.com"),
        ("553187654321", "br@example.com"),
    ] {
        assert_eq!(address(&map, number).as_deref(), Some(expected), "{number}");
    }
}

#[test]
fn participant_is_found_by_phone_or_whatsapp_id() {
    let map = UserMap::parse(b"Phone,Mail\n20123456,ada@example.com\n", denmark()).unwrap();
    let participant = |phone: Option<&str>, id: Option<&str>| Participant {
        phone: phone.map(Into::into),
        whatsapp_id: id.map(Into::into),
        ..Participant::default()
    };
    for participant in [
        participant(Some("4520123456"), None),
        participant(Some("20 12 34 56"), None),
        participant(None, Some("4520123456:3@s.whatsapp.net")),
        participant(Some("unknown"), Some("4520123456@s.whatsapp.net")),
        participant(None, Some("4520123456.0:12@s.whatsapp.net")),
        participant(None, Some("4520123456@c.us")),
    ] {
        assert!(map.address_of_participant(&participant, Timestamp::UNIX_EPOCH).is_some());
    }
    let american_map =
        UserMap::parse(b"Phone,Mail\n(202) 555-0143,ada@example.com\n", Some("US".parse().unwrap())).unwrap();
    assert!(
        american_map.address_of_participant(&participant(Some("2025550143"), None), Timestamp::UNIX_EPOCH).is_some(),
        "the default region was not used for the number of a participant"
    );
    for participant in
        [participant(None, None), participant(Some("4.52E+09"), None), participant(None, Some("4520123456@lid"))]
    {
        assert!(map.address_of_participant(&participant, Timestamp::UNIX_EPOCH).is_none());
    }
}

/// Without a country code, the phone number of an American may be read as an Egyptian one.
#[test]
fn whatsapp_id_outranks_a_doubtful_reading_of_the_phone() {
    let american = Participant {
        phone: Some("2025550143".into()),
        whatsapp_id: Some("12025550143@s.whatsapp.net".into()),
        ..Participant::default()
    };
    let at = Timestamp::UNIX_EPOCH;
    let map = |csv: &str| UserMap::parse(csv.as_bytes(), None).unwrap();
    let address = |map: &UserMap, participant| map.address_of_participant(participant, at).map(ToString::to_string);
    let both = map("Phone,Mail\n+12025550143,ada@example.com\n+20 25550143,nour@example.com\n");
    assert_eq!(address(&both, &american).as_deref(), Some("ada@example.com"));
    assert!(!both.is_contradicted(&american, at));
    let egyptian = map("Phone,Mail\n+20 25550143,nour@example.com\n");
    assert_eq!(address(&egyptian, &american), None, "filed for another person");
    // A phone number with its country code comes first.
    let other = Participant { phone: Some("+20 25550143".into()), ..american.clone() };
    assert_eq!(address(&both, &other).as_deref(), Some("nour@example.com"));
    assert!(both.is_contradicted(&other, at));
    let only_ada = map("Phone,Mail\n+12025550143,ada@example.com\n");
    assert_eq!(address(&only_ada, &other).as_deref(), Some("ada@example.com"), "the phone number has no row");
}

#[test]
fn ignored_columns_with_dates_cause_a_warning() {
    let csv = "Phone,Mail,Name,Leaves,Valid until\n+4520123456,ada@example.com,Ada,,2026-01-31\n\
               +4520123457,bob@example.com,Bob,31.01.2026,\n+4520123458,cy@example.com,Cy,01.02.2026,2026-03-31\n";
    let map = UserMap::parse(csv.as_bytes(), None).unwrap();
    assert_eq!(map.warnings(), [mapping::Warning::IgnoredDates { column: 4, rows: 2, line: 3 }]);
    assert_eq!((map.period_rows(), map.ignored_columns()), (2, &["Name".to_owned(), "Leaves".to_owned()][..]));
    let number: PhoneNumber = PhoneNumber::parse("+4520123456", None).unwrap();
    assert_eq!(
        map.address_of(&number, "2026-02-01T00:00:00Z".parse().unwrap()),
        None,
        "the number is another person's"
    );
}

#[test]
fn error_names_the_line_of_every_invalid_row() {
    let csv = "Name,Mobile number,E-mail\n\
               Ada,+4520123456,ada@example.com\n\
               \n\
               Bob,,bob@example.com\n\
               Cy,+4520123457\n\
               ,4.52E+09,d@example.com\r\n\
               E,+4520123458,\"e@example.com, e2@example.com\"\n\
               \"F\nG,+4520123459\",+4520123460,f@example.com\n\
               H,+4520123461,'h@example.com\n\
               I,004520123456,someone.else@example.com\n\
               J,+45 20 12 34 56,ADA@example.com\n";
    assert_eq!(
        row_errors(csv),
        [
            (4, Problem::Missing(Column::Phone)),
            (5, Problem::Missing(Column::Address)),
            (6, Problem::Phone(PhoneError::Spreadsheet)),
            (7, Problem::Address(model::AddressError::At)),
            (8, Problem::LineBreak),
            (10, Problem::AddressMark),
            (11, Problem::Conflict { line: 2 }),
        ]
    );
}

#[test]
fn two_forms_of_a_number_with_two_addresses_conflict() {
    let csv = "Phone,Mail\n+525512345678,a@example.com\n+5215512345678,b@example.com\n";
    assert_eq!(row_errors(csv), [(3, Problem::Conflict { line: 2 })]);
    assert_eq!(UserMap::parse(csv.replace("b@", "a@").as_bytes(), None).unwrap().len(), 1);
}

/// A search of all rows of a number for each row would take hours.
#[test]
fn rows_of_a_number_are_limited() {
    let rows = |count: i64| -> String {
        let day = |row| jiff::civil::date(2000, 1, 1) + jiff::SignedDuration::from_hours(24 * row);
        (0..count).map(|row| format!("20123456,p{row}@example.com,{day},{day}\n", day = day(row))).collect()
    };
    let csv = |count| format!("Phone,Mail,valid_from,valid_to\n20123457,ada@example.com,,\n{}", rows(count));
    assert_eq!(UserMap::parse(csv(100).as_bytes(), denmark()).unwrap().len(), 2);
    assert_eq!(row_errors(&csv(102)), [(103, Problem::TooManyPeriods), (104, Problem::TooManyPeriods)]);
}

#[test]
fn unreadable_file_is_rejected_with_its_reason() {
    for (csv, line, problem) in [
        (&b""[..], 1, Problem::NoHeader),
        (b"\xef\xbb\xbf", 1, Problem::NoHeader),
        (b"\r\n\r\n", 1, Problem::NoHeader),
        (b"\xff\xfeP\0h\0o\0n\0e\0", 1, Problem::Utf16),
        (b"P\0h\0o\0n\0e\0,\0", 1, Problem::Utf16),
        (b"Phone,Mail,Name\n1,2,3\n+4520123456,ada@example.com,S\xf8ren\n", 3, Problem::NotUtf8),
        (b"+4520123456,ada@example.com\n", 1, Problem::NoColumn(Column::Phone)),
        (b"\nName;E-mail\n", 2, Problem::NoColumn(Column::Phone)),
        (b"Phone;Name\n", 1, Problem::NoColumn(Column::Address)),
        (b"Mobile,Cell,Mail\n", 1, Problem::TwoColumns(Column::Phone)),
    ] {
        let errors = UserMap::parse(csv, None).unwrap_err();
        assert_eq!((errors.rows()[0].line, errors.rows()[0].problem), (line, problem), "{}", csv.escape_ascii());
    }
    let long = format!("Phone,Mail\n+4520123456,ada@example.com,\"{}", "x,y\n".repeat(1000));
    assert_eq!(row_errors(&long), [(2, Problem::CellTooLong)]);
    let wide = format!("Phone,Mail\n+4520123456,ada@example.com{}", ",".repeat(300));
    assert_eq!(row_errors(&wide), [(2, Problem::TooManyCells)]);
    assert_eq!(
        UserMap::parse(&vec![b'x'; UserMap::MAX_BYTES + 1], None).unwrap_err().rows()[0].problem,
        Problem::FileTooLarge
    );
}

#[test]
fn errors_are_counted_and_show_no_content() {
    let mut csv = "Phone,Mail\n".to_owned();
    for _ in 0..250 {
        csv.push_str("secretnumber,secret@example.com\n");
    }
    let errors = UserMap::parse(csv.as_bytes(), None).unwrap_err();
    assert_eq!((errors.rows().len(), errors.count()), (UserMapErrors::SHOWN, 250));
    let shown = format!("{errors} {errors:?} {}", errors.log_safe());
    assert!(!shown.contains("secret"), "{shown}");
    assert!(errors.to_string().ends_with("and 150 more rows"));
    assert!(errors.to_string().starts_with("line 2: invalid mobile number: it contains letters"));
    assert!(errors.log_safe().starts_with("250 invalid rows, the first: line 2 phone, line 3 phone"));
    let map = UserMap::parse(b"Phone,Mail\n+4520123456,secret@example.com\n", None).unwrap();
    assert_eq!(format!("{map:?}"), "UserMap { numbers: 1, .. }");
}

#[test]
fn ten_thousand_rows_are_read() {
    let mut csv = "Phone,Mail\n".to_owned();
    for row in 0..10_000 {
        writeln!(csv, "+45{},user{row}@example.com", 20_000_000 + row).unwrap();
    }
    let map = UserMap::parse(csv.as_bytes(), None).unwrap();
    assert_eq!(map.len(), 10_000);
    assert_eq!(address(&map, "4520009999").as_deref(), Some("user9999@example.com"));
}

/// Returns a cell of a CSV file, in quotes if required.
fn csv_cell(text: &str, separator: char, quoted: bool) -> String {
    if quoted || text.contains([separator, '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.into() }
}

proptest! {
    #[test]
    fn parsing_bytes_does_not_panic(csv in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(errors) = UserMap::parse(&csv, None) {
            prop_assert!(errors.count() > 0);
        }
    }

    #[test]
    fn parsing_a_table_does_not_panic(rows in "(Phone[,;\t]Mail\r?\n)?([+0-9a-z@.\",;\t\r\n']{0,20}[,;\t\n]){0,12}") {
        if let Err(errors) = UserMap::parse(rows.as_bytes(), denmark()) {
            prop_assert!(errors.count() > 0);
        }
    }

    #[test]
    fn every_row_of_a_valid_file_is_mapped(
        people in prop::collection::btree_map(20_000_000_u32..32_000_000, "[a-z]{1,8}", 0..40),
        names in prop::collection::vec("[A-Za-zøé ,;\"]{0,12}", 40),
        separator in prop::sample::select(vec![',', ';', '\t']),
        ending in prop::sample::select(vec!["\n", "\r\n"]),
        (bom, quoted, swapped) in any::<(bool, bool, bool)>(),
    ) {
        let row = |name: &str, phone: &str, mail: &str| {
            let cells = if swapped { [mail, name, phone] } else { [name, phone, mail] };
            let cells: Vec<String> = cells.iter().map(|text| csv_cell(text, separator, quoted)).collect();
            cells.join(&separator.to_string()) + ending
        };
        let mut csv = if bom { "\u{feff}".to_owned() } else { String::new() };
        csv += &row("Name", "User's mobile number", "User's Email address");
        for ((number, user), name) in people.iter().zip(&names) {
            csv += &row(name, &format!("+45 {number}"), &format!("{user}@example.com"));
        }
        let map = UserMap::parse(csv.as_bytes(), None).map_err(|errors| TestCaseError::fail(errors.to_string()))?;
        prop_assert_eq!(map.len(), people.len());
        for (number, user) in &people {
            prop_assert_eq!(address(&map, &format!("45{number}")), Some(format!("{user}@example.com")));
        }
    }
}
