//! Contact cards. Each is shown, and attached unchanged.

use mail_builder::mime::MimePart;
use model::{ContactCard, Item};

use super::statements::in_the_evidence;
use crate::write::{
    amounts,
    body::{Block, Body, Row, Sentence, Tone},
    clean::one_line,
    file_name, parts,
    vcard::Card,
};

/// Maximum number of cards that are shown and attached; the others are in the evidence.
const MAX_CARDS: usize = 1_000;
/// Maximum number of bytes of cards that are parsed per item, to limit the time.
const MAX_READ_BYTES: usize = 1 << 20;

pub(super) fn compose(item: &Item, body: &mut Body<'_>) {
    body.title = if item.contacts.len() == 1 { "Contact card" } else { "Contact cards" }.into();
    if item.contacts.is_empty() {
        body.tone = Tone::Gone;
        body.blocks.push(Block::Notice(Sentence::new("The contact cards were not captured.")));
    }
    let mut left = MAX_READ_BYTES;
    for contact in item.contacts.iter().take(MAX_CARDS) {
        left = left.saturating_sub(contact.vcard.as_ref().map_or(0, String::len));
        let card = contact.vcard.as_deref().filter(|_| left > 0).and_then(Card::read);
        let name = captured_name(contact).or_else(|| card.as_ref().and_then(|card| card.name.clone()));
        let mut rows = vec![Row::new("Contact", name.unwrap_or_else(|| "without a name".to_owned()))];
        match (card, &contact.vcard) {
            (Some(card), _) => rows.extend(card.rows),
            (None, Some(_)) => rows.push(Row::new("Card", "is not shown here; it is attached as it was sent")),
            (None, None) => rows.push(Row::new("Card", "was not captured")),
        }
        body.blocks.push(Block::Rows(rows));
    }
    let more = item.contacts.len().saturating_sub(MAX_CARDS);
    if more > 0 {
        body.blocks.push(Block::Notice(in_the_evidence(format!("{} more cards", amounts::thousands(more as u64)))));
    }
}

fn captured_name(contact: &ContactCard) -> Option<String> {
    contact.name.as_deref().map(|name| one_line(name, 128)).filter(|name| !name.is_empty())
}

fn attached(item: &Item) -> impl Iterator<Item = (usize, &ContactCard, &str)> {
    let numbered = (1..).zip(item.contacts.iter().take(MAX_CARDS));
    numbered.filter_map(|(number, contact)| Some((number, contact, contact.vcard.as_deref()?)))
}

/// Returns the file names of the attached cards.
pub(super) fn file_names(item: &Item) -> impl Iterator<Item = String> {
    attached(item).map(|(number, contact, _)| {
        let name = captured_name(contact).and_then(|name| file_name::safe(&format!("{name}.vcf")));
        name.unwrap_or_else(|| format!("contact-{number}.vcf"))
    })
}

/// Returns the attached cards under these names.
pub(super) fn cards<'a>(item: &'a Item, names: &'a [String]) -> impl Iterator<Item = MimePart<'a>> {
    attached(item).zip(names).map(|((_, _, vcard), name)| parts::card(name, vcard))
}
