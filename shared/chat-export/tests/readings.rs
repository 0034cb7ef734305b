//! Exports of many phones and languages, as public bug reports show them, and what each must become.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Cursor, Write};

use chat_export::{DateOrder, Export, ExportError, ExportFile, OrderEvidence, Recipients, Settings};
use jiff::tz::TimeZone;
use model::{AttachmentId, Item, Kind, MailboxAddress};
use pretty_assertions::assert_eq;
use serde_json::Value;
use zip::{ZipWriter, write::SimpleFileOptions};

fn settings() -> Settings {
    Settings::in_zone(TimeZone::get("Europe/Berlin").unwrap())
}

fn read_as(name: &str, bytes: Vec<u8>, csv: Option<&str>, settings: &Settings) -> Result<Export, ExportError> {
    let owner: MailboxAddress = "owner@example.com".parse().unwrap();
    Export::read(ExportFile {
        owner: &owner,
        file_name: name,
        bytes,
        participants_csv: csv.map(str::as_bytes),
        settings,
        archived_time: "2026-11-22T10:00:00Z".parse().unwrap(),
    })
}

fn text(text: &str) -> Result<Export, ExportError> {
    read_as("WhatsApp Chat with Team.txt", text.as_bytes().to_vec(), None, &settings())
}

fn zipped(entries: &[(&str, &[u8])]) -> Export {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    let zip = zip.finish().unwrap().into_inner();
    read_as("WhatsApp Chat with Bo.zip", zip, None, &settings()).unwrap_or_else(|error| panic!("{error}"))
}

fn items(export: &Export) -> Vec<(Item, Value)> {
    let capture = |id| {
        let captured = export.item(id).unwrap().unwrap_or_else(|error| panic!("{error}"));
        (captured.item, serde_json::from_slice(&captured.evidence).unwrap())
    };
    export.ids().map(capture).collect()
}

/// Returns each message's local time and sender, `2024-03-21 09:15 Ada`.
fn senders_and_times(export: &Export) -> Vec<String> {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let shown = |(item, _): &(Item, Value)| {
        let time = item.message_time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M");
        format!("{time} {}", item.from.name.as_deref().unwrap_or_default())
    };
    items(export).iter().map(shown).collect()
}

fn lines(chat: &str) -> Vec<String> {
    senders_and_times(&text(chat).unwrap_or_else(|error| panic!("{chat}: {error}")))
}

fn kinds(export: &Export) -> Vec<Kind> {
    items(export).into_iter().map(|(item, _)| item.kind).collect()
}

#[test]
fn file_that_a_line_names_is_attached_whatever_the_words() {
    for word in [
        "soubor byl přiložen",
        "файл добавлен",
        "dosya ekli",
        "bifogad fil",
        "załączony plik",
        "file terlampir",
        "الملف مرفق",
        "添付ファイル有り",
        "zork blip",
    ] {
        let chat = format!("23.03.24 13:32 - Bo: \u{200e}IMG-1.jpg ({word})\nnice\n23.03.24 13:33 - Ada: ok\n");
        let export = zipped(&[("WhatsApp Chat with Bo.txt", chat.as_bytes()), ("IMG-1.jpg", b"picture")]);
        let all = items(&export);
        assert_eq!((all.len(), &all[0].0.kind, all[0].0.text.as_deref()), (2, &Kind::Image, Some("nice")), "{word}");
        let id = AttachmentId::try_from("1".to_owned()).unwrap();
        assert_eq!(export.attachment(&all[0].0.id, &id, 100), Ok(b"picture".to_vec()), "{word}");
    }
    for marker in [
        "‹المُرفق: 1-PHOTO.jpg>",
        "<terlampir: 1-PHOTO.jpg>",
        "<bifogat: 1-PHOTO.jpg>",
        "<прикреплено: 1-PHOTO.jpg>",
        "<附件：1-PHOTO.jpg>",
        "＜添付ファイル：1-PHOTO.jpg＞",
        "<첨부됨: 1-PHOTO.jpg>",
        "<1-PHOTO.jpg zork>",
        "<zork : 1-PHOTO.jpg>",
        "<zork 1-PHOTO.jpg>",
        "1-PHOTO.jpg <zork>",
        "1-PHOTO.jpg （zork）",
    ] {
        let chat = format!("[27/3/2024, 21:41:55] Bo: \u{200e}{marker}\r\n");
        let export = zipped(&[("_chat.txt", chat.as_bytes()), ("1-PHOTO.jpg", b"picture")]);
        let all = items(&export);
        assert_eq!((all.len(), &all[0].0.kind, all[0].0.text.as_deref()), (1, &Kind::Image, None), "{marker}");
    }
    let arabic = "\u{200f}[\u{200f}27\u{200f}/3\u{200f}/2024، 21:41:55] Bo:  \u{200f}‹المُرفق: 00000035-PHOTO.jpg>\r\n";
    let export = zipped(&[("_chat.txt", arabic.as_bytes()), ("00000035-PHOTO.jpg", b"picture")]);
    assert_eq!(senders_and_times(&export), ["2024-03-27 21:41 Bo"]);
    assert_eq!(kinds(&export), [Kind::Image]);
}

