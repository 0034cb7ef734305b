//! Reads stored messages; and, for a command that has no task, an item's participants and time from its stored message.

use aws::s3::{Store, StoreError};
use jiff::Timestamp;
use message::read::{Mime, date, evidence};
use model::{Failure, Participant, Sha256};

use crate::{
    error::store_failure,
    large_message::{self, tampered},
};

/// A stored message could not be read from the bucket.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoredMessageError(String);

impl StoredMessageError {
    fn of(error: impl ToString) -> Self {
        Self(error.to_string())
    }
}

/// The participants and the time of a message: they determine the mailboxes of its item.
pub struct StoredParticipants {
    /// The sender first.
    pub participants: Vec<Participant>,
    /// Time of the message, for the periods of the user map.
    pub message_time: Timestamp,
}

/// Reads the participants and the time of a stored message; `None` if the message is missing, has another digest, or has
/// no evidence. A large message takes no more memory than one of the usual size.
///
/// # Errors
/// [`StoredMessageError`].
pub async fn read_participants(
    store: &Store,
    key: &str,
    sha256: Sha256,
    length: u64,
) -> Result<Option<StoredParticipants>, StoredMessageError> {
    let mime = match read_message(store, key, sha256, length).await {
        Ok(Some(mime)) => mime,
        Ok(None) | Err(Failure::Permanent { .. }) => return Ok(None),
        Err(Failure::Transient { detail, .. } | Failure::Configuration { detail, .. }) => {
            return Err(StoredMessageError(detail));
        }
    };
    let participants = evidence::participants(&mime).await.map_err(StoredMessageError::of)?;
    let stored = participants.zip(date::of(mime.in_memory()).ok());
    Ok(stored.map(|(participants, message_time)| StoredParticipants { participants, message_time }))
}

/// Reads the stored message that convert wrote; `None` if it is missing. One that is too large for memory is read
/// without its large files.
///
/// # Errors
/// [`Failure::Permanent`] if the message has another digest; otherwise [`Failure::Transient`] or
/// [`Failure::Configuration`].
pub async fn read_message(store: &Store, key: &str, sha256: Sha256, length: u64) -> Result<Option<Mime>, Failure> {
    if length > IN_MEMORY_MAX_BYTES {
        return large_message::read(store, key, sha256, length).await;
    }
    match store.get(key, length).await {
        Ok(Some(object)) if Sha256::of(&object.bytes) == sha256 => Ok(Some(object.bytes.into())),
        Ok(Some(_)) | Err(StoreError::TooLarge { .. }) => Err(tampered()),
        Ok(None) => Ok(None),
        Err(error) => Err(store_failure(error)),
    }
}

/// A message up to this length is held in memory: an item of 10 MB and its evidence.
pub const IN_MEMORY_MAX_BYTES: u64 = 16 << 20;
