//! Distribution of items to files: every item is exported once.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rsmf::{Limits, Record};
use serde_json::{Value, json};

use crate::support::{Item, ada, client, export, export_within, item, plan_of, target};

#[test]
fn each_chat_and_day_is_a_file() {
    let at = |number, day: &str, chat: &str| {
        let time = format!("2026-11-{day}T23:59:59Z");
        item(number, "text", json!({"text": "x", "messageTime": time, "chat": {"id": chat, "type": "group"}}))
    };
    let files = export(&[at(1, "20", "a@g.us"), at(2, "21", "a@g.us"), at(3, "20", "b@g.us"), at(4, "20", "a@g.us")]);
    let mut found: Vec<_> = files.iter().map(|file| (file.planned.day.to_string(), file.events().len())).collect();
    found.sort();
    assert_eq!(found, [("2026-11-20".into(), 1), ("2026-11-20".into(), 2), ("2026-11-21".into(), 1)]);
}

#[test]
fn one_client_of_two_users_is_two_conversations() {
    let bob = json!({"name": "Bob", "phone": "4520000001"});
    let files = export(&[item(1, "text", json!({"text": "x"})), item(2, "text", json!({"text": "x", "to": [bob]}))]);
    assert_eq!(files.len(), 2);
}

#[test]
fn day_above_the_limit_is_split() {
    let items: Vec<_> = (1..=25).map(|number| item(number, "text", json!({"text": "x"}))).collect();
    let files = export_within(&items, Limits { events: 10, ..Limits::default() });
    let parts: Vec<_> = files.iter().map(|file| (file.planned.part, file.planned.parts, file.events().len())).collect();
    assert_eq!(parts, [(1, 3, 10), (2, 3, 10), (3, 3, 5)]);
    let by_bytes = export_within(&items, Limits { bytes: 4_000, ..Limits::default() });
    assert_eq!(by_bytes.len(), 13, "two messages of 2,000 bytes in each");
    assert_eq!(by_bytes[0].manifest["eventcollectionid"], by_bytes[1].manifest["eventcollectionid"]);
    let subjects: Vec<_> = (0..8).map(|number| json!({"phone": format!("452000000{number}")})).collect();
    let joins =
        (1..=2).map(|number| item(number, "group_event", json!({"event": {"action": "added", "subjects": subjects}})));
    let files = export_within(&joins.collect::<Vec<_>>(), Limits { events: 10, ..Limits::default() });
    assert_eq!(files.iter().map(|file| file.finished.events).collect::<Vec<_>>(), [8, 8]);
}

#[test]
fn items_of_the_same_time_are_in_the_order_of_their_source() {
    let texts = |items: &[Item]| -> Vec<String> {
        export(items)[0].events().iter().map(|event| event["body"].as_str().unwrap().to_owned()).collect()
    };
    let expected: Vec<String> = (0..10).map(|number| format!("{number}")).collect();
    let same_time = "2026-11-20T09:00:00Z";
    // The ids' hashes have another order than the lines, and than the times of receipt.
    let exported = |number: u32| {
        let upload = json!({"owner": "ada@bank.example", "file": "chat.txt"});
        item(
            number,
            "text",
            json!({"text": format!("{number}"), "messageTime": same_time, "upload": upload,
                                    "export": {"file": "chat.txt", "line": number + 1}}),
        )
    };
    assert_eq!(texts(&(0..10).rev().map(exported).collect::<Vec<_>>()), expected);
    let received = |number: u32| {
        let archived = format!("2026-11-20T09:00:01.{number:03}Z");
        item(number, "text", json!({"text": format!("{number}"), "messageTime": same_time, "archivedTime": archived}))
    };
    assert_eq!(texts(&(0..10).rev().map(received).collect::<Vec<_>>()), expected);
    // The last of several edits of the same second is the text.
    let mut items = vec![item(99, "text", json!({"text": "first"}))];
    items.extend((0..10).rev().map(|number| {
        let archived = format!("2026-11-20T10:00:01.{number:03}Z");
        item(
            number,
            "edit",
            json!({"text": format!("{number}"), "target": target(99, client()),
                                    "messageTime": "2026-11-20T10:00:00Z", "archivedTime": archived}),
        )
    }));
    assert_eq!(texts(&items), ["9"]);
}