#[test]
fn file_names_match_however_they_are_spelled() {
    for (written, packed) in [
        ("\u{dc}bersicht M\u{e4}rz.pdf", "U\u{308}bersicht Ma\u{308}rz.pdf"),
        ("U\u{308}bersicht.pdf", "\u{dc}bersicht.pdf"),
        ("Plan: A/B?.pdf", "Plan_ A_B_.pdf"),
        ("Screenshot 2.56.01\u{202f}PM.png", "Screenshot 2.56.01 PM.png"),
        ("\u{200e}a.pdf", "sub/a.pdf"),
        ("a.pdf", "./a.pdf"),
    ] {
        let chat = format!("23.03.24 13:32 - Bo: {written} (zork)\n");
        let export = zipped(&[("./WhatsApp Chat with Bo.txt", chat.as_bytes()), (packed, b"file")]);
        let all = items(&export);
        assert_eq!((all.len(), all[0].0.attachments.len()), (1, 1), "{written} {packed}");
    }
    // Two files that could be meant: neither is.
    let chat = b"23.03.24 13:32 - Bo: a?b.pdf (zork)\n";
    let export = zipped(&[("_chat.txt", chat), ("a_b.pdf", b"1"), ("a-b.pdf", b"2")]);
    assert_eq!(items(&export)[0].0.attachments.len(), 0);
    assert_eq!(export.summary().unnamed_files, ["a_b.pdf", "a-b.pdf"]);
}

#[test]
fn names_in_an_old_code_page_are_found_by_the_chat() {
    // "план.pdf" in cp866, and "Zoë.pdf" in cp437.
    for (written, raw) in [("план.pdf", &b"\xaf\xab\xa0\xad.pdf"[..]), ("Zoë.pdf", b"Zo\x89.pdf")] {
        let plain = "n".repeat(raw.len());
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in
            [("_chat.txt", format!("23.03.24 13:32 - Bo: {written} (zork)\n")), (&plain, "file".to_owned())]
        {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes.as_bytes()).unwrap();
        }
        let mut zip = zip.finish().unwrap().into_inner();
        let places: Vec<usize> =
            (0..zip.len() - raw.len()).filter(|at| zip[*at..].starts_with(plain.as_bytes())).collect();
        for at in places {
            zip[at..at + raw.len()].copy_from_slice(raw);
        }
        let export = read_as("a.zip", zip, None, &settings()).unwrap();
        assert_eq!((export.ids().count(), items(&export)[0].0.attachments.len()), (1, 1), "{written}");
    }
}

#[test]
fn text_that_only_resembles_a_marker_is_filed() {
    for body in ["wire it tonight <attached: x>", "plan v1.2 (file attached)", "see <b: c.d>", "(file attached)"] {
        let export = text(&format!("13/07/2024, 10:00 - Bo: {body}\n")).unwrap();
        let (item, _) = &items(&export)[0];
        assert_eq!((&item.kind, item.text.as_deref(), item.attachments.len()), (&Kind::Text, Some(body), 0), "{body}");
    }
}

