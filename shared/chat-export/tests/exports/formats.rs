//! Exports as phones write them, and their items. Every sample is invented, in the format of phones.

mod participants;

use std::io::{Cursor, Write};

use chat_export::{DateOrder, Export, ExportError, ExportFile, OrderEvidence, Settings, locate};
use jiff::tz::TimeZone;
use model::{ChatType, Direction, Item, Kind, MailboxAddress};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};
use zip::{ZipWriter, write::SimpleFileOptions};

fn owner() -> MailboxAddress {
    "owner@example.com".parse().unwrap()
}

fn read_with(file_name: &str, text: &str, participants: Option<&str>) -> Result<Export, ExportError> {
    Export::read(ExportFile {
        owner: &owner(),
        file_name,
        bytes: text.as_bytes().to_vec(),
        participants_csv: participants.map(str::as_bytes),
        settings: &Settings::in_zone(TimeZone::get("Europe/Copenhagen").unwrap()),
        archived_time: "2026-11-22T10:00:00Z".parse().unwrap(),
    })
}

fn read(text: &str) -> Export {
    read_with("WhatsApp Chat with Team.txt", text, None).unwrap()
}

fn items(export: &Export) -> Vec<(Item, Value)> {
    let capture = |id| {
        let captured = export.item(id).unwrap().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(&captured.item.id, id);
        (captured.item, serde_json::from_slice(&captured.evidence).unwrap())
    };
    export.ids().map(capture).collect()
}

/// Returns the one item of a message from Ada that says this.
fn message(body: &str) -> (Item, Value) {
    let mut all = items(&read(&format!("13/07/2024, 09:12 - Ada: {body}\n")));
    assert_eq!(all.len(), 1, "{body}");
    all.remove(0)
}

/// Reads a message like [`read`], with a file of this name in a zip.
fn message_with(file: &str, body: &str) -> (Item, Value) {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in [("_chat.txt", format!("13/07/2024, 09:12 - Ada: {body}\n")), (file, "file".to_owned())] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes.as_bytes()).unwrap();
    }
    let bytes = zip.finish().unwrap().into_inner();
    let export = Export::read(ExportFile {
        owner: &owner(),
        file_name: "WhatsApp Chat with Team.zip",
        bytes,
        participants_csv: None,
        settings: &Settings::in_zone(TimeZone::UTC),
        archived_time: "2026-11-22T10:00:00Z".parse().unwrap(),
    });
    let mut all = items(&export.unwrap());
    assert_eq!(all.len(), 1, "{body}");
    all.remove(0)
}

#[test]
fn message_becomes_an_item_in_the_sources_format() {
    let export = read_with(
        "WhatsApp Chat with Ada Lovelace.txt",
        "13/07/2024, 09:12 - Ada Lovelace: Hello 👩‍🚀\nsecond line\n\n13/07/2024, 09:13 - Bob: Hi\n",
        None,
    )
    .unwrap();
    let (item, evidence) = items(&export).remove(0);
    let hash = item.message_id.clone().unwrap();
    assert_eq!(
        evidence,
        json!({
            "id": format!("export/owner@example.com/WhatsApp%20Chat%20with%20Ada%20Lovelace.txt#{hash}"),
            "messageId": hash,
            "network": "whatsapp",
            "type": "text",
            "messageTime": "2024-07-13T07:12:00Z",
            "archivedTime": "2026-11-22T10:00:00Z",
            "direction": "incoming",
            "chat": {"id": item.chat.id, "type": "individual", "name": "Ada Lovelace"},
            "from": {"name": "Ada Lovelace"},
            "to": [{"name": "Bob", "email": "owner@example.com"}],
            "text": "Hello 👩‍🚀\nsecond line\n",
            "export": {"file": "WhatsApp Chat with Ada Lovelace.txt", "line": 1},
            "upload": {"owner": "owner@example.com", "file": "WhatsApp Chat with Ada Lovelace.txt"},
        })
    );
    assert_eq!(
        locate(&item.id),
        Some((owner(), "WhatsApp Chat with Ada Lovelace.txt".to_owned())),
        "the adapter finds the object by the id"
    );
    assert_eq!(hash.len(), 20);
}

