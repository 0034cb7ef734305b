//! A change of a group. The webhook does not name the acting person, so the sentence names the affected participants.

use serde_json::{Value, json};

use crate::{
    json::Members,
    people::{insert, participant},
};

pub(super) fn describe(event: &Members<'_>, item: &mut Value) {
    item["type"] = json!("group_event");
    let kind = event.text("type").unwrap_or_default();
    let by_participant = event.text("initiated_by").is_some_and(|by| by == "participant");
    let (action, list) = match kind.as_str() {
        "group_create" => ("created", ""),
        "group_participants_add" | "group_participant_add" => ("joined", "added_participants"),
        "group_participants_remove" | "group_participant_remove" if by_participant => ("left", "removed_participants"),
        "group_participants_remove" | "group_participant_remove" => ("removed", "removed_participants"),
        other => (other, ""),
    };
    let mut change = json!({});
    insert(&mut change, "action", Some(action).filter(|action| !action.is_empty()));
    let subjects: Vec<_> = event.list(list).into_iter().filter_map(Members::of).map(subject).collect();
    insert(&mut change, "subjects", Some(subjects).filter(|subjects| !subjects.is_empty()));
    let described = event.value("subject").or_else(|| event.value("description"));
    insert(&mut change, "newValue", described);
    item["event"] = change;
}

fn subject(one: Members<'_>) -> Value {
    participant(one.text("wa_id").or_else(|| one.text("input")), one.text("user_id"))
}
