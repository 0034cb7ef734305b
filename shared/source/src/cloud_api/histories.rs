//! Judges whether the history of each phone arrived completely. WhatsApp sends it in chunks, and reports no missing one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use aws::s3::{Store, StoreError};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use model::keys::{self, HistoryRecord};

use super::objects::{self, OBJECT_LIMIT, read};
use crate::{SourceError, inbox::unavailable};

const CONCURRENT_READS: usize = 16;

/// Code of WhatsApp's error if the owner of the phone does not share the history.
const DECLINED_BY_OWNER: u32 = 2_593_109;

/// Progress of the last chunk.
const COMPLETE: u32 = 100;

/// Maximum number of gaps that a text names.
const MAX_NAMED: usize = 10;

/// The histories of all numbers that have a record.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Histories {
    /// Number of complete histories.
    pub complete: u64,
    /// The others.
    pub others: Vec<History>,
}

/// A history that is incomplete or was declined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Meta's id of the number. Not a phone number.
    pub phone_number_id: String,
    /// The reason for which it is listed.
    pub state: HistoryState,
    /// Time at which the last new chunk or error was received.
    pub last: Timestamp,
}

/// The state of a history that is not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryState {
    /// Chunks are missing, or no chunk has the progress 100.
    Incomplete {
        /// The highest percentage of the received chunks.
        progress: u32,
        /// The gaps between the received chunks, ordered.
        missing: Vec<MissingChunks>,
    },
    /// WhatsApp sends no history.
    Declined {
        /// Code of WhatsApp's error; 0 if it is unknown.
        code: u32,
    },
}

/// Consecutive chunks that were not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MissingChunks {
    /// The phase, if the numbers of the chunks restart in each phase.
    pub phase: Option<u32>,
    /// The first of them.
    pub first: u32,
    /// Inclusive.
    pub last: u32,
}

impl MissingChunks {
    fn count(self) -> u64 {
        u64::from(self.last - self.first) + 1
    }
}

impl fmt::Display for MissingChunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "chunk {}", self.first)?;
        } else {
            write!(f, "chunks {} to {}", self.first, self.last)?;
        }
        self.phase.map_or(Ok(()), |phase| write!(f, " of phase {phase}"))
    }
}

impl fmt::Display for HistoryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete { progress, missing } => {
                write!(f, "incomplete: progress {progress} %")?;
                for (index, gap) in missing.iter().take(MAX_NAMED).enumerate() {
                    write!(f, "{}{gap}", if index == 0 { ", missing: " } else { ", " })?;
                }
                match missing.len().saturating_sub(MAX_NAMED) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more gaps"),
                }
            }
            Self::Declined { code: DECLINED_BY_OWNER } => {
                write!(f, "declined by the owner of the phone (code {DECLINED_BY_OWNER})")
            }
            Self::Declined { code } => write!(f, "not sent: WhatsApp reports an error (code {code})"),
        }
    }
}

/// Judges the history of each number that has a record.
///
/// # Errors
/// [`SourceError::Unavailable`] and [`SourceError::Configuration`].
pub async fn histories(store: &Store) -> Result<Histories, SourceError> {
    // By the hash of the number's id.
    let mut numbers: BTreeMap<String, Vec<(HistoryRecord, String)>> = BTreeMap::new();
    let listed = store.list(keys::HISTORIES, |page| {
        for object in page {
            if let Some((number, record)) = keys::history_record(&object.key) {
                numbers.entry(number.to_owned()).or_default().push((record, object.key.clone()));
            }
        }
        async { Ok::<_, StoreError>(()) }
    });
    listed.await.map_err(unavailable)?;
    let mut histories = Histories::default();
    for records in numbers.into_values() {
        // Without an error, the names of the objects say all about a complete history.
        if records.iter().any(|(record, _)| matches!(record, HistoryRecord::Declined { .. }))
            || incomplete(records.iter().map(|(record, _)| *record)).is_some()
        {
            match history(store, records).await? {
                Some(history) => histories.others.push(history),
                None => histories.complete += 1,
            }
        } else {
            histories.complete += 1;
        }
    }
    histories.others.sort_by(|one, other| one.phone_number_id.cmp(&other.phone_number_id));
    Ok(histories)
}

