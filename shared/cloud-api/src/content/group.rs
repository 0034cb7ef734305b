//! A change of a group. The webhook does not name the acting person, so the sentence names the affected participants.

use serde_json::{Value, json};

use crate::{
    json::{self, Members},
    people::{insert, participant},
};

pub(super) fn describe(event: &Members<'_>, item: &mut Value, notes: &mut Vec<String>) {
    item["type"] = json!("group_event");
    let kind = event.text("type").unwrap_or_default();
    let by_participant = event.text("initiated_by").is_some_and(|by| by == "participant");
    let settings = Settings::of(event);
    let (action, list) = match kind.as_str() {
        "group_create" => ("created", ""),
        "group_participants_add" | "group_participant_add" => ("joined", "added_participants"),
        "group_participants_remove" | "group_participant_remove" if by_participant => ("left", "removed_participants"),
        "group_participants_remove" | "group_participant_remove" => ("removed", "removed_participants"),
        other => (settings.action().unwrap_or(other), ""),
    };
    let mut subjects: Vec<_> = event.list(list).into_iter().filter_map(Members::of).map(|one| subject(&one)).collect();
    // A request to join has the members of one participant.
    if list.is_empty() && (event.text("wa_id").is_some() || event.text("user_id").is_some()) {
        subjects.push(subject(event));
    }
    let has_errors = event.get("errors").is_some_and(|errors| !matches!(errors.get(), "[]" | "{}"));
    let is_changed = (!subjects.is_empty() && !list.is_empty()) || !settings.changed.is_empty();
    let failed = (has_errors || !settings.failed.is_empty()) && !is_changed;
    if failed {
        notes.push("The operation on the group failed: the group was not changed.".to_owned());
    } else if has_errors {
        notes.push("A part of the operation on the group failed.".to_owned());
    }
    // The group is as before, so the event is not one of the changes that readers know. Its type names the operation.
    let action = match failed {
        true => format!("{} (failed)", if kind.is_empty() { "group operation" } else { &kind }),
        false => action.to_owned(),
    };
    let mut change = json!({});
    insert(&mut change, "action", Some(action).filter(|action| !action.is_empty()));
    insert(&mut change, "subjects", Some(subjects).filter(|subjects| !subjects.is_empty()));
    insert(&mut change, "newValue", settings.new_value(event));
    settings.note(notes);
    if event.get("subject").is_some()
        && let Some(description) = event.text("description")
    {
        notes.push(format!("Description of the group: {description}"));
    }
    item["event"] = change;
}

/// The settings of a group that a webhook reports. Those with a result of their own are objects: `group_subject`,
/// `group_description`, `profile_picture`.
struct Settings {
    /// Name and new text of each.
    changed: Vec<(String, Option<String>)>,
    failed: Vec<String>,
}

/// The members of a change of settings that are not settings.
const OTHER_MEMBERS: [&str; 9] =
    ["timestamp", "type", "request_id", "group_id", "initiated_by", "errors", "subject", "description", "id"];

impl Settings {
    fn of(event: &Members<'_>) -> Self {
        let (mut changed, mut failed) = (Vec::new(), Vec::new());
        let is_change = event.text("type").is_some_and(|kind| kind == "group_settings_update");
        let settings = event.all().filter(|(name, _)| is_change && !OTHER_MEMBERS.contains(name));
        for (name, raw) in settings {
            let members = Members::of(raw).unwrap_or_default();
            match members.text("update_successful").as_deref() {
                Some("false") => failed.push(readable(name)),
                _ => changed.push((name.to_owned(), members.text("text").or_else(|| json::text(raw)))),
            }
        }
        Self { changed, failed }
    }

    /// Returns the action of a change of one setting; `None` if there are several, or the setting is another.
    fn action(&self) -> Option<&'static str> {
        let [(name, _)] = self.changed.as_slice() else { return None };
        match name.as_str() {
            "group_subject" => Some("renamed"),
            "group_description" => Some("description_changed"),
            "profile_picture" => Some("picture_changed"),
            _ => None,
        }
    }

    fn new_value(&self, event: &Members<'_>) -> Option<Value> {
        let plain = event.value("subject").or_else(|| event.value("description"));
        let text = || match self.changed.as_slice() {
            [(_, text)] => text.clone().map(Value::from),
            _ => None,
        };
        plain.or_else(text)
    }

    /// Adds what the event's members do not show: each setting if there are several, and those that failed.
    fn note(&self, notes: &mut Vec<String>) {
        for (name, text) in self.changed.iter().filter(|_| self.action().is_none()) {
            let text = text.as_ref().map(|text| format!(", to: {text}")).unwrap_or_default();
            notes.push(format!("Changed: {}{text}", readable(name)));
        }
        notes.extend(self.failed.iter().map(|name| format!("The change of this setting failed: {name}")));
    }
}

/// Returns a setting's name for a note.
fn readable(name: &str) -> String {
    name.chars().take(64).map(|c| if c == '_' { ' ' } else { c }).collect()
}

fn subject(one: &Members<'_>) -> Value {
    participant(one.text("wa_id").or_else(|| one.text("input")), one.text("user_id"))
}
