//! Groups and calls through the API.

use model::{CallStatus, ChatType, Direction, Kind};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};

use crate::support::{CLIENT, OURS, all, captured, incoming, webhook};

#[test]
fn group_message_is_in_the_groups_chat() {
    let item =
        captured(&incoming(json!({"group_id": "Y2FwaV9ncm91cA==", "type": "text", "text": {"body": "hi"}}))).item;
    assert_eq!((item.chat.id.as_str(), &item.chat.chat_type), ("Y2FwaV9ncm91cA==", &ChatType::Group));
    assert_eq!((item.from.phone.as_deref(), item.to[0].phone.as_deref()), (Some(CLIENT), Some(OURS)));
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
    assert_eq!((&item.kind, item.from.phone.as_deref()), (&Kind::GroupEvent, Some(OURS)));
    let change = item.event.unwrap();
    assert_eq!((change.action.as_deref(), change.subjects[0].phone.as_deref()), (Some("joined"), Some(CLIENT)));
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
    assert_eq!((item.direction, item.from.phone.as_deref()), (Some(Direction::Outgoing), Some(OURS)));
}
