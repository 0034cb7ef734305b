//! Reads which chunks of the history of a phone a webhook contains.
//!
//! The chunks are not events: tasks and proofs number the events of a body, and those of earlier releases stay valid.

use std::{collections::BTreeSet, str::FromStr};

use model::keys::HistoryRecord;
use serde_json::value::RawValue;

use crate::{
    json::{self, Members},
    webhook::{Change, Webhook},
};

/// The chunks and errors of the histories of phones that a webhook contains.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct HistoryEntries {
    /// Each entry once, ordered.
    pub entries: BTreeSet<HistoryEntry>,
    /// Number of parts that name no number or no valid chunk, and have no error: their chunk is not recorded.
    pub unreadable: usize,
}

/// A chunk of the history of a phone, or the error that there is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HistoryEntry {
    /// Meta's id of the number. Not a phone number.
    pub phone_number_id: String,
    pub record: HistoryRecord,
}

/// Maximum length of an id, in characters. Meta's have 15 or 16 digits.
const MAX_ID_CHARS: usize = 256;

const MAX_PROGRESS: u32 = 100;

/// Returns what a webhook says about the histories of phones. A webhook with the files of a history has no chunk.
pub fn history_entries(webhook: &Webhook) -> HistoryEntries {
    let mut found = HistoryEntries::default();
    for change in webhook.changes.iter().filter(|change| !change.field.starts_with("account_")) {
        found.add(change);
    }
    found
}

impl HistoryEntries {
    fn add(&mut self, change: &Change) {
        let Some(value) = Members::of(&change.value) else { return };
        let parts: Vec<_> = value
            .all()
            .filter(|(name, _)| *name == "history")
            .filter_map(|(_, raw)| json::list(raw))
            .flatten()
            .collect();
        let number = value.object("metadata").and_then(|metadata| metadata.text("phone_number_id"));
        let number = number.filter(|number| number.chars().count() <= MAX_ID_CHARS);
        for part in parts {
            let records = records(part);
            match &number {
                Some(number) if !records.is_empty() => {
                    let entry = |record| HistoryEntry { phone_number_id: number.clone(), record };
                    self.entries.extend(records.into_iter().map(entry));
                }
                _ => self.unreadable += 1,
            }
        }
    }
}

/// Returns the records of a part: its chunk, if its metadata is valid, and its errors.
fn records(part: &RawValue) -> Vec<HistoryRecord> {
    let Some(part) = Members::of(part) else { return Vec::new() };
    let chunk = part.object("metadata").and_then(|metadata| {
        let (phase, chunk) = (integer(&metadata, "phase")?, integer(&metadata, "chunk_order")?);
        let progress = integer(&metadata, "progress").filter(|progress| *progress <= MAX_PROGRESS)?;
        Some(HistoryRecord::Chunk { phase, chunk, progress })
    });
    let errors = part.get("errors").map(|errors| json::list(errors).unwrap_or_else(|| vec![errors]));
    let declined = errors.unwrap_or_default().into_iter().map(|error| {
        let code = Members::of(error).and_then(|error| integer(&error, "code"));
        HistoryRecord::Declined { code: code.unwrap_or_default() }
    });
    chunk.into_iter().chain(declined).collect()
}

/// Returns a number that Meta writes as a number, and providers as a string.
fn integer(members: &Members<'_>, name: &str) -> Option<u32> {
    members.text(name).and_then(|text| u32::from_str(text.trim()).ok())
}