#[test]
fn every_style_of_date_gives_the_same_moment() {
    for (line, moment) in [
        ("13/07/2024, 21:12 - Ada: x", "2024-07-13T19:12:00Z"),
        ("13.07.24, 21:12 - Ada: x", "2024-07-13T19:12:00Z"),
        ("13-07-2024 21:12 - Ada: x", "2024-07-13T19:12:00Z"),
        ("2024-07-13, 21:12 - Ada: x", "2024-07-13T19:12:00Z"),
        ("7/13/24, 9:12 PM - Ada: x", "2024-07-13T19:12:00Z"),
        ("7/13/24, 9:12\u{202f}PM - Ada: x", "2024-07-13T19:12:00Z"),
        ("13/7/2024, 9:12 p.\u{a0}m. - Ada: x", "2024-07-13T19:12:00Z"),
        ("[13/07/2024, 21:12:56] Ada: x", "2024-07-13T19:12:56Z"),
        ("\u{200e}[7/13/24, 9:12:56\u{202f}PM] Ada: x", "2024-07-13T19:12:56Z"),
        ("[13.07.24 kl. 21.12.56] Ada: x", "2024-07-13T19:12:56Z"),
        ("\u{feff}13/07/2024, 21:12 - Ada: x", "2024-07-13T19:12:00Z"),
        // 02:30 did not happen when summer began, and happened twice when it ended.
        ("31/03/2024, 02:30 - Ada: x", "2024-03-31T01:30:00Z"),
        ("27/10/2024, 02:30 - Ada: x", "2024-10-27T00:30:00Z"),
    ] {
        let all = items(&read(line));
        let (item, _) = &all[0];
        assert_eq!(item.message_time.to_string(), moment, "{line}");
        assert_eq!((item.from.name.as_deref(), item.text.as_deref()), (Some("Ada"), Some("x")), "{line}");
    }
}

#[test]
fn order_of_day_and_month_is_inferred_and_reported() {
    let order = |text: &str| {
        let order = read(text).day_order();
        (order.order, order.evidence, order.is_ambiguous())
    };
    assert_eq!(
        order("01/02/2024, 09:12 - A: x\n02/13/2024, 09:12 - A: x"),
        (DateOrder::MonthDayYear, OrderEvidence::Numbers, false)
    );
    assert_eq!(
        order("01/02/2024, 09:12 - A: x\n02/01/2024, 09:12 - A: x\n03/01/2024, 09:12 - A: x"),
        (DateOrder::MonthDayYear, OrderEvidence::Chronology, false)
    );
    assert_eq!(order("01/02/2024, 09:12 - A: x"), (DateOrder::DayMonthYear, OrderEvidence::Default, true));
}

#[test]
fn attachment_is_found_in_every_language() {
    for (body, name, text) in [
        ("IMG-20240713-WA0001.jpg (file attached)", "IMG-20240713-WA0001.jpg", None),
        (
            "\u{200e}IMG-20240713-WA0001.jpg (file attached)\nsee this\nand that",
            "IMG-20240713-WA0001.jpg",
            Some("see this\nand that"),
        ),
        ("IMG-1.jpg (Datei angehängt)", "IMG-1.jpg", None),
        ("IMG-1.jpg (archivo adjunto)", "IMG-1.jpg", None),
        ("IMG-1.jpg (fil vedhæftet)", "IMG-1.jpg", None),
        ("IMG-1.jpg (arquivo anexado)", "IMG-1.jpg", None),
        ("IMG-1.jpg (ficheiro anexado)", "IMG-1.jpg", None),
        ("IMG-1.jpg (fichier joint)", "IMG-1.jpg", None),
        ("IMG-1.jpg (file allegato)", "IMG-1.jpg", None),
        ("IMG-1.jpg (bestand bijgevoegd)", "IMG-1.jpg", None),
        ("\u{200e}<attached: 00000002-PHOTO-2024-07-13-09-12-00.jpg>", "00000002-PHOTO-2024-07-13-09-12-00.jpg", None),
        ("see this \u{200e}<attached: 1.jpg>", "1.jpg", Some("see this")),
        ("two\nlines\n\u{200e}<attached: 1.jpg>", "1.jpg", Some("two\nlines")),
        ("\u{200e}<attached: 1.jpg>\nafter it", "1.jpg", Some("after it")),
        ("<Anhang: 1.jpg>", "1.jpg", None),
        ("<adjunto: 1.jpg>", "1.jpg", None),
        ("<vedhæftet: 1.jpg>", "1.jpg", None),
        ("<anexado: 1.jpg>", "1.jpg", None),
        ("<pièce jointe\u{a0}: 1.jpg>", "1.jpg", None),
        ("<allegato: 1.jpg>", "1.jpg", None),
        ("<bijgevoegd: 1.jpg>", "1.jpg", None),
        ("1.jpg <\u{200e}attached>", "1.jpg", None),
    ] {
        let (item, evidence) = message_with(name, body);
        assert_eq!(item.kind, Kind::Image, "{body}");
        assert_eq!(item.attachments.len(), 1, "{body}");
        assert_eq!(item.attachments[0].name.as_deref(), Some(name), "{body}");
        assert_eq!(item.attachments[0].content_type.as_deref(), Some("image/jpeg"));
        assert_eq!(item.text.as_deref(), text, "{body}");
        let marker = evidence["export"]["marker"].as_str().unwrap();
        assert!(body.contains(marker) && marker.contains(name), "{body}: {marker}");
    }
}

