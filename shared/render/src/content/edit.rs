//! The new text of a message, and the old one where it is known.

use item::Item;

use crate::body::{Block, Body, Quote, Tone};

pub(super) fn compose<'a>(item: &'a Item, body: &mut Body<'a>) {
    body.title = "Edited message".into();
    body.tone = Tone::Notable;
    if body.text.is_none() {
        body.blocks.push(Block::Notice("The new text was not captured.".to_owned()));
    }
    let before = item.target.as_ref().and_then(|target| target.text.as_deref());
    body.blocks.push(Block::Quote(Quote { heading: "Before the edit".to_owned(), text: before }));
}
