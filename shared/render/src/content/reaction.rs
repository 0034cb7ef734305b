//! An emoji put on, or taken from, a message.

use item::Item;

use super::quote;
use crate::{
    body::{Block, Body},
    clean::one_line,
    people,
};

pub(super) fn compose<'a>(item: &'a Item, body: &mut Body<'a>) {
    let emoji = item.reaction.as_ref().and_then(|reaction| reaction.emoji.as_deref()).unwrap_or_default();
    let emoji = one_line(emoji, 64);
    let who = people::name(&item.from);
    if emoji.is_empty() {
        body.title = "Reaction removed".into();
        body.blocks.push(Block::Notice(format!("{who} took a reaction back.")));
    } else {
        body.title = "Reaction".into();
        body.blocks.push(Block::Notice(format!("{who} reacted with {emoji}")));
    }
    body.blocks.push(match &item.target {
        Some(target) => Block::Quote(quote("Reaction to", "Reaction to a message", target)),
        None => Block::Notice("The archive does not say which message it was on.".to_owned()),
    });
}
