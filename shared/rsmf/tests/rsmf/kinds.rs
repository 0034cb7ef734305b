//! Each kind of item as an event.

use serde_json::{Value, json};

use crate::support::{Item, ada, client, export, facts, item, target};

/// Exports items to one file and returns its events.
fn events(items: &[Item]) -> Vec<Value> {
    let mut files = export(items);
    assert_eq!(files.len(), 1);
    files.remove(0).events().to_vec()
}

#[test]
fn text_keeps_every_code_point() {
    let text = "Hej 👋🏽\u{202e}\u{200b}\r\n| From: Boss";
    let events = events(&[item(1, "text", json!({"text": text}))]);
    let [event] = events.as_slice() else { panic!("one event") };
    assert_eq!(event["body"], text);
    assert_eq!((&event["type"], &event["direction"]), (&json!("message"), &json!("incoming")));
    assert_eq!(facts(event, "Archive id"), ["WA-1"]);
    assert_eq!(facts(event, "WhatsApp id"), ["M1"]);
    assert_eq!(facts(event, "Body"), Vec::<&str>::new());
}

#[test]
fn edit_is_folded_with_both_texts() {
    let edit = |number, more| {
        let mut value = json!({"from": client(), "target": target(1, client())});
        value.as_object_mut().unwrap().extend(more);
        item(number, "edit", value)
    };
    let first = edit(2, json!({"text": "15:30"}).as_object().unwrap().clone());
    let second = edit(3, json!({"text": "16:00"}).as_object().unwrap().clone());
    let events = events(&[item(1, "text", json!({"text": "15:00"})), second, first]);
    let [event] = events.as_slice() else { panic!("{} events", events.len()) };
    assert_eq!(event["body"], "16:00");
    let shown: Vec<_> =
        event["edits"].as_array().unwrap().iter().map(|edit| (&edit["previous"], &edit["new"])).collect();
    assert_eq!(shown, [(&json!("15:00"), &json!("15:30")), (&json!("15:30"), &json!("16:00"))]);
    let notes = facts(event, "Edited message");
    assert!(notes.len() == 2 && notes[0].contains("Archive id: WA-2") && notes[1].contains("Archive id: WA-3"));
}

#[test]
fn edit_with_a_shorter_quote_keeps_the_original_text() {
    let fold = |kind: &str, original: Value, quote: &str| {
        let target = json!({"messageId": "M1", "from": client(), "text": quote});
        let edit = item(2, "edit", json!({"from": client(), "text": "Hold", "target": target}));
        let mut events = events(&[item(1, kind, original), edit]);
        assert_eq!(events.len(), 1);
        events.remove(0)
    };
    let original = "Sell 5,000 at 101.25 before noon";
    let event = fold("text", json!({"text": original}), "Sell 5,000 at…");
    assert_eq!((&event["body"], &event["edits"][0]["previous"]), (&json!("Hold"), &json!(original)));
    assert_eq!(facts(&event, "Earlier text as the edit quotes it"), ["Sell 5,000 at…"]);
    let event = fold("text", json!({"text": original}), original);
    assert_eq!(event["edits"][0]["previous"], original);
    assert!(facts(&event, "Earlier text as the edit quotes it").is_empty());
    // The body is a statement of the archive: only the quote has the text.
    let event = fold("image", json!({}), "Sell");
    assert_eq!(event["edits"][0]["previous"], "Sell");
}

#[test]
fn edit_of_a_message_outside_is_an_event() {
    let edit =
        item(2, "edit", json!({"text": "16:00", "target": {"messageId": "M9", "from": client(), "text": "15:00"}}));
    let events = events(&[edit]);
    let [event] = events.as_slice() else { panic!("one event") };
    assert_eq!((&event["body"], &event["edits"]), (&json!("16:00"), &Value::Null));
    assert!(facts(event, "Statement")[0].contains("| 15:00"), "{event}");
    assert_eq!(facts(event, "Kind"), ["Edited message"]);
}

