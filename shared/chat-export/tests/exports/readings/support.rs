//! Reads exports, and shows their items.

use std::io::{Cursor, Write};

use chat_export::{Export, ExportError, ExportFile, Settings};
use jiff::tz::TimeZone;
use model::{Item, Kind, MailboxAddress};
use serde_json::Value;
use zip::{ZipWriter, write::SimpleFileOptions};

pub(crate) fn settings() -> Settings {
    Settings::in_zone(TimeZone::get("Europe/Berlin").unwrap())
}

pub(crate) fn read_as(
    name: &str,
    bytes: Vec<u8>,
    csv: Option<&str>,
    settings: &Settings,
) -> Result<Export, ExportError> {
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

pub(crate) fn text(text: &str) -> Result<Export, ExportError> {
    read_as("WhatsApp Chat with Team.txt", text.as_bytes().to_vec(), None, &settings())
}

pub(crate) fn zipped(entries: &[(&str, &[u8])]) -> Export {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    let zip = zip.finish().unwrap().into_inner();
    read_as("WhatsApp Chat with Bo.zip", zip, None, &settings()).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn items(export: &Export) -> Vec<(Item, Value)> {
    let capture = |id| {
        let captured = export.item(id).unwrap().unwrap_or_else(|error| panic!("{error}"));
        (captured.item, serde_json::from_slice(&captured.evidence).unwrap())
    };
    export.ids().map(capture).collect()
}

/// Returns each message's local time and sender, `2024-03-21 09:15 Ada`.
pub(crate) fn senders_and_times(export: &Export) -> Vec<String> {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let shown = |(item, _): &(Item, Value)| {
        let time = item.message_time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M");
        format!("{time} {}", item.from.name.as_deref().unwrap_or_default())
    };
    items(export).iter().map(shown).collect()
}

pub(crate) fn lines(chat: &str) -> Vec<String> {
    senders_and_times(&text(chat).unwrap_or_else(|error| panic!("{chat}: {error}")))
}

pub(crate) fn kinds(export: &Export) -> Vec<Kind> {
    items(export).into_iter().map(|(item, _)| item.kind).collect()
}