#[test]
fn kind_follows_the_file_name() {
    for (file, kind) in [
        ("VID-20240713-WA0001.mp4", Kind::Video),
        ("00000012-GIF-2024-07-13-09-12-00.mp4", Kind::Gif),
        ("PTT-20240713-WA0001.opus", Kind::Voice),
        ("00000001-AUDIO-2024-07-13-09-12-00.opus", Kind::Voice),
        ("AUD-20240713-WA0001.m4a", Kind::Audio),
        ("STK-20240713-WA0001.webp", Kind::Sticker),
        ("00000011-STICKER-2024-07-13-09-12-00.webp", Kind::Sticker),
        ("IMG-20240713-WA0001.webp", Kind::Image),
        ("Søren Jensen.vcf", Kind::Contacts),
        ("Budget 2024 (final).xlsx", Kind::Document),
        ("DOC-20240713-WA0001.", Kind::Document),
    ] {
        assert_eq!(message_with(file, &format!("{file} (file attached)")).0.kind, kind, "{file}");
        assert_eq!(message_with(file, &format!("\u{200e}<attached: {file}>")).0.kind, kind, "{file}");
    }
    let (item, _) =
        message_with("00000002-Some.pdf", "Some.pdf • \u{200e}2 pages \u{200e}<attached: 00000002-Some.pdf>");
    assert_eq!((item.kind, item.text.as_deref()), (Kind::Document, Some("Some.pdf • \u{200e}2 pages")));
}

#[test]
fn lines_of_whatsapp_are_distinguished_from_messages() {
    let unsupported = [
        "<Media omitted>",
        "<Medien ausgeschlossen>",
        "<Multimedia omitido>",
        "<Mediefil udeladt>",
        "<Mídia oculta>",
        "<Médias omis>",
        "<Media omessi>",
        "<Media weggelaten>",
        "<Media omitted>\nwith a caption",
        "<View once voice message omitted>",
        "Waiting for this message. This may take a while.",
        "null",
        "",
        "\u{200e}",
    ];
    let kinds = [
        ("\u{200e}image omitted", Kind::Image),
        ("see \u{200e}image omitted", Kind::Image),
        ("Bild weggelassen", Kind::Image),
        ("imagen omitida", Kind::Image),
        ("billede udeladt", Kind::Image),
        ("imagem ocultada", Kind::Image),
        ("image absente", Kind::Image),
        ("immagine omessa", Kind::Image),
        ("afbeelding weggelaten", Kind::Image),
        ("video omitted", Kind::Video),
        ("<Video note omitted>", Kind::Video),
        ("audio omitted", Kind::Audio),
        ("sticker omitted", Kind::Sticker),
        ("GIF omitted", Kind::Gif),
        ("Plan.pdf • 2 pages \u{200e}document omitted", Kind::Document),
        ("Contact card omitted", Kind::Contacts),
        ("This message was deleted", Kind::Delete),
        ("\u{200e}This message was deleted.", Kind::Delete),
        ("You deleted this message", Kind::Delete),
        ("Du hast diese Nachricht gelöscht.", Kind::Delete),
        ("Se eliminó este mensaje", Kind::Delete),
        ("Denne besked blev slettet.", Kind::Delete),
        ("Mensagem apagada", Kind::Delete),
        ("Ce message a été supprimé", Kind::Delete),
        ("Questo messaggio è stato eliminato", Kind::Delete),
        ("Dit bericht is verwijderd", Kind::Delete),
        ("\u{200e}Missed voice call", Kind::Call),
        ("Missed video call. \u{200e}Tap to call back", Kind::Call),
        ("\u{200e}Voice call, \u{200e}5 min", Kind::Call),
        ("Verpasster Sprachanruf", Kind::Call),
        ("Videollamada perdida", Kind::Call),
        ("Ubesvaret taleopkald", Kind::Call),
        ("live location shared", Kind::LiveLocation),
        (
            "\u{200e}Messages and calls are end-to-end encrypted. No one outside of this chat can read them.",
            Kind::System,
        ),
        ("\u{200e}Ada added Bob", Kind::GroupEvent),
    ];
    let people = [
        "I think this message was deleted",
        "image omitted, they said",
        "the video omitted the best part",
        "Media omitted",
        "Missed voice call from you, sorry",
        "Missed voice call, sorry. I take the 5m at 99",
        "Messages and calls are end-to-end encrypted, they say",
        "Your security code with us is 884213",
        "Video call, tomorrow?",
        "nullify",
        "Ada added Bob",
        "https://maps.google.com/?q=55.6,12.5",
        "see: https://example.com/a",
        "POLL: who comes?",
        "<b>hello</b>",
        "x (file attached)",
    ];
    let expected = unsupported.map(|body| (body, Kind::Unsupported)).into_iter().chain(kinds);
    for (body, kind) in expected.chain(people.map(|body| (body, Kind::Text))) {
        let (item, _) = message(body);
        assert_eq!(item.kind, kind, "{body}");
        assert_eq!(item.text.as_deref().unwrap_or_default(), body, "the text is whole");
        assert_eq!(
            item.reason.is_some(),
            kind == Kind::Unsupported
                || body.contains("omitted") && kind != Kind::Text
                || ["Bild", "imagen", "billede", "imagem", "image ab", "immagine", "afbeelding"]
                    .iter()
                    .any(|word| body.starts_with(word))
                    && kind == Kind::Image,
            "{body}"
        );
    }
    let (item, _) = message("This message was deleted by admin Søren.");
    assert_eq!(item.deletion.unwrap().by.unwrap().name.as_deref(), Some("Søren"));
}