#[test]
fn missing_file_keeps_the_text() {
    for (style, body) in [
        ("13/07/2024, 10:00 - ", "IMG-1.jpg (file attached)\nI agree to the price of 5"),
        ("13/07/2024, 10:00 - ", "\u{200e}IMG-1.jpg (zork)\nI agree to the price of 5"),
        ("[13/07/2024, 10:00:00] ", "I agree to the price of 5 \u{200e}<zork: IMG-1.jpg>"),
    ] {
        let export = text(&format!("{style}Bo: {body}\n")).unwrap();
        let (item, evidence) = &items(&export)[0];
        assert_eq!((&item.kind, item.text.as_deref(), item.attachments.len()), (&Kind::Image, Some(body), 0));
        assert_eq!(evidence["upload"]["notes"], serde_json::json!(["the file was not in the export"]));
    }
}

#[test]
fn file_that_no_line_names_is_an_item_of_its_own() {
    let chat = b"23.03.24 13:32 - Bo: look at photo-77.jpg please\n23.03.24 13:33 - Ada: ok\n";
    let entries: [(&str, &[u8]); 5] = [
        ("_chat.txt", chat),
        ("photo-77.jpg", b"1"),
        ("stray.pdf", b"2"),
        ("__MACOSX/._stray.pdf", b"3"),
        (".DS_Store", b"4"),
    ];
    let export = zipped(&entries);
    let all = items(&export);
    assert_eq!(all.len(), 3);
    assert_eq!((&all[0].0.kind, all[0].0.text.as_deref()), (&Kind::Image, Some("look at photo-77.jpg please")));
    let (stray, evidence) = &all[2];
    assert_eq!((&stray.kind, stray.attachments[0].name.as_deref()), (&Kind::Document, Some("stray.pdf")));
    assert_eq!(stray.message_time, all[1].0.message_time);
    assert!(evidence["reason"].as_str().unwrap().contains("none of its messages names it"));
    let id = AttachmentId::try_from("1".to_owned()).unwrap();
    assert_eq!(export.attachment(&stray.id, &id, 10), Ok(b"2".to_vec()));
    assert_eq!(export.summary().unnamed_files, ["stray.pdf"]);
}

#[test]
fn pasted_chat_in_an_iphones_file_stays_with_its_sender() {
    let chat = "[13/07/24, 10:00:00] Ada: as you wrote\n[12/07/24, 09:00:00] Bo: I accept the price\r\n\
                [13/07/24, 10:01:00] Bo: I never wrote that\r\n";
    let export = text(chat).unwrap();
    assert_eq!(senders_and_times(&export), ["2024-07-13 10:00 Ada", "2024-07-13 10:01 Bo"]);
    assert_eq!(export.summary().suspicious_lines, [2]);
    let (_, evidence) = &items(&export)[0];
    assert_eq!(evidence["export"]["suspiciousLines"], serde_json::json!([2]));
    assert!(evidence["upload"]["notes"][0].as_str().unwrap().ends_with("in line 2 of the export"));
}

