//! Something that the capture could not read.

use item::Item;

use super::row;
use crate::body::{Block, Body, Tone};

pub(super) fn compose(item: &Item, body: &mut Body<'_>) {
    body.title = "Unsupported message".into();
    body.tone = Tone::Gone;
    body.blocks.push(Block::Notice("The capture could not read this message.".to_owned()));
    body.blocks.extend(row("Reason", item.reason.as_deref()).map(|row| Block::Rows(vec![row])));
}
