//! Reads who the participants of an item are, and when it was written, from its stored message: for a command that has no task.

use batch::Failure;
use item::{Participant, Sha256};
use jiff::Timestamp;
use store::{Store, StoreError};

use crate::{
    evidence, large,
    mailbox::{Mime, date},
};

/// The bucket does not return a stored message.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoredError(String);

impl StoredError {
    fn of(error: impl ToString) -> Self {
        Self(error.to_string())
    }
}

/// What decides whose mailboxes an item belongs in.
pub struct StoredParticipants {
    /// The sender first.
    pub participants: Vec<Participant>,
    /// When the message was written, for the periods of the user map.
    pub message_time: Timestamp,
}

/// The participants. `None` where the message is missing, is not the one that was rendered, or has no evidence. However large it
/// is, no more of it is in memory than of one of the usual size.
///
/// # Errors
/// [`StoredError`].
pub async fn participants_of(
    store: &Store,
    key: &str,
    sha256: Sha256,
    length: u64,
) -> Result<Option<StoredParticipants>, StoredError> {
    let mime: Mime = if length > large::WHOLE {
        match large::read(store, key, sha256, length).await {
            Ok(Some(mime)) => mime,
            Ok(None) | Err(Failure::Permanent { .. }) => return Ok(None),
            Err(Failure::Transient { detail, .. } | Failure::Setup { detail, .. }) => return Err(StoredError(detail)),
        }
    } else {
        match store.get(key, length).await {
            Ok(Some(object)) if Sha256::of(&object.bytes) == sha256 => object.bytes.into(),
            Ok(_) | Err(StoreError::TooLarge { .. }) => return Ok(None),
            Err(error) => return Err(StoredError::of(error)),
        }
    };
    let participants = evidence::participants(&mime).await.map_err(StoredError::of)?;
    let stored = participants.zip(date::of(mime.in_memory()).ok());
    Ok(stored.map(|(participants, message_time)| StoredParticipants { participants, message_time }))
}
