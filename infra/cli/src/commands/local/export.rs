//! Summarizes how the chat export was read.

use anyhow::Context;
use chat_export::{Export, ExportFile, Settings};
use jiff::{Timestamp, tz::TimeZone};
use model::keys;

use crate::text::shown;
use local::job::Job;

/// Limit of listed file names.
const MAX_FILES: usize = 20;

/// Reads the export again and lists assumptions that an operator has to check. `None` for other jobs, and for an
/// unreadable export: its dead letter states the reason.
///
/// # Errors
/// The file is missing.
pub(super) fn summary(job: &Job) -> anyhow::Result<Option<String>> {
    let Job::Export { file, owner, zone, date_order } = job else { return Ok(None) };
    let name = file.file_name().and_then(|name| name.to_str()).context("the export's name is not UTF-8")?;
    let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let participants = std::fs::read(file.with_file_name(keys::participants(name))).ok();
    let mut settings = Settings::in_zone(TimeZone::get(zone)?);
    settings.date_order = date_order.as_ref().and_then(|order| order.parse().ok());
    let export = Export::read(ExportFile {
        owner,
        file_name: name,
        bytes,
        participants_csv: participants.as_deref(),
        settings: &settings,
        archived_time: Timestamp::now(),
    });
    Ok(export.ok().map(|export| text(&export)))
}

fn text(export: &Export) -> String {
    let summary = export.summary();
    let mut lines = vec![format!("{} messages, dates read as {}", summary.messages, summary.day_order.order)];
    if summary.day_order.is_ambiguous() {
        lines.push("date order assumed: set EXPORT_DATE_ORDER if it is another".to_owned());
    }
    if let Some(suspicious) = summary.suspicious() {
        let count = summary.suspicious_lines.len();
        lines.push(format!(
            "{count} lines look like the start of a message but were read as part of the previous message: {suspicious}"
        ));
    }
    if let Some(out_of_order) = summary.out_of_order() {
        let count = summary.out_of_order_lines.len();
        lines.push(format!(
            "{count} messages are earlier than a message above them and may be part of a pasted chat: {out_of_order}"
        ));
    }
    if summary.missing_files > 0 {
        lines.push(format!("{} messages name a file that is not in the export", summary.missing_files));
    }
    if !summary.unnamed_files.is_empty() {
        let count = summary.unnamed_files.len();
        let names: Vec<String> = summary.unnamed_files.iter().take(MAX_FILES).map(|name| shown(name)).collect();
        let more = if count > MAX_FILES { ", …" } else { "" };
        lines.push(format!(
            "{count} files of the zip are not named by any message and are filed as separate items: {}{more}",
            names.join(", ")
        ));
    }
    format!("The export:\n  {}\n", lines.join("\n  "))
}
