//! Finds the phones whose history did not arrive completely.

use anyhow::Context;
use aws::s3::Store;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use source::cloud_api::HistoryState;

/// Time after its last chunk in which a history may still be in progress: WhatsApp sends a long one for some hours.
const IN_PROGRESS: SignedDuration = SignedDuration::from_hours(6);

/// The history of a phone that is incomplete or was declined.
#[derive(Debug, Clone, Serialize)]
pub struct PhoneHistory {
    /// Meta's id of the number. Not a phone number.
    pub phone_number_id: String,
    #[serde(flatten)]
    pub state: PhoneHistoryState,
    /// Time at which its last chunk, or the error, was received.
    pub last_received: Timestamp,
    /// The state in words.
    pub description: String,
}

/// The state of such a history.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum PhoneHistoryState {
    Incomplete {
        /// The highest percentage that WhatsApp stated.
        progress: u32,
        missing: Vec<MissingChunks>,
    },
    Declined {
        /// Code of WhatsApp's error.
        code: u32,
    },
}

/// Consecutive chunks that were not received.
#[derive(Debug, Clone, Serialize)]
pub struct MissingChunks {
    /// `None` if the chunks are numbered over all phases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<u32>,
    pub first: u32,
    /// Inclusive.
    pub last: u32,
}

/// Describes the histories in a sentence; empty without any.
pub(super) fn sentence(histories: &[PhoneHistory]) -> String {
    let what = match histories.len() {
        0 => return String::new(),
        1 => "The history of 1 phone is".to_owned(),
        count => format!("The histories of {count} phones are"),
    };
    format!(
        "{what} incomplete or declined, as of now and not only in the period: older messages of these numbers may not be archived \
         (runbook, compliance, \"When the history of a phone is incomplete\")."
    )
}

/// Finds the incomplete and declined histories of all numbers, those in progress excluded.
pub(super) async fn find(store: &Store, now: Timestamp) -> anyhow::Result<Vec<PhoneHistory>> {
    let histories = source::cloud_api::histories(store).await.context("reading the records of phones' histories")?;
    let is_listed = |history: &source::cloud_api::History| match history.state {
        HistoryState::Incomplete { .. } => now.duration_since(history.last) > IN_PROGRESS,
        HistoryState::Declined { .. } => true,
    };
    let listed = |history: source::cloud_api::History| PhoneHistory {
        description: history.state.to_string(),
        phone_number_id: history.phone_number_id,
        state: history.state.into(),
        last_received: history.last,
    };
    Ok(histories.others.into_iter().filter(is_listed).map(listed).collect())
}

impl From<HistoryState> for PhoneHistoryState {
    fn from(state: HistoryState) -> Self {
        match state {
            HistoryState::Incomplete { progress, missing } => {
                let missing = missing.into_iter();
                let missing = missing.map(|gap| MissingChunks { phase: gap.phase, first: gap.first, last: gap.last });
                Self::Incomplete { progress, missing: missing.collect() }
            }
            HistoryState::Declined { code } => Self::Declined { code },
        }
    }
}
