//! Senders, and lines that WhatsApp wrote itself.

use chat_export::{Recipients, Settings};
use model::Kind;
use pretty_assertions::assert_eq;
use serde_json::Value;

use super::support::{items, kinds, lines, read_as, senders_and_times, settings, text};

#[test]
fn names_end_where_known_participants_show_it() {
    assert_eq!(
        lines("13/07/2024, 10:00 - Tom 24\" TV: a\n13/07/2024, 10:01 - Ada: b\n"),
        ["2024-07-13 10:00 Tom 24\" TV", "2024-07-13 10:01 Ada"]
    );
    let chat = "13/07/2024, 10:00 - Ada: Work: a\n13/07/2024, 10:00 - Bo: b\n";
    let csv = "name,phone,email\nAda: Work,,\n";
    let export = read_as("Team.txt", chat.as_bytes().to_vec(), Some(csv), &settings()).unwrap();
    assert_eq!(senders_and_times(&export)[0], "2024-07-13 10:00 Ada: Work");
    assert_eq!(items(&export)[0].0.text.as_deref(), Some("a"));
    let ids = |csv| {
        read_as("Team.txt", chat.as_bytes().to_vec(), csv, &settings()).unwrap().ids().cloned().collect::<Vec<_>>()
    };
    assert_eq!(ids(Some(csv)), ids(None), "facts about names change no id");
}

#[test]
fn sender_that_is_not_proven_is_named_and_noted() {
    let chat = "13/07/2024, 10:00 - Tom: hi\n13/07/2024, 10:01 - Tom plumber from work: I accept\n\
                13/07/2024, 10:02 - Tom: ok\n";
    let export = text(chat).unwrap();
    let all = items(&export);
    let (item, evidence) = &all[1];
    assert_eq!((item.from.name.as_deref(), item.text.as_deref()), (Some("Tom plumber from work"), Some("I accept")));
    assert!(evidence["upload"]["notes"][0].as_str().unwrap().contains("the sender is not proven"));
    // It may be a notice, so it is not a participant of other messages, and shows nothing about the owner.
    let others: Vec<_> = all[0].0.participants().filter_map(|person| person.name.clone()).collect();
    assert_eq!(others, ["Tom"]);
    let orders = "13/07/2024, 10:00 - Bo: Order: 1\n".repeat(4);
    for (item, evidence) in items(&text(&orders).unwrap()) {
        assert_eq!((item.from.name.as_deref(), item.text.as_deref()), (Some("Bo"), Some("Order: 1")));
        assert!(evidence["upload"]["notes"][0].as_str().unwrap().contains("may be part of the name"));
    }
}

#[test]
fn name_of_the_file_is_the_same_composed_or_decomposed() {
    let ids = |name: &str| -> Vec<_> {
        let chat = b"13/07/2024, 10:00 - Ada: hi\n".to_vec();
        let export = read_as(name, chat, None, &settings()).unwrap();
        items(&export).into_iter().map(|(item, _)| (item.id, item.chat.id, item.chat.name)).collect()
    };
    assert_eq!(ids("WhatsApp Chat with Jos\u{e9}.txt"), ids("WhatsApp Chat with Jose\u{301}.txt"));
}

#[test]
fn lines_of_whatsapp_have_no_sender() {
    let export = text("04/03/2024, 22:29 - Bo added you to a group in the community: Garden\n").unwrap();
    assert_eq!(kinds(&export), [Kind::GroupEvent]);
    for notice in [
        "\u{200e}Messages and calls are end-to-end encrypted. No one outside of this chat can read them.",
        "\u{200e}Zprávy a hovory jsou koncově šifrované. Nikdo mimo tento chat je nemůže číst.",
        "\u{200e}Bo changed their phone number to a new number.",
        "\u{200e}Ada zork blip the group",
        "\u{200e}メッセージと通話はエンドツーエンド暗号化されています。",
        "\u{200e}ข้อความและการโทรถูกเข้ารหัสจากต้นทางถึงปลายทาง",
    ] {
        let chat = format!(
            "[14.08.2024, 21:00:10] Team: {notice}\r\n[14.08.2024, 21:00:11] Ada: a\r\n[14.08.2024, 21:00:12] Bo: b\r\n"
        );
        let export = text(&chat).unwrap();
        let all = items(&export);
        assert!(matches!(all[0].0.kind, Kind::System | Kind::GroupEvent), "{notice}");
        let names: Vec<_> = all[1].0.participants().filter_map(|person| person.name.clone()).collect();
        assert_eq!(names, ["Ada", "Bo"], "{notice}");
    }
}

#[test]
fn line_that_words_alone_attribute_to_whatsapp_has_a_note() {
    let chat = "13/07/24, 10:00 - Ada: hi\n13/07/24, 10:01 - Bob added from LinkedIn: I accept the price\n";
    let all = items(&text(chat).unwrap());
    let (item, evidence) = &all[1];
    assert_eq!(item.text.as_deref(), Some("Bob added from LinkedIn: I accept the price"));
    let note = evidence["upload"]["notes"][0].as_str().unwrap();
    assert!(note.contains("may be a person's name"), "{note}");
    assert!(all[0].1["upload"].get("notes").is_none());
}

