//! Groups and calls through the API.

use model::{CallStatus, ChatType, Direction, Kind};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use crate::support::{CLIENT, CLIENT_PHONE, OUR_PHONE, OURS, all, captured, incoming, webhook};

#[test]
fn group_message_is_in_the_groups_chat() {
    let item =
        captured(&incoming(json!({"group_id": "Y2FwaV9ncm91cA==", "type": "text", "text": {"body": "hi"}}))).item;
    assert_eq!((item.chat.id.as_str(), &item.chat.chat_type), ("Y2FwaV9ncm91cA==", &ChatType::Group));
    assert_eq!((item.from.phone.as_deref(), item.to[0].phone.as_deref()), (CLIENT_PHONE, OUR_PHONE));
}

fn group_event(field: &str, event: Value) -> Value {
    webhook(field, json!({ "groups": [event] }))
}

#[test]
fn group_event_is_the_same_under_both_spellings() {
    let event = json!({"timestamp": "1795770843", "group_id": "Zw==", "type": "group_participants_add", "request_id": "r",
                       "added_participants": [{"wa_id": CLIENT}]});
    let one = group_event("group_participants_update", event.clone());
    let other = group_event("group_participant_update", event);
    assert_eq!(all(&one)[0].id, all(&other)[0].id);
    assert!(all(&one)[0].id.as_str().starts_with("sha256:"));
    let item = captured(&one).item;
    assert_eq!((&item.kind, item.from.phone.as_deref()), (&Kind::GroupEvent, OUR_PHONE));
    let change = item.event.unwrap();
    assert_eq!((change.action.as_deref(), change.subjects[0].phone.as_deref()), (Some("joined"), CLIENT_PHONE));
    assert_eq!(item.message_id, None);
}

#[test]
fn group_is_created_left_and_changed() {
    let event = |event: Value| {
        let item = captured(&group_event("group_lifecycle_update", event)).item;
        let change = item.event.unwrap();
        (change.action.unwrap_or_default(), change.new_value.unwrap_or_default(), item.chat.name.unwrap_or_default())
    };
    let text = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    let base = |kind: &str| json!({"timestamp": "1795770843", "group_id": "Zw==", "type": kind});
    let mut created = base("group_create");
    created["subject"] = json!("Deal");
    assert_eq!(event(created), text("created", "Deal", "Deal"));
    let mut left = base("group_participants_remove");
    left["initiated_by"] = json!("participant");
    assert_eq!(event(left.clone()), text("left", "", ""));
    left["initiated_by"] = json!("business");
    assert_eq!(event(left), text("removed", "", ""));
    assert_eq!(event(base("group_suspend")), text("group_suspend", "", ""));
}

#[test]
fn request_to_join_a_group_names_the_person() {
    for kind in ["group_join_request_created", "group_join_request_revoked"] {
        let event = json!({"type": kind, "group_id": "Zw==", "join_request_id": "j", "wa_id": CLIENT, "user_id": "GB.1000",
                           "timestamp": "1795770843"});
        let change = captured(&group_event("group_participants_update", event)).item.event.unwrap();
        assert_eq!((change.action.as_deref(), change.subjects.len()), (Some(kind), 1));
        assert_eq!(change.subjects[0].phone.as_deref(), CLIENT_PHONE);
        assert_eq!(change.subjects[0].whatsapp_id.as_deref(), Some("GB.1000"));
    }
    let failed = json!({"type": "group_join_request_approved", "group_id": "Zw==", "wa_id": CLIENT,
                        "timestamp": "1795770843", "errors": [{"code": 1}]});
    let change = captured(&group_event("group_participants_update", failed)).item.event.unwrap();
    assert_eq!(change.action.as_deref(), Some("group_join_request_approved (failed)"));
}

#[test]
fn description_of_a_new_group_is_a_note() {
    let event = json!({"type": "group_create", "group_id": "Zw==", "timestamp": "1795770843", "subject": "Deal",
                       "description": "About the deal"});
    let item = captured(&group_event("group_lifecycle_update", event)).item;
    assert_eq!(item.event.unwrap().new_value.as_deref(), Some("Deal"));
    assert!(item.webhook.unwrap().notes.join("\n").contains("About the deal"));
}

