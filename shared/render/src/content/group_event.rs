//! A change in a group, or a line of WhatsApp's own.

use item::{Item, Kind};

use super::{everybody, row};
use crate::{
    body::{Block, Body},
    clean::one_line,
    people,
};

pub(super) fn compose(item: &Item, body: &mut Body<'_>) {
    body.title = if item.kind == Kind::System { "System message" } else { "Group event" }.into();
    let Some(event) = &item.event else {
        if body.text.is_none() {
            body.blocks.push(Block::Notice("What happened was not captured.".to_owned()));
        }
        return;
    };
    let who = people::name(&item.from);
    let whom = if event.subjects.is_empty() { "somebody".to_owned() } else { everybody(&event.subjects).join(", ") };
    let happened = match event.action.as_deref() {
        Some("created") => format!("{who} created the group."),
        // Who joined or left is the subject where the archive names one, and the sender where it does not.
        Some("joined") if event.subjects.is_empty() => format!("{who} joined."),
        Some("joined") => format!("{whom} joined."),
        Some("left") if event.subjects.is_empty() => format!("{who} left."),
        Some("left") => format!("{whom} left."),
        Some("added") => format!("{who} added {whom}."),
        Some("removed") => format!("{who} removed {whom}."),
        Some("promoted") => format!("{who} made {whom} an admin."),
        Some("demoted") => format!("{who} made {whom} an admin no longer."),
        Some("renamed") => format!("{who} changed the group's name."),
        Some("picture_changed") => format!("{who} changed the group's picture."),
        Some("number_changed") => format!("{who} changed the phone number."),
        Some("timer_changed") => format!("{who} changed the timer of disappearing messages."),
        Some(other) if event.subjects.is_empty() => format!("{who}: {}", one_line(other, 128)),
        Some(other) => format!("{who}: {} ({whom})", one_line(other, 128)),
        None => format!("{who} changed something; what it was was not captured."),
    };
    body.blocks.push(Block::Notice(happened));
    let rows: Vec<_> =
        row("Before", event.old_value.as_deref()).into_iter().chain(row("After", event.new_value.as_deref())).collect();
    if !rows.is_empty() {
        body.blocks.push(Block::Rows(rows));
    }
}
