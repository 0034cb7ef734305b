//! Reads a chat export and prints its items.
//!
//! ```sh
//! cargo run -p chat-export --example read-export -- chat.zip --zone Europe/Copenhagen --order day-month-year --summary
//! ```
//!
//! A file `chat.zip.participants.csv` beside the export names its participants.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command's own output")]

use std::{error::Error, path::Path, process::ExitCode, time::Instant};

use chat_export::{Export, ExportFile, Settings};
use jiff::{Timestamp, tz::TimeZone};
use model::MailboxAddress;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (mut file, mut settings, mut summary_only) = (None, Settings::in_zone(TimeZone::UTC), false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--zone" => settings.zone = TimeZone::get(&arguments.next().ok_or("--zone needs a time zone")?)?,
            "--order" => {
                settings.date_order = Some(arguments.next().ok_or("--order needs an order of the date")?.parse()?)
            }
            "--summary" => summary_only = true,
            _ => file = Some(argument),
        }
    }
    let file = file.ok_or("usage: read-export FILE [--zone ZONE] [--order ORDER] [--summary]")?;
    let name = Path::new(&file).file_name().and_then(|name| name.to_str()).ok_or("the file's name is not UTF-8")?;
    let bytes = std::fs::read(&file).map_err(|error| format!("{file}: {error}"))?;
    let participants = std::fs::read(format!("{file}.participants.csv")).ok();
    let owner: MailboxAddress = "owner@example.com".parse()?;
    let began = Instant::now();
    let export = Export::read(ExportFile {
        owner: &owner,
        file_name: name,
        bytes,
        participants_csv: participants.as_deref(),
        settings: &settings,
        archived_time: Timestamp::now(),
    })?;
    let read = began.elapsed();
    for id in export.ids() {
        let item = export.item(id).ok_or("an id without an item")??.item;
        if summary_only {
            continue;
        }
        let time = item.message_time.to_zoned(settings.zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string();
        let from = item.from.name.or(item.from.email).unwrap_or_default();
        let files: String = item.attachments.iter().filter_map(|file| file.name.as_deref()).collect();
        println!("{time}  {:<12} {from}: {:?} {files}", item.kind.as_str(), item.text.unwrap_or_default());
    }
    let took = began.elapsed();
    let summary = export.summary();
    let (read, items) = (read.as_secs_f64(), (took - read).as_secs_f64());
    println!("{} messages, read in {read:.2} s, items built in {items:.2} s", summary.messages);
    println!("dates: {} ({:?})", summary.day_order.order, summary.day_order.evidence);
    if summary.day_order.is_ambiguous() {
        println!("date order assumed: set another with --order");
    }
    if let Some(lines) = summary.suspicious() {
        println!("{lines} look like the beginning of a message and were read as part of the previous message");
    }
    println!("{} messages name a file that is not in the export", summary.missing_files);
    println!("{} files without a message that names them: {:?}", summary.unnamed_files.len(), summary.unnamed_files);
    Ok(())
}
