//! An item of an unknown kind. All captured members are shown.

use super::{members, statements::in_the_evidence};
use crate::write::{
    body::{Block, Body, Sentence, Tone},
    clean::one_line,
};

pub(super) fn compose(word: &str, evidence: &[u8], body: &mut Body<'_>) {
    body.title = "Message of an unknown kind".into();
    body.tone = Tone::Notable;
    let kind = Sentence::new("The archive calls the kind of this item ").theirs(one_line(word, 60));
    body.blocks.push(Block::Notice(kind.ours(", which this version does not know. All that was captured:")));
    match members::rows(&mut serde_json::Deserializer::from_slice(evidence)) {
        Ok(rows) => body.blocks.push(Block::Captured(rows)),
        Err(_) => body.blocks.push(Block::Notice(in_the_evidence("It"))),
    }
}