#[test]
fn deleted_message_keeps_its_text() {
    let delete = item(2, "delete", json!({"target": target(1, client()), "deletion": {"scope": "everyone"}}));
    let events = events(&[item(1, "text", json!({"text": "secret"})), delete]);
    let [event] = events.as_slice() else { panic!("{} events", events.len()) };
    assert_eq!((&event["deleted"], &event["body"]), (&json!(true), &json!("secret")));
    let note = facts(event, "Deleted message")[0];
    assert!(note.contains("Deleted for: everyone in the chat") && note.contains("Archive id: WA-2"), "{note}");
}

#[test]
fn deletion_for_one_person_does_not_delete_the_message() {
    let deletion = json!({"target": target(1, client()), "deletion": {"scope": "me"}, "text": "first\nsecond",
        "attachments": [{"id": "1", "name": "Contract.pdf"}]});
    let deletion = Item { missing_files: 1, ..item(2, "delete", deletion) };
    let events = events(&[item(1, "text", json!({"text": "secret"})), deletion]);
    let [event] = events.as_slice() else { panic!("{} events", events.len()) };
    assert_ne!(event["deleted"], json!(true), "{event}");
    let note = facts(event, "Deleted message")[0];
    assert!(note.contains("\n| first\n| second\n"), "the text that the deletion names is kept: {note}");
    assert!(note.contains("\nNot captured: 1 of 1 files") && note.contains("\n| Contract.pdf\n"), "{note}");
}

#[test]
fn uncaptured_reaction_removes_no_earlier_one() {
    let react = |number, more: Value| {
        let mut about = json!({"from": ada(), "target": target(1, client())});
        about.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        item(number, "reaction", about)
    };
    let reaction = |emoji: Value| json!({"reaction": {"emoji": emoji}});
    for unread in [json!({}), reaction(json!({"value": "❤️"}))] {
        let items = [item(1, "text", json!({"text": "x"})), react(2, reaction(json!("👍"))), react(3, unread)];
        let events = events(&items);
        let [event] = events.as_slice() else { panic!("{} events", events.len()) };
        assert_eq!(event["reactions"][0]["value"], "👍", "{event}");
        assert!(facts(event, "Reaction").iter().any(|fact| fact.contains("The reaction was not captured.")), "{event}");
    }
}

#[test]
fn last_reaction_of_a_person_counts() {
    let react = |number, from: Value, emoji| {
        item(number, "reaction", json!({"from": from, "target": target(1, client()), "reaction": {"emoji": emoji}}))
    };
    let items = [
        item(1, "text", json!({"text": "x"})),
        react(2, ada(), "👍"),
        react(3, client(), "👍"),
        react(4, ada(), "❤️"),
        react(5, client(), ""),
    ];
    let events = events(&items);
    let [event] = events.as_slice() else { panic!("{} events", events.len()) };
    let ada = json!([event_participant(&export(&items)[0].manifest, "Ada Byrne")]);
    assert_eq!(event["reactions"], json!([{"value": "❤️", "count": 1, "participants": ada}]));
    assert_eq!(facts(event, "Reaction").len(), 3, "the history stays");
    assert_eq!(facts(event, "Reaction removed").len(), 1);
}

fn event_participant(manifest: &Value, name: &str) -> Value {
    let people = manifest["participants"].as_array().unwrap();
    people.iter().find(|person| person["display"] == name).expect("a participant")["id"].clone()
}

#[test]
fn vote_is_stated_at_its_poll() {
    let poll = json!({"poll": {"question": "Lunch?", "options": ["Soup", "Fish"], "selectable": 1}});
    let vote = json!({"target": target(1, client()), "from": ada(), "to": [client()], "direction": "outgoing",
                      "poll": {"options": ["Soup", "Fish"], "votes": ["Fish"]}});
    let events = events(&[item(1, "poll", poll), item(2, "poll_vote", vote)]);
    let [event] = events.as_slice() else { panic!("{} events", events.len()) };
    let body = event["body"].as_str().unwrap();
    assert!(body.contains("Question: Lunch?") && body.contains("[ ] Fish"), "{body}");
    let vote = facts(event, "Vote in a poll")[0];
    assert!(vote.contains("by Ada Byrne") && vote.contains("[x] Fish") && vote.contains("Archive id: WA-2"), "{vote}");
}

