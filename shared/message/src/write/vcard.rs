//! Decodes contact cards: names, phone numbers and addresses.

use calcard::{
    Entry, Parser,
    vcard::{VCardEntry, VCardProperty, VCardValue},
};

use crate::write::{body::Row, clean::one_line};

/// Maximum size of a card that is parsed, in bytes; it may contain a photo. A parsed card with short lines takes 70
/// times its size in memory.
const MAX_BYTES: usize = 256 << 10;
/// Maximum number of properties of a card that are shown.
const MAX_ROWS: usize = 20;
/// Maximum length of a name or address, in characters.
const MAX_VALUE: usize = 256;
/// Maximum length of a text that is shown as a phone number. A longer one is not shown, because a part of a number is
/// another number.
const MAX_NUMBER: usize = 256;

/// A contact card.
pub(crate) struct Card {
    /// The formatted name.
    pub(crate) name: Option<String>,
    /// Phone numbers, e-mail addresses, organisations.
    pub(crate) rows: Vec<Row>,
}

impl Card {
    /// Parses the first vCard (2.1, 3.0 or 4.0) in a text; `None` if there is none, or it is too large.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let begins = text.trim_start_matches(['\u{feff}', ' ', '\r', '\n', '\t']);
        if !begins.get(..11).is_some_and(|begin| begin.eq_ignore_ascii_case("BEGIN:VCARD")) {
            return None;
        }
        let mut parser = Parser::new(begins);
        let Entry::VCard(card) = parser.entry() else { return None };
        let name = card.properties(&VCardProperty::Fn).find_map(|entry| joined(entry, " "));
        let mut names = 0;
        let (mut rows, mut has_more) = (Vec::new(), !matches!(parser.entry(), Entry::Eof));
        for entry in &card.entries {
            match entry.name {
                VCardProperty::Version | VCardProperty::Prodid | VCardProperty::Rev => continue,
                // The parts of the name.
                VCardProperty::N if name.is_some() => continue,
                VCardProperty::Fn => {
                    names += 1;
                    has_more |= names > 1;
                    continue;
                }
                _ => {}
            }
            match row(entry) {
                Some(row) if rows.len() < MAX_ROWS => rows.push(row),
                Some(_) => has_more = true,
                None => has_more |= has_content(entry),
            }
        }
        if has_more {
            rows.push(Row::new("More", "in the attached card"));
        }
        Some(Self { name: name.map(|name| one_line(&name, MAX_VALUE)), rows })
    }
}

fn row(entry: &VCardEntry) -> Option<Row> {
    let value = match entry.name {
        VCardProperty::Tel => {
            let value = joined(entry, ";")?;
            // In version 4 a number is a URI.
            let number = value.strip_prefix("tel:").or_else(|| value.strip_prefix("TEL:")).unwrap_or(&value);
            if number.chars().count() > MAX_NUMBER {
                return Some(Row::new("Phone", "is too long to be shown; it is in the attached card"));
            }
            return row_of("Phone", &one_line(number, MAX_NUMBER));
        }
        VCardProperty::Email => ("E-mail", joined(entry, ",")?),
        VCardProperty::Org => ("Organisation", joined(entry, ", ")?),
        VCardProperty::Title => ("Title", joined(entry, " ")?),
        VCardProperty::Url => ("Link", joined(entry, ",")?),
        VCardProperty::Adr => ("Address", joined(entry, ", ")?),
        _ => return None,
    };
    row_of(value.0, &one_line(&value.1, MAX_VALUE))
}

fn row_of(key: &'static str, value: &str) -> Option<Row> {
    (!value.is_empty()).then(|| Row::new(key, value.to_owned()))
}

fn has_content(entry: &VCardEntry) -> bool {
    entry.values.iter().any(|value| match value {
        VCardValue::Text(text) => !text.trim().is_empty(),
        VCardValue::Component(several) => several.iter().any(|text| !text.trim().is_empty()),
        _ => true,
    })
}

