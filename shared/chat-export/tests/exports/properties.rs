//! Properties of every export, tested on generated ones.

use std::io::{Cursor, Write};

use chat_export::{Export, ExportError, ExportFile, Settings, locate};
use jiff::tz::TimeZone;
use model::MailboxAddress;
use proptest::prelude::*;
use zip::{ZipWriter, write::SimpleFileOptions};

fn read(file_name: &str, bytes: &[u8]) -> Result<Export, ExportError> {
    let owner: MailboxAddress = "owner@example.com".parse().unwrap();
    Export::read(ExportFile {
        owner: &owner,
        file_name,
        bytes: bytes.to_vec(),
        participants_csv: None,
        settings: &Settings::in_zone(TimeZone::get("Europe/Copenhagen").unwrap()),
        archived_time: "2026-11-22T10:00:00Z".parse().unwrap(),
    })
}

/// Reads every item and attachment of an export.
fn exercise(export: &Export) {
    for id in export.ids() {
        assert!(locate(id).is_some());
        let captured = export.item(id).unwrap().unwrap_or_else(|error| panic!("{error}"));
        for attachment in &captured.item.attachments {
            // Found or not: it must only not panic.
            drop(export.attachment(id, &attachment.id, 1_000));
        }
    }
}

/// Generates a way in which phones begin a message: the date and time of a minute, and the text before the sender.
fn header(style: usize, minute: usize) -> String {
    let (month, day, hour, minute) = (1 + minute / 40_000 % 12, 1 + minute / 1_440 % 28, minute / 60 % 24, minute % 60);
    let (half, hour12) = (if hour < 12 { "AM" } else { "PM" }, if hour % 12 == 0 { 12 } else { hour % 12 });
    match style {
        0 => format!("{day:02}/{month:02}/2024, {hour:02}:{minute:02} - "),
        1 => format!("{month}/{day}/24, {hour12}:{minute:02}\u{202f}{half} - "),
        2 => format!("[{day:02}.{month:02}.24, {hour:02}:{minute:02}:07] "),
        3 => format!("\u{200e}[2024-{month:02}-{day:02} {hour:02}.{minute:02}.07] "),
        _ => format!("{day}-{month}-2024 {hour}:{minute:02} - "),
    }
}

/// Generates a line that a person could write: anything but a line end, or what phones write of their own.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[^\\r\\n]{0,40}",
        2 => "[a-z :.<>()\\[\\]\"“”\u{200e}\u{200d}👩🚀-]{0,20}",
        1 => prop::sample::select(vec![
            "<Media omitted>", "IMG-1.jpg (file attached)", "\u{200e}<attached: 1.jpg>", "null", "POLL:", "OPTION: a (1 vote)",
            "This message was deleted", "x <This message was edited>", "Missed voice call", "", " ", ": ", "[12/07, 10:00] Eve: pasted",
            "caption \u{200e}<attached: 2.pdf>", "location: https://maps.google.com/?q=1,2",
        ]).prop_map(str::to_owned),
    ]
}

/// Senders and their lines.
fn messages() -> impl Strategy<Value = Vec<(Option<String>, Vec<String>)>> {
    let sender = prop::option::weighted(
        0.9,
        prop::sample::select(vec!["Ada", "Søren \"S\" J.", "\u{202a}+45 20 12 34 56\u{202c}", "~\u{202f}Eve"])
            .prop_map(str::to_owned),
    );
    let message =
        (sender, prop::collection::vec(line(), 1..4)).prop_map(|(sender, mut lines): (Option<String>, Vec<String>)| {
            if sender.is_none() {
                // With a colon, a line of WhatsApp's own would have a sender.
                lines[0] = lines[0].replace(':', ";");
            }
            (sender, lines)
        });
    prop::collection::vec(message, 1..20)
}

fn write(style: usize, line_end: &str, messages: &[(Option<String>, Vec<String>)]) -> String {
    messages.iter().enumerate().map(|(place, message)| write_one(style, line_end, place, message)).collect()
}

/// Writes the message at this place of a chat.
fn write_one(style: usize, line_end: &str, place: usize, (sender, lines): &(Option<String>, Vec<String>)) -> String {
    let mut text = header(style, place * 977);
    if let Some(sender) = sender {
        text.push_str(sender);
        text.push_str(": ");
    }
    for line in lines {
        text.push_str(line);
        text.push_str(line_end);
    }
    text
}