/// Reads the records of a number and judges its history; `None` if it is complete.
async fn history(store: &Store, records: Vec<(HistoryRecord, String)>) -> Result<Option<History>, SourceError> {
    let read = stream::iter(records).map(|(record, key)| async move {
        let Some(object) = store.get(&key, OBJECT_LIMIT).await.map_err(unavailable)? else { return Ok(None) };
        let object: objects::History = read(&key, &object.bytes)?;
        Ok::<_, SourceError>(Some((record, object.received, object.phone_number_id)))
    });
    let read: Vec<_> = read.buffered(CONCURRENT_READS).try_collect().await?;
    let read: Vec<_> = read.into_iter().flatten().collect();
    // All records were deleted by age since they were listed.
    let Some(phone_number_id) = read.first().map(|(_, _, number)| number.clone()) else { return Ok(None) };
    let received: Vec<_> = read.iter().map(|(record, received, _)| (*record, *received)).collect();
    let last = received.iter().map(|(_, received)| *received).max().unwrap_or_default();
    Ok(state(&received).map(|state| History { phone_number_id, state, last }))
}

/// Returns the state of a history by its records and the times at which they were received; `None` if it is complete.
fn state(records: &[(HistoryRecord, Timestamp)]) -> Option<HistoryState> {
    let declined = records.iter().filter_map(|(record, received)| match record {
        HistoryRecord::Declined { code } => Some((*received, *code)),
        HistoryRecord::Chunk { .. } => None,
    });
    let declined = declined.max();
    let is_chunk = |record: &HistoryRecord| matches!(record, HistoryRecord::Chunk { .. });
    let last_chunk = records.iter().filter(|(record, _)| is_chunk(record)).map(|(_, received)| *received).max();
    match declined {
        // The owner has declined the last time that the number was connected, or the only time.
        Some((at, code)) if last_chunk.is_none_or(|last| last < at) => Some(HistoryState::Declined { code }),
        _ => incomplete(records.iter().map(|(record, _)| *record)),
    }
}

/// Returns what the received chunks lack; `None` if the history is complete.
fn incomplete(records: impl Iterator<Item = HistoryRecord>) -> Option<HistoryState> {
    let mut phases: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    let mut highest = 0;
    for record in records {
        let HistoryRecord::Chunk { phase, chunk, progress } = record else { continue };
        phases.entry(phase).or_default().insert(chunk);
        highest = highest.max(progress);
    }
    let missing = missing_chunks(&phases);
    (highest < COMPLETE || !missing.is_empty()).then_some(HistoryState::Incomplete { progress: highest, missing })
}

/// Returns the gaps between the received chunks. Meta documents neither the first number nor whether the numbers restart in
/// each phase (see `DESIGN.md`): of both readings, the one with fewer missing chunks is used.
fn missing_chunks(phases: &BTreeMap<u32, BTreeSet<u32>>) -> Vec<MissingChunks> {
    let all: BTreeSet<u32> = phases.values().flatten().copied().collect();
    let first = u32::from(!all.contains(&0));
    let within_phases: Vec<_> = phases.iter().flat_map(|(phase, chunks)| gaps(chunks, first, Some(*phase))).collect();
    // Numbers that do not restart have one first chunk.
    if phases.values().filter(|chunks| chunks.contains(&first)).count() > 1 {
        return within_phases;
    }
    let together = gaps(&all, first, None);
    let count = |gaps: &[MissingChunks]| gaps.iter().map(|gap| gap.count()).sum::<u64>();
    if count(&together) < count(&within_phases) { together } else { within_phases }
}