/// Joins the property's texts.
fn joined(entry: &VCardEntry, separator: &str) -> Option<String> {
    let mut texts = Vec::new();
    for value in &entry.values {
        match value {
            VCardValue::Text(text) => texts.push(text.as_str()),
            VCardValue::Component(several) => texts.extend(several.iter().map(String::as_str)),
            _ => {}
        }
    }
    texts.retain(|text| !text.trim().is_empty());
    (!texts.is_empty()).then(|| texts.join(separator))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece() -> impl Strategy<Value = String> {
        let known = prop::sample::select(vec![
            "BEGIN:VCARD\r\n",
            "END:VCARD\r\n",
            "VERSION:2.1\r\n",
            "VERSION:3.0\n",
            "VERSION:4.0\r\n",
            "FN:",
            "N:",
            "TEL;",
            "TEL:",
            "item1.TEL;type=CELL;waid=4530123456:",
            "EMAIL:",
            "ORG:",
            "ADR;TYPE=WORK:",
            "PHOTO;ENCODING=b;TYPE=JPEG:",
            "BDAY:",
            "REV:",
            "TZ:",
            "GENDER:",
            "PHOTO;ENCODING=BASE64:",
            ";CHARSET=UTF-8",
            ";CHARSET=iso-2022-jp",
            ";CHARSET=",
            ";ENCODING=QUOTED-PRINTABLE:",
            ";VALUE=uri:",
            ";VALUE=timestamp:",
            ";VALUE=utc-offset:",
            ";VALUE=date:",
            ";PREF=",
            ";X=\"",
            "=C3=B8",
            "=\r\n",
            "=",
            "\r\n ",
            "\n\t",
            "\r\n",
            "\r",
            "\\,",
            "\\;",
            "\\n",
            "\\",
            "\"",
            ";",
            ",",
            ":",
            ".",
            "--0412",
            "19850412T102200Z",
            "-0500",
            "+99",
            "tel:+45",
            "data:image/png;base64,AAAA",
            "^n",
            "^'",
            "🦀",
            "ø",
            "\0",
            "BEGIN:VEVENT\r\n",
        ]);
        prop_oneof![8 => known.prop_map(str::to_owned), 1 => "\\PC{0,12}", 1 => "[0-9+ ()-]{0,20}"]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

        /// A panic of the parser would keep the item from being archived.
        #[test]
        fn card_of_any_content_is_read(pieces in prop::collection::vec(piece(), 0..40), cut in any::<prop::sample::Index>()) {
            let text = format!("BEGIN:VCARD\r\n{}", pieces.concat());
            let end = text.floor_char_boundary(cut.index(text.len() + 1));
            for text in [text.as_str(), &text[..end], &format!("{text}\r\nEND:VCARD")] {
                if let Some(card) = Card::read(text) {
                    prop_assert!(card.rows.len() <= MAX_ROWS + 1);
                }
            }
        }
    }

    #[test]
    fn number_is_read_from_a_uri() {
        for (begin, scheme) in [("", "tel:"), ("\u{feff}", "TEL:")] {
            let text = format!("{begin}BEGIN:VCARD\nVERSION:4.0\nFN:A\nTEL;VALUE=uri:{scheme}+4520123456\nEND:VCARD");
            let rows = Card::read(&text).map(|card| card.rows).unwrap_or_default();
            assert!(rows.iter().any(|row| row.key == "Phone" && row.value.text() == "+4520123456"), "{scheme}");
        }
    }

    #[test]
    fn card_states_that_it_has_more() {
        let rows = |lines: &str| {
            let text = format!("BEGIN:VCARD\r\nVERSION:3.0\r\nN:A;B;;;\r\nFN:B A\r\n{lines}END:VCARD\r\n");
            Card::read(&text).unwrap().rows.iter().map(|row| row.key.to_string()).collect::<Vec<_>>()
        };
        let tel = "TEL:+4520123456\r\n";
        assert_eq!(rows(tel), ["Phone"]);
        assert_eq!(rows(&tel.repeat(MAX_ROWS)).len(), MAX_ROWS);
        for more in [
            "NOTE:sell all at 5\r\n",
            "BDAY:19850412\r\n",
            "X-SKYPE:ada\r\n",
            "FN:Other\r\n",
            "END:VCARD\r\nBEGIN:VCARD\r\nFN:C\r\n",
        ] {
            assert_eq!(rows(&format!("{tel}{more}")), ["Phone", "More"], "{more}");
        }
        let many = rows(&tel.repeat(MAX_ROWS + 1));
        assert_eq!((many.len(), many.last().map(String::as_str)), (MAX_ROWS + 1, Some("More")));
    }

    #[test]
    fn other_texts_and_huge_cards_are_not_read() {
        for text in ["", "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nEND:VEVENT\r\nEND:VCALENDAR", "FN:Ada", "BEGIN:VCARD"] {
            assert!(Card::read(text).is_none_or(|card| card.rows.is_empty()), "{text}");
        }
        let huge = format!("BEGIN:VCARD\r\nFN:Ada\r\nPHOTO:{}\r\nEND:VCARD", "A".repeat(MAX_BYTES));
        assert!(Card::read(&huge).is_none());
    }
}
