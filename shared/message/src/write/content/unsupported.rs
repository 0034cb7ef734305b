//! An item that the capture could not read.

use model::Item;

use super::statements::row;
use crate::write::body::{Block, Body, Sentence, Tone};

pub(super) fn compose(item: &Item, body: &mut Body<'_>) {
    body.title = "Unsupported message".into();
    body.tone = Tone::Gone;
    body.blocks.push(Block::Notice(Sentence::new("The capture could not read this message.")));
    body.blocks.extend(row("Reason", item.reason.as_deref()).map(|row| Block::Rows(vec![row])));
}
