//! WhatsApp Business content: a template, buttons, a list, an order. Its shape is the capture's own.

use item::Item;

use super::members;
use crate::body::{Block, Body, Tone};

pub(super) fn compose(item: &Item, body: &mut Body<'_>) {
    body.title = "Business message".into();
    match item.business.as_ref().map(members::rows) {
        Some(Ok(rows)) => body.blocks.push(Block::Rows(rows)),
        Some(Err(_)) => body.blocks.push(Block::Notice(format!("It is in {}.", crate::file_name::EVIDENCE))),
        None if body.text.is_none() => {
            body.tone = Tone::Gone;
            body.blocks.push(Block::Notice("The message's content was not captured.".to_owned()));
        }
        None => {}
    }
}