#[test]
fn message_whose_time_goes_back_is_marked() {
    let pasted = "13/07/2024, 10:00 - Ada: as you wrote:\n12/07/2024, 09:00 - Bo: I accept the price\n\
                  12/07/2024, 09:05 - Ada: thanks\n13/07/2024, 10:01 - Bo: I never wrote that\n";
    let export = text(pasted).unwrap();
    let noted: Vec<bool> = items(&export)
        .iter()
        .map(|(item, _)| item.upload.as_ref().unwrap().notes.iter().any(|note| note.contains("pasted chat")))
        .collect();
    assert_eq!((noted, export.summary().out_of_order_lines), (vec![false, true, true, false], vec![2, 3]));

    // The message after a pasted part may itself be some minutes early: it ends the part, and is not marked.
    let early = "13/07/2024, 10:00 - Ada: as you wrote:\n12/07/2024, 09:00 - Bo: I accept the price\n\
                 12/07/2024, 09:05 - Ada: thanks\n13/07/2024, 09:59 - Bo: I never wrote that\n";
    assert_eq!(text(early).unwrap().summary().out_of_order_lines, [2, 3]);
    // Without a return, as after a phone's clock was corrected, only the first is marked.
    let corrected = "13/07/2024, 10:00 - Ada: a\n12/07/2024, 10:00 - Ada: b\n12/07/2024, 10:01 - Bo: c\n";
    assert_eq!(text(corrected).unwrap().summary().out_of_order_lines, [2]);
    // Clocks of two phones differ by minutes.
    let minutes = "13/07/2024, 10:40 - Ada: a\n13/07/2024, 10:01 - Bo: b\n13/07/2024, 10:41 - Ada: c\n";
    assert_eq!(text(minutes).unwrap().summary().out_of_order(), None);
    // In an iPhone's file a pasted line is not a message at all.
    let iphone = "[13/07/24, 10:00:00] Ada: a\r\n[12/07/24, 09:00:00] Bo: b\r\n[13/07/24, 10:01:00] Bo: c\r\n";
    assert_eq!(text(iphone).unwrap().summary().out_of_order(), None);
    // One CR LF in a text does not show that: the messages begin after LF.
    let stray = "[13/07/24, 10:00:00] Ada: a\r\nb\n[12/07/24, 09:00:00] Bo: c\n[13/07/24, 10:01:00] Bo: d\n";
    assert_eq!(text(stray).unwrap().summary().out_of_order_lines, [3]);
}

#[test]
fn months_in_words_are_read_with_and_without_full_stop() {
    for (first, second) in [
        ("21:16, 8 Okt. 2015", "21:17, 9 März 2016"),
        ("8 oct. 2015 à 21:16", "9 mars 2016 à 21:17"),
        ("8 d’oct. 2015, 21:16", "9 de març 2016, 21:17"),
        ("8 אוק׳ 2015, 21:16", "9 מרץ 2016, 21:17"),
        ("8 अक्टू॰ 2015, 21:16", "9 मार्च 2016, 21:17"),
    ] {
        let export = text(&format!("{first} - Bo: y\n{second} - Bo: z\n")).unwrap();
        assert_eq!(senders_and_times(&export), ["2015-10-08 21:16 Bo", "2016-03-09 21:17 Bo"], "{first}");
    }
}

#[test]
fn day_periods_of_every_language_give_their_hour() {
    assert_eq!(
        lines(
            "21.03.24, 9:15 vorm. - Ada: eins\n21.03.24, 12:15 mittags - Bo: zwei\n21.03.24, 3:16 nachm. - Ada: drei\n\
             21.03.24, 9:17 abends - Bo: vier\n21.03.24, 11:18 nachts - Ada: fünf\n22.03.24, 7:19 morgens - Bo: sechs\n"
        ),
        [
            "2024-03-21 09:15 Ada",
            "2024-03-21 12:15 Bo",
            "2024-03-21 15:16 Ada",
            "2024-03-21 21:17 Bo",
            "2024-03-21 23:18 Ada",
            "2024-03-22 07:19 Bo"
        ]
    );
    for (line, time) in [
        ("12.07.2024 ÖS 10:35 - Ada: x", "2024-07-12 22:35 Ada"),
        ("27/12/2024, 3:49 in the afternoon - Ada: x", "2024-12-27 15:49 Ada"),
        ("2024/7/12 下午10:35 - Ada: x", "2024-07-12 22:35 Ada"),
        ("2024. 7. 12. 오후 10:35 - Ada: x", "2024-07-12 22:35 Ada"),
        ("१२/७/२४, दुपार १:३५ - Ada: x", "2024-07-12 13:35 Ada"),
        ("[13.7.2024 klo 9.25.11 ip.] Ada: x", "2024-07-13 21:25 Ada"),
        ("\u{200f}١٥\u{200f}/٠١\u{200f}/٢٠٢٠، ٢:٢٢ م - Ada: x", "2020-01-15 14:22 Ada"),
    ] {
        assert_eq!(lines(line), [time], "{line}");
    }
}