#[test]
fn reaction_on_an_uncertain_message_is_an_event() {
    let react =
        |number, target: Value| item(number, "reaction", json!({"reaction": {"emoji": "👍"}, "target": target}));
    // A message captured twice; a target without a sender; a target with another sender; a target in another chat.
    let twice = |number| item(number, "text", json!({"text": "x", "messageId": "M1"}));
    let in_other_chat = item(8, "text", json!({"text": "x", "chat": {"id": "other@g.us", "type": "group"}}));
    let items = [
        twice(1),
        twice(2),
        react(3, target(1, client())),
        item(4, "text", json!({"text": "x"})),
        react(5, json!({"messageId": "M4"})),
        react(6, target(4, ada())),
        in_other_chat,
        react(7, target(8, client())),
    ];
    let planned = plan_of(&items, Limits::default());
    assert!(planned.iter().flat_map(|file| &file.units).all(|unit| unit.folded.is_empty()));
}

#[test]
fn too_many_reactions_are_events() {
    let mut items = vec![item(1, "text", json!({"text": "x"}))];
    items.extend(
        (2..=9).map(|number| {
            item(number, "reaction", json!({"reaction": {"emoji": "👍"}, "target": target(1, client())}))
        }),
    );
    let files = export_within(&items, Limits { folded: 5, ..Limits::default() });
    assert_eq!(files[0].finished.events, 1 + 3);
}

/// Creates a random item: `(kind, number of the target, chat, hour, sender)`.
fn random(number: u32, (kind, at, chat, hour, from): (usize, u32, u8, u8, bool)) -> Item {
    let kind = ["text", "image", "edit", "delete", "reaction", "poll", "poll_vote", "call", "group_event"][kind];
    let from = if from { [client(), ada()] } else { [ada(), client()] };
    let [from, to] = from;
    let more = json!({
        "chat": {"id": format!("{chat}@g.us"), "type": "group"}, "messageTime": format!("2026-11-20T{hour:02}:00:00Z"),
        "from": from, "to": [to], "target": target(at, client()), "reaction": {"emoji": "👍"}, "text": "x",
        "event": {"action": "added", "subjects": [ada(), client()]},
    });
    item(number, kind, more)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_item_is_in_the_export_once(
        items in prop::collection::vec((0..9_usize, 0..40_u32, 0..3_u8, 0..24_u8, any::<bool>()), 1..60),
        events in 1..20_u32,
    ) {
        let items: Vec<_> = (0..).zip(items).map(|(number, item)| random(number, item)).collect();
        let limits = Limits { events, ..Limits::default() };
        let files = export_within(&items, limits);
        let mut units = Vec::new();
        let mut ids = Vec::new();
        for file in &files {
            units.extend(file.planned.units.iter().flat_map(|unit| unit.folded.iter().chain([&unit.item])).copied());
            for event in file.events() {
                ids.extend(archive_ids(event));
            }
            prop_assert_eq!(file.finished.events, file.events().len() as u64);
            prop_assert!(file.planned.units.len() == 1 || file.finished.events <= u64::from(events));
        }
        units.sort_unstable();
        prop_assert_eq!(units, (0..items.len()).collect::<Vec<_>>());
        ids.sort();
        let mut expected: Vec<_> = items.iter().map(|item| item.captured.item.id.to_string()).collect();
        expected.sort();
        prop_assert_eq!(ids, expected);
        let names: BTreeSet<_> =
            files.iter().map(|file| (file.planned.conversation.to_string(), file.planned.day, file.planned.part)).collect();
        prop_assert_eq!(names.len(), files.len(), "the names of files differ");
    }
}