/// Returns the gaps between the numbers, which begin with `first`.
fn gaps(chunks: &BTreeSet<u32>, first: u32, phase: Option<u32>) -> Vec<MissingChunks> {
    let mut expected = first;
    let mut gaps = Vec::new();
    for chunk in chunks {
        if *chunk > expected {
            gaps.push(MissingChunks { phase, first: expected, last: chunk - 1 });
        }
        expected = chunk.saturating_add(1);
    }
    gaps
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn chunk(phase: u32, chunk: u32, progress: u32) -> HistoryRecord {
        HistoryRecord::Chunk { phase, chunk, progress }
    }

    /// Judges chunks of which the last has the progress 100.
    fn judge(chunks: &[(u32, u32)]) -> Option<String> {
        let last = chunks.len() - 1;
        let records = chunks
            .iter()
            .enumerate()
            .map(|(index, (phase, number))| chunk(*phase, *number, if index == last { COMPLETE } else { 50 }));
        incomplete(records).map(|state| state.to_string())
    }

    #[test]
    fn record_is_read_from_its_key() {
        for record in [chunk(0, 1, 100), chunk(u32::MAX, 0, 0), HistoryRecord::Declined { code: DECLINED_BY_OWNER }] {
            let key = keys::history("700800900100200", &record);
            assert!(!key.contains("700800900100200"), "{key}");
            assert_eq!(keys::history_record(&key).map(|(_, record)| record), Some(record), "{key}");
        }
        for foreign in ["0-1.json", "0-1-2-3.json", "0-1-2", "0--1-2.json", "declined-.json", "declined-x.json"] {
            assert_eq!(keys::history_record(&format!("histories/00/{foreign}")), None, "{foreign}");
        }
    }

    #[test]
    fn history_is_complete_by_either_numbering_of_its_chunks() {
        for chunks in [
            &[(0, 1)][..],
            &[(0, 0)],
            // The numbers restart in each phase.
            &[(0, 1), (0, 2), (1, 1), (1, 2), (2, 1)],
            &[(0, 0), (1, 0), (1, 1), (2, 0)],
            // They do not restart.
            &[(0, 1), (0, 2), (1, 3), (1, 4), (2, 5)],
            &[(0, 0), (1, 1), (1, 2), (2, 3)],
            // In any order.
            &[(2, 5), (1, 3), (0, 2), (1, 4), (0, 1)],
            // Requested again: the same chunks, and other ones.
            &[(0, 1), (1, 2), (1, 3), (0, 1), (0, 2), (1, 3), (1, 4)],
            // A phase without messages.
            &[(0, 1), (2, 1)],
        ] {
            assert_eq!(judge(chunks), None, "{chunks:?}");
        }
    }

    #[test]
    fn missing_chunk_is_named_if_both_numberings_have_a_gap() {
        for (chunks, missing) in [
            (&[(0, 1), (0, 3)][..], "chunk 2 of phase 0"),
            (&[(0, 2)], "chunk 1 of phase 0"),
            (&[(0, 1), (1, 2), (1, 4), (2, 6)], "chunk 3, chunk 5"),
            (&[(0, 1), (1, 1), (1, 5), (2, 1)], "chunks 2 to 4 of phase 1"),
            // Together the numbers have no gap, but two phases have a first chunk.
            (&[(0, 1), (0, 2), (1, 1), (1, 3)], "chunk 2 of phase 1"),
            (&[(0, 0), (0, 1), (1, 0), (1, 2), (2, 1)], "chunk 1 of phase 1, chunk 0 of phase 2"),
            (&[(0, 1), (0, u32::MAX)], "chunks 2 to 4294967294 of phase 0"),
        ] {
            let expected = format!("incomplete: progress 100 %, missing: {missing}");
            assert_eq!(judge(chunks), Some(expected), "{chunks:?}");
        }
        let many: Vec<_> = (1..=13).map(|chunk| (0, 2 * chunk)).collect();
        assert!(judge(&many).is_some_and(|text| text.ends_with("chunk 19 of phase 0 and 3 more gaps")));
    }

    #[test]
    fn history_without_its_last_chunk_is_incomplete() {
        let state = incomplete([chunk(0, 1, 55), chunk(0, 2, 80), chunk(0, 1, 30)].into_iter());
        assert_eq!(state, Some(HistoryState::Incomplete { progress: 80, missing: Vec::new() }));
        assert_eq!(state.unwrap().to_string(), "incomplete: progress 80 %");
    }

    #[test]
    fn declined_history_is_superseded_by_later_chunks_only() {
        let at = |hours| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours);
        let declined = HistoryRecord::Declined { code: DECLINED_BY_OWNER };
        let by_owner = HistoryState::Declined { code: DECLINED_BY_OWNER };
        let is_declined = Some(by_owner.clone());
        assert_eq!(state(&[(declined, at(1))]), is_declined);
        assert_eq!(state(&[(declined, at(1)), (chunk(0, 1, 100), at(2))]), None);
        assert_eq!(state(&[(declined, at(3)), (chunk(0, 1, 100), at(2))]), is_declined);
        let begun = state(&[(declined, at(1)), (chunk(0, 1, 10), at(2))]);
        assert_eq!(begun, Some(HistoryState::Incomplete { progress: 10, missing: Vec::new() }));
        let other = state(&[(HistoryRecord::Declined { code: 7 }, at(1))]).unwrap().to_string();
        assert_eq!(other, "not sent: WhatsApp reports an error (code 7)");
        assert!(by_owner.to_string().contains("by the owner of the phone"));
    }
}
