//! The deletion of a message. The original message remains filed as a separate item.

use model::{DeletionScope, DeletionState, Item};

use super::statements::quote;
use crate::write::{
    body::{Block, Body, Row, Sentence, Tone},
    clean::one_line,
    people::Label,
};

pub(super) fn compose<'a>(item: &'a Item, body: &mut Body<'a>) {
    body.title = "Deleted message".into();
    body.tone = Tone::Gone;
    let deletion = item.deletion.as_ref();
    let by = deletion.and_then(|deletion| deletion.by.as_ref()).unwrap_or(&item.from);
    let mut rows = vec![Row::people("Deleted by", vec![Label::of(by)], 0)];
    match deletion.and_then(|deletion| deletion.scope.as_ref()) {
        Some(DeletionScope::Everyone) => rows.push(Row::new("Deleted for", "everyone in the chat")),
        Some(DeletionScope::Me) => rows.push(Row::new("Deleted for", "the user who deleted it")),
        Some(DeletionScope::Other(word)) => rows.push(Row::new("Deleted for", one_line(word, 60))),
        None => rows.push(Row::new("Deleted for", "not captured")),
    }
    match deletion.and_then(|deletion| deletion.state.as_ref()) {
        Some(DeletionState::Read) => rows.push(Row::new("Was read", "yes")),
        Some(DeletionState::Unread) => rows.push(Row::new("Was read", "no")),
        Some(DeletionState::Unknown) => rows.push(Row::new("Was read", "not known")),
        Some(DeletionState::Other(word)) => rows.push(Row::new("Was read", one_line(word, 60))),
        None => {}
    }
    body.blocks.push(Block::Rows(rows));
    body.blocks.push(match &item.target {
        Some(target) => Block::Quote(quote("The deleted message", target)),
        None => Block::Notice(Sentence::new("The archive does not say which message it was.")),
    });
}