#[test]
fn words_of_a_person_are_no_notice() {
    // Android writes notices without a name.
    let chat = "13/07/24, 10:00 - Barclays: Your security code with us is 884213\n13/07/24, 10:01 - Owner: thanks\n\
                13/07/24, 10:02 - Barclays: Missed voice call, sorry. I take the 5m at 99\n\
                13/07/24, 10:03 - Barclays: Missed voice call\n";
    let csv = "name,phone,email\nOwner,,owner@example.com\n";
    let export = read_as("WhatsApp Chat with Barclays.txt", chat.as_bytes().to_vec(), Some(csv), &settings()).unwrap();
    let all = items(&export);
    let seen: Vec<_> = all.iter().map(|(item, _)| (item.kind.clone(), format!("{:?}", item.direction))).collect();
    let [incoming, outgoing] = ["Some(Incoming)", "Some(Outgoing)"].map(str::to_owned);
    let expected = [(Kind::Text, &incoming), (Kind::Text, &outgoing), (Kind::Text, &incoming), (Kind::Call, &incoming)];
    assert_eq!(seen.iter().map(|(kind, direction)| (kind.clone(), direction)).collect::<Vec<_>>(), expected);
    // On an iPhone the mark shows a notice, and a person may write the mark.
    let chat = "[14.08.2024, 21:00:10] Bo: \u{200e}Messages and calls are end-to-end encrypted.\r\n\
                [14.08.2024, 21:00:11] Ada: a\r\n[14.08.2024, 21:00:12] Bo: b\r\n\
                [14.08.2024, 21:00:13] Bo: \u{200e}I accept the price of yesterday\r\n\
                [14.08.2024, 21:00:14] Bo: Your security code with us is 884213\r\n";
    let all = items(&text(chat).unwrap());
    let kinds: Vec<_> = all.iter().map(|(item, _)| item.kind.clone()).collect();
    assert_eq!(kinds, [Kind::System, Kind::Text, Kind::Text, Kind::System, Kind::Text]);
    let noted: Vec<_> = all.iter().map(|(_, evidence)| evidence["upload"].get("notes").is_some()).collect();
    assert_eq!(noted, [false, false, false, true, false]);
}

#[test]
fn participants_file_adds_no_mailbox() {
    let chat = "13/07/2024, 10:00 - Ada: a\n13/07/2024, 10:00 - Me: b\n13/07/2024, 10:00 - +45 20 12 34 56: c\n";
    let csv = "name,phone,email\nAda,+45 11 22 33 44,boss@example.com\nMe,+45 99 88 77 66,owner@example.com\nEve,,eve@example.com\n";
    let read = |recipients| {
        let settings = Settings { recipients, ..settings() };
        items(&read_as("Team.txt", chat.as_bytes().to_vec(), Some(csv), &settings).unwrap())
    };
    for (item, evidence) in read(Recipients::Owner) {
        let resolvable: Vec<_> =
            item.participants().filter(|person| person.phone.is_some() || person.email.is_some()).collect();
        assert_eq!(resolvable.len(), 1);
        assert_eq!((resolvable[0].email.as_deref(), &resolvable[0].phone), (Some("owner@example.com"), &None));
        assert!(!evidence.to_string().contains("boss@example.com"));
        assert_eq!(evidence["upload"], serde_json::json!({"owner": "owner@example.com", "file": "Team.txt"}));
    }
    let (first, evidence) = &read(Recipients::Owner)[0];
    assert_eq!(
        (first.from.name.as_deref(), &evidence["export"]["fromPhone"]),
        (Some("Ada"), &Value::from("+45 11 22 33 44"))
    );

    let mapped = read(Recipients::Mapped);
    let phones: Vec<_> = mapped.iter().map(|(item, _)| item.from.phone.as_deref()).collect();
    assert_eq!(phones, [Some("+45 11 22 33 44"), None, Some("+4520123456")]);
    for (item, _) in mapped {
        let emails: Vec<_> = item.participants().filter_map(|person| person.email.as_deref()).collect();
        assert_eq!(emails, ["owner@example.com"]);
    }
}

#[test]
fn only_a_name_of_the_phone_shows_where_a_sender_ends() {
    let chat = "13/07/2024, 10:00 - Bo: Order: 100\n13/07/2024, 10:01 - Ada: ok\n";
    for (file_name, sender) in [("WhatsApp Chat with Bo_ Order.txt", "Bo: Order"), ("Bo_ Order.txt", "Bo")] {
        let export = read_as(file_name, chat.as_bytes().to_vec(), None, &settings()).unwrap();
        assert_eq!(items(&export)[0].0.from.name.as_deref(), Some(sender), "{file_name}");
    }
}

#[test]
fn kind_of_a_group_line_is_read_outside_quotations() {
    for (line, action) in [
        ("Ada changed the subject to “Who removed Bob”", Some("renamed")),
        ("Ada changed the subject from \"Bob left\" to \"We added Bob\"", Some("renamed")),
        ("Ada hat den Betreff zu „Wer wurde entfernt“ geändert", Some("renamed")),
        ("Ada hat die Gruppe „Bild entfernt“ erstellt", Some("created")),
        ("Ada hat das Gruppenbild entfernt", Some("picture_changed")),
        ("Ada a changé le sujet en « Bob a ajouté Eve »", Some("renamed")),
        ("Ada removed Bob", Some("removed")),
        ("Bob left", Some("left")),
        ("Karl left wing", None),
    ] {
        let chat = format!("13/07/2024, 10:00 - Ada: hi\n13/07/2024, 10:01 - {line}\n");
        let (item, _) = items(&text(&chat).unwrap()).remove(1);
        assert_eq!(item.event.and_then(|event| event.action).as_deref(), action, "{line}");
    }
    let export = text("13/07/2024, 10:00 - Ada: hi\n13/07/2024, 10:01 - Karl left wing: I agree\n").unwrap();
    assert_eq!(items(&export)[1].0.from.name.as_deref(), Some("Karl left wing"));
}
