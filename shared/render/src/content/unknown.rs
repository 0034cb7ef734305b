//! An item of a kind that was not known when this was written: shown as what it is, never dropped.

use super::members;
use crate::{
    body::{Block, Body, Tone},
    clean::one_line,
};

pub(super) fn compose(word: &str, evidence: &[u8], body: &mut Body<'_>) {
    body.title = "Message of an unknown kind".into();
    body.tone = Tone::Notable;
    body.blocks.push(Block::Notice(format!(
        "The archive calls it “{}”, which this version does not know. All that was captured:",
        one_line(word, 60)
    )));
    match members::rows(&mut serde_json::Deserializer::from_slice(evidence)) {
        Ok(rows) => body.blocks.push(Block::Rows(rows)),
        Err(_) => body.blocks.push(Block::Notice(format!("It is in {}.", crate::file_name::EVIDENCE))),
    }
}