#[test]
fn unknown_day_period_is_inferred_or_rejected() {
    assert_eq!(
        lines(
            "21.03.24, 9:15 zork - Ada: a\n21.03.24, 11:20 zork - Bo: b\n21.03.24, 1:16 blip - Ada: c\n\
             21.03.24, 9:17 blip - Bo: d\n22.03.24, 7:19 zork - Ada: e\n"
        ),
        [
            "2024-03-21 09:15 Ada",
            "2024-03-21 11:20 Bo",
            "2024-03-21 13:16 Ada",
            "2024-03-21 21:17 Bo",
            "2024-03-22 07:19 Ada"
        ]
    );
    for chat in ["21.03.24, 9:15 zork - Ada: a\n", "21.03.24 zork 9:15 - Ada: a\n22.03.24 blip 9:15 - Ada: a\n"] {
        assert!(matches!(text(chat).err(), Some(ExportError::DayPeriod { .. })), "{chat}");
    }
}

#[test]
fn connecting_words_and_separators_of_any_kind_are_read() {
    for (line, time) in [
        ("13.6.2024 klo 21.25 - Ada: x", "2024-06-13 21:25 Ada"),
        ("13. 6. 2024. 21:25:15 Ada: x", "2024-06-13 21:25 Ada"),
        ("13.06.24 г., 21:25 ч. - Ada: x", "2024-06-13 21:25 Ada"),
        ("13/06/2024 à 21h25 - Ada: x", "2024-06-13 21:25 Ada"),
        ("2024-06-13 21 h 25 - Ada: x", "2024-06-13 21:25 Ada"),
        ("[13.06.24 kl. 21.25.15] Ada: x", "2024-06-13 21:25 Ada"),
        ("13.06.2024 zork 21:25 - Ada: x", "2024-06-13 21:25 Ada"),
        ("13.06.2024, 21:25 zork - Ada: x", "2024-06-13 21:25 Ada"),
        ("13·06·2024 21:25 – Ada: x", "2024-06-13 21:25 Ada"),
        ("13_06_2024 | 21:25 | Ada: x", "2024-06-13 21:25 Ada"),
        ("(13/06/2024, 21:25:15) Ada: x", "2024-06-13 21:25 Ada"),
        ("21:25 13/06/2024 - Ada: x", "2024-06-13 21:25 Ada"),
        ("lúc 21:25 13/06/2024 - Ada: x", "2024-06-13 21:25 Ada"),
        ("2024年6月13日 21:25 - Ada: x", "2024-06-13 21:25 Ada"),
        ("21:16, 8 Oct 2015 - Ada: x", "2015-10-08 21:16 Ada"),
        ("Oct 8, 2015, 9:16 PM - Ada: x", "2015-10-08 21:16 Ada"),
        ("8 de out. de 2015 21:16 - Ada: x", "2015-10-08 21:16 Ada"),
        ("8-okt-15 21:16 - Ada: x", "2015-10-08 21:16 Ada"),
        ("13/06/24 - 21:25 - Ada: x", "2024-06-13 21:25 Ada"),
        ("13/06/24 (21:25) - Ada: x", "2024-06-13 21:25 Ada"),
    ] {
        assert_eq!(lines(line), [time], "{line}");
    }
}

#[test]
fn years_of_other_calendars_are_converted() {
    for (line, time) in [
        ("[3/18/2567 BE, 14:56:01] Ada: x", "2024-03-18 14:56 Ada"),
        ("[3/18/R6, 14:56:01] Ada: x", "2024-03-18 14:56 Ada"),
        ("R6/3/18 14:56 - Ada: x", "2024-03-18 14:56 Ada"),
        ("令和6年3月18日 14:56 - Ada: x", "2024-03-18 14:56 Ada"),
        ("H31/3/18 14:56 - Ada: x", "2019-03-18 14:56 Ada"),
        ("18/3/67 14:56 - Ada: x", "2024-03-18 14:56 Ada"),
        ("18/3/2567 14:56 น. - Ada: x", "2024-03-18 14:56 Ada"),
        ("1402/12/28، 14:56 - Ada: x", "2024-03-18 14:56 Ada"),
        ("۱۴۰۳/۱/۵،\u{200f} ۱۴:۵۶ - Ada: x", "2024-03-24 14:56 Ada"),
        ("8\u{200f}/9\u{200f}/1445، 14:56 - Ada: x", "2024-03-18 14:56 Ada"),
        ("113/3/18 14:56 - Ada: x", "2024-03-18 14:56 Ada"),
    ] {
        assert_eq!(lines(line), [time], "{line}");
    }
}

