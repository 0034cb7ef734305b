//! Distributes items to files, and assigns items that act on another item to that item.

use std::collections::HashMap;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use message::write::{identity, referred};
use model::{Captured, Sha256};
use serde::{Deserialize, Serialize};

use crate::{conversation::conversation, event::events_of};

/// The data of an item that planning needs. Contains no content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The hash of the item's id.
    pub key: Sha256,
    pub conversation: Sha256,
    /// Time at which the item was sent.
    pub time: Timestamp,
    /// Time at which the source received the item: the order of items of the same time.
    pub archived: Timestamp,
    /// For an item of a chat export, its line: the order of items of the same export and time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The identity of the message.
    pub identity: Sha256,
    /// The identity of the message that the item acts on or replies to, if it is certain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refers_to: Option<Sha256>,
    /// `true` for an edit, a deletion, a reaction or a vote.
    #[serde(default, rename = "acts", skip_serializing_if = "std::ops::Not::not")]
    pub is_action: bool,
    /// Number of the item's events.
    pub events: u32,
    /// Length of the stored message.
    pub bytes: u64,
}

impl Record {
    /// Creates the record of an item whose stored message has this length.
    pub fn of(captured: &Captured, bytes: u64) -> Self {
        let item = &captured.item;
        Self {
            key: Sha256::of(item.id.as_str().as_bytes()),
            conversation: conversation(item),
            time: item.message_time,
            archived: item.archived_time,
            line: item.upload.as_ref().and_then(|_| export_line(&captured.evidence)),
            identity: identity(item),
            refers_to: referred(item),
            is_action: item.kind.acts_on_a_message(),
            events: events_of(item),
            bytes,
        }
    }
}

/// Limits of a file.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Maximum number of events and folded items.
    pub events: u32,
    /// Maximum number of bytes of the stored messages of a file's items. A file has fewer bytes than these messages: both
    /// have the attachments in base64, and the text is in a message three times.
    pub bytes: u64,
    /// Maximum number of items that are folded into one event: they are in memory together.
    pub folded: usize,
    /// Maximum bytes of the stored messages of the items that are folded into one event.
    pub folded_bytes: u64,
}

impl Default for Limits {
    /// Returns the limits that the vendor recommends, at most 10,000 events and 2 GB, with a margin.
    fn default() -> Self {
        Self { events: 10_000, bytes: 1_900_000_000, folded: 2_000, folded_bytes: 64 << 20 }
    }
}

/// One file of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFile {
    pub conversation: Sha256,
    /// The day in UTC.
    pub day: Date,
    /// Counted from 1.
    pub part: u32,
    /// The number of files of the conversation's day.
    pub parts: u32,
    /// Ordered by time, then as the source ordered them.
    pub units: Vec<EventWithFolded>,
}

/// An item that becomes an event, and the items that are folded into it, as indexes of records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventWithFolded {
    pub item: usize,
    /// Edits, deletions, reactions and votes, ordered as the units are.
    pub folded: Vec<usize>,
}

/// Returns the line of an item of a chat export.
fn export_line(evidence: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Evidence {
        export: Export,
    }
    #[derive(Deserialize)]
    struct Export {
        line: u64,
    }
    Some(serde_json::from_slice::<Evidence>(evidence).ok()?.export.line)
}

/// Sources give times in seconds, and phones export them in minutes. Therefore items of the same time are in the order
/// of their source: another order would change which question an answer belongs to.
fn sort_key(record: &Record) -> (&[u8; 32], Timestamp, Timestamp, Option<u64>, &[u8; 32]) {
    (record.conversation.as_bytes(), record.time, record.archived, record.line, record.key.as_bytes())
}

/// Distributes records to files. Each record is in exactly one unit. An item is folded only if its target is certain:
/// exactly one item in the same conversation has the target's identity.
pub fn plan(records: &[&Record], limits: Limits) -> Vec<PlannedFile> {
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_unstable_by(|&one, &other| sort_key(records[one]).cmp(&sort_key(records[other])));
    let mut targets: HashMap<Sha256, Option<usize>> = HashMap::new();
    for &at in &order {
        if !records[at].is_action {
            targets.entry(records[at].identity).and_modify(|unique| *unique = None).or_insert(Some(at));
        }
    }
    let mut folded: HashMap<usize, (u64, Vec<usize>)> = HashMap::new();
    let mut is_folded = vec![false; records.len()];
    for &at in order.iter().filter(|&&at| records[at].is_action) {
        let record = records[at];
        let target = record.refers_to.and_then(|identity| targets.get(&identity).copied().flatten());
        let Some(target) = target.filter(|&target| records[target].conversation == record.conversation) else {
            continue;
        };
        let (bytes, items) = folded.entry(target).or_default();
        if items.len() < limits.folded && *bytes + record.bytes <= limits.folded_bytes {
            *bytes += record.bytes;
            items.push(at);
            is_folded[at] = true;
        }
    }
    let mut files: Vec<PlannedFile> = Vec::new();
    let (mut events, mut bytes) = (0, 0);
    for at in order.into_iter().filter(|&at| !is_folded[at]) {
        let record = records[at];
        let (folded_bytes, folded) = folded.remove(&at).unwrap_or_default();
        let unit_events = record.events.saturating_add(u32::try_from(folded.len()).unwrap_or(u32::MAX));
        let unit_bytes = record.bytes.saturating_add(folded_bytes);
        let day = record.time.to_zoned(TimeZone::UTC).date();
        let unit = EventWithFolded { item: at, folded };
        match files.last_mut().filter(|file| file.conversation == record.conversation && file.day == day) {
            Some(file) if events + unit_events <= limits.events && bytes + unit_bytes <= limits.bytes => {
                file.units.push(unit);
                (events, bytes) = (events + unit_events, bytes + unit_bytes);
                continue;
            }
            last => {
                let part = last.map_or(1, |file| file.part + 1);
                files.push(PlannedFile {
                    conversation: record.conversation,
                    day,
                    part,
                    parts: part,
                    units: vec![unit],
                });
                (events, bytes) = (unit_events, unit_bytes);
            }
        }
    }
    // The last part of a day determines the number of parts.
    let mut parts = 0;
    for file in files.iter_mut().rev() {
        parts = parts.max(file.part);
        file.parts = parts;
        if file.part == 1 {
            parts = 0;
        }
    }
    files
}