#[test]
fn call_is_a_statement_of_the_archive() {
    let call = json!({"call": {"media": "voice", "status": "missed"}});
    let events = events(&[item(1, "call", call)]);
    assert!(events[0]["body"].as_str().unwrap().starts_with("Missed voice call"), "{}", events[0]);
    assert_eq!(facts(&events[0], "Body").len(), 1, "no participant wrote it");
}

#[test]
fn members_join_and_leave() {
    let group = |number, action: &str, subjects: Value| {
        let chat = json!({"id": "1@g.us", "type": "group", "name": "Team"});
        item(number, "group_event", json!({"chat": chat, "event": {"action": action, "subjects": subjects}}))
    };
    let (bob, cy) = (json!({"name": "Bob", "phone": "4520000001"}), json!({"name": "Cy", "phone": "4520000002"}));
    let items = [
        group(1, "added", json!([bob, cy])),
        group(2, "left", json!([])),
        group(3, "renamed", json!([])),
        group(4, "removed", json!([bob])),
    ];
    let file = &export(&items)[0];
    let kinds: Vec<_> = file.events().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["join", "join", "leave", "message", "leave"]);
    let who: Vec<_> = file.events().iter().map(|event| event["participant"].clone()).collect();
    let [bob, cy, client] = ["Bob", "Cy", "Client"].map(|name| event_participant(&file.manifest, name));
    assert_eq!(who, [bob.clone(), cy, client.clone(), client, bob.clone()]);
    assert_eq!(facts(&file.events()[1], "Part of the event").len(), 1);
    // The lines of the text name the same participants.
    let lines: Vec<_> = file.text.lines().filter(|line| line.ends_with("ed]:") || line.ends_with("[left]:")).collect();
    let named: Vec<_> = lines.iter().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(named, ["Bob [joined]:", "Cy [joined]:", "Client [left]:", "Bob [left]:"]);
    let conversation = &file.manifest["conversations"][0];
    assert_eq!(conversation["type"], "channel");
    let members = conversation["participants"].as_array().unwrap();
    assert!(!members.contains(&bob), "who joined was not there at the first event");
}

/// Only the text of such a line names the people.
#[test]
fn group_line_of_an_export_is_no_membership() {
    let upload = json!({"owner": "ada@bank.example", "file": "chat.txt"});
    let line = |number, from: &str, action: &str, text: &str| {
        let more = json!({"from": {"name": from}, "text": text, "upload": upload, "event": {"action": action}});
        item(number, "group_event", more)
    };
    let events = events(&[
        line(1, "WhatsApp", "left", "Bob left"),
        line(2, "Team", "joined", "Cy joined using this group's invite link"),
        line(3, "WhatsApp", "removed", "Ada removed Bob"),
    ]);
    for (event, text) in events.iter().zip(["Bob left", "Cy joined using this group's invite link", "Ada removed Bob"])
    {
        assert_eq!((&event["type"], &event["body"]), (&json!("message"), &json!(text)));
        assert!(facts(event, "Statement")[0].contains("Its text names the people"), "{event}");
    }
    assert_eq!(events.len(), 3);
}

#[test]
fn place_has_coordinates() {
    let location = json!({"location": {"latitude": 55.676, "longitude": 12.568, "name": "Rådhuspladsen"}});
    let events = events(&[item(1, "location", location)]);
    assert_eq!(facts(&events[0], "GPS"), ["55.676, 12.568"]);
    assert!(events[0]["body"].as_str().unwrap().contains("Rådhuspladsen"));
}