#[test]
fn failed_operation_on_a_group_is_not_filed_as_done() {
    let errors = json!([{"code": 131201, "title": "t", "message": "m"}]);
    let item = |event: Value| {
        let mut whole = json!({"timestamp": "1795770843", "group_id": "Zw==", "request_id": "r"});
        crate::support::merge(&mut whole, event);
        captured(&group_event("group_lifecycle_update", whole)).item
    };
    let facts = |item: model::Item| (item.event.unwrap().action.unwrap(), item.webhook.unwrap().notes.join("\n"));
    for kind in ["group_create", "group_delete", "group_participants_add", "group_settings_update"] {
        let (action, notes) = facts(item(json!({"type": kind, "errors": errors})));
        assert_eq!(action, format!("{kind} (failed)"));
        assert!(notes.contains("failed: the group was not changed") && notes.contains("131201: t: m"), "{notes}");
    }
    let (action, notes) = facts(item(json!({"type": "group_settings_update",
                                            "group_subject": {"text": "New", "update_successful": false}})));
    assert_eq!(action, "group_settings_update (failed)");
    assert!(notes.contains("The change of this setting failed: group subject"), "{notes}");
    let partly =
        item(json!({"type": "group_participants_add", "errors": errors, "added_participants": [{"wa_id": CLIENT}]}));
    let (action, notes) = facts(partly);
    assert_eq!(action, "joined");
    assert!(notes.contains("A part of the operation on the group failed."), "{notes}");
}

#[test]
fn changed_setting_of_a_group_is_shown() {
    for (setting, action, value, note) in [
        (json!({"group_subject": {"text": "New name", "update_successful": true}}), "renamed", Some("New name"), ""),
        (json!({"group_description": {"text": "About"}}), "description_changed", Some("About"), ""),
        (
            json!({"profile_picture": {"mime_type": "image/jpeg", "sha256": "x", "update_successful": true}}),
            "picture_changed",
            None,
            "names a file that cannot be fetched",
        ),
        (json!({"join_mode": {"approval": true}}), "group_settings_update", None, "Changed: join mode"),
        (json!({"join_mode": "open"}), "group_settings_update", Some("open"), "Changed: join mode, to: open"),
        (
            json!({"group_subject": {"text": "N"}, "group_description": {"text": "D"}}),
            "group_settings_update",
            None,
            "Changed: group description, to: D",
        ),
    ] {
        let mut event = json!({"timestamp": "1795770843", "group_id": "Zw==", "type": "group_settings_update"});
        crate::support::merge(&mut event, setting);
        let item = captured(&group_event("group_settings_update", event)).item;
        let change = item.event.unwrap();
        assert_eq!((change.action.as_deref(), change.new_value.as_deref()), (Some(action), value));
        let notes = item.webhook.unwrap().notes.join("\n");
        assert!(notes.contains(note) && !notes.contains("failed") && (!note.is_empty() || notes.is_empty()), "{notes}");
    }
}

#[test]
fn call_has_an_item_when_it_begins_and_when_it_ends() {
    let call = |event: Value| {
        let mut call = json!({"id": "wacid.ONE", "from": CLIENT, "to": OURS, "timestamp": "1795770843",
                              "direction": "USER_INITIATED"});
        crate::support::merge(&mut call, event);
        webhook("calls", json!({ "calls": [call] }))
    };
    let begun = call(json!({"event": "connect", "session": {"sdp_type": "offer", "sdp": "v=0"}}));
    let ended = call(json!({"event": "terminate", "status": "COMPLETED", "start_time": "1795770800",
                            "end_time": "1795770843", "duration": 43}));
    assert_eq!(all(&begun)[0].id.as_str(), "wacid.ONE:connect");
    assert_eq!(all(&ended)[0].id.as_str(), "wacid.ONE:terminate");
    let item = captured(&ended).item;
    assert_eq!((&item.kind, item.direction.as_ref()), (&Kind::Call, Some(&Direction::Incoming)));
    let facts = item.call.unwrap();
    assert_eq!((facts.status, facts.duration_seconds), (Some(CallStatus::Answered), Some(43.0)));
    assert_eq!(facts.start_time.map(|at| at.as_second()), Some(1_795_770_800));
    let item = captured(&begun).item;
    assert_eq!(item.call.unwrap().status, Some(CallStatus::Other("connect".to_owned())));
    let out = call(json!({"event": "terminate", "direction": "BUSINESS_INITIATED", "from": OURS, "to": CLIENT}));
    let item = captured(&out).item;
    assert_eq!((item.direction, item.from.phone.as_deref()), (Some(Direction::Outgoing), OUR_PHONE));
}
