//! Folds an edit, a deletion, a reaction or a vote into the event that it concerns.

use message::write::{describe, display_name, one_line};
use model::{DeletionScope, Item, Kind, Sha256};

use crate::{
    event::{Drafts, StoredItem, attach, ids, missing_files},
    format::{Edit, Event, Reaction},
    people::People,
    text::quoted,
};

/// Maximum length of a reaction in the vendor's schema, in characters.
const MAX_REACTION_CHARS: usize = 30;

/// Folds an item into the first of the drafted events.
pub(crate) fn fold(drafts: &mut Drafts, stored: &StoredItem<'_>, people: &mut People) {
    let Drafts { events, is_statement } = drafts;
    let Some(event) = events.first_mut() else { return };
    let item = &stored.captured.item;
    let actor = people.id(&item.from);
    match item.kind {
        Kind::Edit => add_edit(event, is_statement, stored, actor),
        // A message that one person has deleted for themselves still exists for the others.
        Kind::Delete => event.deleted |= !is_for_one_person(item),
        Kind::Reaction => set_reaction(event, stored, actor),
        _ => {}
    }
    attach(event, &stored.files);
    let described = describe(stored.captured);
    let (time, by) = (item.message_time, display_name(&item.from));
    let mut value = format!("{time} by {}", quoted(&by));
    // The text of an edit becomes the event's own.
    if item.kind != Kind::Edit
        && let Some(text) = item.text.as_deref().filter(|text| !text.is_empty())
    {
        for line in text.lines() {
            value.push_str("\n| ");
            value.push_str(line);
        }
    }
    if !described.statements.is_empty() {
        value.push('\n');
        value.push_str(&described.statements);
    }
    for (name, fact) in described.details.iter().filter(|(name, _)| name != "Kind") {
        value.push_str(&format!("\n{name}: {fact}"));
    }
    if let Some(missing) = missing_files(stored) {
        value.push_str("\nNot captured: ");
        value.push_str(&missing);
    }
    for (name, id) in ids(item) {
        value.push_str(&format!("\n{name}: {id}"));
    }
    let evidence = Sha256::of(&stored.captured.evidence);
    value.push_str(&format!(
        "\nSHA-256 of the item as captured: {evidence}\nStored message: {}\nSHA-256 of the stored message: {}",
        stored.message, stored.sha256
    ));
    event.note(described.title, value);
}

fn is_for_one_person(item: &Item) -> bool {
    item.deletion.as_ref().and_then(|deletion| deletion.scope.as_ref()) == Some(&DeletionScope::Me)
}

fn add_edit(event: &mut Event, is_statement: &mut bool, stored: &StoredItem<'_>, participant: String) {
    let item = &stored.captured.item;
    let quoted = item.target.as_ref().and_then(|target| target.text.clone()).filter(|text| !text.is_empty());
    let body = (!*is_statement && !event.body.is_empty()).then(|| event.body.clone());
    let new = item.text.clone().filter(|text| !text.is_empty());
    // The edit may quote less than the text that was captured before. The fact of this edit has the quote, too.
    if let (Some(quoted), Some(body)) = (&quoted, &body)
        && quoted != body
    {
        event.note("Earlier text as the edit quotes it", quoted.as_str());
    }
    event.edits.push(Edit { participant, timestamp: item.message_time, previous: body.or(quoted), new: new.clone() });
    if let Some(new) = new {
        if *is_statement {
            // The archive's statement about the message is kept as a fact, and the new text becomes the body.
            let statement = std::mem::take(&mut event.body);
            event.custom.retain(|fact| fact.name != "Body");
            event.note("Statement", statement);
            *is_statement = false;
        }
        event.body = new;
    }
}

/// Sets a person's reaction. A person has one reaction on a message: a new one replaces it, an empty one removes it.
/// One that was not captured changes nothing.
fn set_reaction(event: &mut Event, stored: &StoredItem<'_>, participant: String) {
    let Some(reaction) = &stored.captured.item.reaction else { return };
    for reaction in &mut event.reactions {
        reaction.participants.retain(|earlier| *earlier != participant);
    }
    // `one_line` appends an ellipsis to a cut text.
    let value = one_line(reaction.emoji.as_deref().unwrap_or_default(), MAX_REACTION_CHARS - 1);
    if !value.is_empty() {
        match event.reactions.iter_mut().find(|reaction| reaction.value == value) {
            Some(reaction) => reaction.participants.push(participant),
            None => event.reactions.push(Reaction { value, count: 0, participants: vec![participant] }),
        }
    }
    event.reactions.retain(|reaction| !reaction.participants.is_empty());
    for reaction in &mut event.reactions {
        reaction.count = reaction.participants.len();
    }
}