#[test]
fn impossible_time_is_rejected_with_the_read_value() {
    for (line, tried) in [
        ("18/3/2067, 14:56 - Ada: x", "2067-03-18"),
        ("18/3/1987, 14:56 - Ada: x", "1987-03-18"),
        ("31/31/2024, 14:56 - Ada: x", "31, 31, 2024"),
        ("3/18/X6, 14:56 - Ada: x", "3, 18, 6 of an unknown era"),
    ] {
        match text(line).err() {
            Some(ExportError::ImpossibleTime { line: 1, tried: found }) => assert_eq!(found, tried, "{line}"),
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn ambiguous_dates_follow_style_or_configuration() {
    let american = "2/2/24, 2:51\u{202f}AM - Ada: x\n2/4/24, 10:02\u{202f}PM - Bo: y\n";
    let export = text(american).unwrap();
    assert_eq!(senders_and_times(&export), ["2024-02-02 02:51 Ada", "2024-02-04 22:02 Bo"]);
    assert_eq!(export.day_order().evidence, OrderEvidence::Style);
    let (_, evidence) = &items(&export)[0];
    assert_eq!(evidence["upload"]["notes"], serde_json::json!(["date order assumed: month-day-year"]));

    let european = "02/04/24, 22:02 - Ada: x\n";
    assert_eq!(lines(european), ["2024-04-02 22:02 Ada"]);
    assert!(text(european).unwrap().day_order().is_ambiguous());

    for (chat, order, time) in
        [(american, "dmy", "2024-02-02 02:51 Ada"), (european, "month-day-year", "2024-02-04 22:02 Ada")]
    {
        let configured = Settings { date_order: Some(order.parse().unwrap()), ..settings() };
        let export = read_as("a.txt", chat.as_bytes().to_vec(), None, &configured).unwrap();
        assert_eq!(
            (senders_and_times(&export)[0].as_str(), export.day_order().evidence),
            (time, OrderEvidence::Configured)
        );
        assert!(!export.day_order().is_ambiguous());
    }
    // The configuration does not outweigh the numbers.
    let configured = Settings { date_order: Some(DateOrder::MonthDayYear), ..settings() };
    let export = read_as("a.txt", b"13/07/2024, 10:00 - Ada: x".to_vec(), None, &configured).unwrap();
    assert_eq!(export.day_order().order, DateOrder::DayMonthYear);
}

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
fn places_are_read_from_lines_of_their_own() {
    let chat = "13/07/2024, 10:04 - Bo: Some Park\nLondon, United Kingdom\nhttps://foursquare.com/v/4e89af95\n\
                13/07/2024, 10:05 - Bo: zork: https://maps.google.com/?q=55.6,12.5\n";
    let all = items(&text(chat).unwrap());
    let place = all[0].0.location.clone().unwrap();
    assert_eq!((&all[0].0.kind, place.name.as_deref()), (&Kind::Location, Some("Some Park")));
    assert_eq!(place.address.as_deref(), Some("London, United Kingdom"));
    assert_eq!(all[1].0.location.clone().unwrap().latitude, Some(55.6));
}

#[test]
fn utf_16_with_a_byte_order_mark_is_read() {
    let chat = "13/07/2024, 10:00 - Ada: שלום 👩‍🏫\n";
    let little: Vec<u8> = "\u{feff}".encode_utf16().chain(chat.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = "\u{feff}".encode_utf16().chain(chat.encode_utf16()).flat_map(u16::to_be_bytes).collect();
    for bytes in [little, big] {
        let export = read_as("a.txt", bytes, None, &settings()).unwrap();
        assert_eq!(items(&export)[0].0.text.as_deref(), Some("שלום 👩‍🏫"));
    }
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
