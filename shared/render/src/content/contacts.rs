//! Contact cards: each is shown, and attached as it was sent.

use item::Item;
use mail_builder::mime::MimePart;

use crate::{
    amounts,
    body::{Block, Body, Row, Tone},
    clean::{lines, one_line},
    parts,
};

/// How many cards are shown and attached; the rest is in the evidence.
const MAX_CARDS: usize = 1_000;
/// How many numbers and addresses of a card are shown.
const MAX_PROPERTIES: usize = 20;
/// How many lines of a card are read for them.
const MAX_LINES: usize = 2_000;

pub(super) fn compose(item: &Item, body: &mut Body<'_>) {
    body.title = if item.contacts.len() == 1 { "Contact card" } else { "Contact cards" }.into();
    if item.contacts.is_empty() {
        body.tone = Tone::Gone;
        body.blocks.push(Block::Notice("The contact cards were not captured.".to_owned()));
    }
    for card in item.contacts.iter().take(MAX_CARDS) {
        let name = card.name.as_deref().map(|name| one_line(name, 128)).filter(|name| !name.is_empty());
        let mut rows = vec![Row::new("Contact", name.unwrap_or_else(|| "without a name".to_owned()))];
        match &card.vcard {
            Some(vcard) => rows.extend(properties(vcard)),
            None => rows.push(Row::new("Card", "was not captured")),
        }
        body.blocks.push(Block::Rows(rows));
    }
    let more = item.contacts.len().saturating_sub(MAX_CARDS);
    if more > 0 {
        let more = amounts::thousands(more as u64);
        body.blocks.push(Block::Notice(format!("{more} more cards are in {}.", crate::file_name::EVIDENCE)));
    }
}

/// The cards that have something to attach.
pub(super) fn cards(item: &Item) -> impl Iterator<Item = MimePart<'_>> {
    (1..)
        .zip(item.contacts.iter().take(MAX_CARDS))
        .filter_map(|(number, card)| Some(parts::card(card, card.vcard.as_deref()?, number)))
}

/// The card's phone numbers and e-mail addresses: `item1.TEL;type=CELL:+45 20 12 34 56`.
fn properties(vcard: &str) -> impl Iterator<Item = Row> {
    lines(vcard)
        .take(MAX_LINES)
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            let name = name.split(';').next().unwrap_or_default();
            let name = name.rsplit('.').next().unwrap_or_default();
            let key = match name.trim().to_ascii_uppercase().as_str() {
                "TEL" => "Phone",
                "EMAIL" => "E-mail",
                "ORG" => "Organisation",
                _ => return None,
            };
            // A vCard 4 number is a URI of its own.
            let value = one_line(value.strip_prefix("tel:").unwrap_or(value), 128);
            (!value.is_empty()).then(|| Row::new(key, value))
        })
        .take(MAX_PROPERTIES)
}