#[test]
fn edited_message_is_marked_and_keeps_its_text() {
    for body in [
        "later <This message was edited>",
        "later \u{200e}<This message was edited>",
        "später <Diese Nachricht wurde bearbeitet.>",
        "luego <Se editó este mensaje.>",
        "senere <Denne besked blev redigeret>",
        "depois <Mensagem editada>",
        "plus tard <Ce message a été modifié>",
        "dopo <Questo messaggio è stato modificato>",
        "later <Dit bericht is bewerkt>",
    ] {
        let (item, evidence) = message(body);
        assert_eq!((item.kind, item.text.as_deref()), (Kind::Text, Some(body)));
        assert_eq!(evidence["export"]["edited"], true, "{body}");
    }
    let (_, evidence) = message("he wrote <This message was edited> and left");
    assert_eq!(evidence["export"].get("edited"), None);
}

#[test]
fn polls_and_places_are_read() {
    let (item, _) = message("POLL:\nLunch?\nOPTION: Pizza (2 votes)\nOPTION: Soup (hot) (0 votes)\nOPTION: None");
    let poll = item.poll.unwrap();
    assert_eq!((item.kind, poll.question.as_deref()), (Kind::Poll, Some("Lunch?")));
    assert_eq!(poll.options, ["Pizza", "Soup (hot)", "None"]);
    for body in [
        "\u{200e}POLL:\nLunch?\n\u{200e}OPTION: Pizza (\u{200e}2 votes)",
        "UMFRAGE:\nMittag?\nOPTION: Pizza (1 Stimme)",
        "ENQUETE:\nAlmoço?\nOPÇÃO: Pizza (1 voto)",
    ] {
        assert_eq!(message(body).0.poll.unwrap().options, ["Pizza"], "{body}");
    }
    let (item, _) = message("location: https://maps.google.com/?q=55.676098,-12.568337");
    let place = item.location.unwrap();
    assert_eq!((item.kind, place.latitude, place.longitude), (Kind::Location, Some(55.676098), Some(-12.568337)));
    let (item, _) = message("Standort: https://maps.google.com/?q=999,1e999");
    let place = item.location.unwrap();
    assert_eq!((place.latitude, place.longitude), (None, None), "invalid coordinates stay in the link");
    let (item, _) = message("Café (Main Street 1): https://foursquare.com/v/4b0588");
    assert_eq!(item.location.unwrap().name.as_deref(), Some("Café (Main Street 1)"));
}

#[test]
fn group_has_its_system_lines() {
    let text = "12/07/2024, 22:35 - Messages to this group are now secured with end-to-end encryption. Tap for more info.\n\
                13/07/2024, 22:35 - You created group \"Team: A\"\n\
                13/07/2024, 22:36 - Ada: hi\n\
                13/07/2024, 22:37 - Bob left\n";
    let all = items(&read(text));
    let kinds: Vec<&Kind> = all.iter().map(|(item, _)| &item.kind).collect();
    assert_eq!(kinds, [&Kind::System, &Kind::GroupEvent, &Kind::Text, &Kind::GroupEvent]);
    let (created, evidence) = &all[1];
    assert_eq!(created.chat.chat_type, ChatType::Group);
    assert_eq!(created.chat.name.as_deref(), Some("Team"));
    assert_eq!(created.text.as_deref(), Some("You created group \"Team: A\""));
    assert_eq!(evidence["event"]["action"], "created");
    assert_eq!(evidence["from"], json!({"name": "WhatsApp"}));
    assert_eq!(evidence["to"], json!([{"name": "Ada"}, {"email": "owner@example.com"}]));
}

