//! A change in a group, or a line that WhatsApp itself writes into the chat.

use model::{Item, Kind};

use super::statements::{MAX_PEOPLE, row};
use crate::write::{
    body::{Block, Body, Sentence},
    clean::one_line,
    people,
};

pub(super) fn compose(item: &Item, body: &mut Body<'_>) {
    body.title = if item.kind == Kind::System { "System message" } else { "Group event" }.into();
    let Some(event) = &item.event else {
        if body.text.is_none() {
            body.blocks.push(Block::Notice(Sentence::new("What happened was not captured.")));
        }
        return;
    };
    if item.is_exported_group_line() {
        let line = Sentence::new("A line of WhatsApp about the group: ");
        let line = match event.action.as_deref().map(|action| (action, in_words(action))) {
            Some((_, Some(words))) => line.ours(words),
            Some((action, None)) => line.theirs(one_line(action, 128)),
            None => line.ours("not recognized"),
        };
        body.blocks.push(Block::Notice(line.ours(". Its text names the people.")));
        return;
    }
    // A webhook about a group does not contain the person who acted; its sender is the number that reports it.
    let has_actor = item.kind != Kind::GroupEvent || item.webhook.is_none();
    let who = || Sentence::of(people::name(&item.from));
    let names = || event.subjects.iter().take(MAX_PEOPLE).map(people::name);
    let more = event.subjects.len().saturating_sub(MAX_PEOPLE);
    let subjects = |sentence: Sentence| match event.subjects.is_empty() {
        true => sentence.ours("a participant who was not captured"),
        false => sentence.list(names(), more),
    };
    let happened = match event.action.as_deref() {
        Some("created") => who().ours(" created the group."),
        // The person who joined or left is the subject, if the source names one; otherwise the sender.
        Some("joined") if event.subjects.is_empty() => who().ours(" joined."),
        Some("joined") => subjects(Sentence::default()).ours(" joined."),
        Some("left") if event.subjects.is_empty() => who().ours(" left."),
        Some("left") => subjects(Sentence::default()).ours(" left."),
        Some("added") => subjects(who().ours(" added ")).ours("."),
        Some("removed") => subjects(who().ours(" removed ")).ours("."),
        Some("promoted") => subjects(who().ours(" made ")).ours(" an admin."),
        Some("demoted") => subjects(who().ours(" removed ")).ours(" as an admin."),
        Some("renamed") => who().ours(" changed the group's name."),
        Some("picture_changed") => who().ours(" changed the group's picture."),
        Some("number_changed") => who().ours(" changed the phone number."),
        Some("timer_changed") => who().ours(" changed the timer of disappearing messages."),
        Some(other) => {
            let named = Sentence::new("The capture calls this event ").theirs(one_line(other, 128));
            let named = if has_actor { named.ours(", by ").theirs(people::name(&item.from)) } else { named };
            if event.subjects.is_empty() { named.ours(".") } else { subjects(named.ours(", about ")).ours(".") }
        }
        None if !has_actor => Sentence::new("Something changed in the group. The capture does not say what."),
        None => who().ours(" changed something. The capture does not say what."),
    };
    body.blocks.push(Block::Notice(happened));
    let (before, after) = match event.action.as_deref() {
        Some("created") => ("Name before", "Name"),
        Some("renamed") => ("Name before", "Name after"),
        Some("number_changed") => ("Number before", "Number after"),
        _ => ("Before", "After"),
    };
    let values = row(before, event.old_value.as_deref()).into_iter().chain(row(after, event.new_value.as_deref()));
    let rows: Vec<_> = values.collect();
    if !rows.is_empty() {
        body.blocks.push(Block::Rows(rows));
    }
}

/// Returns the words for an action that no person is named with.
fn in_words(action: &str) -> Option<&'static str> {
    Some(match action {
        "created" => "created",
        "joined" => "joined",
        "left" => "left",
        "added" => "added",
        "removed" => "removed",
        "promoted" => "made an admin",
        "demoted" => "removed as an admin",
        "renamed" => "name changed",
        "picture_changed" => "picture changed",
        "description_changed" => "description changed",
        "settings_changed" => "settings changed",
        _ => return None,
    })
}
