//! What a contact card says: names, phone numbers and addresses, decoded.

use calcard::{
    Entry, Parser,
    vcard::{VCardEntry, VCardProperty, VCardValue},
};

use crate::{body::Row, clean::one_line};

/// The largest card that is read, in bytes. A photo in it takes most of it.
const MAX_BYTES: usize = 1 << 20;
/// How many properties of a card are shown.
const MAX_ROWS: usize = 20;
/// The longest name or address that is shown, in characters.
const MAX_VALUE: usize = 256;
/// The longest text that is shown as a phone number. A longer one is not cut, for a part of a number is another number.
const MAX_NUMBER: usize = 256;

/// A contact card.
pub(crate) struct Card {
    /// The formatted name.
    pub(crate) name: Option<String>,
    /// Phone numbers, e-mail addresses, organisations.
    pub(crate) rows: Vec<Row>,
}

impl Card {
    /// Reads the first vCard (2.1, 3.0 or 4.0) in a text. `None` if there is none, or it is too large.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let begins = text.trim_start_matches(['\u{feff}', ' ', '\r', '\n', '\t']);
        if !begins.get(..11).is_some_and(|begin| begin.eq_ignore_ascii_case("BEGIN:VCARD")) {
            return None;
        }
        let Entry::VCard(card) = Parser::new(begins).entry() else { return None };
        let name = card.properties(&VCardProperty::Fn).find_map(|entry| joined(entry, " "));
        let rows = card.entries.iter().filter_map(row).take(MAX_ROWS).collect();
        Some(Self { name: name.map(|name| one_line(&name, MAX_VALUE)), rows })
    }
}

fn row(entry: &VCardEntry) -> Option<Row> {
    let value = match entry.name {
        VCardProperty::Tel => {
            let value = joined(entry, ";")?;
            // A number of version 4 is a URI.
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

/// The property's texts in one.
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