#[test]
fn name_used_only_by_whatsapp_is_not_a_participant() {
    let text = "[13/07/24, 09:12:00] Team: \u{200e}Messages and calls are end-to-end encrypted.\r\n\
                [13/07/24, 09:12:01] Team: \u{200e}Ada created group “Team”\r\n\
                [13/07/24, 09:13:00] ~\u{202f}Ada: one\r\ntwo\r\n\
                [13/07/24, 09:14:00] \u{202a}+45\u{a0}20\u{a0}12\u{a0}34\u{a0}56\u{202c}: three\r\n";
    let all = items(&read(text));
    assert_eq!(all[0].1["from"], json!({"name": "Team"}));
    assert_eq!(
        all[0].1["to"],
        json!([{"name": "~\u{202f}Ada"}, {"name": "+4520123456"}, {"email": "owner@example.com"}])
    );
    assert_eq!(all[1].0.chat.chat_type, ChatType::Group);
    assert_eq!(all[2].0.text.as_deref(), Some("one\ntwo"));
    assert_eq!(all[2].1["to"], json!([{"name": "+4520123456"}, {"email": "owner@example.com"}]));
    assert_eq!(all[3].1["from"], json!({"name": "+4520123456"}));
}

#[test]
fn lines_before_the_first_message_become_an_item() {
    let all = items(&read("the end of a message\nof two lines\n13/07/2024, 09:12 - Ada: x\n"));
    let (fragment, evidence) = &all[0];
    assert_eq!((all.len(), &fragment.kind), (2, &Kind::Unsupported));
    assert_eq!(fragment.text.as_deref(), Some("the end of a message\nof two lines"));
    assert_eq!(fragment.message_time, all[1].0.message_time);
    assert!(evidence["reason"].as_str().unwrap().contains("before the export's first message"));
}

#[test]
fn longer_export_of_the_same_chat_keeps_the_old_ids() {
    // Until the thirteenth, day and month cannot be distinguished.
    let old = "01/02/2024, 09:12 - Ada: same\n01/02/2024, 09:12 - Ada: same\n02/02/2024, 09:13 - Bob: bye\n";
    let new = format!("{old}02/13/2024, 09:13 - Bob: back\n01/02/2024, 09:12 - Ada: same\n");
    let ids = |text: &str| read(text).ids().cloned().collect::<Vec<_>>();
    let (before, after) = (ids(old), ids(&new));
    assert_eq!(before[..], after[..3]);
    let mut distinct = after.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 5, "equal messages are different items");
    assert_eq!(read(old).day_order().evidence, OrderEvidence::Default);
    assert_eq!(read(&new).day_order().order, DateOrder::MonthDayYear);
    assert!(read(old).item(&after[4]).is_none());
    assert!(read(old).item(&"WA-1".parse().unwrap()).is_none());
}

#[test]
fn other_files_are_rejected_with_an_instruction() {
    for (file_name, text, error) in [
        ("chat.pdf", "x", ExportError::Type),
        ("chat", "x", ExportError::Type),
        ("chat.txt", "", ExportError::NoMessages),
        ("chat.txt", "hello\nworld", ExportError::NoMessages),
        ("chat.zip", "13/07/2024, 09:12 - Ada: x", ExportError::ZipDamaged),
    ] {
        assert_eq!(read_with(file_name, text, None).err(), Some(error), "{file_name}");
    }
    let many_senders: String = (0..=Export::MAX_SENDERS).map(|n| format!("13/07/2024, 09:12 - P{n}: x\n")).collect();
    let limit = Export::MAX_SENDERS;
    assert_eq!(read_with("chat.txt", &many_senders, None).err(), Some(ExportError::TooManySenders { limit }));
    let many = "13/07/2024, 09:12 - A: \n".repeat(Export::MAX_MESSAGES + 1);
    let limit = Export::MAX_MESSAGES;
    assert_eq!(read_with("chat.txt", &many, None).err(), Some(ExportError::TooManyMessages { limit }));
    let long = format!("{}.txt", "x".repeat(300));
    assert!(matches!(read_with(&long, "x", None), Err(ExportError::NameTooLong { .. })));
}