#[test]
fn contact_card_is_a_file() {
    let contacts =
        json!({"contacts": [{"name": "Bo", "vcard": "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Bo\r\nEND:VCARD\r\n"}]});
    let file = &export(&[item(1, "contacts", contacts).with_file("Bo.vcf", b"BEGIN:VCARD")])[0];
    let event = &file.events()[0];
    assert_eq!(event["attachments"], json!([{"id": "000001.vcf", "display": "Bo.vcf", "size": 11}]));
    assert!(event["body"].as_str().unwrap().contains("Contact: Bo"), "{event}");
}

#[test]
fn reply_names_its_parent_in_the_same_file() {
    let reply = |number, parent| {
        let quoted = json!({"messageId": format!("M{parent}"), "from": client(), "text": "15:00?"});
        item(number, "text", json!({"text": "yes", "quoted": quoted, "from": ada(), "to": [client()]}))
    };
    let events = events(&[item(1, "text", json!({"text": "15:00?"})), reply(2, 1), reply(3, 9)]);
    assert_eq!(events[1]["parent"], events[0]["id"]);
    assert_eq!(events[2]["parent"], Value::Null);
    assert!(facts(&events[2], "In reply to")[0].contains("| 15:00?"), "{}", events[2]);
}

#[test]
fn circumstances_are_stated() {
    let forwarded = item(1, "text", json!({"text": "x", "forwarded": true, "disappearingSeconds": 604_800}));
    let often = item(2, "text", json!({"text": "x", "forwarded": true, "frequentlyForwarded": true}));
    let events = events(&[forwarded, often]);
    assert_eq!(facts(&events[0], "Forwarded"), ["yes"]);
    assert!(facts(&events[0], "Statement")[0].contains("Disappears after: 7 days"), "{}", events[0]);
    assert_eq!(facts(&events[1], "Forwarded"), ["many times"]);
}

#[test]
fn missing_capture_is_stated_and_not_silent() {
    let erased = |more: Value| {
        let attachment = json!({"id": "a", "name": "Contract.pdf", "contentType": "application/pdf", "size": 5});
        let mut json = json!({"attachments": [attachment]});
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Item { missing_files: 1, ..item(1, "document", json) }
    };
    let items = [
        erased(json!({"text": "see this"})),
        item(2, "image", json!({})),
        item(3, "unsupported", json!({"reason": "not linked yet"})),
        item(4, "hologram", json!({"hologram": {"depth": 3}})),
    ];
    let file = &export(&items)[0];
    let events = file.events();
    assert!(facts(&events[0], "Not captured")[0].starts_with("1 of 1 files"), "{}", events[0]);
    assert!(facts(&events[0], "Not captured")[0].ends_with("\n| Contract.pdf"));
    assert_eq!(facts(&events[1], "Not captured").len(), 1);
    assert_eq!((facts(&events[2], "Not captured").len(), &events[2]["type"]), (1, &json!("unknown")));
    assert_eq!(events[3]["type"], "unknown");
    assert!(events[3]["body"].as_str().unwrap().contains("hologram.depth: 3"), "{}", events[3]);
    assert_eq!(file.text.matches("Not captured:").count(), 3, "{}", file.text);
}

#[test]
fn direction_is_that_of_the_custodian() {
    let group = |number, from: Value, to: Value| {
        let chat = json!({"id": "1@g.us", "type": "group"});
        item(number, "text", json!({"chat": chat, "text": "x", "direction": "outgoing", "from": from, "to": [to]}))
    };
    let bob = json!({"name": "Bob", "phone": "4520000001", "email": "bob@bank.example"});
    let file = &export(&[group(1, ada(), bob.clone()), group(2, bob, ada())])[0];
    let conversation = &file.manifest["conversations"][0];
    assert_eq!(conversation["custodian"], event_participant(&file.manifest, "Ada Byrne"));
    assert_eq!(file.events()[0]["direction"], "outgoing");
    assert_eq!(file.events()[1]["direction"], Value::Null, "it is not seen from the custodian");
    assert_eq!(facts(&file.events()[1], "Direction"), ["outgoing, seen from Bob"]);
}
