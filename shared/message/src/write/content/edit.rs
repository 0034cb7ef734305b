//! An edit: the new text of a message, and the old text if it was captured.

use model::Item;

use super::statements::quote;
use crate::write::body::{Block, Body, Sentence, Tone};

pub(super) fn compose<'a>(item: &'a Item, body: &mut Body<'a>) {
    body.title = "Edited message".into();
    body.tone = Tone::Notable;
    if body.text.is_none() {
        body.blocks.push(Block::Notice(Sentence::new("The new text was not captured.")));
    }
    body.blocks.push(match &item.target {
        Some(target) => Block::Quote(quote("Before the edit", target)),
        None => Block::Notice(Sentence::new("The archive does not say which message was edited.")),
    });
}