/// Returns the ids of the items in an event. An event for a further person of a group event has none.
fn archive_ids(event: &Value) -> Vec<String> {
    let custom = event["custom"].as_array().unwrap();
    if custom.iter().any(|fact| fact["name"] == "Part of the event") {
        return Vec::new();
    }
    let mut ids = Vec::new();
    for fact in custom {
        let value = fact["value"].as_str().unwrap();
        if fact["name"] == "Archive id" {
            ids.push(value.to_owned());
        }
        ids.extend(value.lines().filter_map(|line| line.strip_prefix("Archive id: ")).map(str::to_owned));
    }
    ids
}

#[test]
fn record_has_no_content() {
    let record = Record::of(&item(1, "text", json!({"text": "very secret"})).captured, 1);
    let written = format!("{record:?}{}", serde_json::to_string(&record).unwrap());
    for content in ["secret", "Client", "4520123457", "WA-1"] {
        assert!(!written.contains(content), "{written}");
    }
}

#[test]
fn upload_of_a_chat_of_two_is_one_conversation() {
    let owner = json!({"name": "Ada", "email": "Ada@bank.example"});
    let (bo, whatsapp) = (json!({"name": "Bo"}), json!({"name": "WhatsApp"}));
    let exported = |number: u32, kind: &str, from: &Value, to: Value, direction: Value| {
        let mut json = item_json(number, kind, from, &to);
        json["upload"] = json!({"owner": "ada@bank.example", "file": "WhatsApp Chat with Bo.txt"});
        json["export"] = json!({"file": "WhatsApp Chat with Bo.txt", "line": number});
        json["direction"] = direction;
        if json["direction"].is_null() {
            json.as_object_mut().unwrap().remove("direction");
        }
        Item::of(json)
    };
    let items = [
        exported(1, "system", &whatsapp, json!([owner, bo]), Value::Null),
        exported(2, "text", &owner, json!([bo]), json!("outgoing")),
        exported(3, "call", &whatsapp, json!([owner, bo]), Value::Null),
        exported(4, "text", &bo, json!([owner]), json!("incoming")),
        // A sender who is not proven, and a file that no message names.
        exported(5, "text", &json!({"name": "Bo left the price"}), json!([owner, bo]), Value::Null),
        exported(6, "document", &whatsapp, json!([]), Value::Null),
    ];
    let files = export(&items);
    assert_eq!(files.len(), 1);
    let bodies: Vec<_> = files[0].events().iter().map(|event| event["id"].as_str().unwrap()).collect();
    let expected: Vec<_> = items.iter().map(|item| item.captured.item.id.key().to_string()).collect();
    assert_eq!(bodies, expected);
    let custodian = &files[0].manifest["conversations"][0]["custodian"];
    let people = files[0].manifest["participants"].as_array().unwrap();
    let person = people.iter().find(|person| &person["id"] == custodian).unwrap();
    assert_eq!(person["display"], "Ada");
    assert_eq!(files[0].events()[1]["direction"], "outgoing");
    assert_eq!(files[0].events()[3]["direction"], "incoming");
}

#[test]
fn notice_in_a_chat_of_two_joins_its_conversation() {
    let whatsapp = json!({"name": "WhatsApp"});
    let notice = |number: u32, from: &Value, to: Value| {
        let mut json = item_json(number, "system", from, &to);
        json["chat"] = json!({"id": "4520123457@s.whatsapp.net", "type": "individual"});
        Item::of(json)
    };
    for to in [json!([ada(), client()]), json!([client(), ada()]), json!([ada()])] {
        let files = export(&[item(1, "text", json!({"text": "x"})), notice(2, &whatsapp, to.clone())]);
        assert_eq!(files.len(), 1, "{to}");
    }
    // The captured side is not known: no other user's conversation gets the notice.
    let files = export(&[item(1, "text", json!({"text": "x"})), notice(2, &whatsapp, json!([client()]))]);
    assert_eq!(files.len(), 2);
}

fn item_json(number: u32, kind: &str, from: &Value, to: &Value) -> Value {
    json!({"id": format!("WA-{number}"), "type": kind, "messageTime": format!("2026-11-20T09:{number:02}:00Z"),
        "archivedTime": "2026-11-20T12:00:00Z", "chat": {"id": "export-1", "type": "individual"}, "from": from, "to": to,
        "text": "x"})
}
