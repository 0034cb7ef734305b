//! An emoji that is added to a message, or removed from it.

use model::Item;

use super::statements::quote;
use crate::write::{
    body::{Block, Body, Sentence},
    clean::one_line,
    people,
};

pub(super) fn compose<'a>(item: &'a Item, body: &mut Body<'a>) {
    let emoji = item.reaction.as_ref().and_then(|reaction| reaction.emoji.as_deref()).unwrap_or_default();
    let emoji = one_line(emoji, 64);
    let who = Sentence::of(people::name(&item.from));
    if emoji.is_empty() {
        body.title = "Reaction removed".into();
        body.blocks.push(Block::Notice(who.ours(" removed a reaction.")));
    } else {
        body.title = "Reaction".into();
        body.blocks.push(Block::Notice(who.ours(" reacted with ").theirs(emoji).ours(".")));
    }
    body.blocks.push(match &item.target {
        Some(target) => Block::Quote(quote("Reaction to a message", target)),
        None => Block::Notice(Sentence::new("The archive does not say which message it was on.")),
    });
}
