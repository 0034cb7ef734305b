//! A text message.

use crate::write::body::{Block, Body, Sentence};

pub(super) fn compose(body: &mut Body<'_>) {
    body.title = "Text message".into();
    if body.text.is_none() {
        body.blocks.push(Block::Notice(Sentence::new("The message has no text.")));
    }
}
