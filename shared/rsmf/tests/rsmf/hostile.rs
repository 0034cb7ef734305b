//! Hostile names, texts and sizes.

use serde_json::json;

use crate::support::{Item, client, export, facts, item, target};

#[test]
fn hostile_file_name_does_not_leave_the_package() {
    let names = [
        "../../etc/passwd",
        "C:\\x.exe",
        "a.b/../c",
        "rsmf_manifest.json",
        "x.\u{202e}fdp",
        "",
        "CON.aux.long-extension",
        "a.P\u{0}DF",
    ];
    let file = names.iter().fold(item(1, "document", json!({"text": "x"})), |item, name| item.with_file(name, b"x"));
    let file = &export(&[file])[0];
    assert_eq!(file.names.len(), names.len() + 1);
    for name in &file.names {
        let safe = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        assert!(name == "rsmf_manifest.json" || safe && name.len() <= 15, "{name:?}");
    }
    for attachment in file.events()[0]["attachments"].as_array().unwrap() {
        assert!(!attachment["display"].as_str().unwrap().is_empty());
    }
}

#[test]
fn participant_cannot_forge_a_line_of_the_archive_or_a_header() {
    let name = "Boss\r\nX-RSMF-Version: 9\r\n\r\n--=_rsmf\u{202e}, a@b.example";
    let forged = "2026-11-20T09:00:00Z Boss:\r\nFile: contract.pdf\u{b}This message was deleted.\u{2028}Edited";
    let items = [
        item(1, "text", json!({"text": forged, "from": {"name": name, "phone": "4520123457"}})),
        item(2, "edit", json!({"text": "x\nReaction of 9: y", "target": target(1, client())})),
        item(3, "reaction", json!({"reaction": {"emoji": "a\nFile: b"}, "target": target(1, client())})),
    ];
    let file = &export(&items)[0];
    assert_eq!(file.events().len(), 1);
    let head = String::from_utf8_lossy(&file.bytes).split("\r\n\r\n").next().unwrap().to_owned();
    assert_eq!(head.matches("\r\nX-RSMF-Version:").count(), 1, "{head}");
    let expected = ["2026-", "Lines that", "| ", "Edited 2026-", "Reaction of 1: a File: b"];
    // Programs begin a line at each of these, Rust's `lines` only at LF.
    let breaks = ['\n', '\u{b}', '\u{c}', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
    let lines = file.text.split(breaks).filter(|line| !line.is_empty());
    for line in lines {
        // `Edited` at the beginning of a line is the archive's, and followed by a time.
        assert!(expected.iter().any(|start| line.starts_with(start)), "{line:?}");
    }
    assert_eq!(file.events()[0]["reactions"][0]["value"], "a File: b");
}

#[test]
fn id_is_exact_in_any_script() {
    let id = "../..//%2F?x=\"é\" שלום #1";
    let items = [
        item(1, "text", json!({"text": "x", "id": id})),
        item(
            2,
            "reaction",
            json!({"reaction": {"emoji": "x"}, "target": target(1, client()), "id": format!("{id}/2")}),
        ),
    ];
    let files = export(&items);
    let event = &files[0].events()[0];
    assert_eq!(facts(event, "Archive id"), [id]);
    assert!(facts(event, "Reaction")[0].contains(&format!("\nArchive id: {id}/2\n")), "{event}");
}

#[test]
fn long_emoji_is_cut_in_the_reaction_only() {
    let items = [
        item(1, "text", json!({"text": "x"})),
        item(2, "reaction", json!({"reaction": {"emoji": "abcdefghij".repeat(5)}, "target": target(1, client())})),
    ];
    let files = export(&items);
    let event = &files[0].events()[0];
    assert!(event["reactions"][0]["value"].as_str().unwrap().chars().count() <= 30);
    assert!(facts(event, "Reaction")[0].contains(&"abcdefghij".repeat(5)));
}

#[test]
fn crowd_is_bounded() {
    let many_people: Vec<_> = (0..3_000).map(|number| json!({"phone": format!("45{number:08}")})).collect();
    let chat = json!({"id": "1@g.us", "type": "group"});
    let event = json!({"action": "added", "subjects": many_people});
    let items: [Item; 2] = [
        item(1, "text", json!({"text": "x", "chat": chat, "to": many_people})),
        item(2, "group_event", json!({"chat": chat, "event": event, "to": []})),
    ];
    let file = &export(&items)[0];
    assert_eq!(file.finished.events, 2, "more than 256 people share one event");
    assert_eq!(file.manifest["participants"].as_array().unwrap().len(), 3_001);
    let head = String::from_utf8_lossy(&file.bytes).split("\r\n\r\n").next().unwrap().to_owned();
    assert_eq!(head.matches("@whatsapp.invalid>").count(), 1_000 + 2, "From, 1,000 in To, Message-ID");
    assert!(head.lines().all(|line| line.len() <= 998));
}

#[test]
fn name_does_not_look_like_a_line_of_the_archive() {
    let header = "2026-11-20T09:14:03Z Ana Sousa:";
    let file = |name: &str| json!({"id": name, "name": name, "contentType": "application/pdf", "size": 1});
    let mut erased = item(1, "document", json!({"attachments": [file(header), file("This message was deleted.")]}));
    erased.missing_files = 2;
    let mut removed = item(3, "delete", json!({"target": target(2, client()), "attachments": [file(header)]}));
    removed.missing_files = 1;
    let text = |name: &str, number: u32| {
        let from = json!({"name": name, "phone": format!("452012346{number}")});
        item(number, "text", json!({"text": "x", "from": from, "chat": {"id": "g@g.us", "type": "group"}}))
    };
    let names = ["Bo [left]", "Bo: \"[left]", "2026-11-20T09:00:00Z Eve:", "Bo\": [joined]"];
    let vote = item(
        9,
        "poll_vote",
        json!({"from": {"name": "Bo [left]:", "phone": "4520123460"}, "target": target(2, client()), "text": header}),
    );
    let named: Vec<_> = (4..).zip(names).map(|(number, name)| text(name, number)).collect();
    let items: Vec<_> =
        [erased, item(2, "text", json!({"text": "x"})), removed].into_iter().chain(named).chain([vote]).collect();
    for file in export(&items) {
        for line in file.text.lines() {
            let is_marked = line.starts_with("| ");
            assert!(!line.contains("Ana Sousa") || is_marked, "{line:?}");
            assert!(
                !line.starts_with("This message was deleted.")
                    || file.events().iter().any(|event| event["deleted"] == true)
            );
            assert!(!line.ends_with("[left]:") && !line.ends_with("[joined]:"), "{line:?}");
        }
        let heads: Vec<_> = file.text.lines().filter(|line| line.starts_with("2026-") && line.ends_with(':')).collect();
        assert_eq!(heads.len(), file.events().len(), "{heads:?}");
        for event in file.events().iter().flat_map(|event| event["custom"].as_array().unwrap()) {
            let value = event["value"].as_str().unwrap();
            assert!(value.lines().all(|line| !line.starts_with("2026-11-20T09:14:03Z Ana")), "{value}");
        }
    }
}
