//! An emoji that is added to a message, or removed from it.

use model::Item;

use super::statements::quote;
use crate::write::{
    body::{Block, Body, Sentence, Tone},
    clean::one_line,
    people,
};

pub(super) fn compose<'a>(item: &'a Item, body: &mut Body<'a>) {
    let who = Sentence::of(people::name(&item.from));
    body.title = "Reaction".into();
    let reacted = match item.reaction.as_ref().map(|reaction| reaction.emoji.as_deref().unwrap_or_default()) {
        None => {
            body.tone = Tone::Gone;
            Sentence::new("The reaction was not captured.")
        }
        Some(emoji) if one_line(emoji, 64).is_empty() => {
            body.title = "Reaction removed".into();
            who.ours(" removed a reaction.")
        }
        Some(emoji) => who.ours(" reacted with ").theirs(one_line(emoji, 64)).ours("."),
    };
    body.blocks.push(Block::Notice(reacted));
    body.blocks.push(match &item.target {
        Some(target) => Block::Quote(quote("Reaction to a message", target)),
        None => Block::Notice(Sentence::new("The archive does not say which message it was on.")),
    });
}