/// Returns a text without the marks and the white space that may be lost with WhatsApp's own markers.
fn visible(text: &str) -> String {
    let mark = |c: char| {
        c.is_whitespace()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{feff}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().filter(|c| !mark(*c)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for name in ["a.txt", "a.zip"] {
            if let Ok(export) = read(name, &bytes) {
                exercise(&export);
            }
        }
    }

    #[test]
    fn any_text_is_read_without_a_panic(style in 0_usize..5, text in "(\\PC|[\\n\\r\u{200e}\u{202f}:\\-\\[\\]<>0-9/,]){0,120}") {
        for text in [text.clone(), format!("{}{text}", header(style, 3))] {
            if let Ok(export) = read("a.txt", text.as_bytes()) {
                exercise(&export);
            }
        }
    }

    #[test]
    fn damaged_zip_is_read_without_a_panic(at in prop::collection::vec((0_usize..400, any::<u8>()), 1..6), cut in 0_usize..400) {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in [("_chat.txt", "13/07/2024, 09:12 - Ada: IMG-1.jpg (file attached)"), ("IMG-1.jpg", "picture")] {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(content.as_bytes()).unwrap();
        }
        let mut bytes = zip.finish().unwrap().into_inner();
        for (place, value) in at {
            let place = place % bytes.len();
            bytes[place] = value;
        }
        if let Ok(export) = read("a.zip", &bytes) {
            exercise(&export);
        }
        bytes.truncate(cut);
        if let Ok(export) = read("a.zip", &bytes) {
            exercise(&export);
        }
    }

    #[test]
    fn any_participants_file_is_read_without_a_panic(csv in "(name|phone|email|[,;\"\\n\\r a@.0-9+]|\\PC){0,80}") {
        let owner: MailboxAddress = "owner@example.com".parse().unwrap();
        drop(Export::read(ExportFile {
            owner: &owner,
            file_name: "a.txt",
            bytes: b"13/07/2024, 09:12 - Ada: x".to_vec(),
            participants_csv: Some(csv.as_bytes()),
            settings: &Settings::in_zone(TimeZone::UTC),
            archived_time: "2026-11-22T10:00:00Z".parse().unwrap(),
        }));
    }

    /// Every line is in exactly one item, in its place, whole.
    #[test]
    fn no_line_is_lost(style in 0_usize..5, windows in any::<bool>(), messages in messages()) {
        let text = write(style, if windows { "\r\n" } else { "\n" }, &messages);
        let export = read("a.txt", text.as_bytes()).unwrap();
        let ids: Vec<_> = export.ids().cloned().collect();
        prop_assert_eq!(ids.len(), messages.len());
        for (id, (sender, lines)) in ids.iter().zip(&messages) {
            let captured = export.item(id).unwrap().unwrap_or_else(|error| panic!("{error}"));
            let evidence: serde_json::Value = serde_json::from_slice(&captured.evidence).unwrap();
            let written = lines.join("\n");
            let item = captured.item;
            prop_assert_eq!(item.from.name.as_deref() == Some("WhatsApp"), sender.is_none());
            match evidence["export"]["marker"].as_str() {
                // Text and marker together are what was written.
                Some(marker) => {
                    prop_assert!(written.contains(marker));
                    let without = written.replacen(marker, "", 1);
                    prop_assert_eq!(visible(item.text.as_deref().unwrap_or_default()), visible(&without));
                }
                None => prop_assert_eq!(item.text.unwrap_or_default(), written),
            }
        }
    }

    /// An iPhone's export without its oldest messages gives the others their old ids, although it numbers its files anew.
    #[test]
    fn ids_survive_the_loss_of_older_messages(
        style in 2_usize..4, messages in messages(), media in any::<[bool; 20]>(), gone in 0_usize..20,
    ) {
        let gone = gone.min(messages.len() - 1);
        let ids = |first: usize| -> Vec<_> {
            let numbered = messages.iter().zip(media).enumerate().skip(first).map(|(place, ((sender, lines), has_file))| {
                let file = has_file.then(|| format!("\u{200e}<attached: {:08}-PHOTO-1.jpg>", place - first));
                (place, (sender.clone(), lines.iter().cloned().chain(file).collect()))
            });
            let text: String = numbered.map(|(place, message)| write_one(style, "\n", place, &message)).collect();
            read("a.txt", text.as_bytes()).unwrap().ids().cloned().collect()
        };
        prop_assert_eq!(&ids(0)[gone..], &ids(gone)[..]);
    }

    /// A later, longer export under the same name gives the old messages their old ids.
    #[test]
    fn ids_survive_a_longer_export(style in 0_usize..5, messages in messages(), keep in 1_usize..20) {
        let keep = keep.min(messages.len());
        let ids = |messages: &[(Option<String>, Vec<String>)]| -> Vec<_> {
            read("a.txt", write(style, "\n", messages).as_bytes()).unwrap().ids().cloned().collect()
        };
        let (short, long) = (ids(&messages[..keep]), ids(&messages));
        prop_assert_eq!(&short[..], &long[..keep]);
        let mut distinct = long.clone();
        distinct.sort();
        distinct.dedup();
        prop_assert_eq!(distinct.len(), long.len());
    }
}
