//! Participants of exports, and the participants file.

use pretty_assertions::assert_eq;

use super::*;

#[test]
fn participants_file_identifies_senders() {
    let text = "13/07/2024, 09:12 - Ada: x\n13/07/2024, 09:13 - +45 20 12 34 56: y\n13/07/2024, 09:14 - Eve: z\n";
    let csv = "\u{feff}Email;Name;Phone;note\nada@example.com;Ada;+45 11 22 33 44;boss\nOWNER@example.com;Me;0045 20123456;\n;Silent;+4599887766;\n";
    let all = items(&read_with("Team.txt", text, Some(csv)).unwrap());
    let me = json!({"name": "Me", "email": "owner@example.com"});
    let ada = json!({"name": "Ada"});
    let silent = json!({"name": "Silent"});
    assert_eq!(all[0].1["from"], ada);
    assert_eq!(all[0].1["to"], json!([me, {"name": "Eve"}, silent]));
    assert_eq!(all[1].1["from"], me);
    assert_eq!(all[1].1["to"], json!([ada, {"name": "Eve"}, silent]));
    let directions: Vec<Option<Direction>> = all.iter().map(|(item, _)| item.direction.clone()).collect();
    assert_eq!(directions, [Some(Direction::Incoming), Some(Direction::Outgoing), Some(Direction::Incoming)]);
}

#[test]
fn sender_with_a_name_of_the_file_is_not_identified_by_it() {
    let line = |name: &str| format!("[13/07/24, 09:12:00] {name}: I agree\r\n");
    let csv = "name,phone,email\nAda Lovelace,+4511223344,ada@example.com\n";
    let from = |names: &[&str], csv: &str| -> Vec<Value> {
        let text: String = names.iter().map(|name| line(name)).collect();
        let export = read_with("Team.txt", &text, Some(csv)).unwrap();
        let who = |evidence: &Value| json!([evidence["from"]["name"], evidence["export"].get("fromPhone")]);
        items(&export).into_iter().map(|(_, evidence)| who(&evidence)).collect()
    };
    let ada = |name: &str| json!([name, "+4511223344"]);
    let stranger_to_file = |name: &str| json!([name, null]);
    let stranger = "~\u{202f}Ada Lovelace";
    for other in [stranger, "ADA LOVELACE", "~ ada lovelace"] {
        for names in [["Ada Lovelace", other], [other, "Ada Lovelace"]] {
            let expected = names.map(|name| if name == other { stranger_to_file(other) } else { ada(name) });
            assert_eq!(from(&names, csv), expected, "{names:?}");
        }
    }
    // Two candidates: neither is chosen.
    assert_eq!(from(&[stranger, "ADA LOVELACE"], csv), [stranger_to_file(stranger), stranger_to_file("ADA LOVELACE")]);
    // One who may be meant is.
    for only in [stranger, "ADA LOVELACE", "Ada\u{a0}Lovelace"] {
        assert_eq!(from(&[only, "Bob"], csv), [ada(only), stranger_to_file("Bob")]);
    }
    // The file may say of both who they are.
    let both = format!("{csv}~ Ada Lovelace,+4599887766,\n");
    let eve = json!([stranger, "+4599887766"]);
    assert_eq!(from(&[stranger, "Ada Lovelace"], &both), [eve, ada("Ada Lovelace")]);
}

#[test]
fn invalid_participants_file_is_rejected_with_its_line() {
    for (csv, line) in [
        ("", 1),
        ("name,phone", 1),
        ("name,phone,email,name", 1),
        ("name,phone,email\nAda,,ada", 2),
        ("name,phone,email\nAda,,\n,,ada@example.com", 3),
        ("name,phone,email\nAda,4.52E+09,", 2),
        ("name,phone,email\nAda,1-800-FLOWERS,", 2),
        ("name,phone,email\nAda,,a@example.com\nada,,b@example.com", 3),
        ("name,phone,email\nAda,+4520123456,\nBob,0045 20123456,", 3),
        ("name,phone,email\nAda,", 2),
    ] {
        match read_with("Team.txt", "13/07/2024, 09:12 - Ada: x", Some(csv)) {
            Err(ExportError::Participants { line: found, problem }) => {
                assert_eq!(found, line, "{csv}");
                assert!(!problem.contains("Ada") && !problem.contains("20123456"), "{problem}");
            }
            other => panic!("{csv}: {other:?}"),
        }
    }
    let bytes = b"name,phone,email\nS\xf8ren,,a@example.com";
    let rejected = Export::read(ExportFile {
        owner: &owner(),
        file_name: "Team.txt",
        bytes: b"13/07/2024, 09:12 - Ada: x".to_vec(),
        participants_csv: Some(bytes),
        settings: &Settings::in_zone(TimeZone::UTC),
        archived_time: "2026-11-22T10:00:00Z".parse().unwrap(),
    });
    assert!(matches!(rejected.err(), Some(ExportError::Participants { line: 2, .. })));
}

#[test]
fn owner_is_not_guessed() {
    for (file_name, text) in [
        // Three write; the group may be named after one of them.
        (
            "WhatsApp Chat with Ada.txt",
            "13/07/2024, 09:12 - Ada: x\n13/07/2024, 09:12 - Bob: x\n13/07/2024, 09:12 - Eve: x",
        ),
        // No participant has the name.
        ("WhatsApp Chat with Team.txt", "13/07/2024, 09:12 - Ada: x\n13/07/2024, 09:12 - Bob: x"),
        // A group of two.
        (
            "WhatsApp Chat with Ada.txt",
            "13/07/2024, 09:12 - You created group \"Ada\"\n13/07/2024, 09:12 - Ada: x\n13/07/2024, 09:12 - Bob: x",
        ),
        // A person gave the file its name.
        ("Ada.txt", "13/07/2024, 09:12 - Ada: x\n13/07/2024, 09:12 - Bob: x"),
        // Only one writes.
        ("WhatsApp Chat with Ada.txt", "13/07/2024, 09:12 - Bob: x"),
    ] {
        for (item, evidence) in items(&read_with(file_name, text, None).unwrap()) {
            assert_eq!(item.from.email, None, "{text}");
            assert_eq!(item.direction, None);
            assert!(evidence["to"].as_array().unwrap().contains(&json!({"email": "owner@example.com"})), "{text}");
        }
    }
}
