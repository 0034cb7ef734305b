//! A message of text alone.

use crate::body::{Block, Body};

pub(super) fn compose(body: &mut Body<'_>) {
    body.title = "Text message".into();
    if body.text.is_none() {
        body.blocks.push(Block::Notice("The message has no text.".to_owned()));
    }
}
